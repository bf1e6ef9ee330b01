"""The metrics by name, what each means and which way is better; :mod:`tune_seg.metrics` computes them.

It needs no torch, so that a configuration is checked, and results are shown, without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Metric:
    """A metric that is one number.

    Attributes:
        meaning: what it says; docs/metrics.md has it.
        maximise: whether larger is better.
        objective: whether a study may search for the best value of it.
        pooled: the metric of all pixels that stands for it where these are not known by image; None: itself.
        boundary: whether it is measured with `evaluation.boundary` alone.
    """

    meaning: str
    maximise: bool = True
    objective: bool = True
    pooled: str | None = None
    boundary: bool = False


CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {
        "s_rec": Metric("Harmonic mean of recall and calibration: high only when both are (Taubert, section 5.1)."),
        "s_acc": Metric("Harmonic mean of accuracy and calibration: high only when both are (Taubert, section 5.1)."),
        "recall": Metric(
            "The share of a class's pixels that is found, averaged over the classes: missing a rare class costs "
            "as much as missing a frequent one."
        ),
        "accuracy": Metric("The share of all pixels that are right: the frequent classes decide it."),
        "calibration": Metric("Whether outputs can be read as probabilities; 1 at best (Taubert eq. (7))."),
        "f1": Metric(
            "F1, averaged over the classes that occur. It is `nan` while one of them is never predicted: that is "
            "no fault in the results."
        ),
        "miou": Metric("Intersection over union, averaged over the classes that occur."),
        "mdice": Metric("Dice similarity, averaged over the classes that occur."),
        "group_recall": Metric(
            "The `recall` of each [group](#per-group-or-over-all-pixels) (patient, volume, sequence, or image), a mean over "
            "the groups: a small patient counts as much as a large one.",
            pooled="recall",
        ),
        "group_miou": Metric("The `miou` of each group, a mean over the groups.", pooled="miou"),
        "group_mdice": Metric("The `mdice` of each group, a mean over the groups.", pooled="mdice"),
        "boundary_f1": Metric(
            "How well the [outlines](#outlines) of the classes are met: F1 of their pixels, with a tolerance of 0.75 % of "
            "the image's diagonal, a mean over images and classes (Csurka et al. 2013).",
            pooled="mdice",
            boundary=True,
        ),
        "ece": Metric(
            "Expected calibration error: the gap between accuracy and the output of the predicted class, over ten "
            "equal bins of that output, weighted by their pixels (Guo et al. 2017).",
            maximise=False,
            objective=False,
        ),
        "sce": Metric(
            "Static calibration error: the same for the output of every class against the share of its pixels, a "
            "mean over the classes (Nixon et al. 2019).",
            maximise=False,
            objective=False,
        ),
        "ace": Metric(
            "Adaptive calibration error: as `sce`, with ten ranges that hold equally many pixels. Nearly all "
            "outputs of a rare class fall into the first equal bin; here they are looked at as closely as any. "
            "Two outputs count as equal if they differ by less than about 1 % (2^-7) of their distance from 0 or "
            "1 (Nixon et al. 2019).",
            maximise=False,
            objective=False,
        ),
        "brier": Metric(
            "Squared distance between the outputs and the one-hot truth, summed over the classes, a mean over "
            "pixels: 0 to 2 (Brier 1950).",
            maximise=False,
            objective=False,
        ),
        "nll": Metric(
            "Negative log-likelihood of the truth, a mean over pixels: what `ce` minimises.", maximise=False, objective=False
        ),
        "hd95": Metric(
            "How far the outlines of the classes are from the true ones, in pixels of `data.size`: the 95th percentile of "
            "their distances, a mean over images and classes.",
            maximise=False,
            objective=False,
            boundary=True,
        ),
    }
)
"""The metrics of :class:`tune_seg.metrics.SegmentationMetrics` that are one number, and those of
:class:`tune_seg.boundary.BoundaryMetrics`."""

METRICS = tuple(name for name, metric in CATALOGUE.items() if metric.objective)
"""What a study may maximise, also of outputs that were calibrated by a temperature."""

OBJECTIVES = (*METRICS, *(f"temperature/{name}" for name in METRICS))
"""The objectives of a study by name."""

RECORDED = tuple(name for name, metric in CATALOGUE.items() if not metric.objective)
"""The other ones: they are recorded, and smaller is better."""
