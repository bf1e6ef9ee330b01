"""Rejects a key without effect: a parameter that no active loss takes, or an encoder where the architecture has its own.

A study that varies such a key would compare trials that do not differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tune_seg.config import OWN_ARCHITECTURES, ROW, ModelConfig, TrialConfig
from tune_seg.config.loss_keys import active_losses, sets_parameter
from tune_seg.errors import InputError

_FOR_ANY_LOSS = ("loss.gamma", "loss.alpha", "loss.class_weights", "loss.class_weight_power", "loss.class_weight_cap")
"""Keys for whatever loss takes them: files that are used for several studies may give them."""
_GIVEN_WEIGHTS = "loss.class_weights."
"""The beginning of the keys of weights that are given by class."""

_BELONGS_TO = (
    ("acw_options.", "acw", True),
    ("loss.components.", "loss.kind", "program"),
    ("training.repeat_threshold", "training.sampling", "repeat_factor"),
)
"""The beginning of a key, the other key, and the value of that with which it has an effect."""


def check_sampled(base: Mapping[str, Any], assignments: Sequence[Mapping[str, Any]], prefix: str = "loss.") -> None:
    """Reject a parameter of a loss that is sampled where it has no effect.

    Args:
        base: the configuration with dotted keys.
        assignments: what is sampled, by dotted key, in configurations across the space.
        prefix: only keys that begin so are looked at.

    Raises:
        InputError: naming the key and the active losses, and how to sample it only where it has an effect.
    """
    seen = [{**base, **assignment} for assignment in assignments]
    for assignment, values in zip(assignments, seen, strict=True):
        sampled = [key for key in assignment if key.startswith(prefix) and sets_parameter(key)]
        for key in sampled:
            if assignment[key] is not None and not _has_effect(key, values):
                raise InputError(
                    f"space.{key}: it is sampled where it has no effect: the active losses are {_active([values])}. "
                    f"{_advice(key, seen)}"
                )


def check_sections(base: Mapping[str, Any], assignments: Sequence[Mapping[str, Any]]) -> None:
    """Reject a key that is sampled where the section or the choice that it belongs to is not in use.

    Raises:
        InputError: naming the key, and how to sample it only where it has an effect.
    """
    for assignment in assignments:
        values = {**base, **assignment}
        for key in assignment:
            for section, other, needed in _BELONGS_TO:
                if key.startswith(section) and values[other] != needed:
                    raise InputError(
                        f"space.{key}: it is sampled where it has no effect: {other} is {_yaml(values[other])}. "
                        f"Sample it only where it has one: add when: {{{other}: [{_yaml(needed)}]}}"
                    )


def check_encoder(assignments: Sequence[Mapping[str, Any]], trials: Sequence[TrialConfig]) -> None:
    """Reject an encoder that is sampled for an architecture that has its own, or set where every architecture has its own.

    Args:
        assignments: what is sampled, by dotted key, in configurations across the space.
        trials: these configurations.

    Raises:
        InputError: naming the architecture, with the condition under which to sample the encoder.
    """
    names = [
        assignment.get("model.architecture", trial.model.architecture)
        for assignment, trial in zip(assignments, trials, strict=True)
    ]
    taking = [name for name in dict.fromkeys(names) if name not in OWN_ARCHITECTURES]
    for assignment, name in zip(assignments, names, strict=True):
        if "model.encoder" in assignment and name in OWN_ARCHITECTURES:
            advice = (
                f"Sample it only where it has one: add when: {{model.architecture: [{', '.join(taking)}]}}"
                if taking
                else "Take it out of the space"
            )
            raise InputError(
                f"space.model.encoder: it is sampled where it has no effect: {name} has an encoder of its own. {advice}"
            )
    set_to = {trial.model.encoder for trial in trials} - {ModelConfig.model_fields["encoder"].default}
    if not taking and set_to:
        raise InputError(
            f"model.encoder: {', '.join(map(repr, sorted(set_to)))} has no effect in any configuration of the study: "
            f"{', '.join(dict.fromkeys(names))} has an encoder of its own. Remove the key"
        )


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_rows(
    base: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], assignments: Sequence[Mapping[str, Any]]
) -> None:
    """Reject a parameter of a loss that a row of `rows` sets and that has no effect in it.

    Args:
        base: the configuration with dotted keys.
        rows: what each row assigns.
        assignments: what is sampled in configurations across the space, with the name of the row.

    Raises:
        InputError: naming the row, the key, its value and the active losses.
    """
    for name, row in rows.items():
        seen = [{**base, **row, **assignment} for assignment in assignments if assignment.get(ROW) == name]
        for key, value in row.items():
            if sets_parameter(key) and value is not None and not any(_has_effect(key, values) for values in seen):
                raise InputError(
                    f"rows.{name}: {key}: {value!r} has no effect: the active losses are {_active(seen)}. Remove the key"
                )


def check_base(base: Mapping[str, Any], assignments: Sequence[Mapping[str, Any]]) -> None:
    """Reject a parameter of a loss that `base` sets and that has no effect whatever is sampled.

    Args:
        base: the configuration with dotted keys.
        assignments: what is sampled in configurations across the space.

    Raises:
        InputError: naming the key, its value and the active losses.
    """
    seen = [{**base, **assignment} for assignment in assignments]
    for key, value in base.items():
        own = sets_parameter(key) and key not in _FOR_ANY_LOSS and not key.startswith(_GIVEN_WEIGHTS)
        if own and value is not None and not any(_has_effect(key, values) for values in seen):
            raise InputError(
                f"{key}: {value!r} has no effect in any configuration of the study: the active losses are "
                f"{_active(seen)}. Remove the key"
            )


def _has_effect(key: str, values: Mapping[str, Any]) -> bool:
    return any(loss.takes(key) for loss in active_losses(values))


def _active(seen: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(loss.loss for values in seen for loss in active_losses(values)))


def _advice(key: str, seen: Sequence[Mapping[str, Any]]) -> str:
    """The condition under which `key` has an effect, as far as `seen` shows."""
    losses: dict[str, dict[str, None]] = {}  # in the order seen, by the key that chooses them
    kinds: dict[str, dict[str, None]] = {}
    for values in seen:
        for loss in active_losses({**values, key: 0.0}):
            if loss.takes(key):
                losses.setdefault(loss.key, {})[loss.loss] = None
                kinds.setdefault(loss.key, {})[str(values["loss.kind"])] = None
    if not losses:
        return "In no configuration does a loss take its value from this key: take it out of the space"
    every_kind = {str(values["loss.kind"]) for values in seen}
    conditions = [
        (f"loss.kind: [{', '.join(kinds[place])}], " if set(kinds[place]) != every_kind else "")
        + f"{place}: [{', '.join(found)}]"
        for place, found in losses.items()
    ]
    when = f"{{{conditions[0]}}}" if len(conditions) == 1 else f"[{', '.join(f'{{{entry}}}' for entry in conditions)}]"
    return f"Sample it only where it has one: add when: {when}"
