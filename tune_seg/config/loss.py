"""The sections `loss`, `schedule` and `acw_options`: which losses train a model, with which weights, and when these move."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator

from tune_seg.config.base import AboveZero, Fraction, NonNegative, Number, Positive, Section
from tune_seg.config.class_weights import ClassWeightKind, GivenClassWeights, in_class_order
from tune_seg.config.keys import flatten
from tune_seg.config.loss_keys import ActiveLoss, active_losses
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import get_spec
from tune_seg.losses.spec import Parameter
from tune_seg.schedules import DEFAULT_FRACTIONS, Keyframe, Move, WeightCurve


class LossKind(StrEnum):
    """How losses are combined over training: `loss.start` and `loss.end`, or any number of `loss.components`."""

    STATIC = "static"  # `end` alone
    COMPOUND = "compound"  # a fixed weighted sum
    NAIVE = "naive"  # Taubert eq. (5)
    ALTERNATING = "alternating"  # Taubert eq. (6)
    PROGRAM = "program"  # a sum whose weights follow keyframes

    @property
    def scheduled(self) -> bool:
        """Whether the loss moves between `start` and `end` as `schedule` says."""
        return self in (LossKind.NAIVE, LossKind.ALTERNATING)


def _known(name: str) -> str:
    get_spec(name)
    return name


LossName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "format": "loss"})]
"""A loss of the catalogue, of an entry point, or of the user's own as `package.module:ClassOrFactory`."""


class CompoundWeights(Section):
    """The fixed weights of a compound loss; 1 : 1 as in Taubert section 5."""

    start: AboveZero = 1.0
    """The weight of `loss.start`."""

    end: AboveZero = 1.0
    """The weight of `loss.end`."""


class KeyframeConfig(Section):
    """The weight of a component at one moment of the training."""

    at: Fraction
    """The moment, as a fraction of all iterations."""

    weight: NonNegative
    """The weight at that moment. Before the first keyframe and after the last one it stays constant."""

    move: Move = "linear"
    """How the weight changes until the next keyframe, see [schedules](schedules.md#programs)."""

    cycles: Positive = 1
    """How often an `oscillating` weight reaches that of the next keyframe."""


class ComponentConfig(Section):
    """One loss of a program, with its parameters and its weight: a constant, or keyframes over the training."""

    loss: LossName
    """Its name."""

    params: dict[str, Any] = Field(default={})
    """Its parameters, before those of `loss.params` and `loss.gamma`."""

    weight: NonNegative | None = None
    """A constant weight; give this or `keyframes`."""

    keyframes: tuple[KeyframeConfig, ...] | None = None
    """A weight that moves; each keyframe lies after the one before."""

    @field_validator("keyframes")
    @classmethod
    def _in_order(cls, keyframes: tuple[KeyframeConfig, ...] | None) -> tuple[KeyframeConfig, ...] | None:
        if keyframes is not None:
            WeightCurve(_keyframes(keyframes))
        return keyframes

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.weight is None) == (self.keyframes is None):
            raise ValueError(
                "give either weight, which is constant, or keyframes; "
                + ("neither is given" if self.weight is None else "both are: set the one that is not wanted to null")
            )
        return self

    @property
    def curve(self) -> tuple[Keyframe, ...]:
        """The weight over the training, at fractions of all iterations."""
        return (Keyframe(0.0, self.weight),) if self.weight is not None else _keyframes(self.keyframes or ())


def _keyframes(configs: Sequence[KeyframeConfig]) -> tuple[Keyframe, ...]:
    return tuple(Keyframe(config.at, config.weight, config.move, config.cycles) for config in configs)


