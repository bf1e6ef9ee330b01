"""The typed configuration: every key of a study, its type, its default, and what is refused.

Pydantic models only, no torch and no Ray, so that reading and checking a configuration takes milliseconds. The part
that one trial depends on is :class:`TrialConfig`; :class:`StudyConfig` adds the data, the objective and the search.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from tune_seg.config.keys import flatten, holds_keys, set_key
from tune_seg.config.loss_keys import LossInForce, losses_in_force
from tune_seg.data.formats import FormatName
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.losses.spec import Parameter
from tune_seg.metric_names import CALIBRATION_ERRORS as CALIBRATION_ERRORS
from tune_seg.metric_names import METRICS as METRICS
from tune_seg.models.architectures import OWN_ARCHITECTURES as OWN_ARCHITECTURES
from tune_seg.models.architectures import published_weights
from tune_seg.schedules import DEFAULT_FRACTIONS, Complement, Keyframe, Move, WeightCurve, schedule_keyframes

ROW = "row"
"""The key of an assignment that names a row of the study's `rows`."""


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic would take true for 1
        raise ValueError("Input should be a number, not true or false")
    return value


Integer = Annotated[int, BeforeValidator(_no_switch)]
Number = Annotated[float, BeforeValidator(_no_switch)]
Positive = Annotated[Integer, Field(ge=1)]
Seed = Annotated[Integer, Field(ge=0, lt=2**31)]
Fraction = Annotated[Number, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[Number, Field(ge=0.0)]
AboveZero = Annotated[Number, Field(gt=0.0)]
Size = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]


Format = Literal[FormatName, "synthetic"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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


class SplitConfig(_Section):
    """Which samples train and which validate, in place of the published split: two list files, a seeded fraction, or folds.

    With `folds` the key `fold` of a trial says which of them validates; `val_fraction` is then the share of each, 1 / folds
    where it is left out.
    """

    train: Path | None = None
    val: Path | None = None
    val_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    folds: Annotated[Integer, Field(ge=2)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.train is None) != (self.val is None):
            raise ValueError("data.split needs both list files, train and val, or neither")
        if self.train is not None and (self.val_fraction is not None or self.folds is not None):
            raise ValueError("data.split takes either list files (train, val) or val_fraction and folds, not both")
        if self.folds is not None and (self.val_fraction or 0.0) * self.folds > 1.0:
            raise ValueError(
                f"data.split: {self.folds} folds of val_fraction {self.val_fraction} are more than there is; "
                f"a fold is at most {1.0 / self.folds:.4g}"
            )
        return self

    @property
    def given(self) -> bool:
        """Whether it says anything but a seed, so that the published split does not hold."""
        return self != SplitConfig(seed=self.seed)


class DataConfig(_Section):
    """Where the images are, how they are read, and the size (H, W) in pixels at which every trial sees them.

    `options` are the keys of the format's own. `content` is the identity of the packed data; `study.yaml` carries it, and
    other data are refused.
    """

    format: Format | None = None
    root: Path | None = None
    size: Size = (224, 224)
    max_train: Positive | None = None
    max_val: Positive | None = None
    classes: tuple[str, ...] | dict[int, str] | None = None
    ignore_label: Annotated[int, Field(ge=0, lt=2**16)] | None = None
    split: SplitConfig = SplitConfig()
    options: dict[str, Any] = {}
    content: str | None = None

    @field_validator("root")
    @classmethod
    def _expand(cls, root: Path | None) -> Path | None:
        return None if root is None else root.expanduser().absolute()

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...] | dict[int, str] | None) -> tuple[str, ...] | dict[int, str] | None:
        if isinstance(classes, tuple) and len(set(classes)) != len(classes):
            raise ValueError("a class name stands twice; a mapping {value: name} may give several values one name")
        if isinstance(classes, dict) and not all(0 <= value < 2**16 for value in classes):
            raise ValueError("the values of a mask are 0 to 65535")
        if classes is not None and len(set(classes.values() if isinstance(classes, dict) else classes)) < 2:
            raise ValueError("there must be at least two classes")
        return classes

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.root is None and self.format not in (None, "synthetic"):
            raise ValueError(f"data.format {self.format} needs data.root (or --data ROOT)")
        if self.root is not None and self.format == "synthetic":
            raise ValueError("data.format synthetic generates its images; leave data.root out")
        if self.root is None:
            for key in ("classes", "ignore_label"):
                if getattr(self, key) is not None:
                    raise ValueError(f"data.{key} describes files, so it needs data.root (or --data ROOT)")
            if self.options:
                raise ValueError("data.options describes files, so it needs data.root (or --data ROOT)")
            if self.split.given:
                raise ValueError("data.split describes files, so it needs data.root (or --data ROOT)")
        return self


