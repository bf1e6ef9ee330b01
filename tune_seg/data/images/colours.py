"""Masks coded in colours, and the tables that give each colour its number."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import MAX_CLASSES
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.images.pictures import RGB
from tune_seg.data.splitting import text
from tune_seg.errors import InputError

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_MAX_NAMED = 5
_MAX_STRAY_SHARE = 0.01
_ADVICE = (
    "add them there; or, where they are blends at the borders of objects, write the mask without smoothing and without "
    "lossy compression"
)


@dataclass(frozen=True)
class ColourMasks:
    """Masks in which each class has a colour.

    Attributes:
        numbers: the class number of each colour; several colours may have one.
        table: where the colours are declared, for messages.
        void: the class number of pixels whose colour is not in the table, for published sets that have a few by mistake.
            More than a hundredth of a mask is an error all the same.
    """

    numbers: Mapping[Colour, int]
    table: str
    void: int | None = None

    def read(self, path: Path, part: int | None = None) -> Raw:
        """The class numbers of a mask file, or of the page `part` of it, uint8 (H, W).

        Raises:
            InputError: it cannot be decoded, or it holds a colour that is not in the table.
        """
        return self._numbers(path, RGB.read(path, part))

    def _numbers(self, path: Path, image: npt.NDArray[np.uint8 | np.uint16]) -> Raw:
        known, numbers = self._lookup
        codes = image @ np.array([2**16, 2**8, 1], np.uint32)
        places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        unknown = known[places] != codes
        if unknown.mean() > (0.0 if self.void is None else _MAX_STRAY_SHARE):
            raise InputError(f"{path}: {_describe(codes[unknown])} not in {self.table}; {_ADVICE}")
        return numbers[places] if self.void is None else np.where(unknown, np.uint8(self.void), numbers[places])

    @cached_property
    def _lookup(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
        """The colours as one number each, sorted, and the class numbers in the same order."""
        codes = {red * 2**16 + green * 2**8 + blue: number for (red, green, blue), number in self.numbers.items()}
        return np.array(sorted(codes), np.uint32), np.array([codes[code] for code in sorted(codes)], np.uint8)


def _describe(codes: npt.NDArray[np.uint32]) -> str:
    found, counts = np.unique(codes, return_counts=True)
    named = [
        f"({code >> 16}, {code >> 8 & 255}, {code & 255}) in {count} pixel{'s' * (count > 1)}"
        for code, count in sorted(zip(found.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1])[:_MAX_NAMED]
    ]
    more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    return f"{len(found)} colour{'s' * (len(found) > 1)}, {', '.join(named)}{more},"


@dataclass(frozen=True)
class ColourTable:
    """Names and colours, row by row; the rows count from 0, and a row's number is the class number of its colour.

    Raises:
        InputError: fewer than two rows, too many, or a colour that appears twice.
    """

    rows: Sequence[tuple[str, Colour]]
    where: str

    def __post_init__(self) -> None:
        if not 2 <= len(self.rows) <= MAX_CLASSES:
            raise InputError(f"{self.where}: needs 2 to {MAX_CLASSES} colours and has {len(self.rows)}")
        first: dict[Colour, str] = {}
        for name, colour in self.rows:
            if first.setdefault(colour, name) is not name:
                raise InputError(f"{self.where}: {name} and {first[colour]} have one colour, {colour}; each needs its own")

    @property
    def names(self) -> dict[int, str]:
        """The names by class number."""
        return {number: name for number, (name, _) in enumerate(self.rows)}

    @property
    def masks(self) -> ColourMasks:
        """The reader of masks in these colours."""
        return ColourMasks({colour: number for number, (_, colour) in enumerate(self.rows)}, self.where)


def read_colour_table(path: Path) -> ColourTable:
    """The table in a file: lines `R G B name`, or, of a .csv file, columns name, r, g and b under a heading.

    Raises:
        InputError: it cannot be read, a line is not like that, or as :class:`ColourTable`.
    """
    parse = _csv_rows if path.suffix.lower() == ".csv" else _text_rows
    return ColourTable(parse(path), str(path))


def _csv_rows(path: Path) -> list[tuple[str, Colour]]:
    reader = csv.DictReader(text(path).splitlines(), skipinitialspace=True)
    heading = {field.strip().lower(): field for field in reader.fieldnames or ()}
    if not {"name", "r", "g", "b"} <= heading.keys():
        raise InputError(f"{path}: its first line names the columns {', '.join(heading)}; it needs name, r, g and b")
    return [_row(path, reader.line_num, row[heading["name"]], [row[heading[key]] for key in "rgb"]) for row in reader]


def _text_rows(path: Path) -> list[tuple[str, Colour]]:
    rows: list[tuple[str, Colour]] = []
    for number, line in enumerate(text(path).splitlines(), start=1):
        *colour, name = (line.split(maxsplit=3) + [""] * 4)[:4]
        if line.strip():
            rows.append(_row(path, number, name, colour))
    return rows


def _row(path: Path, line: int, name: str | None, values: Sequence[str | None]) -> tuple[str, Colour]:
    try:
        red, green, blue = (int(value or "") for value in values)
        if not all(0 <= value <= 255 for value in (red, green, blue)):
            raise ValueError
    except ValueError:
        shown = ", ".join(map(str, values))
        raise InputError(f"{path}: line {line}: {shown} is no colour of three numbers 0 to 255") from None
    if not name or not name.strip():
        raise InputError(f"{path}: line {line}: the colour has no name")
    return name.strip(), (red, green, blue)
