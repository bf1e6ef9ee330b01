"""When a session of a study ends that was given so many hours."""

import time
from dataclasses import dataclass

from tune_seg.config import StudyConfig
from tune_seg.study.budget import repeats_of
from tune_seg.study.search_space.space import Space


@dataclass(frozen=True)
class Deadline:
    """Until when trials may run, by :func:`time.monotonic`.

    Attributes:
        search: until when those of the search may.
        end: until when the repeats may, which make the answer sure.
    """

    search: float
    end: float

    @classmethod
    def of(cls, config: StudyConfig, space: Space, began: float) -> "Deadline | None":
        """That of a session which began at a time; None where the configuration sets no hours.

        The share of the trials that is kept for repeats is the share of the hours too.
        """
        if config.search.hours is None:
            return None
        seconds = 3600 * config.search.hours
        repeats = repeats_of(config, space)
        # of a grid the repeats are what is left of the trials, which the hours may leave without end
        share = (
            repeats / config.search.trials
            if config.search.sampler != "grid"
            else config.search.confirm.share * bool(repeats)
        )
        return cls(began + (1 - share) * seconds, began + seconds)


def time_for(seconds: float, until: float) -> bool:
    """Whether something that takes so many seconds would end in time."""
    return time.monotonic() + seconds <= until
