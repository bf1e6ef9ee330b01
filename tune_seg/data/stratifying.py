"""Drawn splits in which every class is on every side, as far as the images allow."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tune_seg._whole_file import whole_file
from tune_seg.data.cores import available_cores
from tune_seg.data.dataset import SPLITS, TEST, Dataset, Sample
from tune_seg.data.splitting import group_of, place_in_draw
from tune_seg.errors import InputError

_VERSION: Final = 2
"""Raise it when the same masks give other classes."""

_BATCH: Final = 16
"""Files that are read before it is asked whether all classes were seen on all sides."""

_WORTH: Final[Mapping[str, int]] = {"train": 3, "val": 2, TEST: 1}
"""Of a class being on a side: what is in one group alone had better train. A fold both trains and validates."""
_WORTH_OF_FOLD: Final = 2


def stratified(dataset: Dataset, seed: int, kept: Path | None = None) -> tuple[Dataset, int]:
    """The data set with every class on every side, where sides were drawn, and how many groups changed places for it.

    Where the draw has every class on every side, it stays. Else as few groups as possible change places; how many groups
    each side has stays. It depends on the seed, the names and the masks alone.

    The masks are read for it, until all classes were seen on all sides.

    Args:
        dataset: whose samples say from which sides theirs was drawn.
        seed: of the split.
        kept: a folder in which is kept what was read, if there is such a folder, so that a study that goes on need not read
            the masks again. It is read anew when a file has changed.

    Example:
        >>> from tune_seg.data import read
        >>> dataset = read(size=(8, 8))
        >>> stratified(dataset, 0) == (dataset, 0)  # nothing was drawn
        True
    """
    samples = dataset.samples
    sides = _sides(samples)
    if len(sides) < 2:
        return dataset, 0
    classes = _kept_classes(dataset, sides, kept)
    if classes is None:
        return dataset, 0
    moved = _moved(samples, classes, sides, seed)
    divided = (_put(sample, moved[group]) if (group := group_of(sample)) in moved else sample for sample in samples)
    places = (*SPLITS, TEST)
    ordered = sorted(divided, key=lambda sample: (places.index(sample.split), sample.id))
    return (dataset.redivided(tuple(ordered)) if moved else dataset), len(moved)


def _sides(samples: Sequence[Sample]) -> list[str]:
    """The subsets among which samples were drawn."""
    found = set(chain.from_iterable(sample.drawn_from for sample in samples))
    return sorted(found, key=lambda side: ((*SPLITS, TEST).index(side) if side in _WORTH else -1, side))


def _put(sample: Sample, side: str) -> Sample:
    if side.isdecimal():
        return replace(sample, split="val" if side == "0" else "train", fold=int(side))
    return replace(sample, split=next(name for name in (*SPLITS, TEST) if name == side), fold=None)


def _kept_classes(dataset: Dataset, sides: Sequence[str], folder: Path | None) -> dict[str, frozenset[int]] | None:
    """As :func:`_classes`, from the file that keeps it if it is there."""
    if folder is None or not folder.is_dir():
        return _classes(dataset, sides)
    groups = [(sample.group, sample.subset) for sample in dataset.samples]
    key = blake2b(json.dumps([_VERSION, groups, dataset.source()]).encode(), digest_size=16).hexdigest()
    file = folder / f"classes-{key}.json"
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return None if known is None else {group: frozenset(classes) for group, classes in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        pass
    found = _classes(dataset, sides)
    with suppress(OSError), whole_file(file) as partial:  # it is read again next time
        known = None if found is None else {group: sorted(classes) for group, classes in found.items()}
        partial.write_text(json.dumps(known), encoding="utf-8")
    return found


def _classes(dataset: Dataset, sides: Sequence[str]) -> dict[str, frozenset[int]] | None:
    """What occurs in each group; None where all classes are on all sides, or where the masks do not tell them."""
    try:
        count = len(dataset.find_classes(lambda done: None))
    except InputError:  # packing says why
        return None
    files: dict[object, list[Sample]] = {}
    for sample in dataset.samples:
        if sample.drawn_from:
            files.setdefault(sample.id if sample.part is None else (sample.image, sample.mask), []).append(sample)
    found: dict[str, frozenset[int]] = {}
    seen: dict[str, set[int]] = {side: set() for side in sides}
    with ThreadPoolExecutor(available_cores()) as pool:
        turns = list(_by_turns(list(files.values())))
        for start in range(0, len(turns), _BATCH):
            some = turns[start : start + _BATCH]
            for members, each in zip(some, pool.map(dataset.classes_in, some), strict=True):
                for sample, classes in zip(members, each, strict=True):
                    group = group_of(sample)
                    found[group] = found.get(group, frozenset()) | classes
                    seen[sample.subset] |= classes
            if all(len(classes) == count for classes in seen.values()):
                return None
    return found


def _by_turns(files: Sequence[list[Sample]]) -> Iterator[list[Sample]]:
    """A file of each side in turn."""
    of_side: dict[str, list[list[Sample]]] = {}
    for members in files:
        of_side.setdefault(members[0].subset, []).append(members)
    return (members for turn in zip_longest(*of_side.values()) for members in turn if members is not None)


def _moved(
    samples: Sequence[Sample], classes: Mapping[str, frozenset[int]], sides: Sequence[str], seed: int
) -> dict[str, str]:
    """The side of each group that changes places."""
    state = _State(samples, classes, sides, seed)
    before = state.side.copy()
    while state.improved():
        pass
    return {state.groups[g]: sides[state.side[g]] for g in np.flatnonzero(state.side != before)}


class _State:
    """Which group is on which side, and how many groups of each side have each class.

    Args:
        samples: all of them.
        classes: of each group.
        sides: all of them.
        seed: of the order in which groups are tried.
    """

    def __init__(
        self, samples: Sequence[Sample], classes: Mapping[str, frozenset[int]], sides: Sequence[str], seed: int
    ) -> None:
        first = {group_of(sample): sample for sample in samples if sample.drawn_from}
        self.groups = sorted(first, key=lambda group: place_in_draw(group, seed))
        sizes = Counter(group_of(sample) for sample in samples)
        values = sorted(set(chain.from_iterable(classes.values())))
        self.has = np.array([[value in classes[group] for value in values] for group in self.groups], np.bool_)
        self.has = self.has.reshape(len(self.groups), len(values))
        self.side = np.array([sides.index(first[group].subset) for group in self.groups])
        self._allowed = np.array([[side in first[group].drawn_from for side in sides] for group in self.groups], np.bool_)
        self._sizes = np.array([sizes[group] for group in self.groups])
        self._worth = np.array([_WORTH_OF_FOLD if sides[0].isdecimal() and s != TEST else _WORTH[s] for s in sides])
        self._counts = np.array([self.has[self.side == s].sum(axis=0) for s in range(len(sides))], np.int64)

    def improved(self) -> bool:
        """Let two groups change places so that more classes are on more sides; whether there are such groups."""
        for value in np.argsort(self.has.sum(axis=0), kind="stable"):  # the rarest class first
            for side in np.flatnonzero(self._counts[:, value] == 0):
                for group in np.flatnonzero(self.has[:, value] & self._allowed[:, side]):
                    other = self._partner(int(group), int(side))
                    if other is not None:
                        self._swap(int(group), other)
                        return True
        return False

    def _partner(self, group: int, side: int) -> int | None:
        """With which group of `side` it should change places; None: with none."""
        home = int(self.side[group])
        others = np.flatnonzero((self.side == side) & self._allowed[:, home])
        if not len(others):
            return None
        mine, theirs = self.has[group].astype(np.int64), self.has[others].astype(np.int64)
        here, there = self._counts[home] - mine + theirs, self._counts[side] + mine - theirs
        before = (self._counts[[home, side]] > 0).sum(axis=1) @ self._worth[[home, side]]
        gain = (here > 0).sum(axis=1) * self._worth[home] + (there > 0).sum(axis=1) * self._worth[side] - before
        if gain.max() <= 0:
            return None
        best = others[gain == gain.max()]
        nearest: npt.NDArray[np.intp] = np.argsort(np.abs(self._sizes[best] - self._sizes[group]), kind="stable")
        return int(best[nearest[0]])

    def _swap(self, group: int, other: int) -> None:
        home, side = int(self.side[group]), int(self.side[other])
        change = self.has[other].astype(np.int64) - self.has[group]
        self._counts[home] += change
        self._counts[side] -= change
        self.side[group], self.side[other] = side, home
