"""Which masks belong to which image where an image has several: one for each class, or one for each object.

Names are as in :mod:`tune_seg.data.images.pairing`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tune_seg.data.images.pairing import MASK_WORDS, bare, pair, words_removed
from tune_seg.errors import InputError

_NUMBER = re.compile(r"[ _.\-]*\d+$")
_EDGE = re.compile(r"^[ _.\-()]+|[ _.\-()]+$")
_OPINION = re.compile(r"\d(st|nd|rd|th)|(?<![a-z])(manual|annotator|rater|observer|reader|expert)", re.IGNORECASE)
_HASH = re.compile(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{4,}")
_MAX_CLASSES = 64

Parts = Mapping[str, Mapping[str, tuple[str, ...]]]
"""The masks of each image by class; under the empty name, those of objects of one class."""


@dataclass(frozen=True)
class Grouping:
    """Images and their several masks.

    Attributes:
        parts: the masks of each image that has some; no mask belongs to two images.
        rule: how they belong together, in a sentence.
    """

    parts: Parts
    rule: str

    @property
    def classes(self) -> frozenset[str]:
        """The names of the classes; none where the masks are those of objects of one class."""
        return frozenset(name for masks in self.parts.values() for name in masks) - {""}

    @property
    def several(self) -> bool:
        """Whether an image has more than one mask."""
        return any(sum(map(len, masks.values())) > 1 for masks in self.parts.values())


def group(images: Sequence[str], masks: Sequence[str], known: frozenset[str] = frozenset()) -> Grouping | None:
    """The masks of each image; None where they do not all belong to one, or what they mean cannot be told.

    These are understood: a folder for each class (`crack/a.png`); a folder for each image (`a/1.png`); and what follows the
    name of the image (`a_1.png`, `a_crack.png`), where a number is an object and a word is a class.

    Args:
        images, masks: their names.
        known: classes that masks elsewhere in the data set are called by.

    Raises:
        InputError: folders are called by people, of whom each made masks of the same images.

    Example:
        >>> grouping = group(["a.jpg", "b.jpg"], ["a_crack.png", "a_spall.png", "b_crack.png"])
        >>> sorted(grouping.classes), grouping.parts["b.jpg"]
        (['crack', 'spall'], {'crack': ('b_crack.png',)})
    """
    return _by_class_folders(images, masks) or _by_what_follows(images, masks, known)


def _by_class_folders(images: Sequence[str], masks: Sequence[str]) -> Grouping | None:
    folders: dict[str, list[str]] = {}
    for name in masks:
        folders.setdefault(name.partition("/")[0] if "/" in name else "", []).append(name)
    stems = {bare(name) for name in images}
    if len(folders) < 2 or "" in folders or not stems.isdisjoint(folders) or len(folders) > _MAX_CLASSES:
        return None
    parts: dict[str, dict[str, tuple[str, ...]]] = {}
    for folder, names in folders.items():
        inside = {name.partition("/")[2]: name for name in names}
        try:
            pairing = pair(images, list(inside))
        except InputError:
            return None
        if pairing.masks:
            return None
        for image, mask in pairing.pairs.items():
            parts.setdefault(image, {})[folder] = (inside[mask],)
    opinions = [folder for folder in sorted(folders) if _OPINION.search(folder)]
    if len(opinions) > 1:
        raise InputError(
            f"the folders {_listed(opinions)} seem to hold masks of the same images by several people, not a class each; "
            f"choose one with data.options.masks, such as its path from the root that ends in {opinions[0]}; if they are "
            "classes, give the folders the names of the classes"
        )
    return Grouping(parts, f"A folder holds the masks of one class: {_listed(folders)}.")


def _by_what_follows(images: Sequence[str], masks: Sequence[str], known: frozenset[str]) -> Grouping | None:
    of_stem: dict[str, str] = {}
    of_folder: dict[str, list[str]] = {}
    for name in images:
        if of_stem.setdefault(bare(name), name) != name:
            return None
        of_folder.setdefault(name.rpartition("/")[0], []).append(name)
    tails: dict[str, tuple[str, str]] = {}
    for mask in masks:
        found = _image_and_tail(mask, of_stem, of_folder)
        if found is None:
            return None
        tails[mask] = found
    kinds = {mask: _kind(tail) for mask, (_, tail) in tails.items()}
    names = {kind for kind, _ in kinds.values()} - {""}
    if not names <= known and len(names) > max(2, len(masks) // 2):  # hashes, one for each object
        kinds = {mask: ("", tail) for mask, (_, tail) in tails.items()}
        names = set()
    parts: dict[str, dict[str, tuple[str, ...]]] = {}
    seen: set[tuple[str, str, str]] = set()
    for mask, (image, tail) in tails.items():
        kind, number = kinds[mask]
        if (image, kind, number) in seen or (names and not kind) or _OPINION.search(tail):
            return None
        seen.add((image, kind, number))
        parts.setdefault(image, {})[kind] = (*parts.get(image, {}).get(kind, ()), mask)
    if names:
        return Grouping(parts, f"Each image has a mask for each class, called by what follows its name: {_listed(names)}.")
    return Grouping(parts, "Each image has several masks, one for each object; together they are one class.")


def _image_and_tail(mask: str, of_stem: Mapping[str, str], of_folder: Mapping[str, list[str]]) -> tuple[str, str] | None:
    """The image to which a mask belongs, and what its name says beyond that of the image."""
    stem = bare(mask)
    folder, _, last = stem.rpartition("/")
    if stem in of_stem:
        return of_stem[stem], ""
    for end in range(len(stem) - 1, len(stem) - len(last), -1):
        if stem[:end] in of_stem and not stem[end].isalnum():
            return of_stem[stem[:end]], stem[end:]
    if folder in of_stem:
        return of_stem[folder], last
    alone = of_folder.get(folder, ())
    return (alone[0], last) if folder and len(alone) == 1 else None


def _kind(tail: str) -> tuple[str, str]:
    """The class and the number of the object that follow the name of an image."""
    if _HASH.fullmatch(_EDGE.sub("", tail)):
        return "", tail
    words = _NUMBER.sub("", tail)
    number = tail[len(words) :]
    return _EDGE.sub("", words_removed(words, MASK_WORDS)), _EDGE.sub("", number)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
