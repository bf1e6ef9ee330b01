"""The classes of masks that lie as in a published set, and may be of another: no class gets the name of another's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tune_seg.data.images.files import Scan
from tune_seg.data.labels import Labels

_LEAST_SHARE = 0.5


class PublishedOrFound(Scan):
    """The published classes where the masks hold most of them and no other value, else what a scan finds.

    Args:
        found: the scan.
        published: the published classes.
        what: the name of the published set.
    """

    def __init__(self, found: Scan, published: Labels, what: str) -> None:
        self._scan, self._published, self._what = found, published, what
        self._other = False

    @property
    def masks_to_read(self) -> int:
        return self._scan.masks_to_read

    @property
    def notes(self) -> tuple[str, ...]:
        if not self._other:
            return ()
        return (
            f"The folders are those of {self._what}, but the values in the masks are not its classes, so they are not given "
            "their names; name them with --set 'data.classes=[background, ...]', or in classes.txt beside the folders.",
            *self._scan.notes,
        )

    def labels(self, progress: Callable[[int], None] | None = None) -> Labels:
        found = self._scan.labels(progress)
        held = found.indices.keys() - self._published.ignored
        known = self._published.indices.keys()
        self._other = not held <= known or len(held) < _LEAST_SHARE * len(known)
        return found if self._other else self._published

    def of_some(self, masks: set[Path]) -> "PublishedOrFound":
        return PublishedOrFound(self._scan.of_some(masks), self._published, self._what)

    def describe(self) -> dict[str, Any]:
        return {**self._scan.describe(), "published": self._published.describe()}
