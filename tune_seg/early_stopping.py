"""Asynchronous successive halving (ASHA) that compares a trial only with trials of its own group.

A scheduled trial is still in its overlap phase when a static one has long been on cross entropy, so an intermediate
score says which of two trials is better only where both have the same kind of loss: the group is `loss.kind`.
"""

from collections.abc import Hashable

from tune_seg.config import EarlyStoppingConfig


class SuccessiveHalving:
    """ASHA's rule (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"), stopping variant.

    A trial that reaches a rung (grace, grace * factor, grace * factor^2, ... epochs) goes on if its score is among the
    best 1/factor of all scores that its group has seen at that rung, itself included.

    Args:
        config: grace period and reduction factor.
        epochs: the length of a full trial; a rung at or beyond it judges nobody.
    """

    def __init__(self, config: EarlyStoppingConfig, epochs: int) -> None:
        self._factor = config.reduction_factor
        self._rungs: list[int] = []
        rung = config.grace_epochs
        while config.kind == "asha" and rung < epochs:
            self._rungs.append(rung)
            rung *= config.reduction_factor
        self._seen: dict[tuple[Hashable, int], dict[int, float]] = {}

    def stops(self, group: Hashable, trial: int, epoch: int, score: float) -> bool:
        """Record the score (larger is better, nan is worst) of `trial` after `epoch` epochs; True if it should stop."""
        if epoch not in self._rungs:
            return False
        scores = self._seen.setdefault((group, epoch), {})
        scores[trial] = score if score == score else float("-inf")
        better = sum(other > scores[trial] for other in scores.values())
        return better >= max(1, len(scores) // self._factor)
