"""The typed configuration: every key of a study, its type, its default, and what is refused.

Pydantic models only, no torch and no Ray, so that reading and checking a configuration takes milliseconds. The part
that one trial depends on is :class:`TrialConfig`; :class:`StudyConfig` adds the data, the objective and the search.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES
from tune_seg.schedules import DEFAULT_FRACTIONS

METRICS = ("s_rec", "s_acc", "recall", "accuracy", "calibration", "f1", "miou", "mdice")
"""What a study may maximise: the scalar metrics of :class:`tune_seg.metrics.SegmentationMetrics`."""


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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LossKind(StrEnum):
    """How the losses `loss.start` and `loss.end` are combined over training."""

    STATIC = "static"  # `end` alone
    COMPOUND = "compound"  # a fixed weighted sum
    NAIVE = "naive"  # Taubert eq. (5)
    ALTERNATING = "alternating"  # Taubert eq. (6)

    @property
    def scheduled(self) -> bool:
        """Whether the weights move during training."""
        return self in (LossKind.NAIVE, LossKind.ALTERNATING)


class SplitConfig(_Section):
    """Which samples train and which validate, where the folders do not say: two list files, or a seeded fraction."""

    train: Path | None = None
    val: Path | None = None
    val_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.train is None) != (self.val is None):
            raise ValueError("data.split needs both list files, train and val, or neither")
        if self.train is not None and self.val_fraction is not None:
            raise ValueError("data.split takes either list files (train, val) or val_fraction, not both")
        return self


class DataConfig(_Section):
    """Where the images are, how they are read, and the size (H, W) in pixels at which every trial sees them.

    `content` is the identity of the packed data; `study.yaml` carries it, and other data are refused.
    """

    format: Literal["camvid", "folder", "synthetic"] | None = None
    root: Path | None = None
    size: Size = (224, 224)
    max_train: Positive | None = None
    max_val: Positive | None = None
    classes: tuple[str, ...] | dict[int, str] | None = None
    ignore_label: Annotated[int, Field(ge=0, lt=2**16)] | None = None
    split: SplitConfig = SplitConfig()
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
            if self.split != SplitConfig(seed=self.split.seed):
                raise ValueError("data.split describes files, so it needs data.root (or --data ROOT)")
        return self


class ModelConfig(_Section):
    """An architecture and an encoder of segmentation-models-pytorch, by their names there."""

    architecture: str = "Unet"
    encoder: str = "resnet18"
    weights: Literal["none", "imagenet"] = "none"


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
    """What is done to a training image after it was normalised; validation images are only normalised."""

    flip: Fraction = 0.5
    resize: tuple[AboveZero, AboveZero] = (0.5, 2.0)
    crop: Size | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[AboveZero, AboveZero, AboveZero] = (
        0.229,
        0.224,
        0.225,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.resize[0] > self.resize[1]:
            raise ValueError(f"augmentation.resize is [smallest, largest] scale, got {list(self.resize)}")
        return self


class EvaluationConfig(_Section):
    """`background` is the name of a class that mIoU and mDSC leave out, as Hossain section IV does; none by default."""

    background: str | None = None


class CompoundWeights(_Section):
    """The fixed weights of a compound loss; 1 : 1 as in Taubert section 5."""

    start: AboveZero = 1.0
    end: AboveZero = 1.0


class LossConfig(_Section):
    """Which losses are in force, and their parameters. `static` uses `end` alone."""

    kind: LossKind = LossKind.STATIC
    start: str | None = None
    end: str = "ce"
    gamma: NonNegative = 2.0
    alpha: NonNegative | Annotated[tuple[NonNegative, ...], Field(min_length=1)] | None = None
    weights: CompoundWeights = CompoundWeights()
    class_weights: Literal["mean", "sum"] = "mean"

    @field_validator("start", "end")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in LOSSES:
            raise ValueError(f"unknown loss {name!r}; the losses are {', '.join(LOSSES)}")
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind is not LossKind.STATIC and self.start is None:
            raise ValueError(f"loss.kind {self.kind} needs loss.start, the loss that it combines with loss.end")
        return self

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the losses in force: (end,) or (start, end)."""
        return (self.end,) if self.kind is LossKind.STATIC or self.start is None else (self.start, self.end)


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


