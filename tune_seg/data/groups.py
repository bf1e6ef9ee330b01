"""Groups of images by their names: frames of one video, tiles of one image, photographs of one patient."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Final

from pydantic import AfterValidator

from tune_seg.data.dataset import Sample, problems_error
from tune_seg.data.options import Options

_SEPARATOR = r"[_\- .]"
_PART = r"(?:frame|fr|f|tile|patch|crop|slice|sl|page|[zxyrc]|row|col)"
_SOURCE = (
    r"(?:vid|video|movie|seq|sequence|clip|shot|scene|drive|run|patient|pat|subject|subj|sub|case|scan|study|series|vol|"
    r"volume|mouse|img|image|slide|wsi|plot|field|site|area)"
)
_KNOWN: Final = (
    # seq02_f003, img7_tile_0_1, area3_x0_y512
    rf"(?i)^(.+?){_SEPARATOR}{_PART}{_SEPARATOR}?\d+(?:{_SEPARATOR}?(?:x|y|r|c|row|col)?{_SEPARATOR}?\d+)*$",
    # vid1_0001, case_12_34; not IMG_20210305_123456, a date that a camera writes
    rf"(?i)^((?:.*{_SEPARATOR})?{_SOURCE}{_SEPARATOR}?\d{{1,6}}){_SEPARATOR}\d+(?:{_SEPARATOR}\d+)*$",
)
"""Names that say what they are a part of, and of what kind the part is."""

_COUNTED: Final = rf"(?i)^(?!{_PART}{_SEPARATOR}?\d+{_SEPARATOR})(.*\d.*){_SEPARATOR}(\d+)$"
"""A number behind a name that has another number: a part of it where the numbers count up evenly, as frames do.
Not `tile_3_12`, a place in the one image."""
_FROM_ONE: Final = (*_KNOWN, rf"(?i)^(frame|tile|patch|crop|slice){_SEPARATOR}?\d+(?:{_SEPARATOR}\d+)*$")
"""Names that say so where all images are parts of one thing."""

_EVEN: Final = 0.5
"""The least share of the steps between neighbouring numbers that are of the commonest length."""

_MIN_MEMBERS: Final = 2.0
"""The least number of images of a group on average; fewer tell nothing."""

ALONE: Final = "data.options.group=.*"
"""What to set to take every image by itself."""
_EXAMPLES: Final = 3


def _checked(pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"is not a valid regular expression ({error})") from None
    return pattern


GroupPattern = Annotated[str | None, AfterValidator(_checked)]
"""The option of a format."""


class GroupOptions(Options):
    """The key of `data.options` that says what an image is a part of."""

    group: GroupPattern = None
    """A regular expression found in the name of an image, whose first group (or all of it) names the video, the patient or
    the image that it is a part of; these are kept on one side of the split. `.*` takes every image by itself. null: detected
    from names such as `vid1_0001`."""


def grouped(samples: Iterable[Sample], pattern: str | None) -> list[Sample]:
    """The samples, each in the group that the first group of `pattern`, or the whole match, finds in its name.

    The name of a page is that of its file, so that all pages of a file stay together. Without a pattern the groups are as
    they were.

    Raises:
        InputError: there is a name in which nothing is found.
    """
    if pattern is None:
        return list(samples)
    found: list[Sample] = []
    without: list[str] = []
    expression = re.compile(pattern)
    for sample in samples:
        name = sample.group or sample.id
        group = _group(expression, name)
        if group:
            found.append(replace(sample, group=group))
        else:
            without.append(f"{name}: no group")
    if without:
        raise problems_error(
            f"data.options.group: {pattern!r} finds no group in these names; mend the expression, or take every image by "
            f"itself with --set {shlex.quote(ALONE)}:",
            without,
        )
    return found


def _group(expression: re.Pattern[str], name: str) -> str:
    match = expression.search(name)
    return "" if match is None else match[1 if expression.groups else 0] or ""


def detected(names: Iterable[str]) -> str | None:
    """The expression that tells the groups of images by their names, where all names look like parts of something.

    Example:
        >>> names = [f"vid{video}_{frame:04}" for video in (1, 2) for frame in range(0, 90, 30)]
        >>> grouped([Sample(name, "train") for name in names], detected(names))[0].group
        'vid1'
        >>> detected(["ISIC_0000001", "ISIC_0000002", "ISIC_0000004"])  # all begin alike
    """
    distinct = sorted(set(names))
    for pattern in _KNOWN:
        if _tells(pattern, distinct):
            return pattern
    counted = _COUNTED.replace(r"(\d+)", r"\d+")
    return counted if _tells(counted, distinct) and _even(distinct) else None


def notes_of_one(names: Iterable[str]) -> list[str]:
    """What to say where a split is drawn through frames of one video or tiles of one image, by their names.

    Example:
        >>> len(notes_of_one(f"frame_{number:04}" for number in range(9))), len(notes_of_one(["a1", "a2"]))
        (1, 0)
    """
    distinct = sorted(set(names))
    for pattern in _FROM_ONE:
        groups = {_group(re.compile(pattern), name) for name in distinct}
        if len(groups) == 1 < len(distinct) and (group := groups.pop()):
            return [
                f"the images look like parts of one video, image or patient ({group}), by names such as {distinct[0]}: "
                "neighbours are on both sides of the split, so validation is too good; add images of others, or name the "
                "images of each side in train.txt and val.txt"
            ]
    return []


def _tells(pattern: str, names: Sequence[str]) -> bool:
    expression = re.compile(pattern)
    groups = Counter[str]()
    for name in names:
        if not (group := _group(expression, name)):
            return False
        groups[group] += 1
    return len(groups) > 1 and len(names) >= _MIN_MEMBERS * len(groups)


def _even(names: Sequence[str]) -> bool:
    numbers: dict[str, list[int]] = {}
    for name in names:
        match = re.match(_COUNTED, name)
        assert match is not None
        numbers.setdefault(match[1], []).append(int(match[2]))
    steps = [Counter(b - a for a, b in pairwise(sorted(each))) for each in numbers.values()]
    even = sum(most for counts in steps if (most := max(counts.values(), default=0)) > 1)
    return even >= _EVEN * sum(counts.total() for counts in steps)


def note_of_detected(samples: Sequence[Sample]) -> str:
    """What to say where groups were detected."""
    groups = Counter(sample.group for sample in samples)
    first = next(sample for sample in samples if sample.group)
    return (
        f"names such as {first.id} are taken for parts of one video, image or patient: {len(groups)} groups "
        f"({_some(sorted(groups))}), each on one side of the split; name them yourself with "
        f"--set 'data.options.group=REGEX', or take every image by itself with --set {shlex.quote(ALONE)}"
    )


def has_groups(samples: Iterable[Sample]) -> bool:
    """Whether groups are known, beyond that the pages of a file are one."""
    return any(sample.group and sample.part is None for sample in samples)


def names_of(samples: Iterable[Sample]) -> list[str]:
    """The names that may tell groups; that of a page is the name of its file."""
    return [sample.group or sample.id for sample in samples]


def of_published(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """The samples of a published or listed split in the groups that their names tell, and what to say of it.

    As they are where groups are known, or where names tell none. Where all that validates is of one group, intervals are
    over seeds alone, and the study says so.
    """
    pattern = None if has_groups(samples) else detected(names_of(samples))
    if pattern is None:
        return list(samples), []
    found = grouped(samples, pattern)
    groups = sorted({sample.group for sample in found})
    return found, [
        f"names such as {found[0].id} are taken for parts of one video, image or patient: {len(groups)} groups "
        f"({_some(groups)}), each judged as one; take every image by itself with --set {shlex.quote(ALONE)}"
    ]


def note_of_few(pattern: str, samples: Sequence[Sample]) -> str:
    """What to say where there are too few detected groups to be divided."""
    groups = sorted({sample.group for sample in grouped(samples, pattern)})
    return (
        f"the images look like parts of {len(groups)} videos, images or patients ({_some(groups)}), too few to keep each on "
        "one side of the split, so neighbours are on both sides and validation is too good; use fewer folds, add more, or "
        "name the images of each side in train.txt and val.txt"
    )


def notes_of_divided(samples: Sequence[Sample]) -> list[str]:
    """What to say of groups, known or detected, that a published or listed split has on several sides."""
    if not has_groups(samples):
        pattern = detected(names_of(samples))
        samples = grouped(samples, pattern) if pattern is not None else samples
    sides: dict[str, set[str]] = {}
    for sample in samples:
        if sample.group:
            sides.setdefault(sample.group, set()).add(sample.split)
    notes = []
    for sides_of_note, what in (({"train", "val"}, "train and validate"), ({"test"}, "are held out, and others of it not")):
        both = sorted(group for group, found in sides.items() if len(found) > 1 and found >= sides_of_note)
        if both:
            notes.append(
                f"images of one video, image or patient {what}, by their names: {_some(both)}"
                f"{f' ({len(both)} such groups)' if len(both) > 1 else ''}; the split is kept as it is, but scores on "
                "neighbours of what was seen are too good; --set data.split.val_fraction=0.2 divides whole groups anew"
            )
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")