_SAME_ARCHITECTURES = {"deeplabv3plus": "DeepLabV3Plus"}


class ModelConfig(_Section):
    """An architecture, its encoder and initial weights, and which part of it learns.

    `architecture` is a name of segmentation-models-pytorch (SMP) or of :data:`~tune_seg.models.OWN_ARCHITECTURES`, on which
    `encoder` has no effect. `weights` are `imagenet` (the encoder's), `coco` (the whole model's), or a file, see
    :mod:`tune_seg.models.weights`.
    """

    architecture: str = "Unet"
    encoder: str = "resnet18"
    weights: Literal["none", "imagenet", "coco"] | Path = "none"
    train: Literal["all", "head"] = "all"

    @field_validator("architecture")
    @classmethod
    def _one_name(cls, architecture: str) -> str:
        return _SAME_ARCHITECTURES.get(architecture, architecture)

    @field_validator("weights", mode="before")
    @classmethod
    def _no_address(cls, weights: object) -> object:
        if isinstance(weights, str) and "://" in weights:
            raise ValueError(f"{weights!r} is an address; copy the file to a local path first and name that")
        return weights

    @field_validator("weights")
    @classmethod
    def _absolute(cls, weights: str | Path) -> str | Path:
        return weights.expanduser().absolute() if isinstance(weights, Path) else weights

    @model_validator(mode="after")
    def _published(self) -> Self:
        published = published_weights(self.architecture)
        if isinstance(self.weights, str) and self.weights not in ("none", *published):
            raise ValueError(
                f"model.weights {self.weights}: there are none for {self.architecture}; allowed are "
                f"{', '.join(('none', *published))} and the path of a file of weights"
            )
        return self


class TrainingConfig(_Section):
    """The optimiser, its learning rate over time, and what makes a run repeatable."""

    epochs: Positive = 30
    batch_size: Positive = 12
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: AboveZero = 1e-3
    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay: NonNegative = 1e-4
    lr_schedule: Literal["linear", "polynomial", "step", "cosine", "constant"] = "linear"
    lr_power: AboveZero = 0.9
    lr_factor: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.95
    lr_every: Positive = 5
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Positive | None = None


