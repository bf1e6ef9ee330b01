"""Counts for each validation image, from which the metrics of any choice of the images follow.

They are what a bootstrap over images, or over patients, needs. Nothing here needs torch.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from tune_seg.errors import InputError

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_TEMPERATURE: Final = "temperature/"
_OF_CLASSES: Final = ("recall", "f1", "miou", "mdice")
GROUP_METRICS: Final = {"group_recall": "recall", "group_miou": "miou", "group_mdice": "mdice"}
"""Metrics that are a mean over groups, and which metric of each group that is."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Where the outputs of each image lie, in N equal bins.

    Attributes:
        outputs: int64 (images, N), the outputs of all pixels and classes in a bin.
        gaps: float64 (images, N), the sum over these of output minus truth.
        positives: int64 (images, N), how many of them are of the true class; None: counted before that was kept.
    """

    outputs: Counts
    gaps: Floats
    positives: Counts | None = None


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """The counts of one model over the validation images, in their order.

    An older version kept neither `confusion` nor the `positives`; to keep some of them alone is a fault.

    Attributes:
        hits, truths, predictions: int64 (images, C), pixels of a class that are found, that there are, that are predicted.
        raw: the outputs of the model.
        scaled: the same with the temperature that was fitted on the half of the images that an image is not in.
        background: the class that `miou` and `mdice` leave out.
        half: int64 (images,), 0 or 1, the half of the images that each is in; None: all are in one. The calibration with a
            temperature is the mean of the halves.
        confusion: int64 (C, C) [truth, prediction], pixels of all images together; None: counted before that was kept.
    """

    hits: Counts
    truths: Counts
    predictions: Counts
    raw: Reliability
    scaled: Reliability
    background: int | None = None
    half: Counts | None = None
    confusion: Counts | None = None

    def __len__(self) -> int:
        return len(self.hits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageCounts) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def score(self, name: str, weights: Floats | Counts | None = None) -> Floats:
        """A metric over choices of the images, as :class:`tune_seg.metrics.SegmentationMetrics` defines it.

        Args:
            name: `s_rec`, `temperature/s_rec` or another of accuracy, recall, f1, miou, mdice, calibration, s_acc, s_rec;
                `group_recall`, `group_miou`, `group_mdice`: each image is taken for a group, so ask :meth:`of_groups`;
                `recall/3`: the recall of class 3, nan where no pixel of it was chosen.
            weights: (choices, images), how often each image counts; None: a single choice, every image once.

        Returns:
            float64 (choices,); nan where no valid pixel was chosen.

        Raises:
            InputError: the metric does not follow from the counts.

        Example:
            >>> one = np.array([[3, 1]])
            >>> sure = Reliability(np.array([[4, 4]]), np.array([[0.0, 0.0]]))
            >>> ImageCounts(one, np.array([[4, 1]]), np.array([[3, 2]]), sure, sure).score("recall")
            array([0.875])
        """
        chosen = np.ones((1, len(self))) if weights is None else np.asarray(weights, np.float64)
        metric = name.removeprefix(_TEMPERATURE)
        with_temperature = name.startswith(_TEMPERATURE)
        if metric in ("s_acc", "s_rec"):
            share = self._of_classes("accuracy" if metric == "s_acc" else "recall", chosen)
            return _harmonic_mean(self._calibration(chosen, with_temperature), share)
        return self._calibration(chosen, with_temperature) if metric == "calibration" else self._of_classes(metric, chosen)

    def of_groups(self, groups: npt.NDArray[np.integer]) -> "ImageCounts":
        """The same counted by group, such as a patient: `groups` (images,) has the number of each image's group, from 0."""

        def summed(reliability: Reliability) -> Reliability:
            positives = None if reliability.positives is None else _by_group(reliability.positives, groups)
            return Reliability(_by_group(reliability.outputs, groups), _by_group(reliability.gaps, groups), positives)

        hits, truths, predictions = (_by_group(each, groups) for each in (self.hits, self.truths, self.predictions))
        half = None if self.half is None else self.half[np.unique(groups, return_index=True)[1]]
        raw, scaled = summed(self.raw), summed(self.scaled)
        return ImageCounts(hits, truths, predictions, raw, scaled, self.background, half, self.confusion)

    def _calibration(self, weights: Floats, with_temperature: bool) -> Floats:
        if not with_temperature:
            return _calibration(self.raw, weights)
        if self.half is None:
            return _calibration(self.scaled, weights)
        both = np.array([_calibration(self.scaled, weights * (self.half == half)) for half in (0, 1)])
        known = ~np.isnan(both)  # a half without a chosen pixel says nothing
        return np.where(known, both, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)  # type: ignore[no-any-return]

    def _of_classes(self, metric: str, weights: Floats) -> Floats:
        pixels = self.hits, self.truths, self.predictions
        if metric in GROUP_METRICS:
            return mean_over_groups(metric, *pixels, background=self.background, weights=weights)
        hits, truths, predictions = (weights @ each for each in pixels)
        if metric in _OF_CLASSES:
            return _mean_over_classes(metric, hits, truths, predictions, self.background)
        with np.errstate(divide="ignore", invalid="ignore"):
            if metric == "accuracy":
                return hits.sum(axis=1) / truths.sum(axis=1)  # type: ignore[no-any-return]
            if metric in (f"recall/{c}" for c in range(hits.shape[1])):
                of_class = int(metric.removeprefix("recall/"))
                return hits[:, of_class] / truths[:, of_class]  # type: ignore[no-any-return]
        raise InputError(
            f"{metric} does not follow from the counts of images; known are accuracy, recall, recall/CLASS, f1, miou, "
            f"mdice, calibration, s_acc, s_rec, {', '.join(GROUP_METRICS)}, each also after temperature/"
        )

    def to_bytes(self) -> bytes:
        """The counts as a compressed file, in NumPy's format."""
        with io.BytesIO() as file:
            np.savez_compressed(file, **_arrays(self))
            return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What :meth:`to_bytes` has made.

        Raises:
            ValueError: it is something else, or damaged.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                hits, truths, predictions = (file[name].astype(np.int64) for name in ("hits", "truths", "predictions"))
                raw, scaled = (_reliability(file, name) for name in ("raw", "scaled"))
                background, half = int(file["background"]), file["half"].astype(np.int64)
                confusion = _if_kept(file, "confusion")
                if set(file) not in (_NAMES, _NAMES - _NEWER):  # the directory of the file is damaged
                    raise ValueError(f"counts are missing: {set(file) ^ _NAMES}")
        except Exception as error:  # of zip files alone, damage has seven classes of errors
            raise ValueError(f"these are no counts of images ({error!r})") from error
        of_images = half if half.size else None
        return cls(hits, truths, predictions, raw, scaled, None if background < 0 else background, of_images, confusion)


