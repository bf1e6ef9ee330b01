"""What the raw values of masks mean: which class each is, and which ones are ignored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import IGNORE_INDEX, MAX_CLASSES, Mask
from tune_seg.errors import InputError

_UNKNOWN = MAX_CLASSES
MAX_FOUND_CLASSES = 64
"""Distinct values of masks whose classes nobody named; with more they look like photographs."""

_MAX_NAMED_MASKS = 3


class NotShown(InputError):
    """The masks that were read do not show which classes there are; with others beside them they might."""


@dataclass(frozen=True)
class Labels:
    """The translation of raw mask values into class indices.

    Attributes:
        class_names: the name of each class, by class index.
        indices: raw value -> class index; several values may mean one class.
        ignored: the raw values of pixels that count nowhere.
    """

    class_names: tuple[str, ...]
    indices: Mapping[int, int]
    ignored: frozenset[int]

    @cached_property
    def _table(self) -> npt.NDArray[np.uint8]:
        table = np.full(2**16, _UNKNOWN, np.uint8)
        for value in self.ignored:
            table[value] = IGNORE_INDEX
        for value, index in self.indices.items():
            table[value] = index
        return table

    @cached_property
    def _of_bytes(self) -> bytes:
        return self._table[: 2**8].tobytes()

    def translate(self, raw: npt.NDArray[np.uint8 | np.uint16 | np.int32]) -> Mask:
        """Class indices, uint8 (H, W), of the raw values (H, W); negative ones are ignored.

        Raises:
            InputError: a value that is neither a class nor ignored; the message names the values, not the file.
        """
        if raw.dtype == np.uint8:  # which Python translates in a third of the time of NumPy
            translated = bytearray(np.ascontiguousarray(raw)).translate(self._of_bytes)
            mask = np.frombuffer(translated, np.uint8).reshape(raw.shape)
        else:
            mask = self._table[raw]
        if raw.dtype.kind == "i":
            mask[raw < 0] = IGNORE_INDEX
        unknown = mask == _UNKNOWN
        if unknown.any():
            values = np.unique(raw[unknown])
            shown = ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")
            raise InputError(
                f"unknown label value{'s' if len(values) > 1 else ''} {shown} (known: {self._known}); "
                "declare what they mean with data.classes, or one to leave out with data.ignore_label"
            )
        return mask

    @property
    def _known(self) -> str:
        values = sorted(self.indices)
        contiguous = values == list(range(values[0], values[-1] + 1))
        shown = f"{values[0]} to {values[-1]}" if contiguous else ", ".join(map(str, values))
        return shown + "".join(f", {value} = ignored" for value in sorted(self.ignored))

    def describe(self) -> dict[str, Any]:
        """The same as a JSON value."""
        return {
            "class_names": self.class_names,
            "indices": sorted(self.indices.items()),
            "ignored": sorted(self.ignored),
        }


def declared(classes: Sequence[str] | Mapping[int, str], ignore_label: int | None, default_ignore: int | None) -> Labels:
    """The labels that somebody declared.

    Args:
        classes: the names by raw value, as a sequence or a mapping; values of the same name are one class.
        ignore_label: the raw value to ignore, where somebody chose one.
        default_ignore: the raw value to ignore otherwise, unless it is a class; None: none.

    Raises:
        InputError: fewer than two classes, too many, or a class that is ignored at the same time.
    """
    names = dict(classes) if isinstance(classes, Mapping) else dict(enumerate(classes))
    if ignore_label is not None and ignore_label in names:
        raise InputError(
            f"data.ignore_label: {ignore_label} is the class {names[ignore_label]!r} in data.classes; "
            "a value is either a class or ignored, so take it out of one of them"
        )
    ignored = default_ignore if ignore_label is None else ignore_label
    class_names = tuple(dict.fromkeys(names[value] for value in sorted(names)))
    if not 2 <= len(class_names) <= MAX_CLASSES:
        raise InputError(f"data.classes: {len(class_names)} classes; there must be 2 to {MAX_CLASSES}")
    return Labels(
        class_names,
        {value: class_names.index(name) for value, name in sorted(names.items())},
        frozenset(set() if ignored is None else {ignored} - set(names)),
    )


@dataclass
class Occurrence:
    """Where a raw value occurs: the number of masks, and the first of them."""

    masks: int
    first: Path


def found(values: Mapping[int, Occurrence], ignored: int | None, where: Path, names: Mapping[int, str]) -> Labels:
    """The labels of masks whose classes nobody declared: every value that occurs is a class, but the ignored one.

    Args:
        values: the distinct raw values of all masks, and where they occur.
        ignored: the raw value to ignore; None: none.
        where: the folder, for messages.
        names: of values that are not called `class VALUE`.

    Raises:
        InputError: there are too many values for labels.
        NotShown: there are fewer than two classes.
    """
    distinct = sorted(values)
    classes = [value for value in distinct if value != ignored]
    if len(classes) > MAX_FOUND_CLASSES:
        raise InputError(
            f"{where}: {len(classes)} distinct values, so the masks look like photographs or colours, not labels. "
            f"The rarest values are in {_rarest(values)}. "
            "A mask holds a class number in each pixel; if these are class numbers, declare them with data.classes"
        )
    if len(classes) < 2 and ignored in distinct:
        only = "no value is left" if not classes else f"only the value {classes[0]} is left"
        background = classes[0] if classes else 0
        raise NotShown(
            f"{where}: {only} as a class, because {ignored} is taken for ignored. If {ignored} marks the object, "
            f"declare data.classes: {{{background}: background, {ignored}: object}}"
        )
    if len(classes) < 2:
        raise NotShown(
            f"{where}: every pixel of every mask is {classes[0] if classes else 'missing'}, so there is nothing to "
            "tell apart; check that these are the masks, or declare more classes with data.classes"
        )
    return Labels(
        tuple(names.get(value, f"class {value}") for value in classes),
        {value: index for index, value in enumerate(classes)},
        frozenset() if ignored is None else frozenset({ignored}),
    )


def _rarest(values: Mapping[int, Occurrence]) -> str:
    """A few masks that hold the rarest values, each with its value."""
    named: dict[str, int] = {}
    for value in sorted(values, key=lambda value: (values[value].masks, value)):
        named.setdefault(values[value].first.name, value)
        if len(named) == _MAX_NAMED_MASKS:
            break
    return ", ".join(f"{name} ({value})" for name, value in named.items())
