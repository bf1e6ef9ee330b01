"""What all masks of a data set show together of the meaning of their values."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tune_seg.data.images.mask_statistics import WHITE, MaskStatistics
from tune_seg.data.labels import Occurrence

Colour = tuple[int, int, int]

SMALL_NUMBERS = 64
"""Class numbers are smaller, grey values are not."""

_NAMED = 3
_SOLID = 0.2  # of the pixels of a value; those of a smooth transition are in lines of one pixel
_NEAR = 24  # values: how far compression moves them
_MAX_LEVELS = 6
_MIN_GATHERED = 0.8
_MANY_VALUES = 12
_MAX_FILLING = 0.2
_MIN_OBJECTS = 3
_MIN_HIGHEST = 5
_MOST = 0.9
_FRAMED = 0.8
_INVERTED = 0.02


@dataclass
class Group:
    """Some masks: how many, and the first of them."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Count a mask."""
        self.count += 1
        if len(self.names) < _NAMED:
            self.names.append(path.name)

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.names) else ""
        return f"{self.count} mask{'s' * (self.count != 1)} ({', '.join(self.names)}{more})"


def _groups() -> defaultdict[int, Group]:
    return defaultdict(Group)


@dataclass
class MaskTotals:
    """The sums over the masks of a data set; as large as there are values, however many masks there are.

    Attributes:
        occurrences: of each value, the number of masks and the first.
        groups: of each value, the masks that hold it.
        pixels, negative, solid, looked_at, borders: as of one mask.
        white_alone: masks whose values are 255 and perhaps 0.
        white_beside: masks that hold 255 and another value than 0.
        numbers: masks without 255 that hold another value than 0.
        framed: of each value, the masks of two values whose outermost pixels have it; under -1 those of several.
        numbered: masks whose values are 0 to k, k at least 1, or 1 to k.
        compact: those of them with several values, of which each fills much of the rectangle around it.
        highest: the numbers k.
        lossy: masks that were compressed with loss.
        colours: of each value, its colours in palettes, each with the masks that have it.
        says_nothing: whether a palette gives two values of a mask one colour, so that colours are not the classes.
    """

    occurrences: dict[int, Occurrence] = field(default_factory=dict)
    groups: defaultdict[int, Group] = field(default_factory=_groups)
    pixels: dict[int, int] = field(default_factory=dict)
    negative: int = 0
    solid: dict[int, int] = field(default_factory=dict)
    looked_at: dict[int, int] = field(default_factory=dict)
    borders: int = 0
    white_alone: Group = field(default_factory=Group)
    white_beside: Group = field(default_factory=Group)
    numbers: Group = field(default_factory=Group)
    framed: defaultdict[int, Group] = field(default_factory=_groups)
    numbered: int = 0
    compact: Group = field(default_factory=Group)
    highest: set[int] = field(default_factory=set)
    lossy: Group = field(default_factory=Group)
    colours: dict[int, dict[Colour, Group]] = field(default_factory=dict)
    says_nothing: bool = False

    def add(self, path: Path, mask: MaskStatistics) -> None:
        """Count a mask."""
        for value in mask.pixels:
            self.occurrences.setdefault(value, Occurrence(0, path)).masks += 1
            self.groups[value].add(path)
        for total, part in ((self.pixels, mask.pixels), (self.solid, mask.solid), (self.looked_at, mask.looked_at)):
            for value, count in part.items():
                total[value] = total.get(value, 0) + count
        self.negative += mask.negative
        self.borders += mask.borders
        others = mask.pixels.keys() - {0, WHITE}
        if WHITE in mask.pixels:
            (self.white_beside if others else self.white_alone).add(path)
        elif others:
            self.numbers.add(path)
        if len(mask.pixels) == 2:
            self.framed[-1 if mask.frame is None else mask.frame].add(path)
        highest = max(mask.pixels, default=0)
        if highest and mask.pixels.keys() | {0} == set(range(highest + 1)):
            self.numbered += 1
            self.highest.add(highest)
            if mask.compact:
                self.compact.add(path)
        if mask.lossy:
            self.lossy.add(path)
        self.says_nothing |= len(set(mask.palette.values())) < len(mask.palette)
        for value, colour in mask.palette.items():
            self.colours.setdefault(value, {}).setdefault(colour, Group()).add(path)

    def share(self, value: int) -> float:
        """The share of the pixels that have a value."""
        return self.pixels.get(value, 0) / max(1, sum(self.pixels.values()))

    @property
    def inverted(self) -> tuple[Group, Group] | None:
        """Where two values occur: the masks with the lower one all around and those with the other, if neither are few."""
        if len(self.pixels) != 2:
            return None
        dark, bright = (self.framed.get(value, Group()) for value in sorted(self.pixels))
        of_two_values = sum(group.count for group in self.framed.values())
        fewer = min(dark.count, bright.count)
        most = dark.count + bright.count >= _FRAMED * of_two_values
        return (dark, bright) if fewer and most and fewer >= _INVERTED * of_two_values else None

    @property
    def levels(self) -> list[int]:
        """The values around which the others gather, in masks that were compressed with loss or smoothed; else none.

        There, values lie between two levels far apart: not small class numbers, and in the rims of objects alone.
        """
        strong = sorted(self._strong(), key=lambda value: -self.pixels[value])
        found: list[int] = []
        for value in strong:
            if all(abs(value - level) > _NEAR for level in found):
                found.append(value)
        found.sort()
        if not 2 <= len(found) <= _MAX_LEVELS:
            return []
        gathered = sum(count for value, count in self.pixels.items() if _is_near(value, found)) / sum(self.pixels.values())
        between = {value for value in self.pixels if SMALL_NUMBERS <= value < found[-1]} - set(found)
        weak = len(between - set(strong))
        return found if gathered >= _MIN_GATHERED and weak >= 2 and weak >= 2 * len(between & set(strong)) else []

    @property
    def are_smeared(self) -> bool:
        """Whether nearly all of many grey values fill no area, as smoothing leaves them, also of objects without a level."""
        found = self.pixels.keys() - {0, WHITE}
        filling = found & set(self._strong())
        return len(found) >= _MANY_VALUES and max(found) >= SMALL_NUMBERS and len(filling) <= _MAX_FILLING * len(found)

    def _strong(self) -> list[int]:
        found = [value for value, looked_at in self.looked_at.items() if self.solid[value] >= _SOLID * looked_at]
        if not found or self.pixels.get(WHITE, 0) == 0:
            return found
        between = [count for value, count in self.pixels.items() if _NEAR < value < WHITE - _NEAR]
        # lines so thin that no four of their pixels have one value
        return list({*found, *([WHITE] if between and self.pixels[WHITE] >= 2 * np.mean(between) else [])})

    @property
    def are_objects(self) -> bool:
        """Whether the values number objects: those of each mask from 1 on, or those of all masks."""
        in_each = (
            self.numbered >= _MOST * (self.white_alone.count + self.white_beside.count + self.numbers.count)
            and self.compact.count >= _MIN_OBJECTS
            and len(self.highest) >= _MIN_OBJECTS
            and max(self.highest) >= _MIN_HIGHEST
        )
        values = [occurrence.masks for value, occurrence in self.occurrences.items() if value]
        in_all = (
            len(values) > SMALL_NUMBERS
            and sum(masks == 1 for masks in values) >= _MOST * len(values)
            and sum(self.solid.values()) >= 0.5 * sum(self.looked_at.values()) > 0
            and len({occurrence.first for occurrence in self.occurrences.values()}) >= _MIN_OBJECTS
        )
        return in_each or in_all


def _is_near(value: int, levels: list[int]) -> bool:
    return min(abs(value - level) for level in levels) <= _NEAR
