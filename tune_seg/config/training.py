"""The sections `training`, `augmentation` and `evaluation`: how a model is trained, on what, and how it is judged."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tune_seg.config.base import AboveZero, Fraction, NonNegative, Number, Positive, Section, Seed, Size
from tune_seg.errors import InputError


class TrainingConfig(Section):
    """The optimizer, its learning rate over time, and what makes a run repeatable."""

    epochs: Positive = 30
    """How many times a trial that runs to its end sees every training image; `--epochs N` sets it. An epoch has as many
    images as there are to train on, also where these are sampled."""

    batch_size: Positive = 12
    """Images in a step. Lower it where the memory of the GPU does not suffice."""

    sampling: Literal["uniform", "class_balanced", "repeat_factor"] = "uniform"
    """Which images an epoch is made of: every one once (`uniform`); more often those of classes that few images have
    (`repeat_factor`, Gupta et al. 2019, arXiv 1908.03195); or for each place a class, all alike, and an image that has it
    (`class_balanced`). Class weights are then those of the pixels as they are sampled."""

    repeat_threshold: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.5
    """Classes that a smaller share f of the training images has are the rare ones of `repeat_factor`: an image comes
    sqrt(repeat_threshold / f) times as often, f being that of its rarest class. The paper has 0.001, for more than a
    thousand classes; where there are a few, hardly any is that rare."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """The optimizer. `adam` and `adamw` need less care for the learning rate than `sgd`."""

    lr: AboveZero = 1e-3
    """The learning rate at the start. Lower it where the loss becomes nan, raise it where nothing is learned."""

    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.9
    """Momentum of `sgd`; the other optimizers do not use it."""

    weight_decay: NonNegative = 1e-4
    """Weight decay of the optimizer; adaptive class weights have none."""

    lr_schedule: Literal["linear", "polynomial", "step", "cosine", "constant"] = "linear"
    """How the learning rate falls: to 0 at the end (`linear`, `polynomial`, `cosine`), by a factor every few epochs
    (`step`), or not at all (`constant`). A training with `step` or `constant` can be made longer without starting again."""

    lr_power: AboveZero = 0.9
    """The exponent of `polynomial`: the rate is lr (1 - i/T)^lr_power at iteration i of T."""

    lr_factor: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.95
    """The factor of `step`."""

    lr_every: Positive = 5
    """The epochs between two reductions by `step`."""

    seed: Seed = 0
    """Seed of the first weights, the order of the images and the augmentation. Vary it to see how much is chance."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device to train on; `auto` is a GPU where there is one."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """The numbers that the model computes with; `auto` is bfloat16 on a GPU and float32 on a CPU."""

    threads: Positive | None = None
    """CPU threads of a trial; they change the last bits of a result on a CPU. null: `compute.cpus_per_trial`."""


class AugmentationConfig(Section):
    """What is done to a training image after it was normalised. Validation images are only normalised."""

    flip: Fraction = 0.5
    """Probability of a horizontal flip. Set 0 where left and right differ, as in medical images."""

    resize: tuple[
        Annotated[AboveZero, Field(description="smallest")], Annotated[AboveZero, Field(description="largest")]
    ] = (0.5, 2.0)
    """Smallest and largest random scale. [1, 1] leaves the size as it is."""

    crop: Size | None = None
    """Height and width in pixels that are cut out at random after scaling. null: `data.size`."""

    mean: tuple[Number, ...] | None = None
    """What is subtracted from values between 0 and 1, a number a channel. null: ImageNet's for 3 channels, their average for
    any other number."""

    std: tuple[AboveZero, ...] | None = None
    """What the difference is divided by, a number a channel. null: as for `mean`."""

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


class EvaluationConfig(Section):
    """How the metrics are taken over the validation images."""

    background: str | None = None
    """Name of a class that `miou` and `mdice` leave out, as Hossain section IV does, also of groups; and `boundary_f1` and
    `hd95`. null: every class counts."""

    boundary: bool = False
    """Measure `boundary_f1` and `hd95` as well, of [outlines](metrics.md#outlines): on the CPU, after every epoch."""
