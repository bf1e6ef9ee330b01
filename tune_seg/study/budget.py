"""How the trials of a study divide into its search and the repeats that make its answer sure."""

import math
from typing import Any, Final

from tune_seg.config import ConfirmConfig, StudyConfig
from tune_seg.study.configurations import REPEATED, is_plain_cross_entropy
from tune_seg.study.search_space.space import Space

_FULL_SHARE: Final = 20
"""Trials from which on the whole share of them is kept for repeats."""
_NO_SHARE: Final = 5
"""Trials of which none is kept: the search needs them all."""
_MIN_REPEATS: Final = 4
"""Two seeds of two configurations: with fewer repeats nothing can be said."""


def repeats_of(config: StudyConfig, space: Space) -> int:
    """How many of the trials of a study are kept to repeat the best; the others search.

    Of a grid all points come first, as far as the trials go, and what is left of the trials is for repeats.
    """
    trials, settings = config.search.trials, config.search.confirm
    if all(map(is_plain_cross_entropy, space.probes)):
        return 0  # it has nothing that could be compared with plain cross entropy
    if config.search.sampler != "grid":
        return repeats_of_trials(trials, settings)
    if REPEATED & {each.key for each in space.varied} or not settings.share:
        return 0  # a grid over seeds or folds repeats its configurations itself
    left = trials - len(grid_trials(config, space))
    return min(left, most_repeats(settings)) if left >= _MIN_REPEATS else 0


def repeats_of_trials(trials: int, settings: ConfirmConfig) -> int:
    """How many of so many trials are kept, where the search may have any number of them."""
    share = settings.share * min(1.0, max(0.0, (trials - _NO_SHARE) / (_FULL_SHARE - _NO_SHARE)))
    repeats = min(math.floor(share * trials), trials - 1)
    return repeats if repeats >= _MIN_REPEATS else 0


def most_repeats(settings: ConfirmConfig) -> int:
    """How many repeats there can be: every seed of every finalist and of plain cross entropy."""
    return (settings.finalists + 1) * settings.max_seeds


def grid_trials(config: StudyConfig, space: Space) -> list[dict[str, Any]]:
    """All that a grid can try: the baselines, and the points that none of them is."""
    return [*config.baselines, *(point for point in space.enumerate() if point not in config.baselines)]
