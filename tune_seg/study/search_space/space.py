"""The search space: which keys of the configuration a study varies, over what, and when.

Written in YAML as `key: {kind: values, when: conditions}`, where `key` is a dotted key of
:class:`tune_seg.config.TrialConfig`:

    loss.kind: {choice: [static, naive]}
    loss.gamma: {float: [0.5, 5.0], when: {loss.end: [focal]}}
    schedule.start: {float: [0.0, 0.6], when: {loss.kind: [naive]}}
    schedule.end: {float: [schedule.start + 0.1, 1.0], when: {loss.kind: [naive]}}
    training.lr: {float: [1.0e-4, 1.0e-2], log: true}
    training.seed: {grid: [0, 1, 2]}

`choice` and `grid` list values; a choice is up to the sampler, a grid is gone through evenly by every sampler. Where the
study has `rows`, the first parameter is `row`, the grid of their names; conditions see what the row assigns. A parameter
whose condition does not hold is not sampled, and its key keeps the value that the configuration gives it. The parameters of
losses (`loss.params.focal.gamma`) can vary though the configuration does not mention them.
"""

import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import TYPE_CHECKING, Any

from tune_seg.config import ROW, LossKind, StudyConfig, TrialConfig
from tune_seg.config.keys import flatten, split_key
from tune_seg.config.loss_keys import chooses_loss
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.losses.own import entry_points
from tune_seg.losses.spec import LossSpec
from tune_seg.study.search_space.no_effect import check_base, check_encoder, check_rows, check_sampled, check_sections

if TYPE_CHECKING:
    import optuna

_KINDS = ("float", "int", "choice", "grid")
_REFERENCE = re.compile(r"^\s*(?P<key>[A-Za-z_][\w.:]*)\s*(?:(?P<sign>[+-])\s*(?P<offset>[0-9.eE+-]+))?\s*$")
_PROBES = 512
_TRIES = 64
"""So many draws of the other parameters may pass before one lets a conditional parameter be sampled."""


@dataclass(frozen=True)
class Bound:
    """An end of a range: `offset`, or the value of the parameter `key` plus `offset`."""

    offset: float
    key: str | None = None

    def value(self, values: Mapping[str, Any]) -> float:
        """The bound, given the values of the parameters before it."""
        return self.offset if self.key is None else float(values[self.key]) + self.offset

    def __str__(self) -> str:
        if self.key is None:
            return f"{self.offset:g}"
        return self.key if not self.offset else f"{self.key} {'+' if self.offset > 0 else '-'} {abs(self.offset):g}"


@dataclass(frozen=True)
class Range:
    """A float or an int between two bounds, both included; `log`: uniform in the logarithm."""

    low: Bound
    high: Bound
    integer: bool
    log: bool

    def __str__(self) -> str:
        return f"{'int' if self.integer else 'float'} [{self.low}, {self.high}]{' log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of `values`; a `grid` is gone through evenly instead of being left to the sampler."""

    values: tuple[Any, ...]
    grid: bool

    def __str__(self) -> str:
        return f"{'grid' if self.grid else 'choice'} [{', '.join(map(_plain, self.values))}]"


