"""What is known of an epoch: one typed value from the evaluation to the report.

How it is written down is known here alone (:meth:`EpochResult.to_json`, :meth:`EpochResult.from_json`); it is written to the
journal of a study and to the checkpoint store. Nothing here needs torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

UNSCALED: Final = "unscaled"
TEMPERATURE: Final = "temperature"
CLASS_TEMPERATURE: Final = "class_temperature"
SCALINGS: Final = (UNSCALED, TEMPERATURE, CLASS_TEMPERATURE)
"""Logits as they are, divided by one temperature, and divided by one temperature a class."""


@dataclass(frozen=True)
class ScaledScores:
    """The metrics of logits that were scaled one way.

    Attributes:
        metrics: by name.
        temperature: what the logits were divided by: nothing, one number, or one number a class.
    """

    metrics: Mapping[str, float]
    temperature: float | tuple[float, ...] | None = None


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model over the validation images.

    Attributes:
        metrics: those that are one number, by name.
        per_class: those that are one number a class, by name, each of length C.
        scaled: the metrics of scaled logits, by which of :data:`SCALINGS`; empty where the logits were not scaled.
    """

    metrics: Mapping[str, float]
    per_class: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    scaled: Mapping[str, ScaledScores] = field(default_factory=dict)

    def find(self, name: str) -> float | None:
        """The score called `name`, `s_rec` or, of scaled logits, `temperature/s_rec`; None where it is not known."""
        scaling, _, metric = name.rpartition("/")
        if not scaling:
            return self.metrics.get(metric)
        scores = self.scaled.get(scaling)
        return None if scores is None else scores.metrics.get(metric)

    @property
    def scaled_metrics(self) -> dict[str, float]:
        """The metrics of scaled logits by the names that :meth:`find` takes."""
        return {f"{kind}/{name}": score for kind, scores in self.scaled.items() for name, score in scores.metrics.items()}

    @property
    def temperatures(self) -> dict[str, float | tuple[float, ...]]:
        """What logits were divided by, as `temperature/T` and `class_temperature/T`."""
        return {f"{kind}/T": scores.temperature for kind, scores in self.scaled.items() if scores.temperature is not None}

    def without_scaling(self) -> "Evaluation":
        """The same without what is known of scaled logits."""
        return replace(self, scaled={})


@dataclass(frozen=True)
class Seconds:
    """How long an epoch took.

    Attributes:
        train: for the training.
        data: for making batches while the training waited; a part of `train`.
        eval: for the evaluation.
    """

    train: float = 0.0
    data: float = 0.0
    eval: float = 0.0

    @property
    def total(self) -> float:
        """For training and evaluation together."""
        return self.train + self.eval


@dataclass(frozen=True)
class EpochResult:
    """What is known of an epoch.

    Attributes:
        epoch: its number, from 1.
        evaluation: the metrics after it.
        train_loss: the mean of the loss over its iterations.
        diverged: whether loss or outputs have left the finite numbers.
        lr: the learning rate of its last iteration.
        weights: the weight of each loss in its last iteration, by the loss's name in the configuration.
        acw_weight: the adaptive class weights after it, (C,); None for a model that has none.
        seconds: how long it took here; 0 where it was replayed.
        replayed: whether it was taken over from the checkpoint store.
    """

    epoch: int
    evaluation: Evaluation
    train_loss: float
    diverged: bool
    lr: float
    weights: Mapping[str, float]
    acw_weight: tuple[float, ...] | None = None
    seconds: Seconds = Seconds()
    replayed: bool = False

    def find(self, name: str) -> float | None:
        """The score called `name`, `s_rec` or, of scaled logits, `temperature/s_rec`; None where it is not known."""
        return self.evaluation.find(name)

    def score(self, name: str) -> float:
        """The score called `name`, which is known.

        Raises:
            KeyError: it is not.

        Example:
            >>> scaled = {"temperature": ScaledScores({"s_rec": 0.8}, 1.5)}
            >>> result = EpochResult(1, Evaluation({"s_rec": 0.7}, scaled=scaled), 0.4, False, 1e-3, {"end": 1.0})
            >>> result.score("s_rec"), result.score("temperature/s_rec")
            (0.7, 0.8)
        """
        score = self.find(name)
        if score is None:
            raise KeyError(f"epoch {self.epoch} has no score {name!r}")
        return score

    def to_json(self) -> dict[str, Any]:
        """The result as plain numbers, lists and dictionaries."""
        evaluation = self.evaluation
        return {
            "epoch": self.epoch,
            "metrics": dict(evaluation.metrics),
            "per_class": {name: list(values) for name, values in evaluation.per_class.items()},
            "scaled": {
                kind: {"metrics": dict(scores.metrics), "temperature": scores.temperature}
                for kind, scores in evaluation.scaled.items()
            },
            "train_loss": self.train_loss,
            "diverged": self.diverged,
            "lr": self.lr,
            "weights": dict(self.weights),
            "acw_weight": None if self.acw_weight is None else list(self.acw_weight),
            "seconds": {"train": self.seconds.train, "data": self.seconds.data, "eval": self.seconds.eval},
            "replayed": self.replayed,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` has written, also that of version 0.1, whose metrics were not in groups.

        Raises:
            KeyError, TypeError: it is something else.
        """
        grouped = values if "metrics" in values else _grouped(values)
        scaled = {
            kind: ScaledScores(scores["metrics"], _vector(scores["temperature"]))
            for kind, scores in grouped["scaled"].items()
        }
        per_class = {name: tuple(numbers) for name, numbers in grouped["per_class"].items()}
        return cls(
            epoch=grouped["epoch"],
            evaluation=Evaluation(grouped["metrics"], per_class, scaled),
            train_loss=grouped["train_loss"],
            diverged=grouped["diverged"],
            lr=grouped["lr"],
            weights=grouped["weights"],
            acw_weight=_vector(grouped["acw_weight"]),
            seconds=Seconds(**grouped["seconds"]),
            replayed=grouped["replayed"],
        )


@dataclass(frozen=True)
class Progress:
    """How far a training is with its checkpoints.

    Attributes:
        stored: epochs in the newest permanent checkpoint.
        writing: whether a checkpoint is being written.
        checkpoint_seconds: how long the training waited for the store since the progress before.
        checkpoint: the file of the weights that the training ended with; None before its end, and where the store lacks it.
    """

    stored: int
    writing: bool
    checkpoint_seconds: float
    checkpoint: str | None = None


def _vector(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_SCALED_0_1 = ("calibration", "ece", "sce", "ace", "brier", "nll", "s_rec", "s_acc", "recall", "accuracy")
_METRICS_0_1 = (*_SCALED_0_1, "f1", "miou", "mdice")
_PER_CLASS_0_1 = ("class_recall", "class_precision", "class_iou", "class_dice")


def _grouped(values: Mapping[str, Any]) -> dict[str, Any]:
    """A result of version 0.1, which held everything side by side."""
    kinds = [kind for kind in SCALINGS if f"{kind}/calibration" in values]
    return {
        **{name: values[name] for name in ("epoch", "train_loss", "diverged", "lr", "weights", "replayed")},
        "metrics": {name: values[name] for name in _METRICS_0_1},
        "per_class": {name: values[name] for name in _PER_CLASS_0_1},
        "scaled": {
            kind: {
                "metrics": {name: values[f"{kind}/{name}"] for name in _SCALED_0_1},
                "temperature": values.get(f"{kind}/T"),
            }
            for kind in kinds
        },
        "acw_weight": values.get("acw_weight"),
        "seconds": {part: values[f"{part}_seconds"] for part in ("train", "data", "eval")},
    }
