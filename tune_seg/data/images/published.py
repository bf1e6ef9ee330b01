"""The classes of masks that lie as in a published set, and may be of another: no class gets the name of another's.

Some images of a published set lack any of its classes. Somebody's own classes are numbered from 0 without a gap.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tune_seg.data.images.scan import Scan
from tune_seg.data.labels import Labels

_LEAST_SHARE = 0.5


class PublishedOrFound(Scan):
    """The published classes where the masks hold all, or most with a gap, and no other value; else what a scan finds.

    Args:
        found: the scan.
        published: the published classes.
        what: the name of the published set.
    """

    def __init__(self, found: Scan, published: Labels, what: str) -> None:
        super().__init__(found._masks, found._ignore_label, found._folder)
        self._scan, self._published, self._what = found, published, what
        self._other, self._lacking = False, 0

    @property
    def notes(self) -> tuple[str, ...]:
        names = "--set 'data.classes=[background, ...]', or in classes.txt beside the folders"
        if not self._other:
            if not self._lacking:
                return ()
            return (
                f"The folders and the values in the masks fit {self._what}, so its class names are taken, although "
                f"{self._lacking} of its classes are in no mask; name others with {names}.",
            )
        return (
            f"The folders are those of {self._what}, but the values in the masks seem to be other classes than its "
            f"{len(self._published.indices)}, so they are not given their names; name them with {names}.",
            *self._scan.notes,
        )

    def _read(self, progress: Callable[[int], None] | None) -> Labels:
        found = self._scan.labels(progress)
        held = found.indices.keys() - self._published.ignored
        known = self._published.indices.keys()
        numbered = held != known and held == set(range(len(held)))
        self._other = not held <= known or numbered or len(held) < _LEAST_SHARE * len(known)
        self._lacking = len(known - held)
        return found if self._other else self._published

    def values_in(self, mask: Path) -> frozenset[int] | None:
        return self._scan.values_in(mask)

    def of_some(self, masks: set[Path]) -> "PublishedOrFound":
        return PublishedOrFound(self._scan.of_some(masks), self._published, self._what)

    def describe(self) -> dict[str, Any]:
        return {**self._scan.describe(), "published": self._published.describe()}
