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
        meaning: what it says, in one sentence.
        maximise: whether larger is better.
        objective: whether a study may search for the best value of it.
    """

    meaning: str
    maximise: bool = True
    objective: bool = True


CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {
        "s_rec": Metric("Harmonic mean of recall and calibration (Taubert, section 5.1)."),
        "s_acc": Metric("Harmonic mean of accuracy and calibration (Taubert, section 5.1)."),
        "recall": Metric("The share of a class's pixels that is found, averaged over the classes that occur."),
        "accuracy": Metric("The share of all pixels whose class is predicted."),
        "calibration": Metric("How well outputs can be read as probabilities; 1 at best (Taubert eq. (7))."),
        "f1": Metric("F1 averaged over the classes that occur; nan where one of them is never predicted."),
        "miou": Metric("Intersection over union, averaged over the classes that occur."),
        "mdice": Metric("Dice similarity, averaged over the classes that occur."),
        "ece": Metric(
            "Expected calibration error, of the output of the predicted class (Guo et al. 2017).",
            maximise=False,
            objective=False,
        ),
        "sce": Metric(
            "Static calibration error, of the outputs of all classes (Nixon et al. 2019).", maximise=False, objective=False
        ),
        "ace": Metric(
            "Adaptive calibration error: as `sce`, in ranges that hold equally many pixels (Nixon et al. 2019).",
            maximise=False,
            objective=False,
        ),
        "brier": Metric(
            "Squared distance between the outputs and the one-hot truth, a mean over pixels (Brier 1950).",
            maximise=False,
            objective=False,
        ),
        "nll": Metric("Negative log-likelihood of the truth, a mean over pixels.", maximise=False, objective=False),
    }
)
"""The metrics of :class:`tune_seg.metrics.SegmentationMetrics` that are one number."""

METRICS = tuple(name for name, metric in CATALOGUE.items() if metric.objective)
"""What a study may maximise, also of outputs that were calibrated by a temperature."""

OBJECTIVES = (*METRICS, *(f"temperature/{name}" for name in METRICS))
"""The objectives of a study by name."""

CALIBRATION_ERRORS = tuple(name for name, metric in CATALOGUE.items() if not metric.objective)
"""The other ones: they are recorded, and smaller is better."""