class AugmentationConfig(_Section):
    """What is done to a training image after it was normalised; validation images are only normalised.

    `mean` and `std` are of values from 0 to 1, a number for each channel. Left out they are those of ImageNet for images of
    three channels, and for others, in every channel, the average of these.
    """

    flip: Fraction = 0.5
    resize: tuple[AboveZero, AboveZero] = (0.5, 2.0)
    crop: Size | None = None
    mean: tuple[Number, ...] | None = None
    std: tuple[AboveZero, ...] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.resize[0] > self.resize[1]:
            raise ValueError(f"augmentation.resize is [smallest, largest] scale, got {list(self.resize)}")
        return self

    def normalisation(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and the standard deviation of each channel.

        Raises:
            InputError: the configuration has those of another number of channels.
        """
        return (
            _of_channels("mean", self.mean, _IMAGENET_MEAN, channels),
            _of_channels("std", self.std, _IMAGENET_STD, channels),
        )


_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _of_channels(key: str, given: tuple[float, ...] | None, imagenet: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if given is None:
        return imagenet if channels == len(imagenet) else (sum(imagenet) / len(imagenet),) * channels
    if len(given) != channels:
        raise InputError(
            f"augmentation.{key}: {len(given)} numbers, but the images have {channels} channel{'s' * (channels != 1)}; give "
            "one for each, or leave it out"
        )
    return given


class EvaluationConfig(_Section):
    """`background` is the name of a class that mIoU and mDSC leave out, as Hossain section IV does; none by default."""

    background: str | None = None


class CompoundWeights(_Section):
    """The fixed weights of a compound loss; 1 : 1 as in Taubert section 5."""

    start: AboveZero = 1.0
    end: AboveZero = 1.0


class KeyframeConfig(_Section):
    """The weight of a component at one moment, `at` a fraction of all iterations; see :mod:`tune_seg.schedules`."""

    at: Fraction
    weight: NonNegative
    move: Move = "linear"
    cycles: Positive = 1


class ComponentConfig(_Section):
    """A term of a program: a loss, its parameters, and its weight: a constant, or keyframes over the training."""

    loss: str
    params: dict[str, Any] = {}
    weight: NonNegative | None = None
    keyframes: tuple[KeyframeConfig, ...] | None = None

    @field_validator("loss")
    @classmethod
    def _known(cls, name: str) -> str:
        get_spec(name)
        return name

    @field_validator("keyframes")
    @classmethod
    def _in_order(cls, keyframes: tuple[KeyframeConfig, ...] | None) -> tuple[KeyframeConfig, ...] | None:
        if keyframes is not None:
            WeightCurve(_keyframes(keyframes))
        return keyframes

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.weight is None) == (self.keyframes is None):
            given = "neither is given" if self.weight is None else "both are: set the one that is not wanted to null"
            raise ValueError(f"give either weight, which is constant, or keyframes; {given}")
        return self

    @property
    def curve(self) -> tuple[Keyframe, ...]:
        """The weight over the training, at fractions of all iterations."""
        return (Keyframe(0.0, self.weight),) if self.weight is not None else _keyframes(self.keyframes or ())


def _keyframes(configs: Sequence[KeyframeConfig]) -> tuple[Keyframe, ...]:
    return tuple(Keyframe(config.at, config.weight, config.move, config.cycles) for config in configs)


class LossConfig(_Section):
    """Which losses are in force, and their parameters. `static` uses `end` alone, `program` uses `components`.

    `params` holds parameters by loss. `gamma` and `alpha` are given to every loss in force that has such a parameter,
    unless `params` does; None leaves each loss its own default.
    """

    kind: LossKind = LossKind.STATIC
    start: str | None = None
    end: str = "ce"
    gamma: NonNegative | None = None
    alpha: NonNegative | Annotated[tuple[NonNegative, ...], Field(min_length=1)] | None = None
    params: dict[str, dict[str, Any]] = {}
    components: dict[str, ComponentConfig] = {}
    weights: CompoundWeights = CompoundWeights()
    class_weights: Literal["mean", "sum"] = "mean"

    @field_validator("start", "end")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            get_spec(name)
        return name

    @field_validator("params")
    @classmethod
    def _possible(cls, params: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {loss: _read_params(f"loss.params.{loss}", loss, given) for loss, given in params.items()}

    @field_validator("components")
    @classmethod
    def _named(cls, components: dict[str, ComponentConfig]) -> dict[str, ComponentConfig]:
        for name in components:
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
                raise ValueError(f"loss.components: {name!r} is no name; a name is letters, digits and _, a letter first")
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

    def check(self, num_classes: int | None = None) -> None:
        """Refuse parameters that a loss in force cannot use.

        Args:
            num_classes: the number of classes, and the length of a list of values; None leaves both unchecked.

        Raises:
            InputError: naming the key, its value and what is allowed.
        """
        for choice in self.in_force():
            _with_key(choice.key, choice.loss, {}, num_classes)
            for name, value in choice.params.items():
                _with_key(choice.keys[name], choice.loss, {name: value}, num_classes)

    def in_force(self) -> tuple[LossInForce, ...]:
        """The losses in force with the parameters that are set of each: (end,), (start, end) or those of the components."""
        return losses_in_force(flatten({"loss": self.model_dump()}))


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


class ScheduleConfig(_Section):
    """When a scheduled loss moves, as fractions of all iterations; left out, Taubert's values for the kind."""

    start: Fraction | None = None
    end: Fraction | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"schedule.start must lie before schedule.end, got start {self.start} and end {self.end}")
        return self

    def fractions(self, kind: LossKind) -> tuple[float, float]:
        """(start, end) for a scheduled `kind`, with Taubert's section 5 values where a key is left out."""
        start, end = DEFAULT_FRACTIONS[kind.value]
        return (start if self.start is None else self.start, end if self.end is None else self.end)


