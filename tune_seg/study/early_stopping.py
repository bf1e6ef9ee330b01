"""Which trials are not worth their remaining epochs: a trial is stopped when enough others did better after as many epochs.

Losses differ in what their scores mean while they train. Under an overlap loss outputs are no probabilities yet, and a
weight that still moves changes the score by itself. So the rule `settled` compares a trial only once its loss is about the
one that it ends with, and only with trials of which that is true as well. `scripts/bench/README.md` has the evidence.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tune_seg.config import EarlyStoppingConfig, TrialConfig

_GRACE = 0.4
"""Default grace period, as a share of all epochs. Earlier, fast-learning losses lead although they do not win."""

_MIN_FINAL_SHARE = 0.75
"""A loss is settled when at least this share of it is the loss of the last epoch."""

_MIN_COMPARED_TRIALS = 4
"""Trials, the judged one included, that a comparison needs."""


@dataclass(frozen=True)
class Course:
    """What early stopping knows of a trial beside its scores.

    Attributes:
        keys: what its trajectory is called after 0, 1, ... epochs (:func:`tune_seg.training.trajectory.trajectory_keys`).
        settles: the epoch (from 1) from which on its loss is settled, see :func:`settles`.
        fold: the fold in which it validates, of data in folds.
    """

    keys: Sequence[str]
    settles: int
    fold: int | None = None


class EarlyStopping:
    """Compares the scores of trials after equally many epochs.

    - `settled`: after every epoch from `grace_epochs` on, a trial whose loss is settled goes on if it is among the best
      1/reduction_factor of all whose loss was settled by then. Fewer than four are not compared.
    - `asha`: after grace, grace * factor, grace * factor^2, ... epochs a trial goes on if it is among the best
      1/reduction_factor of all (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", stopping variant).
    - `none`: every trial goes on.

    Trials on different folds are not compared: the images of one may be harder than those of another. Trials that have
    trained the same so far have the same score: they count once. What is known after any results does not
    depend on the order in which these came.

    Args:
        config: the rule, its grace period and reduction factor.
        epochs: the length of a full trial; nobody is stopped after its last epoch.
    """

    def __init__(self, config: EarlyStoppingConfig, epochs: int) -> None:
        self._kind = config.kind
        self._factor = config.reduction_factor
        self._judged = frozenset(_judged(config, epochs))
        self._seen: set[str] = set()
        self._scores: defaultdict[tuple[int, int], list[float]] = defaultdict(list)  # by fold and epoch

    def judges(self, epoch: int) -> bool:
        """Whether trials are compared after `epoch` epochs."""
        return epoch in self._judged

    def stops(self, trial: Course, epoch: int, score: float) -> bool:
        """Take note of the score of `trial` after `epoch` epochs (nan is the worst); whether it should stop."""
        if not self.judges(epoch) or (self._kind == "settled" and epoch < trial.settles):
            return False
        score = score if score == score else float("-inf")
        scores = self._scores[trial.fold or 0, epoch]
        if trial.keys[epoch] not in self._seen:
            self._seen.add(trial.keys[epoch])
            insort(scores, score)
        better = len(scores) - bisect_right(scores, score)
        if self._kind == "asha":
            return better >= max(1, len(scores) // self._factor)
        return len(scores) >= _MIN_COMPARED_TRIALS and better * self._factor >= len(scores)


def settles(config: TrialConfig) -> int:
    """The epoch (from 1) from which on the loss is settled: three quarters of it are the loss of the last epoch.

    A static or compound loss is settled from the start, a naive one when a quarter is left of its way.

    Example:
        >>> from tune_seg.config import parse
        >>> loss = {"kind": "naive", "start": "dice", "end": "ce"}  # it moves from 0.3 to 0.9 of the training
        >>> settles(parse(TrialConfig, {"training": {"epochs": 10}, "loss": loss}))
        8
    """
    shares = final_shares(config)
    return max((epoch + 1 for epoch, share in enumerate(shares, start=1) if share < _MIN_FINAL_SHARE), default=1)


def final_shares(config: TrialConfig) -> list[float]:
    """For each epoch the share in [0, 1] of the active loss that is also part of the last epoch's.

    Each loss of a sum counts by its share of all weights, taken in the middle of the epoch.
    """
    epochs = config.training.epochs
    # positions in epochs, as if each were one iteration
    curves = [(component.identity, component.weight(epochs)) for component in config.components]
    mixtures = [_mixture([(loss, curve(epoch + 0.5)) for loss, curve in curves]) for epoch in range(epochs)]
    return [sum(min(share, mixtures[-1][loss]) for loss, share in mixture.items()) for mixture in mixtures]


def _mixture(weights: Sequence[tuple[str, float]]) -> dict[str, float]:
    """The share of each loss, where one loss can have several weights."""
    total = sum(weight for _, weight in weights) or 1.0
    mixture = dict.fromkeys((loss for loss, _ in weights), 0.0)
    for loss, weight in weights:
        mixture[loss] += weight / total
    return mixture


def _judged(config: EarlyStoppingConfig, epochs: int) -> Iterator[int]:
    """The epochs after which trials are compared; the last is none of them."""
    epoch = config.grace_epochs or max(1, round(_GRACE * epochs))
    while epoch < epochs and config.kind != "none":
        yield epoch
        epoch = epoch * config.reduction_factor if config.kind == "asha" else epoch + 1