class LossConfig(Section):
    """Which losses are active, and their parameters."""

    kind: LossKind = LossKind.STATIC
    """How losses are combined: `end` alone (`static`), a fixed sum of `start` and `end` (`compound`), from `start` to `end`
    during the training (`naive`, `alternating`), or a sum of `components` whose weights move (`program`)."""

    start: LossName | None = None
    """The first loss of all kinds but `static` and `program`."""

    end: LossName = "ce"
    """The loss of `static`, and the second one of the other kinds. [Losses](losses.md) lists the names."""

    gamma: NonNegative | None = None
    """Gamma of every active loss that has one. null: each loss's own default."""

    alpha: NonNegative | Annotated[tuple[NonNegative, ...], Field(min_length=1)] | None = None
    """Alpha of every active loss that has one: a number, or one per class where the loss takes that. null: each loss's own
    default."""

    params: dict[str, dict[str, Any]] = Field(default={})
    """Parameters of one loss, before `gamma` and `alpha`, for example `{focal: {gamma: 1.5}, tversky: {alpha: 0.3}}`."""

    components: dict[str, ComponentConfig] = Field(default={})
    """The losses of a program, by names of your own."""

    weights: CompoundWeights = CompoundWeights()
    """The weights of a compound loss."""

    class_weights: ClassWeightKind | GivenClassWeights = "mean"
    """What a class weighs in the losses that weigh classes, see [class weights](losses.md#class-weights). The inverse of its
    frequency, summing to the number of classes (`mean`, Taubert) or to 1 (`sum`, Hossain), or the root of that (`sqrt`);
    `median` frequency balancing; its `effective` number of pixels; or a number for each class, by name or number, for
    example `{background: 1, crack: 20}`."""

    class_weight_power: Fraction = 1.0
    """Every class weight is raised to this power before it is scaled: 1 keeps it, 0 weighs all classes the same."""

    class_weight_cap: Annotated[Number, Field(ge=1.0)] | None = None
    """No class weighs more than this many times as much as the one that weighs least. null: however much more."""

    @field_validator("class_weights")
    @classmethod
    def _some_weight(cls, weights: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(weights, dict) and not any(weights.values()):
            raise ValueError("at least one class must weigh more than 0")
        return weights

    @field_validator("params")
    @classmethod
    def _possible(cls, params: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {loss: _read_params(f"loss.params.{loss}", loss, given) for loss, given in params.items()}

    @field_validator("components")
    @classmethod
    def _named(cls, components: dict[str, ComponentConfig]) -> dict[str, ComponentConfig]:
        for name in components:
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
                raise ValueError(
                    f"loss.components: {name!r} is not a valid name; a name is letters, digits and _, a letter first"
                )
        # by name, because the order in which losses are summed shows in the last bits, and that of a file's keys must not
        return {
            name: component.model_copy(
                update={"params": _read_params(f"loss.components.{name}.params", component.loss, component.params)}
            )
            for name, component in sorted(components.items())
        }

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind is LossKind.PROGRAM:
            self._check_program()
        elif self.kind is not LossKind.STATIC and self.start is None:
            raise ValueError(f"loss.kind {self.kind} needs loss.start, the loss that it combines with loss.end")
        self.check()
        return self

    def _check_program(self) -> None:
        if not self.components:
            raise ValueError("loss.kind program needs loss.components, each with a loss and its weight")
        curves = [WeightCurve(component.curve) for component in self.components.values()]
        times = sorted({0.0, 1.0, *(keyframe.at for curve in curves for keyframe in curve.keyframes)})
        for begin, end in pairwise(times):
            if all(curve.silent((begin + end) / 2) for curve in curves):
                raise ValueError(
                    f"loss.components: every weight is 0 from {begin:g} to {end:g} of the training, where nothing would be "
                    f"learned; give one of them a weight there"
                )

    def check(self, class_names: Sequence[str] | None = None) -> None:
        """Reject parameters that an active loss cannot use, and weights of other classes than there are.

        Args:
            class_names: their number is also the length of a list of values; None leaves both unchecked.

        Raises:
            InputError: naming the key, its value and what is allowed.
        """
        num_classes = None if class_names is None else len(class_names)
        for choice in self.active():
            _with_key(choice.key, choice.loss, {}, num_classes)
            for name, value in choice.params.items():
                _with_key(choice.keys[name], choice.loss, {name: value}, num_classes)
        if class_names is not None and not isinstance(self.class_weights, str):
            in_class_order(self.class_weights, class_names)

    def active(self) -> tuple[ActiveLoss, ...]:
        """The active losses with the parameters that are set of each: (end,), (start, end) or those of the components."""
        return active_losses(flatten({"loss": self.model_dump()}))


def _read_params(key: str, loss: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` of `loss`, checked, with numbers that YAML reads as text (1e-3) as numbers and lists as tuples."""
    try:
        spec = get_spec(loss)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    kinds = {parameter.name: parameter for parameter in spec.parameters}
    read = {name: _read_param(kinds.get(name), value) for name, value in params.items()}
    for name, value in read.items():
        _with_key(f"{key}.{name}", loss, {name: value}, None)
    return read


def _read_param(parameter: Parameter | None, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and parameter is not None and not parameter.choices and not parameter.text:
        try:
            number = float(value)
        except ValueError:
            return value
        return int(number) if parameter.integer and number.is_integer() else number
    return value


def _with_key(key: str, loss: str, params: Mapping[str, Any], num_classes: int | None) -> None:
    try:
        get_spec(loss).check(params, num_classes=num_classes)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None


class ScheduleConfig(Section):
    """When a `naive` or `alternating` loss moves, see [schedules](schedules.md)."""

    start: Fraction | None = None
    """Where the loss begins to move to `loss.end`, as a fraction of all iterations. null: Taubert's value, 0.3 (naive) or
    0.5 (alternating)."""

    end: Fraction | None = None
    """Where it arrives at `loss.end`. null: Taubert's value, 0.9."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"schedule.start must lie before schedule.end, got start {self.start} and end {self.end}")
        return self

    def fractions(self, kind: LossKind) -> tuple[float, float]:
        """(start, end) for a scheduled `kind`, with Taubert's section 5 values where a key is left out."""
        start, end = DEFAULT_FRACTIONS[kind.value]
        return (start if self.start is None else self.start, end if self.end is None else self.end)


class AcwConfig(Section):
    """How adaptive class weights are learned, where `acw` is true."""

    positive: bool = False
    """Learn w = exp(v) instead of w, so that the weights stay above 0."""

    lr: AboveZero | None = None
    """Their learning rate at the start. null: `training.lr`."""
