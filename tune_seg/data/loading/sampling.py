"""Which images an epoch of training is made of, where not each comes once: those of rare classes come more often.

An epoch has as many places as there are training images, whatever is drawn for them, so that learning rates and losses that
move mean the same for every sampling. What is drawn follows from the seed, the epoch and the pixels of each class in each
image alone.
"""

from collections import Counter
from dataclasses import replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from tune_seg.config import TrainingConfig
from tune_seg.data.packing.packed import PackedData, Pixels, Split, TrainingPixels

ORDER: Final = 0
"""The random stream of orders; that of the augmentation is 1."""
_ROUNDING: Final = 2
_DRAWS: Final = 3

Sampling = tuple[str, float | None]
"""`repeat_factor` with its threshold, or `class_balanced`."""

Floats = npt.NDArray[np.float64]
Order = npt.NDArray[np.int64]


class Sampler(Protocol):
    """Draws the images of an epoch, by their numbers.

    Attributes:
        times: float64 (images,), how many times an epoch has each image, on average.
    """

    times: Floats

    def order(self, seed: int, epoch: int) -> Order:
        """The images of an epoch (images,), in the order in which they are trained on."""


def sampling(config: TrainingConfig) -> Sampling | None:
    """How images are drawn, with what matters to that alone; None: each once an epoch.

    Example:
        >>> sampling(TrainingConfig(sampling="class_balanced")), sampling(TrainingConfig(repeat_threshold=0.1))
        (('class_balanced', None), None)
    """
    if config.sampling == "uniform":
        return None
    return config.sampling, config.repeat_threshold if config.sampling == "repeat_factor" else None


def build_sampler(how: Sampling | None, split: Split) -> Sampler | None:
    """What draws the images of a split; None where each comes once an epoch."""
    if how is None:
        return None
    _, threshold = how
    return ClassBalanced(split.class_pixels) if threshold is None else RepeatFactor(split.class_pixels, threshold)


def trained_on(how: Sampling | None, data: PackedData) -> TrainingPixels:
    """How the pixels of an epoch divide among the classes, on average."""
    sampler = build_sampler(how, data.train)
    if sampler is None:
        return data.trained_on
    pixels = data.train.class_pixels
    # no matrix product: its last bits depend on the number of threads
    drawn, times = pixels * sampler.times[:, None], sampler.times * pixels.sum(axis=1)
    return replace(data.trained_on, pixels=drawn.sum(axis=0), image_pixels=((pixels > 0) * times[:, None]).sum(axis=0))


def occurrences(order: Order) -> Order:
    """How often each sample of an order came before.

    Example:
        >>> occurrences(np.array([5, 7, 5, 5, 7])).tolist()
        [0, 0, 1, 2, 1]
    """
    before = Counter[int]()
    found = []
    for sample in order.tolist():
        found.append(before[sample])
        before[sample] += 1
    return np.array(found, np.int64)


class RepeatFactor:
    """Repeat factor sampling (Gupta, Dollár and Girshick 2019, LVIS, arXiv 1908.03195).

    A class c that a share f(c) of the images has, has the factor r(c) = max(1, sqrt(t / f(c))), and an image the largest of
    its classes. The images, each repeated by its factor, are shuffled; all of them being drawn, the next such list follows.
    In each list a factor of 1.3 is 1, or, in 3 of 10 lists, 2. So does detectron2's `RepeatFactorTrainingSampler`, the
    stream of which is cut here into epochs of equal length. Where no factor is above 1, every epoch is that of `uniform`.

    Args:
        class_pixels: (images, C), the pixels of each class.
        threshold: t.

    Example:
        >>> RepeatFactor(np.array([[9, 1], [9, 0], [9, 0], [9, 0]]), 1.0).factors.tolist()
        [2.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, class_pixels: Pixels, threshold: float) -> None:
        has = class_pixels > 0
        shares = has.mean(axis=0)
        of_classes = np.sqrt(np.maximum(1.0, threshold / np.where(shares > 0.0, shares, 1.0)))
        self.factors: Floats = np.where(has, of_classes, 1.0).max(axis=1)
        self.times: Floats = self.factors * (len(self.factors) / self.factors.sum())

    def order(self, seed: int, epoch: int) -> Order:
        images = len(self.factors)
        first, last = epoch * images, (epoch + 1) * images
        parts: list[Order] = []
        stop = number = 0
        while stop < last:
            start, repeats = stop, self._repeats(seed, number)
            stop += int(repeats.sum())
            if stop > first:
                repeated = np.repeat(np.arange(images), repeats)
                np.random.default_rng((ORDER, seed, number)).shuffle(repeated)
                parts.append(repeated[max(0, first - start) : last - start])
            number += 1
        return np.concatenate(parts)

    def _repeats(self, seed: int, number: int) -> Order:
        whole = np.floor(self.factors)
        chance = np.random.default_rng((_ROUNDING, seed, number)).random(len(whole))
        return (whole + (chance < self.factors - whole)).astype(np.int64)


class ClassBalanced:
    """For each place of an epoch a class, each as likely as the others, and an image that has it, again each as likely.

    Images are drawn with replacement: an epoch has some more than once, and others not. Shen et al. 2016 (arXiv 1512.05830)
    call it class-aware sampling, of images with one class each, and go through the images of a class in turn.

    Args:
        class_pixels: (images, C), the pixels of each class; a class without any is never drawn.

    Example:
        >>> ClassBalanced(np.array([[9, 1], [9, 0], [9, 0], [9, 0]])).times.tolist()
        [2.5, 0.5, 0.5, 0.5]
    """

    def __init__(self, class_pixels: Pixels) -> None:
        has = class_pixels > 0
        has = has[:, has.any(axis=0)]
        self._sizes = has.sum(axis=0)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._images = has.T.nonzero()[1]  # those that have the first class, those that have the second one, ...
        self.times: Floats = (has / self._sizes).mean(axis=1) * len(has)

    def order(self, seed: int, epoch: int) -> Order:
        rng = np.random.default_rng((_DRAWS, seed, epoch))
        classes = rng.integers(len(self._sizes), size=len(self.times))
        return self._images[self._starts[classes] + rng.integers(self._sizes[classes])]