class TrialConfig(_Section):
    """All that one trial depends on, besides the packed data: the same value gives the same result."""

    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    loss: LossConfig = LossConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    acw: bool = False

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
    def loss_name(self) -> str:
        """A short name of the loss in force, as the tables show it: `ce`, `dice+ce`, `dice>wce naive`."""
        name = {LossKind.STATIC: self.loss.end, LossKind.COMPOUND: f"{self.loss.start}+{self.loss.end}"}.get(
            self.loss.kind, f"{self.loss.start}>{self.loss.end} {self.loss.kind}"
        )
        return f"{name} acw" if self.acw else name

    @property
    def loss_params(self) -> dict[str, Any]:
        """The loss in force in full: its short name and, by key, what of `loss`, `schedule` and `acw` matters to it."""
        params: dict[str, Any] = {"loss": self.loss_name, "loss.kind": self.loss.kind.value}
        if self.loss.kind is not LossKind.STATIC:
            params["loss.start"] = self.loss.start
        params["loss.end"] = self.loss.end
        if any(parameter.name == "gamma" for name in self.loss.components for parameter in LOSSES[name].parameters):
            params["loss.gamma"] = self.loss.gamma
        if self.loss.kind.scheduled:
            params["schedule.start"], params["schedule.end"] = self.schedule.fractions(self.loss.kind)
        return params | {"acw": self.acw}


class EarlyStoppingConfig(_Section):
    """Asynchronous successive halving (Li et al. 2020): at each rung the best 1/reduction_factor of a group go on."""

    kind: Literal["asha", "none"] = "asha"
    grace_epochs: Positive = 5
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class SearchConfig(_Section):
    """How configurations are chosen: a sampler of Optuna by name, the number of trials, early stopping."""

    sampler: str = "tpe"
    trials: Positive = 100
    seed: Seed = 0
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()

    @field_validator("sampler")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return name.lower().replace("-", "").replace("_", "")  # CMA-ES, cma_es and cmaes are one sampler


class ComputeConfig(_Section):
    """What one trial is given, how many run at once, and the Ray cluster; left out, it follows the machine."""

    cpus_per_trial: Positive = 1
    gpus_per_trial: NonNegative | None = None
    max_concurrent: Positive | None = None
    address: str | None = None


class StudyConfig(TrialConfig):
    """A whole study: the trial that every key of `space` varies, and what the study does with it.

    `baselines` are assignments of keys of the space that are tried first and never stopped early, so that a winner is
    measured against a converged model; what a baseline leaves out is sampled.
    """

    data: DataConfig = DataConfig()
    objective: str | tuple[str, ...] = "s_rec"
    search: SearchConfig = SearchConfig()
    compute: ComputeConfig = ComputeConfig()
    mlflow_uri: str | None = None
    space: dict[str, dict[str, Any]] = {}
    baselines: tuple[dict[str, Any], ...] = ()

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

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives, the first of which ranks the table."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    def trial(self, assignment: Mapping[str, Any]) -> TrialConfig:
        """The configuration of one trial: this one's, with the dotted keys of `assignment` replaced.

        Raises:
            InputError: an impossible value, or an impossible combination of values.
        """
        values = self.model_dump(mode="json", include=set(TrialConfig.model_fields))
        for key, value in assignment.items():
            set_key(values, key, value)
        return parse(TrialConfig, values)


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in the nested dictionary `values`, making sections on the way.

    Raises:
        InputError: a part of the key on the way is a value, not a section.
    """
    *sections, leaf = key.split(".")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise InputError(f"{key}: {section} is a value, not a section")
    values[leaf] = value


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


Config = TypeVar("Config", bound=BaseModel)


def parse(model: type[Config], values: Mapping[str, Any]) -> Config:
    """`values` as a checked `model`.

    Raises:
        InputError: with one line per wrong key: the key, the value and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError("\n".join(_explain(model, detail) for detail in error.errors())) from None


def _explain(model: type[BaseModel], detail: Mapping[str, Any]) -> str:
    path = [part for part in detail["loc"] if isinstance(part, str) and not _is_branch_of_union(part)]
    key = ".".join(path)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key}; the keys {_where(path[:-1])} are {', '.join(fields_of(model, path[:-1]))}"
    message = detail["msg"].removeprefix("Value error, ")
    if not key or isinstance(detail["input"], dict):
        return f"{key}: {message}" if key and key not in message else message
    return f"{key}: {message}, got {detail['input']!r}"


def _is_branch_of_union(part: str) -> bool:
    # pydantic puts the branch of a union that it tried into the location: `float`, `tuple[str, ...]`
    return part in ("float", "int", "str") or part.startswith(("constrained-", "function-")) or "[" in part


def _where(path: Sequence[str]) -> str:
    return f"of {'.'.join(path)}" if path else "at the top level"


def fields_of(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of the section at `path`; empty where a value stands there."""
    for part in path:
        if part not in model.model_fields:
            return []
        inner = model.model_fields[part].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