class AcwConfig(_Section):
    """How the adaptive class weights w are learnt: as exp(v), so that they stay above 0, and with a rate of their own."""

    positive: bool = False
    lr: AboveZero | None = None


@dataclass(frozen=True)
class Component:
    """A loss in force, its parameters, and its weight over the training.

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
        # one of the user's own may go by an entry point's name or by its path
        return json.dumps([self.loss if self.loss in LOSSES else spec.implementation, values])

    @property
    def order(self) -> tuple[Any, ...]:
        """Its place in the sum of the losses, which shows in the last bits: by what it is, not by what it is called."""
        return (self.identity, self.complement, tuple(map(astuple, self.keyframes)))

    def weight(self, iterations: int) -> WeightCurve | Complement:
        """Its weight at every iteration of so many."""
        curve = WeightCurve(tuple(replace(keyframe, at=keyframe.at * iterations) for keyframe in self.keyframes))
        return Complement(curve) if self.complement else curve


def _plain_number(parameter: Parameter, value: Any) -> Any:
    """2 and 2.0 as one value where a number stands."""
    if isinstance(value, list | tuple):
        return [_plain_number(parameter, entry) for entry in value]
    number = isinstance(value, int | float) and not isinstance(value, bool) and not parameter.choices
    return float(value) if number and not parameter.integer else value


class TrialConfig(_Section):
    """All that one trial depends on, besides the packed data: the same value gives the same result.

    `fold` says which of the folds of `data.split.folds` validates; left out, it is the first.
    """

    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    loss: LossConfig = LossConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    acw: bool = False
    acw_options: AcwConfig = AcwConfig()
    fold: Annotated[Integer, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _schedule_in_order(self) -> Self:
        if self.loss.kind.scheduled:
            start, end = self.schedule.fractions(self.loss.kind)
            if start >= end:
                raise ValueError(f"schedule.start must lie before schedule.end, got start {start} and end {end}")
            if self.loss.kind is LossKind.ALTERNATING and start == 0.0:
                raise ValueError("schedule.start must be above 0 for an alternating loss (Taubert eq. (6) divides by it)")
        return self

    @property
    def components(self) -> tuple[Component, ...]:
        """The losses in force with their weights, the same for every kind of loss."""
        loss, kind = self.loss, self.loss.kind
        if kind is LossKind.PROGRAM:
            curves = {name: component.curve for name, component in loss.components.items()}
        elif kind is LossKind.COMPOUND:
            curves = {"start": (Keyframe(0.0, loss.weights.start),), "end": (Keyframe(0.0, loss.weights.end),)}
        elif kind.scheduled:
            moving = schedule_keyframes(kind.value, *self.schedule.fractions(kind))
            curves = {"start": moving, "end": moving}
        else:
            curves = {"end": (Keyframe(0.0, 1.0),)}
        return tuple(
            Component(name, choice.loss, choice.params, curve, complement=kind.scheduled and name == "start")
            for choice, (name, curve) in zip(loss.in_force(), curves.items(), strict=True)
        )

    @property
    def loss_name(self) -> str:
        """A short name of the loss in force, as the tables show it: `ce`, `dice+ce`, `dice>wce naive`, `wdice*+focal`.

        In a program a star marks a weight that moves.
        """
        loss = self.loss
        if loss.kind is LossKind.STATIC:
            name = loss.end
        elif loss.kind is LossKind.COMPOUND:
            name = f"{loss.start}+{loss.end}"
        elif loss.kind is LossKind.PROGRAM:
            name = "+".join(f"{term.loss}{'*' if len(term.curve) > 1 else ''}" for term in loss.components.values())
        else:
            name = f"{loss.start}>{loss.end} {loss.kind}"
        return f"{name} acw" if self.acw else name

    @property
    def loss_params(self) -> dict[str, Any]:
        """The loss in force: its short name and, by key, what of `loss`, `schedule` and `acw` matters to it.

        Of a program the parameters are named, and its keyframes are not: a study's records add those that it varies.
        """
        params: dict[str, Any] = {"loss": self.loss_name, "loss.kind": self.loss.kind.value}
        if self.loss.kind is not LossKind.PROGRAM:
            params |= {choice.key: choice.loss for choice in self.loss.in_force()}
        params |= self._loss_parameters()
        if self.loss.kind.scheduled:
            params["schedule.start"], params["schedule.end"] = self.schedule.fractions(self.loss.kind)
        return params | {"acw": self.acw}

    def _loss_parameters(self) -> dict[str, Any]:
        """Every parameter that is set, by the key that sets it, and gamma even where it is a loss's default."""
        losses = self.loss.in_force()
        params = {choice.keys[name]: value for choice in losses for name, value in choice.params.items()}
        gammas = [
            (choice, choice.params.get("gamma", parameter.default))
            for choice in losses
            for parameter in get_spec(choice.loss).parameters
            if parameter.name == "gamma"
        ]
        if len({gamma for _, gamma in gammas}) == 1 and not any("gamma" in choice.params for choice, _ in gammas):
            return params | {"loss.gamma": gammas[0][1]}
        defaults = {f"loss.params.{choice.loss}.gamma": gamma for choice, gamma in gammas if "gamma" not in choice.params}
        return params | defaults


