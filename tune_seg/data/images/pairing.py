"""Which mask belongs to which image, by their names alone.

A name is the path of a file from the folder of its kind, with `/` between its parts: `a.png`, or `patient1/a.png`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tune_seg.data.dataset import problems_error

_OF_MASKS = (
    "mask masks gt gts groundtruth truth seg segs segm segmentation segmentations label labels lbl labelids annotation "
    "annotations annot anno ann manual target matte l"
)
_OF_IMAGES = "img image images im sat rgb photo input orig original training test frame leftimg8bit raw"

MASK_WORDS = frozenset(_OF_MASKS.split())
"""What is written before or after the name of an image to name its mask."""

IMAGE_WORDS = frozenset(_OF_IMAGES.split())
"""The same of an image, where its mask is named without it."""

_LEVELS = ("", "another form of Unicode", "upper and lower case", "leading zeros")
_BEGINNING = re.compile(r"([^\W\d_]+)([ _.\-]+|(?=\d))")
_ENDING = re.compile(r"(?:[ _.\-]+|(?<=\d))([^\W\d_]+\d?)$")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_MAX_AFFIXES = 6


@dataclass(frozen=True)
class Pairing:
    """Images and their masks.

    Attributes:
        pairs: the mask of each image that has one; no mask belongs to two images.
        images: those without a mask.
        masks: those without an image.
        rules: how names that are not equal fit, one sentence each, with the number of pairs.
    """

    pairs: Mapping[str, str]
    images: tuple[str, ...]
    masks: tuple[str, ...]
    rules: tuple[str, ...] = ()


def pair(images: Sequence[str], masks: Sequence[str]) -> Pairing:
    """Match images and masks by name.

    Equal names go together, without their extensions. Of what is left, the rule that pairs most is taken, and so on: a
    beginning or an ending that all names of one kind have (`a` and `a_mask`, `a_sat` and `a_mask`), the whole file name
    (`a.jpg.png`), and names that differ in upper and lower case, leading zeros, or the form of Unicode.

    Raises:
        InputError: two files of one kind have one name, or two masks fit one image equally well; both are named.

    Example:
        >>> pairing = pair(["1_sat.jpg", "2_sat.jpg"], ["1_mask.png", "2_mask.png"])
        >>> pairing.pairs["2_sat.jpg"], pairing.rules
        ('2_mask.png', ("'X_mask' is the mask of 'X_sat' (2 pairs)",))
    """
    for names in (images, masks):
        _reject_equal_names(names)
    found = _equal_names(images, masks)
    rules: list[str] = []
    while True:
        left_images = [name for name in images if name not in found]
        taken = set(found.values())
        left_masks = [name for name in masks if name not in taken]
        more, rule = _best(left_images, left_masks)
        if not more:
            break
        found |= more
        rules.append(f"{rule} ({len(more)} pair{'s' * (len(more) > 1)})")
    _reject_second_masks(found, left_masks)
    return Pairing(found, tuple(left_images), tuple(left_masks), tuple(rules))


def bare(name: str) -> str:
    """A name without its extension."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and ending and "/" not in ending and stem and not stem.endswith("/") else name


def words_removed(text: str, words: frozenset[str]) -> str:
    """`text` without the words that say what kind of file it is, such as `_mask`, at its beginning and its end."""
    for _ in range(2):
        beginning, ending = _BEGINNING.match(text), _ENDING.search(text)
        if ending is not None and _word(ending[1]) in words:
            text = text[: ending.start()]
        elif beginning is not None and _word(beginning[1]) in words:
            text = text[beginning.end() :]
        elif _word(text) in words:
            text = ""
    return text


def _word(text: str) -> str:
    """As it stands among the words: `manual` for `Manual1`."""
    return text.casefold().rstrip("0123456789")


