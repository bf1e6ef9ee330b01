"""What a search believes of configurations that it has not tried: Gaussian process regression over assignments.

Two assignments are as alike as their keys are. What a key contributes is learnt; a key that both lack makes no difference.
The covariance is a sum: main effects, one a key, which a few trials tell, and the product of all, for what they do together
(Duvenaud et al. 2011, "Additive Gaussian Processes"). The scale of every key and the noise are those of the largest
posterior density, found by a pattern search from where they were before.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from tune_seg.study.bayes.encoding import INACTIVE

_STEPS: Final = (1.0, 0.4)
"""How far the pattern search steps, as a natural logarithm."""
_SCALE_PRIOR: Final = (0.0, 1.2)
"""Mean and standard deviation of the logarithm of how much a key matters."""
_VARIANCE_PRIOR: Final = (-1.0, 1.0)
"""The same of either part's share of the variance of all scores."""
_NOISE_PRIOR: Final = (-2.0, 1.0)
"""The same of the noise's."""
_JITTER: Final = 1e-6


@dataclass(frozen=True)
class Belief:
    """What is believed of the scores of N configurations.

    Attributes:
        mean: shape (N,).
        deviation: the standard deviation of what each would score on average over seeds, shape (N,).
    """

    mean: np.ndarray
    deviation: np.ndarray


class Surrogate:
    """Gaussian process regression.

    Args:
        of_choices: which of the K columns are choices, shape (K,).

    Attributes:
        parameters: the logarithms of the scale of each key, of the variances of the main effects and of the product, and of
            that of the noise, shape (K + 3,). The variances are shares of that of the scores.
        spread: the standard deviation of the scores that were learnt from.
    """

    def __init__(self, of_choices: np.ndarray) -> None:
        self._of_choices = of_choices
        keys = len(of_choices)
        self.parameters = np.array([*[_SCALE_PRIOR[0]] * keys, *[_VARIANCE_PRIOR[0]] * 2, _NOISE_PRIOR[0]])
        self._means = self.parameters.copy()
        self._deviations = np.array([*[_SCALE_PRIOR[1]] * keys, *[_VARIANCE_PRIOR[1]] * 2, _NOISE_PRIOR[1]])
        self._rows = np.empty((0, keys))
        self._extra = np.empty(0)
        self._centre, self.spread = 0.0, 1.0

    @property
    def noise(self) -> float:
        """The standard deviation of a single score about what its configuration scores on average over seeds."""
        return float(np.exp(0.5 * self.parameters[-1])) * self.spread

    def learn(self, rows: np.ndarray, scores: np.ndarray, extra: np.ndarray, *, tune: bool = True) -> None:
        """Take in what is known of N trainings, in place of what was known before.

        Args:
            rows: their assignments, shape (N, K).
            scores: what each scored, shape (N,).
            extra: the variance that a score has beyond the noise, shape (N,): of one that was foreseen from a part of the
            training. tune: adapt the scales and the noise as well.
        """
        self._rows = rows
        self._centre, self.spread = float(scores.mean()), float(scores.std()) or 1.0
        self._targets = (scores - self._centre) / self.spread
        self._extra = extra / self.spread**2 + _JITTER
        likeness = _Likeness(rows, rows, self._of_choices, self.parameters[:-3])
        if tune:
            self._tune(likeness)
        self._factor = self._factored(likeness, self.parameters)
        self._weights = cho_solve((self._factor, True), self._targets, check_finite=False)

    def believe(self, rows: np.ndarray) -> Belief:
        """What is believed of other configurations, of which `rows` are the assignments, shape (M, K)."""
        likeness = _Likeness(rows, self._rows, self._of_choices, self.parameters[:-3])
        across = likeness.covariance(self.parameters[-3:-1])
        mean = across @ self._weights
        solved = solve_triangular(self._factor, across.T, lower=True, check_finite=False)
        prior = np.exp(self.parameters[-3:-1]).sum()
        variance = np.maximum(prior - np.einsum("nm,nm->m", solved, solved), 1e-12)
        return Belief(mean * self.spread + self._centre, np.sqrt(variance) * self.spread)

    def _tune(self, likeness: "_Likeness") -> None:
        best = self._density(likeness, self.parameters)
        for step in _STEPS:
            for place in range(len(self.parameters)):
                for move in (step, -step):
                    moved = self.parameters.copy()
                    moved[place] += move
                    before = likeness.scale(place, moved[place]) if place < len(self._of_choices) else None
                    density = self._density(likeness, moved)
                    if density > best:
                        self.parameters, best = moved, density
                        break
                    if before is not None:
                        likeness.restore(place, before)

    def _density(self, likeness: "_Likeness", parameters: np.ndarray) -> float:
        """The logarithm of the posterior density of the parameters, but for a constant."""
        factor = self._factored(likeness, parameters)
        solved = solve_triangular(factor, self._targets, lower=True, check_finite=False)
        probability = -0.5 * float(solved @ solved) - float(np.log(np.diag(factor)).sum())
        return probability - 0.5 * float((((parameters - self._means) / self._deviations) ** 2).sum())

    def _factored(self, likeness: "_Likeness", parameters: np.ndarray) -> np.ndarray:
        covariance = likeness.covariance(parameters[-3:-1])
        covariance.flat[:: len(covariance) + 1] += np.exp(parameters[-1]) + self._extra
        factor: np.ndarray = np.linalg.cholesky(covariance)
        return factor


