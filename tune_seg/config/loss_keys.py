"""Which keys of a configuration choose the active losses, and which set the parameters of these.

A parameter of a loss may be set at three places. Where more than one is, the first of these counts: for one component of a
program (`loss.components.NAME.params.gamma`), for a loss wherever it is active (`loss.params.focal.gamma`), and for every
active loss that has the parameter (`loss.gamma`, `loss.alpha`). All functions take a configuration with dotted keys, as
:func:`tune_seg.config.keys.flatten` gives it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_seg.losses.catalogue import get_spec

_COMPONENT_LOSS = re.compile(r"loss\.components\.\w+\.loss")
_PARAMETER = re.compile(r"loss\.(gamma|alpha|params\..+|components\.\w+\.params\..+)")
_CLASS_WEIGHT = re.compile(r"loss\.class_weight(s|_power|_cap|s\..+)")


def chooses_loss(key: str) -> bool:
    """Whether the value of `key` is the name of a loss."""
    return key in ("loss.start", "loss.end") or _COMPONENT_LOSS.fullmatch(key) is not None


def sets_parameter(key: str) -> bool:
    """Whether the value of `key` is a parameter of a loss, or is there for those that weigh classes."""
    return _PARAMETER.fullmatch(key) is not None or _CLASS_WEIGHT.fullmatch(key) is not None


@dataclass(frozen=True)
class ActiveLoss:
    """A loss that `loss.kind` makes part of the training.

    Attributes:
        key: the key that chooses it, for instance `loss.end`.
        loss: its name.
        params: those of its parameters that are set.
        keys: the key that sets each of them.
    """

    key: str
    loss: str
    params: Mapping[str, Any]
    keys: Mapping[str, str]

    @property
    def weighs_classes(self) -> bool:
        """Whether it has a use for `loss.class_weights`."""
        return get_spec(self.loss).class_weights in ("optional", "required")

    def takes(self, key: str) -> bool:
        """Whether the value of `key`, which is set, has an effect on it."""
        return key in self.keys.values() or (self.weighs_classes and _CLASS_WEIGHT.fullmatch(key) is not None)


def active_losses(values: Mapping[str, Any]) -> tuple[ActiveLoss, ...]:
    """The losses that `loss.kind` makes active, in the order of their weights."""
    if values["loss.kind"] == "static":
        keys = ["loss.end"]
    elif values["loss.kind"] == "program":
        keys = [key for key in values if _COMPONENT_LOSS.fullmatch(key)]
    else:
        keys = ["loss.start", "loss.end"]
    return tuple(_active(key, values[key], values) for key in keys if values[key] is not None)


def _active(key: str, loss: str, values: Mapping[str, Any]) -> ActiveLoss:
    keys = {}
    for parameter in get_spec(loss).parameters:
        places = (f"{key.removesuffix('.loss')}.params.{parameter.name}", f"loss.params.{loss}.{parameter.name}")
        given = [place for place in places if place in values]
        if parameter.name in ("gamma", "alpha") and values[f"loss.{parameter.name}"] is not None:
            given.append(f"loss.{parameter.name}")
        if given:
            keys[parameter.name] = given[0]
    return ActiveLoss(key, loss, {name: values[place] for name, place in keys.items()}, keys)