class EarlyStoppingConfig(_Section):
    """Which trials go on: the best 1/reduction_factor, compared as :mod:`tune_seg.study.early_stopping` says.

    No trial is stopped before it has trained `grace_epochs`, two fifths of all epochs where it is left out.
    """

    kind: Literal["settled", "asha", "none"] = "settled"
    grace_epochs: Positive | None = None
    reduction_factor: Annotated[int, Field(ge=2)] = 2


class SearchConfig(_Section):
    """How configurations are chosen: a sampler of Optuna by name, the number of trials, early stopping.

    With `whole_epochs` a schedule, and the keyframes of a program, begin and end with an epoch: what Optuna chooses is
    rounded, so that more trials begin alike.
    """

    sampler: str = "tpe"
    trials: Positive = 100
    seed: Seed = 0
    whole_epochs: bool = False
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()

    @field_validator("sampler")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return name.lower().replace("-", "").replace("_", "")  # CMA-ES, cma_es and cmaes are one sampler


class ComputeConfig(_Section):
    """What one trial is given, how many run at once, and the Ray cluster; left out, it follows the machine.

    `gpus_per_trial: auto` measures how many trials share a GPU best, and is 0 where there is none.
    `store` is where checkpoints are kept, a directory or the URI of an object store, `store_gb` how much of them; at 0 none
    are.
    """

    cpus_per_trial: Positive = 1
    gpus_per_trial: NonNegative | Literal["auto"] | None = None
    max_concurrent: Positive | None = None
    address: str | None = None
    store: str | None = None
    store_gb: NonNegative = 20.0

    @field_validator("store")
    @classmethod
    def _absolute(cls, store: str | None) -> str | None:
        return store if store is None or "://" in store else str(Path(store).expanduser().absolute())


