"""The samples of a folder: its images, each with its mask or masks."""

from collections.abc import Iterable, Mapping, Sequence

from tune_seg.data.dataset import Sample, SplitName
from tune_seg.data.images.grouping import Grouping, group
from tune_seg.data.images.layout import Side
from tune_seg.data.images.pairing import Pairing, bare, pair
from tune_seg.errors import InputError

Matched = Mapping[SplitName, Pairing] | Mapping[SplitName, Grouping]
"""The masks of the images of each side: one each, or several."""


def matched(sides: Mapping[SplitName, Side]) -> Matched:
    """Which masks belong to which image, on each side."""
    try:
        pairings = {name: pair(list(side.images), list(side.masks)) for name, side in sides.items()}
    except InputError:
        groupings = _grouped(sides)
        if groupings is None:
            raise
        return groupings
    if any(pairing.masks for pairing in pairings.values()) and (groupings := _grouped(sides)) is not None:
        return groupings
    if not any(pairing.pairs for pairing in pairings.values()):
        side = next(iter(sides.values()))
        raise InputError(
            f"no mask has a name that fits that of an image: the images are called {_some(side.images)}, the masks "
            f"{_some(side.masks)}; name each mask like its image, or say where the masks are with data.options.masks"
        )
    return pairings


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


def _grouped(sides: Mapping[SplitName, Side]) -> dict[SplitName, Grouping] | None:
    found: dict[SplitName, Grouping] = {}
    known = frozenset[str]()
    for _ in range(2):  # the few masks of a small side are understood by the classes of the other
        for name, side in sides.items():
            grouping = group(list(side.images), list(side.masks), known)
            if grouping is None:
                return None
            found[name] = grouping
        known = known.union(*(grouping.classes for grouping in found.values()))
    of_classes = {bool(grouping.classes) for grouping in found.values()}
    return found if len(of_classes) == 1 and any(grouping.several for grouping in found.values()) else None


def samples_of(sides: Mapping[SplitName, Side], found: Matched) -> list[Sample]:
    """The samples of all sides; an image or a mask without its partner is one too."""
    samples: list[Sample] = []
    for name, side in sides.items():
        its = found[name]
        masks = its.pairs if isinstance(its, Pairing) else {image: first(parts) for image, parts in its.parts.items()}
        alone = its.masks if isinstance(its, Pairing) else ()
        of_side = [
            Sample(bare(image), name, path, side.masks[masks[image]] if image in masks else None)
            for image, path in side.images.items()
        ]
        of_side += [Sample(bare(mask), name, None, side.masks[mask]) for mask in alone]
        samples += sorted(of_side, key=lambda sample: sample.id)
    return samples


def first(parts: Mapping[str, Sequence[str]]) -> str:
    """The mask that stands for all of an image."""
    return next(iter(parts.values()))[0]


def rules_of(found: Matched) -> tuple[str, ...]:
    """How images and masks were found to belong together, where their names are not equal."""
    rules: dict[str, None] = {}
    for its in found.values():
        said = (its.rule,) if isinstance(its, Grouping) else (f"Names of images and masks: {rule}." for rule in its.rules)
        rules.update(dict.fromkeys(said))
    return tuple(rules)