def mean_over_groups(
    metric: str, hits: Counts, truths: Counts, predictions: Counts, *, background: int | None, weights: Floats | Counts
) -> Floats:
    """One of :data:`GROUP_METRICS` over choices of the groups, as :class:`tune_seg.metrics.SegmentationMetrics` defines it.

    Args:
        metric: its name.
        hits, truths, predictions: (groups, C), as in :class:`ImageCounts`.
        background: the class that `group_miou` and `group_mdice` leave out.
        weights: (choices, groups), how often each group counts.

    Returns:
        float64 (choices,); nan where no chosen group has a class that counts.

    Example:
        >>> hits, truths = np.array([[9, 0], [1, 2], [0, 0]]), np.array([[9, 0], [1, 8], [0, 0]])
        >>> mean_over_groups("group_recall", hits, truths, hits, background=None, weights=np.ones((1, 3)))
        array([0.8125])
    """
    of_each = _mean_over_classes(GROUP_METRICS[metric], hits, truths, predictions, background)
    known = ~np.isnan(of_each)
    total, groups = weights @ np.where(known, of_each, 0.0), weights @ known.astype(np.float64)
    mean: Floats = np.divide(total, groups, out=np.full(len(groups), np.nan), where=groups > 0)
    return mean


def _mean_over_classes(
    metric: str,
    hits: npt.NDArray[Any],
    truths: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    background: int | None,
) -> Floats:
    """One of :data:`_OF_CLASSES` of each row of the counts (rows, C), over the classes that occur there; nan without one."""
    seen = truths > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "recall":
            return _mean(hits / truths, seen)
        if metric == "f1":
            return _mean(np.where(predictions > 0, 2 * hits / (truths + predictions), np.nan), seen)
        if background is not None:
            seen = seen & (np.arange(seen.shape[1]) != background)
        if metric == "miou":
            return _mean(hits / (truths + predictions - hits), seen)
        return _mean(2 * hits / (truths + predictions), seen)