@dataclass(frozen=True)
class Parameter:
    """One varied key: its domain, and the alternatives of conditions under which it is sampled (none: always)."""

    key: str
    domain: Range | Choice
    when: tuple[Mapping[str, tuple[Any, ...]], ...]

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether the parameter is sampled, given the value of every key that its conditions name."""
        return not self.when or any(
            all(values.get(key) in allowed for key, allowed in alternative.items()) for alternative in self.when
        )

    @property
    def depends_on(self) -> list[str]:
        """The keys that must have a value before this parameter can be sampled."""
        keys = {key for alternative in self.when for key in alternative}
        if isinstance(self.domain, Range):
            keys |= {bound.key for bound in (self.domain.low, self.domain.high) if bound.key is not None}
        return sorted(keys)  # the order of a set differs from process to process, and the sampler's draws with it

    def __str__(self) -> str:
        conditions = " or ".join(
            " and ".join(f"{key} in [{', '.join(map(_plain, allowed))}]" for key, allowed in alternative.items())
            for alternative in self.when
        )
        return f"{self.key}: {self.domain}" + (f" when {conditions}" if conditions else "")


class Space:
    """The varied parameters of a study, in an order in which each can be sampled.

    Args:
        config: the study; its `space` is parsed, its other keys are the values of what is not sampled.

    Raises:
        InputError: an unknown key, a domain or condition that cannot be read, a row that sets a key of the space, or a
            combination of values that the space allows and the configuration refuses (for example an end of the schedule
            before its start).
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self._defaults = flatten(config.model_dump(mode="json", include=set(TrialConfig.model_fields)))
        self._check_rows()
        parameters = {key: self._parse(key, spec) for key, spec in config.space.items()}
        first = [ROW] if config.rows else []
        if config.rows:
            parameters[ROW] = Parameter(ROW, Choice(tuple(config.rows), grid=True), ())
        try:
            order = TopologicalSorter(
                {key: parameter.depends_on + (first if key != ROW else []) for key, parameter in parameters.items()}
            )
            self.parameters = tuple(parameters[key] for key in order.static_order() if key in parameters)
        except CycleError as error:
            raise InputError(f"space: the conditions and bounds of {' and '.join(error.args[1])} go round") from None
        self.probes = self._probe()
        """Valid configurations from all over the space, for checks that need more than the configuration."""

    def sample(self, trial: "optuna.trial.BaseTrial") -> dict[str, Any]:
        """Let `trial` suggest a value for every active parameter: a mapping of dotted keys to values."""
        return self._walk(lambda parameter, values: _suggest(trial, parameter, values))

    def grid_points(self) -> list[dict[str, Any]]:
        """Every combination of the `grid` parameters; one empty combination where there is none."""
        grids = [p for p in self.parameters if isinstance(p.domain, Choice) and p.domain.grid]
        combinations = product(*(p.domain.values for p in grids if isinstance(p.domain, Choice)))
        return [dict(zip((p.key for p in grids), values, strict=True)) for values in combinations]

    def enumerate(self) -> list[dict[str, Any]]:
        """Every distinct assignment of a space without floats, for the grid sampler.

        Raises:
            InputError: a float has no finite number of values.
        """
        for parameter in self.parameters:
            if isinstance(parameter.domain, Range) and not parameter.domain.integer:
                raise InputError(
                    f"search.sampler grid cannot enumerate {parameter}; give the values: {parameter.key}: {{grid: [...]}}"
                )
        return list(self._expand({}, dict(self._defaults), self.parameters))

    def _expand(
        self, chosen: dict[str, Any], values: dict[str, Any], parameters: Sequence[Parameter]
    ) -> Iterator[dict[str, Any]]:
        if not parameters:
            yield chosen
            return
        parameter, rest = parameters[0], parameters[1:]
        if not parameter.active(values):
            yield from self._expand(chosen, {**values, parameter.key: None}, rest)
            return
        for value in _values(parameter, values):
            yield from self._expand({**chosen, parameter.key: value}, {**values, **self._set(parameter.key, value)}, rest)

    def is_complete(self, assignment: Mapping[str, Any]) -> bool:
        """Whether `assignment` has a value for every parameter that is sampled where its others hold."""
        return self._walk(lambda parameter, values: assignment.get(parameter.key)).keys() <= assignment.keys()

    def stored(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """`assignment` as Optuna holds it, to be given as fixed values."""
        return {key: _stored(value) for key, value in assignment.items()}

    def _complete(self, baseline: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
        """An assignment that begins with `baseline`."""
        parameters = {parameter.key: parameter for parameter in self.parameters}
        for key in baseline:
            if key not in parameters:
                raise InputError(f"baselines: {key} does not vary; the keys of the space are {', '.join(parameters)}")

        def choose(parameter: Parameter, values: Mapping[str, Any]) -> Any:
            if parameter.key not in baseline:
                return _probe_value(parameter, values, rng)
            _check_value(parameter, baseline[parameter.key], values)
            return baseline[parameter.key]

        chosen = self._walk(choose)
        if unused := [key for key in baseline if key not in chosen]:
            raise InputError(f"baselines: {unused[0]} is not sampled in {dict(baseline)}: its condition does not hold")
        return chosen

    def _walk(self, choose: Callable[[Parameter, Mapping[str, Any]], Any]) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        values = dict(self._defaults)
        for parameter in self.parameters:
            if parameter.active(values):
                chosen[parameter.key] = choose(parameter, values)
                values |= self._set(parameter.key, chosen[parameter.key])
            else:
                # A parameter that is not sampled satisfies no condition, whatever the configuration says of its key.
                values[parameter.key] = None
        return chosen

    def _set(self, key: str, value: Any) -> dict[str, Any]:
        """What is known of the other parameters once `key` has a value."""
        return {key: value, **(self.config.rows.get(value, {}) if key == ROW else {})}

    def _probe(self) -> tuple[TrialConfig, ...]:
        """Try the ends of every range, every choice and random points between: each must give a valid trial."""
        rng = random.Random(0)
        # each value once by itself, as far as conditions let it, then values together
        assignments = [assignment for parameter in self.parameters for assignment in self._each_value(parameter, rng)]
        assignments += [self._walk(_prober(rng)) for _ in range(_PROBES if self.parameters else 1)]
        assignments += [self._complete(baseline, rng) for baseline in self.config.baselines]
        check_rows(self._defaults, self.config.rows, assignments)
        # first, because a component's parameter that its loss lacks is refused below without a word of conditions
        full = [self.config.in_full(assignment) for assignment in assignments]
        check_sampled(self._defaults, full, prefix="loss.components.")
        probes = tuple(map(self._trial, assignments))
        check_sampled(self._defaults, full)
        check_sections(self._defaults, full)
        check_base(self._defaults, full)
        check_encoder(full, probes)
        return probes

    def _trial(self, assignment: Mapping[str, Any]) -> TrialConfig:
        try:
            return self.config.trial(assignment)
        except InputError as error:
            raise InputError(f"rows.{assignment[ROW]}: {error}" if ROW in assignment else str(error)) from None

    def _check_rows(self) -> None:
        if ROW in self.config.space:
            raise InputError("space.row: all rows are gone through; choose among them with --set rows=[NAME, ...]")
        for name, row in self.config.rows.items():
            for key in row:
                self._known(key, f"rows.{name}")
                if chooses_loss(key) and isinstance(row[key], str):
                    _loss(f"rows.{name}: {key}", row[key])
                if key in self.config.space:
                    raise InputError(f"rows.{name}: {key} varies in the space as well; take it out of one of the two")

    def _each_value(self, parameter: Parameter, rng: random.Random) -> Iterator[dict[str, Any]]:
        """An assignment for every choice, or both ends, of `parameter`; what conditions never let be sampled is left out."""
        domain = parameter.domain
        for pick in domain.values if isinstance(domain, Choice) else (0, 1):
            choose = _prober(rng, forced=parameter.key, pick=pick)
            walks = (self._walk(choose) for _ in range(_TRIES))
            yield next((walk for walk in walks if parameter.key in walk), {})

    def _known(self, key: str, where: str = "space") -> None:
        """Refuse a key that is none; a parameter of a loss can vary though the configuration does not mention it."""
        match split_key(key):
            case ["row"] if where == "space" and self.config.rows:
                pass
            case ["loss", "params", loss, parameter]:
                spec = _loss(f"{where}: {key}", loss)
                names = [known.name for known in spec.parameters]
                if parameter not in names:
                    listed = ", ".join(names) or "none"
                    raise InputError(f"{where}: unknown key {key}; the parameters of {loss} are {listed}")
            case ["loss", "components", name, "params", _] if f"loss.components.{name}.loss" in self._defaults:
                pass  # which parameters there are depends on the loss, so the probes tell
            case _ if key not in self._defaults:
                raise InputError(f"{where}: unknown key {key}; {self._nearest(key)}")

    def _nearest(self, key: str) -> str:
        """The keys that can vary, of the innermost section on the way to `key` that there is."""
        parts = split_key(key)
        for length in range(len(parts), 0, -1):
            section = ".".join(parts[:length])
            if found := sorted(known for known in self._defaults if known.startswith(f"{section}.")):
                params = "loss.params.LOSS.PARAMETER, " if section == "loss" else ""
                return f"the keys of {section} that can vary are {params}{', '.join(found)}"
        return f"the keys that can vary are loss.params.LOSS.PARAMETER, {', '.join(sorted(self._defaults))}"

    def _parse(self, key: str, spec: Mapping[str, Any]) -> Parameter:
        self._known(key)
        kinds = [kind for kind in _KINDS if kind in spec]
        if len(kinds) != 1:
            raise InputError(f"space.{key}: give exactly one of {', '.join(_KINDS)}, got {dict(spec)}")
        kind = kinds[0]
        allowed = {kind, "when", "log"} if kind in ("float", "int") else {kind, "when"}
        if unknown := sorted(set(spec) - allowed):
            raise InputError(f"space.{key}: unknown key {unknown[0]}; a {kind} takes {', '.join(sorted(allowed))}")
        raw = spec[kind]
        if not isinstance(raw, list) or not raw:
            raise InputError(f"space.{key}: {kind} takes a list of values, got {raw!r}")
        domain = self._range(key, spec, kind) if kind in ("float", "int") else Choice(tuple(raw), kind == "grid")
        if chooses_loss(key):
            for loss in raw:
                if isinstance(loss, str):
                    _loss(f"space.{key}", loss)
        return Parameter(key, domain, self._conditions(key, spec.get("when", [])))

    def _range(self, key: str, spec: Mapping[str, Any], kind: str) -> Range:
        raw, log = spec[kind], spec.get("log", False)
        if len(raw) != 2 or not isinstance(log, bool):
            raise InputError(f"space.{key}: a {kind} is [low, high] with log: true or false, got {dict(spec)}")
        low, high = (self._bound(key, end) for end in raw)
        if kind == "int" and not all(bound.offset.is_integer() for bound in (low, high)):
            raise InputError(f"space.{key}: the ends of an int are whole numbers, got [{low}, {high}]")
        if low.key is None and high.key is None and low.offset > high.offset:
            raise InputError(f"space.{key}: the low end {low} lies above the high end {high}")
        if log and low.key is None and low.offset <= 0:
            raise InputError(f"space.{key}: a logarithmic range starts above 0, got {low}")
        return Range(low, high, kind == "int", log)

    def _bound(self, key: str, end: Any) -> Bound:
        number = _number(end)
        if number is not None:
            return Bound(number)
        match = _REFERENCE.match(end) if isinstance(end, str) else None
        offset = _number(match["offset"] or 0.0) if match else None
        if match is None or offset is None:
            raise InputError(f"space.{key}: a bound is a number or `other.key + number`, got {end!r}")
        self._known(match["key"])
        return Bound(-offset if match["sign"] == "-" else offset, match["key"])

    def _conditions(self, key: str, raw: Any) -> tuple[Mapping[str, tuple[Any, ...]], ...]:
        alternatives = [raw] if isinstance(raw, dict) else raw
        if not isinstance(alternatives, list) or not all(isinstance(entry, dict) and entry for entry in alternatives):
            raise InputError(f"space.{key}: when is {{other.key: [values]}}, or a list of these (any may hold): {raw!r}")
        conditions = tuple(
            {other: tuple(allowed) if isinstance(allowed, list) else (allowed,) for other, allowed in entry.items()}
            for entry in alternatives
        )
        for other, allowed in ((other, allowed) for entry in conditions for other, allowed in entry.items()):
            self._known(other)
            _check_names(key, other, allowed, tuple(self.config.rows))
        return conditions

    def __str__(self) -> str:
        return "\n".join(map(str, self.parameters))


def _loss(where: str, name: str) -> LossSpec:
    try:
        return get_spec(name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check_names(key: str, other: str, allowed: Sequence[Any], rows: Sequence[str]) -> None:
    """Refuse a condition on a row, a loss, or a kind of loss, that there is not."""
    if other == ROW:
        names = list(rows)
    elif other == "loss.kind":
        names = list(LossKind)
    elif chooses_loss(other):
        names = list(dict.fromkeys((*LOSSES, *entry_points())))
    else:
        return
    for value in allowed:
        if chooses_loss(other) and isinstance(value, str) and ":" in value:
            _loss(f"space.{key}: the condition {other}", value)
        elif value not in names:
            raise InputError(
                f"space.{key}: the condition {other} in {list(allowed)} can never hold for {value!r}; "
                f"the values are {', '.join(names)}"
            )


def _number(end: Any) -> float | None:
    """A finite number, also as text, as which YAML reads 1e-3; None for anything else."""
    try:
        number = None if isinstance(end, bool) else float(end)
    except (TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _ends(parameter: Parameter, values: Mapping[str, Any]) -> tuple[float, float]:
    assert isinstance(parameter.domain, Range)
    bounds = parameter.domain.low, parameter.domain.high
    for bound in bounds:
        if bound.key is not None and _number(values.get(bound.key)) is None:
            raise InputError(
                f"space.{parameter.key}: its bound {bound} has no value where {bound.key} is {values.get(bound.key)}"
            )
    low, high = (bound.value(values) for bound in bounds)
    if low > high or (parameter.domain.log and low <= 0):
        other = bounds[0].key or bounds[1].key
        detail = f" where {other} is {values[other]:g}" if other else ""
        raise InputError(f"space.{parameter.key}: the range {parameter.domain} is empty: [{low:g}, {high:g}]{detail}")
    return low, high


def _suggest(trial: "optuna.trial.BaseTrial", parameter: Parameter, values: Mapping[str, Any]) -> Any:
    domain = parameter.domain
    if isinstance(domain, Choice):
        stored = [_stored(value) for value in domain.values]
        return domain.values[stored.index(trial.suggest_categorical(parameter.key, stored))]
    low, high = _ends(parameter, values)
    if domain.integer:
        return trial.suggest_int(parameter.key, round(low), round(high), log=domain.log)
    return trial.suggest_float(parameter.key, low, high, log=domain.log)


def _stored(value: Any) -> Any:
    # Optuna stores scalars alone; a list, as for augmentation.resize, travels as text
    return json.dumps(value) if isinstance(value, list) else value


def _check_value(parameter: Parameter, value: Any, values: Mapping[str, Any]) -> None:
    if isinstance(parameter.domain, Choice):
        inside = value in parameter.domain.values
    else:
        low, high = _ends(parameter, values)
        inside = isinstance(value, int | float) and low <= value <= high
    if not inside:
        raise InputError(f"baselines: {parameter.key} cannot be {value!r} in the space: {parameter.domain}")


def _prober(
    rng: random.Random, forced: str | None = None, pick: Any = None
) -> Callable[[Parameter, Mapping[str, Any]], Any]:
    """Chooses values to try; for the parameter `forced` the choice `pick`, or the end number `pick` of its range."""

    def choose(parameter: Parameter, values: Mapping[str, Any]) -> Any:
        if parameter.key != forced:
            return _probe_value(parameter, values, rng)
        if isinstance(parameter.domain, Choice):
            return pick
        return _rounded(parameter.domain, _ends(parameter, values)[pick])

    return choose


def _probe_value(parameter: Parameter, values: Mapping[str, Any], rng: random.Random) -> Any:
    if isinstance(parameter.domain, Choice):
        return rng.choice(parameter.domain.values)
    low, high = _ends(parameter, values)
    return _rounded(parameter.domain, rng.choice((low, high, rng.uniform(low, high))))


def _rounded(domain: Range, value: float) -> float:
    return round(value) if domain.integer else value


def _values(parameter: Parameter, values: Mapping[str, Any]) -> Sequence[Any]:
    if isinstance(parameter.domain, Choice):
        return parameter.domain.values
    low, high = _ends(parameter, values)
    return range(round(low), round(high) + 1)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
