"""What the values of masks mean, by what all of them show: classes and ignored pixels, or a question with its answer."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from tune_seg.data.images.mask_statistics import WHITE
from tune_seg.data.images.mask_totals import SMALL_NUMBERS, Colour, Group, MaskTotals
from tune_seg.data.labels import MAX_FOUND_CLASSES, Labels, NotShown, declared, found
from tune_seg.errors import InputError

_FEW = 0.15
_AT_BORDERS = 0.5
_MANY_NUMBERS = 5
_MOST = 0.5
_NAMED_MASKS = 3
_PLAIN = re.compile(r"[A-Za-z][\w -]*")


@dataclass(frozen=True)
class Asked:
    """What somebody said of the masks.

    Attributes:
        names: the names of classes by value; None: nobody said.
        by_value: whether the value of each name was said too, rather than a list of names.
        ignore_label: the value to ignore; None: nobody said.
        where: the folder of the masks, for messages.
        in_folder: whether the format is `folder`, whose options answer some questions.
        as_folder: whether that format reads the masks at all.
    """

    names: Mapping[int, str] | None
    by_value: bool
    ignore_label: int | None
    where: Path
    in_folder: bool = True
    as_folder: bool = True

    @property
    def labels(self) -> Labels | None:
        """The labels by what was said alone; None where no names were given.

        Raises:
            InputError: as :func:`~tune_seg.data.labels.declared`.
        """
        return None if self.names is None else declared(self.names, self.ignore_label, WHITE)


@dataclass(frozen=True)
class Meaning:
    """The labels, and what was taken for granted to find them."""

    labels: Labels
    notes: tuple[str, ...] = ()


def meaning(totals: MaskTotals, asked: Asked) -> Meaning:
    """What the values mean.

    Raises:
        InputError: the masks leave it open, or they are not masks of class numbers.
    """
    if asked.names is None or _unknown(totals, asked) or totals.lossy.count:
        _reject_levels(totals, asked)
        _reject_objects(totals, asked)
    if not asked.by_value:
        _reject_palettes(totals, asked)
    answer = meaning_of_numbers(totals, asked)
    return Meaning(answer.labels, (*answer.notes, *_inverted(totals, asked, answer.labels)))


def contradictions(totals: MaskTotals, asked: Asked, labels: Labels) -> tuple[str, ...]:
    """What to say of masks of which some say the contrary of others by equal values, where each value was said.

    Raises:
        InputError: palettes differ, or some masks seem inverted, and nobody said what each value is.
    """
    if not asked.by_value:
        _reject_palettes(totals, asked)
    return _inverted(totals, asked, labels)


def meaning_of_numbers(totals: MaskTotals, asked: Asked) -> Meaning:
    """What the values mean of masks that hold class numbers for certain, as label volumes do.

    Raises:
        InputError: the masks leave it open.
    """
    if asked.names is not None:
        _reject_unknown(totals, asked, _unknown(totals, asked))
    if asked.ignore_label is None and WHITE in totals.pixels and WHITE not in (asked.names or {}):
        answer = _white(totals, asked)
    else:
        labels = asked.labels or found(totals.occurrences, asked.ignore_label, asked.where, {})
        # no mask told what 255 is: a test that has it may mean an object by it, and must not lose that without a word
        unseen = {WHITE} - totals.pixels.keys() if asked.ignore_label is None else set[int]()
        answer = Meaning(replace(labels, ignored=labels.ignored - unseen))
    said = asked.ignore_label
    if said is not None and said in totals.pixels:
        answer = Meaning(
            answer.labels, (*answer.notes, f"{said} is ignored, as data.ignore_label says: {_share(totals, said)}")
        )
    if totals.negative:
        share = 100 * totals.negative / (totals.negative + sum(totals.pixels.values()))
        ignored = f"negative numbers and nan in the masks are ignored: {share:.3g} % of the pixels"
        answer = Meaning(answer.labels, (*answer.notes, ignored))
    return answer


def option(key: str, value: object) -> str:
    """An option as it is typed in a shell.

    Example:
        >>> option("data.classes", {0: "background", 255: "object"})
        "--set 'data.classes={0: background, 255: object}'"
    """
    text = f"{key}={_flow(value)}"
    quoted = shlex.quote(text)
    return f"--set '{text}'" if quoted == text else f"--set {quoted}"  # in quotes always, as it stands within a sentence


def _of_folder(asked: Asked, key: str, value: object) -> str:
    """The same for an option that the format `folder` has, which reads the folders of the others too."""
    return ("" if asked.in_folder else "--set data.format=folder ") + option(key, value)


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def thresholds(levels: list[int]) -> int | list[int]:
    """Where to cut between levels."""
    cuts = [(low + high + 1) // 2 for low, high in pairwise(levels)]
    return cuts[0] if len(cuts) == 1 else cuts


def _unknown(totals: MaskTotals, asked: Asked) -> list[int]:
    """The values that nobody named, but 255."""
    known = {*(asked.names or {}), *([] if asked.ignore_label is None else [asked.ignore_label])}
    return sorted(totals.pixels.keys() - known - {WHITE})


def _white(totals: MaskTotals, asked: Asked) -> Meaning:
    """What 255 means where nobody said it."""
    others = sorted(totals.pixels.keys() - {WHITE})
    ignored = option("data.ignore_label", WHITE)
    if asked.names is None and len(others) > SMALL_NUMBERS:
        return Meaning(found(totals.occurrences, WHITE, asked.where, {}))  # which says that there are too many
    if len(others) == 1:
        return _black_and_white(totals, asked, others[0])
    never_together = totals.white_alone.count and totals.numbers.count and not totals.white_beside.count
    if others and others[-1] < SMALL_NUMBERS and never_together:
        raise InputError(_mixed(totals, asked, others, ignored))
    if others and others[-1] >= SMALL_NUMBERS and asked.names is None:
        return _class(totals, asked, f"255 is a class as the other grey values are: {_share(totals, WHITE)}")
    share, borders = totals.share(WHITE), totals.borders / totals.pixels[WHITE]
    if share > _MOST or not others:
        if asked.names is None and others:
            return _class(totals, asked, f"255 is a class, because it is most of the masks: {_share(totals, WHITE)}")
        if not others and asked.names is None:
            return Meaning(found(totals.occurrences, None, asked.where, {}))  # which says that there is one value alone
        raise NotShown(
            f"{asked.where}: 255 is {_share(totals, WHITE)}, and it is none of the classes {_list(asked)}. If it is to be "
            f"ignored, say so with {ignored}; if it is a class, name it with data.classes, "
            f"such as {option('data.classes', {**(asked.names or {}), WHITE: 'rest'})}"
        )
    if asked.names is None and share > _FEW and borders < _AT_BORDERS and len(others) < _MANY_NUMBERS:
        classes = {value: f"class {value}" for value in (*others, WHITE)}
        raise NotShown(
            f"{asked.where}: 255 is {_share(totals, WHITE)}, beside {_values(others)}, so it may be a class or ignored. "
            f"Say which: {ignored}, or {option('data.classes', classes)}"
        )
    labels = asked.labels or found(totals.occurrences, WHITE, asked.where, {})
    at = f", {borders:.0%} of them within 3 pixels of another value" if borders >= _AT_BORDERS else ""
    classes = {**(asked.names or {value: f"class {value}" for value in others}), WHITE: "rest"}
    return Meaning(
        labels,
        (
            f"255 is taken for ignored: {_share(totals, WHITE)}{at}. Say so with {ignored}, or, if it is a class, "
            f"{option('data.classes', classes)}",
        ),
    )


def _black_and_white(totals: MaskTotals, asked: Asked, other: int) -> Meaning:
    names = None if asked.names is None else list(dict.fromkeys(asked.names.values()))
    if names is None:
        return _class(
            totals, asked, f"the masks hold {other} and 255 alone, so both are classes: 255 is {_share(totals, WHITE)}"
        )
    if asked.by_value or len(names) != 2 or other != min(asked.names or {0: ""}):
        name = (asked.names or {}).get(other, names[0])
        answer = {other: name, WHITE: next(each for each in reversed(names) if each != name)}
        raise NotShown(
            f"{asked.where}: the masks hold {other} and 255 alone, and none of the classes {_list(asked)} is 255. "
            f"Say which one it is, such as {option('data.classes', answer)}"
        )
    labels = Labels(tuple(names), {other: 0, WHITE: 1}, frozenset())
    swapped = option("data.classes", {other: names[1], WHITE: names[0]})
    return Meaning(
        labels,
        (
            f"the masks hold {other} and 255 alone: {other} is taken for {names[0]}, 255 for {names[1]}, which has "
            f"{_share(totals, WHITE)}. The other way round: {swapped}",
        ),
    )


def _class(totals: MaskTotals, asked: Asked, why: str) -> Meaning:
    labels = found(totals.occurrences, None, asked.where, {})
    return Meaning(labels, (f"{why}. To ignore it: {option('data.ignore_label', WHITE)}",))


def _mixed(totals: MaskTotals, asked: Asked, others: list[int], ignored: str) -> str:
    low = 0 if 0 in others else None
    objects = [value for value in others if value != 0]
    name = (asked.names or {}).get(objects[0], "object")
    same = {**({} if low is None else {0: (asked.names or {}).get(0, "background")}), objects[0]: name, WHITE: name}
    alike = f"If both mark the same, {option('data.classes', same)}; if" if len(objects) == 1 else "If"
    return (
        f"{asked.where}: two kinds of masks: {totals.numbers} with {_values(objects)}, {totals.white_alone} with 255, "
        f"none with both. {alike} 255 is to be ignored, {ignored}; else make the masks alike"
    )


def _reject_levels(totals: MaskTotals, asked: Asked) -> None:
    levels = totals.levels
    smeared = totals.are_smeared and len(totals.pixels) <= MAX_FOUND_CLASSES  # more look like photographs
    if not levels and not totals.lossy.count and not smeared:
        return
    what = (
        f"{totals.lossy} compressed as JPEG, which changes class numbers"
        if totals.lossy.count
        else f"{len(totals.pixels)} values in {_rarest(totals)}, as JPEG or smoothing leaves them"
    )
    if not asked.as_folder:
        raise InputError(f"{asked.where}: {what}. Store them without loss, as PNG, and resize them without interpolation")
    if levels:
        cut = _of_folder(asked, "data.options.threshold", thresholds(levels))
        more = "" if len(levels) == 2 else "; pixels between two levels may count as the one between them"
        raise InputError(
            f"{asked.where}: {what}. They gather around {_values(levels)}; to cut between them: {cut}{more}. "
            "Better are masks stored without loss and resized without interpolation"
        )
    raise InputError(
        f"{asked.where}: {what}. Store them without loss, as PNG; if objects are bright and the rest is dark, "
        f"say where to cut, such as {_of_folder(asked, 'data.options.threshold', 128)}"
    )


def _reject_objects(totals: MaskTotals, asked: Asked) -> None:
    if totals.are_objects:
        one_class = _of_folder(asked, "data.options.threshold", 1) if asked.as_folder else "write 1 for each of them"
        raise InputError(
            f"{asked.where}: the values look like the numbers of single objects (instances), up to {max(totals.pixels)}, "
            f"not of classes. To make one class of all objects: {one_class}; if they are class numbers, name them with "
            "data.classes"
        )


def _reject_palettes(totals: MaskTotals, asked: Asked) -> None:
    numbers_of: dict[Colour, dict[int, Group]] = {}
    for value, colours in sorted(totals.colours.items()):
        for colour, masks in colours.items():
            numbers_of.setdefault(colour, {})[value] = masks
        if len(colours) > 1:
            (first, one), (second, other) = sorted(colours.items(), key=lambda entry: -entry[1].count)[:2]
            raise _palettes_differ(totals, asked, f"the number {value} is the colour {first} in {one}, {second} in {other}")
    for colour, numbers in sorted(numbers_of.items()):
        if len(numbers) > 1 and not totals.says_nothing:
            (low, one), (high, other) = list(numbers.items())[:2]
            raise _palettes_differ(totals, asked, f"the colour {colour} is the number {low} in {one}, {high} in {other}")


def _palettes_differ(totals: MaskTotals, asked: Asked, how: str) -> InputError:
    every = sorted({colour for found in totals.colours.values() for colour in found})
    names = {f"class {number}": list(colour) for number, colour in enumerate(every)}
    by_colour = f" {_of_folder(asked, 'data.options.colours', names)}" if len(every) <= 8 else " data.options.colours"
    numbers = {number: f"class {number}" for number in sorted(totals.pixels)}
    by_number = f" {option('data.classes', numbers)}" if len(numbers) <= 8 else " data.classes: {number: name}"
    if not asked.as_folder:
        return InputError(f"{asked.where}: palettes differ: {how}. If the numbers are the classes, say so:{by_number}")
    return InputError(
        f"{asked.where}: palettes differ: {how}. If colours are the classes, name them:{by_colour}. If numbers are, say "
        f"so:{by_number}"
    )


def _reject_unknown(totals: MaskTotals, asked: Asked, unknown: list[int]) -> None:
    """One line for what many masks have wrong; what few have is said of each when it is loaded."""
    masks = max((totals.occurrences[value].masks for value in unknown), default=0)
    values, names = sorted(totals.pixels), list(dict.fromkeys((asked.names or {}).values()))
    if not unknown or (masks <= _NAMED_MASKS and len(values) != len(names)):
        return
    one_each = dict(zip(values, names, strict=False))
    how = option("data.classes", one_each) if len(values) == len(names) and len(names) <= 16 else "data.classes"
    held = [f"{value} in {totals.groups[value]}" for value in unknown[:_NAMED_MASKS]]
    more = f" and {len(unknown) - len(held)} more values" if len(unknown) > len(held) else ""
    raise InputError(
        f"{asked.where}: unknown label value{'s' * (len(unknown) > 1)} {', '.join(held)}{more}; the classes are "
        f"{_list(asked)}. Declare which value is which with {how}, or one to leave out with data.ignore_label"
    )


def _inverted(totals: MaskTotals, asked: Asked, labels: Labels) -> tuple[str, ...]:
    if (inverted := totals.inverted) is None or len(labels.class_names) != 2:
        return ()
    (dark, bright), (low, high) = inverted, sorted(totals.pixels)
    said = f"{dark} have {low} all around, {bright} have {high}"
    if asked.by_value:
        return (f"{said}: all are taken as they are, because data.classes says what each value is",)
    names = {low: labels.class_names[0], high: labels.class_names[1]}
    raise InputError(
        f"{asked.where}: {said}, so one kind seems inverted. "
        f"Invert these; if all are right, say so with {option('data.classes', names)}"
    )


def _share(totals: MaskTotals, value: int) -> str:
    return f"{100 * totals.share(value):.3g} % of the pixels"


def _rarest(totals: MaskTotals) -> str:
    value = min(totals.pixels, key=lambda value: totals.pixels[value])
    return f"the masks, such as {value} in {totals.occurrences[value].first.name}"


def _list(asked: Asked) -> str:
    names = [f"{value} ({name})" for value, name in sorted((asked.names or {}).items())]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _values(values: list[int]) -> str:
    shown = [str(value) for value in values[:8]]
    return (
        ", ".join([*shown, "..."]) if len(values) > 8 else " and ".join([", ".join(shown[:-1]), shown[-1]][len(shown) < 2 :])
    )
