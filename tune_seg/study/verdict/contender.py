"""What is compared: configurations with their repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from tune_seg.errors import InputError
from tune_seg.image_counts import ImageCounts

Floats = npt.NDArray[np.float64]
Key = tuple[int, int | None]
"""A seed and a fold."""

RESAMPLES: Final = 1000
"""Bootstrap samples of the images. The standard error that they give is itself known to 2 per cent."""


@dataclass(frozen=True, eq=False)
class Repeat:
    """One training of a configuration.

    Attributes:
        seed: the seed of the training.
        fold: which fold validates; None: there are no folds.
        scores: the value of each metric over all validation images. `recall/3` is the recall of class 3.
        images: the counts of the units that are independent of one another: patients or sequences where the data has such
            groups (:meth:`tune_seg.image_counts.ImageCounts.of_groups`), images otherwise. None: unknown.
        diverged: whether the training diverged, so that its scores are what that is worth.
    """

    seed: int
    fold: int | None
    scores: Mapping[str, float]
    images: ImageCounts | None = None
    diverged: bool = False
    _resampled: dict[str, Floats | None] = field(default_factory=dict, repr=False, init=False)

    @property
    def key(self) -> Key:
        """What it has in common with the repeats of other configurations."""
        return self.seed, self.fold

    def resampled(self, metric: str) -> Floats | None:
        """The metric over each bootstrap sample of the images: float64 (RESAMPLES,), or None where it is unknown.

        The samples depend on the fold and the number of images alone: two repeats on the same images get the same ones.
        """
        if metric not in self._resampled:
            self._resampled[metric] = self._resample(metric)
        return self._resampled[metric]

    def _resample(self, metric: str) -> Floats | None:
        if self.images is None or len(self.images) < 2:
            return None
        try:
            return self.images.score(metric, bootstrap_weights(len(self.images), self.fold))
        except InputError:  # the metric does not follow from the counts
            return None


@dataclass(frozen=True, eq=False)
class Contender:
    """A configuration: what a trial is without its seed and its fold.

    Attributes:
        id: what it is known by.
        name: what a reader calls it.
        simplicity: smaller is simpler (:func:`tune_seg.study.verdict.simplicity.simplicity`).
        repeats: its trainings, by seed and fold.
    """

    id: str
    name: str
    simplicity: tuple[int, ...]
    repeats: Mapping[Key, Repeat]


def common_keys(contenders: Sequence[Contender], metric: str) -> list[Key]:
    """The seeds and folds on which all of them have a value of the metric, in order."""
    keys = set.intersection(
        *({key for key, repeat in each.repeats.items() if _known(repeat, metric)} for each in contenders)
    )
    return sorted(keys, key=lambda key: (key[0], -1 if key[1] is None else key[1]))


def _known(repeat: Repeat, metric: str) -> bool:
    return bool(np.isfinite(repeat.scores.get(metric, np.nan)))


@lru_cache(maxsize=32)
def bootstrap_weights(images: int, fold: int | None) -> Floats:
    """How often each image is drawn in each bootstrap sample: float64 (RESAMPLES, images)."""
    generator = np.random.default_rng([images, 0 if fold is None else fold + 1])
    return generator.multinomial(images, np.full(images, 1 / images), size=RESAMPLES).astype(np.float64)
