"""What is known of an epoch: one typed value from the evaluation to the report.

How it is written down is known here alone (:meth:`EpochResult.to_json`, :meth:`EpochResult.from_json`); it is written to the
journal of a study and to the checkpoint store. Nothing here needs torch.
"""

from base64 import b85decode, b85encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from tune_seg.image_counts import ImageCounts

TEMPERATURE: Final = "temperature"
CLASS_TEMPERATURE: Final = "class_temperature"
ADJUSTED: Final = "adjusted"
SCALINGS = (TEMPERATURE, CLASS_TEMPERATURE, ADJUSTED)
"""What can be done to the logits of a trained model: divide them by one temperature, by one a class, or take a multiple of
the logarithm of each class's frequency from them and divide the rest by one temperature."""


@dataclass(frozen=True)
class ScaledScores:
    """The metrics of logits that were scaled one way.

    Each half of the validation images is scaled by what was fitted to the other half; what is said here of the fit is the
    mean of both, of temperatures the geometric one.

    Attributes:
        metrics: by name.
        temperature: what the logits were divided by: one number, or one number a class.
        tau: how many times the logarithm of its frequency was taken from the logit of a class; None: nothing was taken.
        class_recall: of each class; empty where one temperature is all, which changes no prediction.
    """

    metrics: Mapping[str, float]
    temperature: float | tuple[float, ...]
    tau: float | None = None
    class_recall: tuple[float, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model over the validation images.

    Attributes:
        metrics: those that are one number, by name.
        per_class: those that are one number a class, by name, each of length C.
        scaled: the metrics of scaled logits, by which of :data:`SCALINGS`: after every epoch those with one temperature,
            after the last planned one all.
        images: the counts of each image; known after the last planned epoch.
    """

    metrics: Mapping[str, float]
    per_class: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    scaled: Mapping[str, ScaledScores] = field(default_factory=dict)
    images: ImageCounts | None = None

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
    def fitted(self) -> dict[str, float | tuple[float, ...]]:
        """What was fitted to scale the logits: `temperature/T`, `class_temperature/T`, `adjusted/T` and `adjusted/tau`."""
        fitted: dict[str, float | tuple[float, ...]] = {}
        for kind, scores in self.scaled.items():
            fitted[f"{kind}/T"] = scores.temperature
            if scores.tau is not None:
                fitted[f"{kind}/tau"] = scores.tau
        return fitted

    def of_any_epoch(self) -> "Evaluation":
        """The same without what is known after a last planned epoch alone."""
        kept = {kind: scores for kind, scores in self.scaled.items() if kind == TEMPERATURE}
        return replace(self, scaled=kept, images=None)


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
                kind: {
                    "metrics": dict(scores.metrics),
                    "temperature": scores.temperature,
                    "tau": scores.tau,
                    "class_recall": list(scores.class_recall),
                }
                for kind, scores in evaluation.scaled.items()
            },
            "images": None if evaluation.images is None else b85encode(evaluation.images.to_bytes()).decode(),
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
        """What :meth:`to_json` has written.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        scaled = {
            kind: ScaledScores(
                scores["metrics"], _vector(scores["temperature"]), scores["tau"], tuple(scores["class_recall"])
            )
            for kind, scores in values["scaled"].items()
        }
        per_class = {name: tuple(numbers) for name, numbers in values["per_class"].items()}
        images = None if values["images"] is None else ImageCounts.from_bytes(b85decode(values["images"]))
        return cls(
            epoch=values["epoch"],
            evaluation=Evaluation(values["metrics"], per_class, scaled, images),
            train_loss=values["train_loss"],
            diverged=values["diverged"],
            lr=values["lr"],
            weights=values["weights"],
            acw_weight=_vector(values["acw_weight"]),
            seconds=Seconds(**values["seconds"]),
            replayed=values["replayed"],
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