@dataclass(frozen=True)
class _Affix:
    """What a name has before and after the part that an image and its mask have in common."""

    before: str = ""
    after: str = ""

    def key(self, name: str) -> str | None:
        """The common part of a name; None where it has not these ends."""
        folder, slash, stem = name.rpartition("/")
        if not stem.startswith(self.before) or not stem.endswith(self.after):
            return None
        middle = stem[len(self.before) : len(stem) - len(self.after)]
        return f"{folder}{slash}{middle}" if middle else None

    def __str__(self) -> str:
        return f"'{self.before}X{self.after}'"


def _equal_names(images: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    by_stem = {bare(name): name for name in masks}
    return {name: by_stem[bare(name)] for name in images if bare(name) in by_stem}


def _best(images: Sequence[str], masks: Sequence[str]) -> tuple[dict[str, str], str]:
    """The most pairs that one rule gives, and the rule in words; no pairs where no rule gives any."""
    best: dict[str, str] = {}
    said = ""
    if not images or not masks:
        return best, said
    compared: list[str] = []
    for level, differ in enumerate(_LEVELS):
        before, compared = compared, [_form(name, level) for name in (*images, *masks)]
        if compared == before:  # nothing to disregard, in many names
            continue
        tried = list(_at_level(images, masks, level))
        most, rule = max(tried, key=lambda one: len(one[0]))
        if len(most) > len(best):
            for pairs, _ in tried:
                if len(pairs) == len(most):
                    _reject_differences(most, pairs)
            best, said = most, rule + (f", without regard to {differ}" if differ else "")
        if len(best) == min(len(images), len(masks)):
            break
    return best, said


def _at_level(images: Sequence[str], masks: Sequence[str], level: int) -> Iterator[tuple[dict[str, str], str]]:
    """The pairs of each rule, for names as they are compared at this level."""
    image_names = {name: _form(bare(name), level) for name in images}
    mask_names = {name: _form(bare(name), level) for name in masks}
    yield _paired(image_names, mask_names), "names fit"
    whole = {name: _form(name, level) for name in images}
    yield _paired(whole, mask_names), "a mask has the name of its image with the extension"
    least = min(len(images), len(masks))
    for image, mask, known in _affixes(list(image_names.values()), list(mask_names.values())):
        pairs = _paired(
            {name: key for name, text in image_names.items() if (key := image.key(text)) is not None},
            {name: key for name, text in mask_names.items() if (key := mask.key(text)) is not None},
        )
        if known or len(pairs) == least:  # words that nobody uses for masks may be of two recordings
            yield pairs, f"{mask} is the mask of {image}"


def _form(name: str, level: int) -> str:
    if level >= 1:
        name = unicodedata.normalize("NFC", name)
    if level >= 2:
        name = name.casefold()
    return _ZEROS.sub("", name) if level >= 3 else name


def _paired(images: Mapping[str, str], masks: Mapping[str, str]) -> dict[str, str]:
    """The images and masks whose keys are equal, where no other has that key."""
    unique_images, unique_masks = ({key for key, n in Counter(side.values()).items() if n == 1} for side in (images, masks))
    of_key = {key: name for name, key in masks.items() if key in unique_masks}
    return {name: of_key[key] for name, key in images.items() if key in unique_images and key in of_key}


def _affixes(images: list[str], masks: list[str]) -> list[tuple[_Affix, _Affix, bool]]:
    """The ends of names that may make the difference between an image and its mask, and whether they are usual ones."""
    found: dict[tuple[_Affix, _Affix], bool] = {}
    for affix, known in _added(images, masks, MASK_WORDS):
        found[_Affix(), affix] = known
    named_as_masks = all(words_removed(stem := name.rpartition("/")[2], MASK_WORDS) != stem for name in masks)
    for affix, known in _added(masks, images, IMAGE_WORDS):
        if known or not named_as_masks:  # `a_label_color` is a picture of `a_label`, not its image
            found[affix, _Affix()] = known
    for image in (*_worded(images, IMAGE_WORDS), *_common(images)):
        for mask in _worded(masks, MASK_WORDS):
            found.setdefault((image, mask), True)
    return [(image, mask, known) for (image, mask), known in found.items()]


def _added(short: Iterable[str], long: Iterable[str], words: frozenset[str]) -> list[tuple[_Affix, bool]]:
    """What is added to the names of `short` in `long`, most frequent first, and whether it is one of `words`."""
    there = set(short)
    ends: Counter[_Affix] = Counter()
    for name in long:
        folder, slash, stem = name.rpartition("/")
        for cut in range(1, len(stem)):
            if not _boundary(stem[cut - 1], stem[cut]):
                continue
            head, tail = stem[:cut], stem[cut:]
            if _may_be_added(tail, words) and f"{folder}{slash}{head}" in there:
                ends[_Affix(after=tail)] += 1
            if _may_be_added(head, words) and f"{folder}{slash}{tail}" in there:
                ends[_Affix(before=head)] += 1
    return [(affix, not words_removed(affix.before + affix.after, words)) for affix, _ in ends.most_common(_MAX_AFFIXES)]


def _may_be_added(text: str, words: frozenset[str]) -> bool:
    """Whether it is a word; what has a number in it may count recordings, unless it is a usual word."""
    return any(map(str.isalpha, text)) and (not any(map(str.isdigit, text)) or not words_removed(text, words))


def _boundary(left: str, right: str) -> bool:
    """Whether a name may be cut here: not within a word or a number."""
    if left.isdigit() or right.isdigit():
        return left.isdigit() != right.isdigit()
    return not (left.isalpha() and right.isalpha()) or (left.islower() and right.isupper())


def _worded(names: Iterable[str], words: frozenset[str]) -> list[_Affix]:
    """The ends of names that are one of `words`, as they are written, most frequent first."""
    ends: Counter[_Affix] = Counter()
    for name in names:
        stem = name.rpartition("/")[2]
        if (match := _BEGINNING.match(stem)) and _word(match[1]) in words:
            ends[_Affix(before=match[0])] += 1
        if (match := _ENDING.search(stem)) and _word(match[1]) in words:
            ends[_Affix(after=match[0])] += 1
    return [affix for affix, _ in ends.most_common(_MAX_AFFIXES)]


def _common(names: list[str]) -> list[_Affix]:
    """The word with which all names begin or end."""
    stems = [name.rpartition("/")[2] for name in names]
    beginnings = {match[0] if (match := _BEGINNING.match(stem)) else "" for stem in stems}
    endings = {match[0] if (match := _ENDING.search(stem)) else "" for stem in stems}
    affixes = (_Affix(before=min(beginnings)), _Affix(after=min(endings)))
    return [
        affix
        for affix, all_of in zip(affixes, (beginnings, endings), strict=True)
        if len(stems) > 1 and len(all_of) == 1 and affix != _Affix()
    ]


def _reject_equal_names(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    twice = [f"{name} and {seen[bare(name)]}" for name in names if seen.setdefault(bare(name), name) != name]
    if twice:
        raise problems_error("two files share one name, so it is not clear which belongs to the mask:", twice)


def _reject_differences(one: Mapping[str, str], other: Mapping[str, str]) -> None:
    unclear = [
        f"{image}: {one[image]} or {other[image]}" for image in one.keys() & other.keys() if one[image] != other[image]
    ]
    image_of = {mask: image for image, mask in other.items()}
    unclear += [f"{mask}: {image} or {image_of[mask]}" for image, mask in one.items() if image_of.get(mask, image) != image]
    if unclear:
        raise problems_error(_UNCLEAR, sorted(unclear))


def _reject_second_masks(found: Mapping[str, str], left: Iterable[str]) -> None:
    """Masks that are left over and would fit an image that has another one."""
    of_stem = {bare(image): image for image in found}
    unclear: list[str] = []
    for mask in left:
        folder, slash, stem = bare(mask).rpartition("/")
        image = of_stem.get(f"{folder}{slash}{words_removed(stem, MASK_WORDS)}")
        if image is not None:
            unclear.append(f"{image}: {found[image]} or {mask}")
    if unclear:
        raise problems_error(_UNCLEAR, sorted(unclear))


_UNCLEAR = (
    "two masks fit one image equally well, or two images one mask; say which ones are meant with a pattern, such as "
    "--set 'data.options.masks=masks/*_gt.png':"
)
