"""The search space: which keys of the configuration a study varies, over what, and when.

:mod:`tune_seg.study.search_space.grammar` says how it is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from tune_seg.config import ROW, StudyConfig, TrialConfig
from tune_seg.config.keys import flatten
from tune_seg.config.trial import NOT_VARIED
from tune_seg.errors import InputError
from tune_seg.study.search_space.grammar import Grammar
from tune_seg.study.search_space.probes import probe
from tune_seg.study.search_space.varied_key import Choice, Choose, Range, VariedKey, stored

if TYPE_CHECKING:
    import optuna


class Space:
    """The varied keys of a study, in an order in which each can be sampled.

    Args:
        config: the study; its `space` is read, its other keys are the values of what is not sampled.

    Attributes:
        config: the study.
        defaults: the configuration of its trials with dotted keys.
        varied: the varied keys.
        probes: valid configurations from all over the space, for checks that need more than the configuration.

    Raises:
        InputError: an unknown key, a domain or condition that cannot be read, a row that sets a key of the space, or a
            combination of values that the space allows and the configuration rejects (for example an end of the schedule
            before its start).
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.defaults = flatten(config.model_dump(mode="json", include=set(TrialConfig.model_fields) - NOT_VARIED))
        self.varied = Grammar(config, self.defaults).varied_keys()
        self.probes = probe(config, self.defaults, self.varied, self.walk)

    def sample(self, trial: "optuna.trial.BaseTrial") -> dict[str, Any]:
        """Let `trial` suggest a value for every active key: a mapping of dotted keys to values."""
        return self.walk(lambda varied, values: varied.suggest(trial, values))

    def grid_points(self) -> list[dict[str, Any]]:
        """Every combination of the values of `grid` keys; one empty combination where there is none."""
        grids = {
            each.key: each.domain.values for each in self.varied if isinstance(each.domain, Choice) and each.domain.grid
        }
        return [dict(zip(grids, values, strict=True)) for values in product(*grids.values())]

    def enumerate(self) -> list[dict[str, Any]]:
        """Every distinct assignment of a space without floats, for the grid sampler.

        Raises:
            InputError: a float has no finite number of values.
        """
        for varied in self.varied:
            if isinstance(varied.domain, Range) and not varied.domain.integer:
                raise InputError(
                    f"search.sampler grid cannot enumerate {varied}; give the values: {varied.key}: {{grid: [...]}}"
                )
        return list(self._expand({}, dict(self.defaults), self.varied))

    def _expand(
        self, chosen: dict[str, Any], values: dict[str, Any], varied: Sequence[VariedKey]
    ) -> Iterator[dict[str, Any]]:
        if not varied:
            yield chosen
            return
        first, rest = varied[0], varied[1:]
        if not first.active(values):
            yield from self._expand(chosen, {**values, first.key: None}, rest)
            return
        for value in first.possible(values):
            yield from self._expand({**chosen, first.key: value}, {**values, **self._known(first.key, value)}, rest)

    def is_complete(self, assignment: Mapping[str, Any]) -> bool:
        """Whether `assignment` has a value for every key that is sampled where its others hold."""
        return self.walk(lambda varied, values: assignment.get(varied.key)).keys() <= assignment.keys()

    def known(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What dotted `values` of another study say of the keys that are sampled here; of other keys nothing.

        A value that is not of this space is among them, so that it can be said.
        """
        found = {}

        def choose(varied: VariedKey, chosen: Mapping[str, Any]) -> Any:
            value = values.get(varied.key)
            allowed = varied.key in values and varied.allows(value, chosen)
            if allowed or value is not None:
                found[varied.key] = value
            return value if allowed else varied.first(chosen)

        self.walk(choose)
        return found

    def completed(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """An assignment of before the space gained keys, with the values that these had then: those of the configuration."""
        whole = self.walk(lambda varied, values: assignment.get(varied.key, self.defaults.get(varied.key)))
        choices = {varied.key for varied in self.varied if isinstance(varied.domain, Choice)}
        new = {key: value for key, value in whole.items() if key not in assignment}
        return {**assignment, **{key: value for key, value in new.items() if value is not None or key in choices}}

    def stored(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """`assignment` as Optuna holds it, to be given as fixed values."""
        return {key: stored(value) for key, value in assignment.items()}

    def from_stored(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """The assignment that Optuna holds as `assignment`, see :meth:`stored`."""
        return {varied.key: varied.from_stored(assignment[varied.key]) for varied in self.varied if varied.key in assignment}

    def walk(self, choose: Choose) -> dict[str, Any]:
        """The assignment that `choose` makes, asked for each key that the values before it make active."""
        chosen: dict[str, Any] = {}
        values = dict(self.defaults)
        for varied in self.varied:
            if varied.active(values):
                chosen[varied.key] = choose(varied, values)
                values |= self._known(varied.key, chosen[varied.key])
            else:
                # A key that is not sampled satisfies no condition, whatever the configuration says of it.
                values[varied.key] = None
        return chosen

    def _known(self, key: str, value: Any) -> dict[str, Any]:
        """What is known of the other keys once `key` has a value."""
        return {key: value, **(self.config.rows.get(value, {}) if key == ROW else {})}

    def __str__(self) -> str:
        return "\n".join(map(str, self.varied))