class StudyConfig(TrialConfig):
    """A whole study: the trial that every key of `space` varies, and what the study does with it.

    `rows` are named assignments, one for each row of a table, which need not set the same keys: every trial is of one of
    them, and the grid over them is crossed with the rest of the space. `paper` names the published table that the rows
    are those of, see :mod:`tune_seg.study.papers.tables`.

    `baselines` are assignments of keys of the space that are tried first and never stopped early, so that a winner is
    measured against a converged model; what a baseline leaves out is sampled.

    `files` is the identity of the content of each file of weights, by its path; `study.yaml` carries it, and a study whose
    files have another is refused.
    """

    data: DataConfig = DataConfig()
    objective: str | tuple[str, ...] = "s_rec"
    search: SearchConfig = SearchConfig()
    compute: ComputeConfig = ComputeConfig()
    mlflow_uri: str | None = None
    paper: str | None = None
    rows: dict[str, dict[str, Any]] = {}
    space: dict[str, dict[str, Any]] = {}
    baselines: tuple[dict[str, Any], ...] = ()
    files: dict[str, str] = {}

    @field_validator("rows")
    @classmethod
    def _names(cls, rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in rows:
            if not name or "." in name:
                raise ValueError(f"a row's name is text without a dot, got {name!r}")
        return rows

    @field_validator("objective")
    @classmethod
    def _metrics(cls, objective: str | tuple[str, ...]) -> str | tuple[str, ...]:
        names = (objective,) if isinstance(objective, str) else objective
        if not names:
            raise ValueError(f"name at least one objective out of {', '.join(METRICS)}")
        for name in names:
            if name not in METRICS:
                raise ValueError(f"unknown objective {name!r}; the objectives are {', '.join(METRICS)}")
        if len(set(names)) != len(names):
            raise ValueError(f"an objective stands twice in {', '.join(names)}")
        return objective

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        self._check_fold(self)
        return self

    def _check_fold(self, trial: TrialConfig) -> None:
        folds = self.data.split.folds
        if trial.fold is not None and folds is None:
            raise InputError(f"fold: {trial.fold} is a fold of none; set data.split.folds to their number")
        if trial.fold is not None and folds is not None and trial.fold >= folds:
            raise InputError(f"fold: there is no fold {trial.fold}; data.split.folds {folds} are 0 to {folds - 1}")

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives, the first of which ranks the table."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    def trial(self, assignment: Mapping[str, Any]) -> TrialConfig:
        """The configuration of one trial: this one's, with the dotted keys of `assignment` and of its row replaced.

        Raises:
            InputError: an impossible value, or an impossible combination of values.
        """
        values = self.model_dump(mode="json", include=set(TrialConfig.model_fields))
        for key, value in self.in_full(assignment).items():
            set_key(values, key, value)
        trial = parse(TrialConfig, values)
        self._check_fold(trial)
        return _in_whole_epochs(trial) if self.search.whole_epochs else trial

    def in_full(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """`assignment` with what its row assigns in the place of the row's name."""
        values = dict(assignment)
        row = values.pop(ROW, None)
        return values if row is None else {**self.rows[row], **values}


def _in_whole_epochs(trial: TrialConfig) -> TrialConfig:
    """`trial` with its schedule, or its program's keyframes, at epoch boundaries, each one later than the one before.

    What has no room for that, such as four keyframes in two epochs, is left as it is.
    """
    epochs = trial.training.epochs
    values: dict[str, Any] = {}
    if trial.loss.kind.scheduled:
        first = 1 if trial.loss.kind is LossKind.ALTERNATING else 0  # which cannot start at 0
        rounded = _rounded(trial.schedule.fractions(trial.loss.kind), epochs, first)
        values["schedule"] = dict(zip(("start", "end"), rounded, strict=True))
    elif trial.loss.kind is LossKind.PROGRAM:
        values["loss"] = trial.loss.model_dump(mode="json")
        for component in values["loss"]["components"].values():
            for keyframe, at in zip(
                component["keyframes"] or (),
                _rounded([keyframe["at"] for keyframe in component["keyframes"] or ()], epochs, 0),
                strict=True,
            ):
                keyframe["at"] = at
    try:
        return parse(TrialConfig, {**trial.model_dump(mode="json"), **values})
    except InputError:
        return trial


def _rounded(fractions: Sequence[float], epochs: int, first: int) -> list[float]:
    """`fractions` as whole numbers of `epochs`, at least `first`, in the order given and all different where they fit."""
    whole: list[int] = []
    for fraction in fractions:
        whole.append(max(round(fraction * epochs), whole[-1] + 1 if whole else first))
    latest = epochs
    for index in reversed(range(len(whole))):
        whole[index] = min(whole[index], latest)
        latest = whole[index] - 1
    return [max(boundary, 0) / epochs for boundary in whole]


Config = TypeVar("Config", bound=BaseModel)


def parse(model: type[Config], values: Mapping[str, Any], prefix: str = "") -> Config:
    """`values` as a checked `model`.

    Args:
        model: the section, or the whole configuration.
        values: its keys, nested as in YAML.
        prefix: the dotted key under which `values` are found; messages put it before every key.

    Raises:
        InputError: with one line per wrong key: the key, the value and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        above = prefix.split(".") if prefix else []
        raise InputError("\n".join(_explain(model, detail, above) for detail in error.errors())) from None


def _explain(model: type[BaseModel], detail: Mapping[str, Any], above: Sequence[str]) -> str:
    path = _key(model, detail["loc"])
    key = ".".join([*above, *path])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key}; the keys {_where([*above, *path[:-1]])} are {', '.join(fields_of(model, path[:-1]))}"
    message = detail["msg"].removeprefix("Value error, ")
    if not key or holds_keys(detail["input"]):
        return f"{key}: {message}" if key and key not in message else message
    said = isinstance(detail["input"], str) and repr(detail["input"]) in message
    return f"{key}: {message}" if said else f"{key}: {message}, got {detail['input']!r}"


def _key(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The parts of the key at pydantic's `location`, which goes on inside values: branches of unions, places in lists."""
    path: list[str] = []
    section: Any = model
    for part in location:
        if section is None:
            break
        path.append(str(part))
        section = _section(section, str(part))
    return path


def _where(path: Sequence[str]) -> str:
    return f"of {'.'.join(path)}" if path else "at the top level"


def fields_of(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of the section at `path`; empty where they are the user's to choose, and where a value stands there."""
    section: Any = model
    for part in path:
        section = None if section is None else _section(section, part)
    return list(section.model_fields) if _is_model(section) else []


def _section(above: Any, part: str) -> Any:
    """The type of what stands at `part` of a section of type `above`: a model, a dictionary or a list of sections.

    None where a value stands there.
    """
    if _is_model(above):
        field = above.model_fields.get(part)
        inner = None if field is None else field.annotation
    else:
        inner = get_args(above)[1 if get_origin(above) is dict else 0]
    if NoneType in get_args(inner):
        first, *others = (alternative for alternative in get_args(inner) if alternative is not NoneType)
        inner = None if others else first
    keyed = get_origin(inner) is dict and get_args(inner)[0] is str
    listed = get_origin(inner) is tuple and _is_model(get_args(inner)[0])
    return inner if _is_model(inner) or keyed or listed else None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