class _Likeness:
    """How alike N rows are to M others, key by key, so that changing the scale of one key costs no more than that key.

    Of a choice two values are apart by 0 or 1, of a range by four times the square of the difference. A row that does not
    have a range is taken to lie in its middle: a choice then tells it apart already.

    Args:
        rows: shape (N, K).
        others: shape (M, K).
        of_choices: which of the columns are choices, shape (K,).
        scales: the logarithm of the scale of each key, shape (K,).
    """

    def __init__(self, rows: np.ndarray, others: np.ndarray, of_choices: np.ndarray, scales: np.ndarray) -> None:
        self._of_choices = of_choices
        self._apart: list[np.ndarray] = []
        for column, of_others, choice in zip(rows.T, others.T, of_choices, strict=True):
            if choice:
                self._apart.append((column[:, None] != of_others).astype(float))
            else:
                a, b = (np.where(each == INACTIVE, 0.5, each) for each in (column, of_others))
                self._apart.append(4.0 * (a[:, None] - b) ** 2)
        self._scaled = [np.exp(scale) * apart for scale, apart in zip(scales, self._apart, strict=True)]
        self._alike = [self._likeness(key, scale) for key, scale in enumerate(scales)]
        self._sum = np.sum(self._scaled, axis=0)
        self._main = np.sum(self._alike, axis=0)

    def _likeness(self, key: int, scale: float) -> np.ndarray:
        if self._of_choices[key]:  # exp of 0 or of one other number
            alike: np.ndarray = 1.0 - (1.0 - np.exp(-np.exp(scale))) * self._apart[key]
            return alike
        return np.exp(-np.exp(scale) * self._apart[key])

    def scale(self, key: int, scale: float) -> tuple[np.ndarray, ...]:
        """Change the logarithm of a key's scale; what :meth:`restore` takes to have it as it was."""
        before = self._scaled[key], self._alike[key], self._sum, self._main
        scaled = np.exp(scale) * self._apart[key]
        alike = self._likeness(key, scale)
        self._sum, self._main = self._sum - before[0] + scaled, self._main - before[1] + alike
        self._scaled[key], self._alike[key] = scaled, alike
        return before

    def restore(self, key: int, before: tuple[np.ndarray, ...]) -> None:
        """Take a change back."""
        self._scaled[key], self._alike[key], self._sum, self._main = before

    def covariance(self, variances: np.ndarray) -> np.ndarray:
        """Shape (N, M), from the logarithms of the variances of the main effects and of the product."""
        main, product = np.exp(variances)
        covariance: np.ndarray = main / len(self._apart) * self._main + product * np.exp(-self._sum)
        return covariance
