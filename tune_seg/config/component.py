"""One loss of the sum that a trial trains with, and how it is compared with others: by value, not by how it was written."""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.losses.spec import Parameter
from tune_seg.schedules import Complement, Keyframe, WeightCurve


@dataclass(frozen=True)
class Component:
    """An active loss, its parameters, and its weight over the training.

    Attributes:
        name: `start` or `end`, or the component's name in a program.
        loss: the name of the loss.
        params: the parameters that are set; the loss has its own defaults for the others.
        keyframes: its weight, at fractions of all iterations.
        complement: whether the weight is what these leave of 1, as it is for the start of a schedule.
    """

    name: str
    loss: str
    params: Mapping[str, Any]
    keyframes: tuple[Keyframe, ...]
    complement: bool = False

    @property
    def identity(self) -> str:
        """The loss and all its parameters, those that are not set included: equal for equal losses, however written."""
        spec = get_spec(self.loss)
        values = {p.name: _plain_number(p, self.params.get(p.name, p.default)) for p in spec.parameters}
        # one of the user's own may be called by an entry point's name or by its path
        return json.dumps([self.loss if self.loss in LOSSES else spec.implementation, values])

    @property
    def order(self) -> tuple[Any, ...]:
        """Its place in the sum of the losses, which shows in the last bits: by what it is, not by what it is called."""
        return (self.identity, self.complement, tuple(map(astuple, self.keyframes)))

    def weight(self, iterations: int) -> WeightCurve | Complement:
        """Its weight at each of `iterations` iterations."""
        curve = WeightCurve(tuple(replace(keyframe, at=keyframe.at * iterations) for keyframe in self.keyframes))
        return Complement(curve) if self.complement else curve


def _plain_number(parameter: Parameter, value: Any) -> Any:
    """2 and 2.0 as one value where a number is expected."""
    if isinstance(value, list | tuple):
        return [_plain_number(parameter, entry) for entry in value]
    number = isinstance(value, int | float) and not isinstance(value, bool) and not parameter.choices
    return float(value) if number and not parameter.integer else value
