"""Trajectories: a key for every epoch boundary of a training, equal where the trainings up to there are equal.

At an epoch boundary the state of a training follows from its base (data, model, optimizer, seed, ...) and from what was
active in each epoch so far: the losses with their weights, and the learning rate. So ``key(0) = hash(base)`` and
``key(k + 1) = hash(key(k), what was active during epoch k)``, where a loss whose weight was 0 throughout the epoch is left
out. Two trainings that share a key share all that led to it, to the last bit on a CPU.

Keys are taken from values, not from how these were written: a parameter that is left at its default and one that is set
to it, a static loss and a program of the same loss, a schedule and its keyframes give one key.
"""

import functools
import hashlib
import json
import platform
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_seg.config import OWN_ARCHITECTURES, Component, ModelConfig, TrainingConfig, TrialConfig
from tune_seg.data.loading.sampling import sampling
from tune_seg.data.packing.packed import PackedData
from tune_seg.errors import InputError
from tune_seg.losses import own
from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.schedules import steps_per_epoch
from tune_seg.training.class_weights import weighting
from tune_seg.training.code_identity import code_identity
from tune_seg.training.lr_schedule import learning_rate_factor

# as the kernel describes a processor
_PROCESSOR = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
_INSTRUCTIONS = ("sse", "ssse", "avx", "fma", "f16c", "amx", "asimd", "sve", "sme", "bf16", "i8mm")

FINAL = "-last-"
"""What follows a last key in that of the results of a whole training, with more in the last planned epoch: see
:func:`final_key`."""


@dataclass(frozen=True)
class TrainingData:
    """What of the packed data decides over a training.

    Attributes:
        content: the identity of the content.
        size: (H, W) in pixels.
        train_images: how many images are trained on; of data in folds, how many of each.
        channels: of the images.
    """

    content: str
    size: tuple[int, int]
    train_images: int | tuple[int, ...]
    channels: int = 3

    @classmethod
    def of(cls, packed: PackedData) -> "TrainingData":
        """What of `packed` decides over the trainings on any of its folds."""
        return cls(packed.content_id, packed.size, packed.train_images, packed.channels)

    def images(self, fold: int | None) -> int:
        """How many images are trained on in a fold."""
        return self.train_images if isinstance(self.train_images, int) else self.train_images[fold or 0]


def trajectory_keys(config: TrialConfig, data: TrainingData) -> tuple[str, ...]:
    """The keys of the epoch boundaries 0, 1, ..., `config.training.epochs`.

    Args:
        config: the trial, with its device known (`cpu` or `cuda`).
        data: the data that it is trained on.

    Example:
        >>> from tune_seg.config import parse
        >>> data = TrainingData("3f", (224, 224), 367)
        >>> dice, moving = (parse(TrialConfig, {"loss": loss}) for loss in (
        ...     {"end": "dice"}, {"kind": "naive", "start": "dice", "end": "ce"}))
        >>> [a == b for a, b in zip(trajectory_keys(dice, data), trajectory_keys(moving, data))].index(False)
        10
    """
    steps = steps_per_epoch(data.images(config.fold), config.training.batch_size)
    iterations = steps * config.training.epochs
    curves = [
        (_loss(component, config), component.weight(iterations))
        for component in sorted(config.components, key=lambda component: component.order)
    ]
    keys = [_hash(_text(_base(config, data)))]
    for epoch in range(config.training.epochs):
        first, last = epoch * steps, (epoch + 1) * steps - 1
        parts = [keys[-1].encode(), _learning_rates(config.training, steps, epoch)]
        for loss, curve in curves:
            weights = curve.over(first, last)
            if any(weights):
                parts += [loss, _numbers(weights)]
        keys.append(_hash(*parts))
    return tuple(keys)


def can_be_extended(config: TrialConfig, data: TrainingData) -> bool:
    """Whether a training with more epochs has this one for its beginning: whether nothing depends on their number."""
    longer = config.training.model_copy(update={"epochs": config.training.epochs + 1})
    return trajectory_keys(config.model_copy(update={"training": longer}), data)[-2] == trajectory_keys(config, data)[-1]