def _by_group(of_images: npt.NDArray[Any], groups: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    total = np.zeros((int(groups.max()) + 1, of_images.shape[1]), of_images.dtype)
    np.add.at(total, groups, of_images)
    return total


_NEWER: Final = {"confusion", "raw_positives", "scaled_positives"}
"""What older versions did not keep."""
_NAMES: Final = (
    {"background", "half", "hits", "truths", "predictions"}
    | {f"{reliability}_{what}" for reliability in ("raw", "scaled") for what in ("outputs", "gaps")}
    | _NEWER
)
"""What a file has."""


def _arrays(counts: ImageCounts) -> dict[str, Any]:
    arrays: dict[str, Any] = {"background": -1 if counts.background is None else counts.background}
    arrays["half"] = np.array([] if counts.half is None else counts.half, np.int8)
    for name in ("hits", "truths", "predictions"):
        arrays[name] = _small(getattr(counts, name))
    for name in ("raw", "scaled"):
        reliability: Reliability = getattr(counts, name)
        arrays[f"{name}_outputs"] = _small(reliability.outputs)
        arrays[f"{name}_gaps"] = reliability.gaps.astype(np.float32)
        if reliability.positives is not None:
            arrays[f"{name}_positives"] = _small(reliability.positives)
    if counts.confusion is not None:
        arrays["confusion"] = _small(counts.confusion)
    return arrays


def _small(counts: Counts) -> npt.NDArray[np.integer]:
    return counts.astype(np.int32) if counts.max(initial=0) < 2**31 else counts


def _reliability(file: Mapping[str, npt.NDArray[Any]], name: str) -> Reliability:
    outputs, gaps = file[f"{name}_outputs"].astype(np.int64), file[f"{name}_gaps"].astype(np.float64)
    return Reliability(outputs, gaps, _if_kept(file, f"{name}_positives"))


def _if_kept(file: Mapping[str, npt.NDArray[Any]], name: str) -> Counts | None:
    """Counts that older versions did not keep."""
    return file[name].astype(np.int64) if name in file else None


def _calibration(reliability: Reliability, weights: Floats) -> Floats:
    """Taubert eq. (7); an empty bin adds 0."""
    outputs, gaps = weights @ reliability.outputs, np.abs(weights @ reliability.gaps)
    errors = np.divide(gaps, outputs, out=np.zeros_like(gaps), where=outputs > 0)
    calibration = 1 - 4 / outputs.shape[1] * errors.sum(axis=1)
    return np.where(outputs.sum(axis=1) > 0, calibration, np.nan)


def _mean(values: Floats, seen: npt.NDArray[np.bool_]) -> Floats:
    """The mean over the classes that are seen; nan where none is, or where one of them is nan."""
    total = np.where(seen, values, 0.0).sum(axis=1)
    return total / seen.sum(axis=1)  # type: ignore[no-any-return]


def _harmonic_mean(calibration: Floats, share: Floats) -> Floats:
    good = (calibration > 0) & (share != 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = 2 * calibration * share / (calibration + share)
    undefined = np.isnan(calibration) | np.isnan(share)
    return np.where(undefined, np.nan, np.where(good, mean, 0.0))
