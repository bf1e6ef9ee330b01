"""The grammar of a search space: from what YAML has to varied keys.

A space is written as `key: {kind: values, when: conditions}`, where `key` is a dotted key of
:class:`tune_seg.config.TrialConfig`:

    loss.kind: {choice: [static, naive]}
    loss.gamma: {float: [0.5, 5.0], when: {loss.end: [focal]}}
    schedule.start: {float: [0.0, 0.6], when: {loss.kind: [naive]}}
    schedule.end: {float: [schedule.start + 0.1, 1.0], when: {loss.kind: [naive]}}
    training.lr: {float: [1.0e-4, 1.0e-2], log: true}
    training.seed: {grid: [0, 1, 2]}

`choice` and `grid` list values: the sampler chooses among those of a choice, and every sampler tries those of a grid equally
often. Where the study has `rows`, the first varied key is `row`, the grid of their names; conditions see what the row
assigns. A key whose condition does not hold is not sampled and keeps the value that the configuration gives it. The
parameters of losses (`loss.params.focal.gamma`) can vary though the configuration does not mention them.
"""

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from tune_seg.config import ROW, LossKind, StudyConfig
from tune_seg.config.keys import split_key
from tune_seg.config.loss_keys import chooses_loss
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.losses.own import entry_points
from tune_seg.losses.spec import LossSpec
from tune_seg.study.search_space.varied_key import Bound, Choice, Range, VariedKey, finite_number

_KINDS = ("float", "int", "choice", "grid")
_REFERENCE = re.compile(r"^\s*(?P<key>[A-Za-z_][\w.:]*)\s*(?:(?P<sign>[+-])\s*(?P<offset>[0-9.eE+-]+))?\s*$")


class Grammar:
    """Reads the space of a study.

    Args:
        config: the study.
        defaults: the configuration of its trials with dotted keys: the keys that can vary.
    """

    def __init__(self, config: StudyConfig, defaults: Mapping[str, Any]) -> None:
        self._config = config
        self._defaults = defaults

    def varied_keys(self) -> tuple[VariedKey, ...]:
        """The varied keys, each behind those that it depends on.

        Raises:
            InputError: an unknown key, a domain or condition that cannot be read, a row that sets a key of the space, or
                keys that depend on one another.
        """
        self._check_rows()
        varied = {key: self._varied_key(key, spec) for key, spec in self._config.space.items()}
        first = [ROW] if self._config.rows else []
        if self._config.rows:
            varied[ROW] = VariedKey(ROW, Choice(tuple(self._config.rows), grid=True), ())
        order = TopologicalSorter({key: each.depends_on + (first if key != ROW else []) for key, each in varied.items()})
        try:
            return tuple(varied[key] for key in order.static_order() if key in varied)
        except CycleError as error:
            raise InputError(f"space: the conditions and bounds of {' and '.join(error.args[1])} form a cycle") from None

    def _check_rows(self) -> None:
        if ROW in self._config.space:
            raise InputError("space.row: every row is tried; choose among them with --set rows=[NAME, ...]")
        for name, row in self._config.rows.items():
            for key in row:
                self._check_key(key, f"rows.{name}")
                if chooses_loss(key) and isinstance(row[key], str):
                    _loss(f"rows.{name}: {key}", row[key])
                if key in self._config.space:
                    raise InputError(f"rows.{name}: {key} varies in the space as well; take it out of one of the two")

    def _check_key(self, key: str, where: str = "space") -> None:
        """Reject an unknown key; a loss parameter may vary even if the configuration does not set it."""
        match split_key(key):
            case ["row"] if where == "space" and self._config.rows:
                pass
            case ["loss", "params", loss, parameter]:
                spec = _loss(f"{where}: {key}", loss)
                names = [known.name for known in spec.parameters]
                if parameter not in names:
                    listed = ", ".join(names) or "none"
                    raise InputError(f"{where}: unknown key {key}; the parameters of {loss} are {listed}")
            case ["loss", "class_weights"]:
                pass  # which the defaults have class by class where it is a weight for each
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

    def _varied_key(self, key: str, spec: Mapping[str, Any]) -> VariedKey:
        self._check_key(key)
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
        domain = (
            self._range(key, spec, kind) if kind in ("float", "int") else Choice(tuple(map(_as_kept, raw)), kind == "grid")
        )
        if chooses_loss(key):
            for loss in raw:
                if isinstance(loss, str):
                    _loss(f"space.{key}", loss)
        return VariedKey(key, domain, self._conditions(key, spec.get("when", [])))

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
        number = finite_number(end)
        if number is not None:
            return Bound(number)
        match = _REFERENCE.match(end) if isinstance(end, str) else None
        offset = finite_number(match["offset"] or 0.0) if match else None
        if match is None or offset is None:
            raise InputError(f"space.{key}: a bound is a number or `other.key + number`, got {end!r}")
        self._check_key(match["key"])
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
            self._check_key(other)
            _check_names(key, other, allowed, tuple(self._config.rows))
        return conditions


def _as_kept(value: Any) -> Any:
    """A mapping with texts as keys, as a journal gives it back: in YAML the number of a class is a number."""
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else value


def _loss(where: str, name: str) -> LossSpec:
    try:
        return get_spec(name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check_names(key: str, other: str, allowed: Sequence[Any], rows: Sequence[str]) -> None:
    """Reject a condition on a row, loss or kind of loss that does not exist."""
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
