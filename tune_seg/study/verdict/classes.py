"""The classes that a configuration misses, and what a table shows beside the objective."""

from typing import Final

import numpy as np

from tune_seg.study.verdict.contender import Contender, common_keys

FOUND: Final = 0.25
"""A class is found from this recall on, as a mean over the repeats. With less, three of four of its pixels are missed: an
object is hit here and there rather than seen. Recalls of a few per cent come from chance alone."""
_RECALL: Final = "recall/"
_TEMPERATURE: Final = "temperature/"


def missed_classes(contender: Contender) -> dict[int, float]:
    """The classes that it does not find, by number, each with its mean recall; classes without pixels have none."""
    names = {name for repeat in contender.repeats.values() for name in repeat.scores if name.startswith(_RECALL)}
    recalls = {int(name.removeprefix(_RECALL)): mean_score(contender, name) for name in names}
    return {number: recall for number, recall in sorted(recalls.items()) if recall < FOUND}


def metrics_beside(objective: str, reference: Contender) -> tuple[str, ...]:
    """Recall, accuracy, calibration with a temperature, which is free, and the recall of what the reference misses.

    One temperature changes neither recall nor accuracy.
    """
    names = ("recall", "accuracy", f"{_TEMPERATURE}calibration")
    shown = (name for name in names if name not in (objective, objective.removeprefix(_TEMPERATURE)))
    return (*shown, *(f"{_RECALL}{number}" for number in missed_classes(reference)))


def mean_score(contender: Contender, metric: str) -> float:
    """The mean of a metric over the repeats that have it; nan where none has."""
    keys = common_keys([contender], metric)
    return float(np.mean([contender.repeats[key].scores[metric] for key in keys])) if keys else float("nan")