def final_key(keys: tuple[str, ...], config: TrialConfig) -> str:
    """The key of the results of a whole training; its logit adjustment depends on the metric that it was fitted for."""
    return f"{keys[-1]}{FINAL}{config.objective_metric}"


def shared_epochs(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """How many epochs two trainings have in common, from their keys."""
    different = (k for k, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return max(0, next(different, min(len(first), len(second))) - 1)


def _base(config: TrialConfig, data: TrainingData) -> Mapping[str, Any]:
    training, augmentation = config.training, config.augmentation
    on_gpu = training.device == "cuda"
    acw = config.acw_options
    drawn = sampling(training)
    return {
        "code": code_identity(),
        "data": [data.content, list(data.size), data.images(config.fold), config.fold or 0],
        "model": _model(config.model),
        "acw": [acw.positive, training.lr if acw.lr is None else acw.lr] if config.acw else None,
        "optimizer": [
            training.optimizer,
            training.lr,
            training.momentum if training.optimizer == "sgd" else None,
            training.weight_decay,
        ],
        "batch_size": training.batch_size,
        "seed": training.seed,
        "device": training.device,
        "threads": None if on_gpu else [training.threads, cpu_kind()],
        "precision": ("bfloat16" if on_gpu else "float32") if training.precision == "auto" else training.precision,
        "augmentation": {
            **augmentation.model_dump(mode="json"),
            "crop": list(augmentation.crop or data.size),
            "normalisation": augmentation.normalisation(data.channels),
            "mean": None,
            "std": None,
        },
        "evaluation": config.evaluation.model_dump(mode="json"),
        **({} if drawn is None else {"sampling": drawn}),
    }


def _model(config: ModelConfig) -> Mapping[str, Any]:
    values = config.model_dump(mode="json")
    if config.architecture in OWN_ARCHITECTURES:
        del values["encoder"]
    if isinstance(config.weights, Path):
        values["weights"] = {"content": weights_identity(config.weights)}
    return values


def weights_identity(path: Path) -> str:
    """A hash of the content of a file of weights.

    Raises:
        InputError: it cannot be read.
    """
    try:
        status = path.stat()
        return _content(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InputError(
            f"model.weights {path}: cannot be read ({error.strerror}); allowed are none, imagenet, coco and the path of a "
            f"file of weights"
        ) from error


@functools.lru_cache
def _content(path: Path, modified: int, size: int) -> str:  # other arguments where the file is another by now
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _loss(component: Component, config: TrialConfig) -> bytes:
    spec = get_spec(component.loss)
    weights = weighting(config.loss) if spec.class_weights in ("optional", "required") else None
    return _text([component.identity, weights, None if component.loss in LOSSES else _own_code(spec.implementation)])


@functools.lru_cache(maxsize=1024)
def _learning_rates(config: TrainingConfig, steps: int, epoch: int) -> bytes:
    return _numbers([learning_rate_factor(config, i, steps) for i in range(epoch * steps, (epoch + 1) * steps)])


def _numbers(values: list[float]) -> bytes:
    """The numbers to the last bit; one of them where all are equal."""
    return array("d", values[:1] if values.count(values[0]) == len(values) else values).tobytes()


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _hash(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


@functools.cache
def cpu_kind() -> str:
    """The processor of this machine, by which libraries choose their instructions, and thus the order of their sums."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:  # no Linux
        return platform.machine()
    entries = {name.strip(): value.split() for name, _, value in (line.partition(":") for line in first.splitlines())}
    flags = [flag for flag in entries.get("flags", entries.get("Features", [])) if flag.startswith(_INSTRUCTIONS)]
    return " ".join([platform.machine(), *(word for key in _PROCESSOR for word in entries.get(key, [])), *sorted(flags)])


@functools.cache
def _own_code(implementation: str) -> str:
    """A hash of the files in which a loss of the user's own is written and named; what these import is left out."""
    named = implementation.partition(":")[0]
    written = getattr(own.load(implementation, implementation), "__module__", named)
    digest = hashlib.blake2b(digest_size=16)
    for module in (named, written):
        if path := getattr(sys.modules.get(module), "__file__", None):
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()
