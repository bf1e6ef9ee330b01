"""A folder of images and masks, as people keep them: where they lie and which belong together is told by their names."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tune_seg.config import DataConfig, Integer, Positive
from tune_seg.data.dataset import SPLITS, TEST, ImageType, Sample, SplitName, problems_error
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.class_lists import ClassList, find_class_list, one_class_list
from tune_seg.data.images.colours import ColourTable
from tune_seg.data.images.files import MASK_SUFFIXES, FileDataset, match
from tune_seg.data.images.grouping import Grouping
from tune_seg.data.images.intensities import IntensityOptions, intensities_of
from tune_seg.data.images.layout import Layout, Side, find_layout
from tune_seg.data.images.mask_meaning import Asked
from tune_seg.data.images.mask_scan import MaskScan
from tune_seg.data.images.matching import matched, rules_of, samples_of
from tune_seg.data.images.own_masks import masks_of, own_masks
from tune_seg.data.images.own_parts import own_parts
from tune_seg.data.images.paging import by_pages, reject_pages
from tune_seg.data.images.part_scan import PartScan
from tune_seg.data.images.pictures import CLASS_NUMBERS, IMAGE_SUFFIXES, MaskFiles, Pictures, depth
from tune_seg.data.images.scan import Scan
from tune_seg.data.images.thresholds import CutMasks
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide, unlisted
from tune_seg.errors import InputError

LAYOUT = "images/, masks/ (or other usual names, such as labels/, img_dir/ and ann_dir/, or a.jpg beside a_mask.png)"

IGNORE_LABEL = 255

_MAX_UNPAIRED = 3  # so many are named one by one, with whatever else is wrong
_MAX_FOLDERS_WITH_LISTS = 50
_Intensity = Annotated[Integer, Field(ge=0, le=255)]
_Colour = tuple[
    Annotated[_Intensity, Field(description="red")],
    Annotated[_Intensity, Field(description="green")],
    Annotated[_Intensity, Field(description="blue")],
]


class FolderOptions(GroupOptions, IntensityOptions):
    """`data.options` of a folder."""

    channels: Positive = 3
    """How many channels the images have. 3 is RGB, to which grey images and palettes are converted; any other number is that
    of the files. Transparency is dropped where it is one channel more."""

    pages: Literal["samples", "channels"] = "samples"
    """What the pages of a TIFF are: `samples`, each with a page of the mask, or the `channels` of one image."""

    colours: dict[str, _Colour] | None = None
    """The colour of each class, where masks are coded in colours, such as `{road: [128, 64, 128], ...}`. null: those of a
    table beside them, such as `colours.txt`, `class_dict.csv` or `labelmap.txt`, if one is there."""

    images: str | None = None
    """Where the images are: a folder in the root, or a pattern of paths from there, such as `photos/*_rgb.png`. null: found
    by the names of folders and files."""

    masks: str | None = None
    """Where the masks are, as `images`: `labels/fine`, or `labels/*_gt.png`."""

    without_mask: Literal["error", "background"] = "error"
    """What an image without a mask is: an `error`, or `background` throughout (the value 0)."""

    threshold: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Where to cut the grey values of masks that were compressed as JPEG or smoothed: `128` makes 0 of what is below and 1
    of the rest, `[64, 192]` makes 0, 1 and 2. `1` makes one class of numbered objects. null: masks hold class numbers."""


def looks_like(root: Path) -> bool:
    """Whether images and masks can be told by the names of folders and files; nothing is opened."""
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return True
    try:
        return find_layout(root) is not None
    except InputError:  # reading says which folders may be meant
        return True


def read_folder(root: Path, config: DataConfig) -> FileDataset:
    """The data set under `root`.

    The published split is that of folders called train and val (or valid, validation), if there are such, and of test for
    what `config.split.test` holds out. The class names are those of `config.classes`; of the colour table, whose rows are
    the raw values 0, 1, ...; of a list of classes, such as ROOT/classes.txt, one a line, the first for the value 0; of the
    folders or files, where each class has its own; or one for each distinct value. The depth of the images is that of the
    first.

    Raises:
        InputError: a folder is missing or empty, an image and its mask differ in pages, names do not tell which mask belongs
            to which image, a table or an option is wrong, or as :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, FolderOptions)
    pages_as_channels = options.pages == "channels"
    layout = _layout(root, options)
    sides = _sides(root, layout, held_out=config.split.test == "published")
    found = matched(sides)
    published = samples_of(sides, found)
    groupings = {side: its for side, its in found.items() if isinstance(its, Grouping)}
    if not groupings:
        published = by_pages(published, pages_as_channels)
    samples = divide(grouped(published, options.group), config.split, root)
    blank = options.without_mask == "background"
    _reject_unpaired(samples, blank)
    pictures = Pictures(options.channels, _depth(samples), pages_as_channels)
    intensities = intensities_of(samples, pictures, options)
    notes = (
        *layout.notes,
        *_unused(layout, sides),
        *rules_of(found),
        *unlisted(published, samples),
        *_blank_note(samples, blank),
    )
    class_list = _class_list(root, layout, options)
    cuts = CutMasks(_cuts(options.threshold)) if options.threshold is not None else None
    classes: Labels | Scan
    masks: MaskFiles
    if groupings:
        labels, parts = own_parts(sides, groupings, config, class_list, CLASS_NUMBERS if cuts is None else cuts)
        images = [] if pages_as_channels else [sample.image for sample in samples if sample.image is not None]
        reject_pages([*images, *parts.files])
        first = tuple(dict.fromkeys(sample.mask for sample in samples if sample.mask is not None))
        by_value = isinstance(config.classes, Mapping)
        classes, masks = PartScan(first, parts, labels, by_value, root / layout.above["mask"]), parts
        if not parts.ordered and len(labels.class_names) > 2:
            notes += ("Pixels that are of several classes are ignored, unless data.classes says which class covers which.",)
    else:
        classes, masks, said = own_masks(samples, config, class_list, root / layout.above["mask"], in_folder=True)
        notes += said
        if cuts is not None:
            if masks is not CLASS_NUMBERS and class_list is not None:
                raise InputError(
                    f"data.options.threshold cuts grey masks, but {class_list.where} says that they are coloured; choose one"
                )
            given = config.classes if config.classes is not None or class_list is None else class_list.names
            labels = _cut_labels(cuts.cuts, given, config.ignore_label)
            numbers = {number: labels.class_names[index] for number, index in labels.indices.items()}
            where = root / layout.above["mask"]
            asked = Asked(numbers, isinstance(config.classes, Mapping), config.ignore_label, where)
            classes, masks = MaskScan(masks_of(samples), asked, cuts.pixels), cuts
    return FileDataset(samples, classes, pictures, masks, intensities, notes, blank=blank)


def _layout(root: Path, options: FolderOptions) -> Layout:
    found = find_layout(root, options.images, options.masks)
    if found is not None:
        return found
    for key, pattern in (("images", options.images), ("masks", options.masks)):
        if pattern is not None:
            raise InputError(
                f"data.options.{key}: {pattern}: images and masks are not found with it; it is a folder in {root}, or a "
                "pattern of paths from there, such as labels/*_gt.png"
            )
    match(root / "images", root / "masks", "train", mask_suffixes=MASK_SUFFIXES)  # says which folder is missing or empty
    raise InputError(f"{root}: no images and masks found; say where with data.options.images and data.options.masks")


def _sides(root: Path, layout: Layout, *, held_out: bool) -> dict[SplitName, Side]:
    """The files of each side that is read; all are on the side of `train` where there are not both sides."""
    sides = layout.sides
    if all(name in sides for name in SPLITS):
        read: dict[SplitName, Side] = {name: sides[name] for name in SPLITS}
    else:
        read = {"train": next((side for name, side in sides.items() if name != TEST), sides.get(TEST, Side()))}
    if not any(side.images for side in sides.values()):
        left_out = ", ".join(f"{folder} ({count})" for folder, count in layout.left_out.items())
        raise InputError(
            f"{root}: no image of a format that is read ({', '.join(IMAGE_SUFFIXES)}), but other pictures in {left_out}; "
            "convert them, for instance to PNG"
        )
    missing = [str(root / layout.above["image"] / name) for name, side in read.items() if not side.images]
    missing += [str(root / layout.above["mask"] / name) for name, side in read.items() if not side.masks]
    if missing:
        raise problems_error("a split by folders needs images and masks for train and val; missing:", missing)
    if held_out and TEST in sides and sides[TEST].masks and sides[TEST].images:
        read[TEST] = sides[TEST]
    return read


def _reject_unpaired(samples: Sequence[Sample], blank: bool) -> None:
    """Many files without a partner, in one sentence; loading names a few of them with whatever else is wrong."""
    bare_images = [str(sample.image) for sample in samples if sample.mask is None and not blank]
    bare_masks = [str(sample.mask) for sample in samples if sample.image is None]
    for found, what, advice in (
        (
            bare_images,
            "images without a mask",
            "if there is nothing on them, say so with --set data.options.without_mask=background; else take them away",
        ),
        (
            bare_masks,
            "masks without an image",
            "name the ones that count, such as --set 'data.options.masks=masks/*_gt.png'",
        ),
    ):
        if len(found) > _MAX_UNPAIRED:
            raise problems_error(f"{len(found)} {what}; {advice}:", found)


def _unused(layout: Layout, sides: Mapping[SplitName, Side]) -> tuple[str, ...]:
    """Sides that are there, but are not read."""
    notes: list[str] = []
    for name, side in layout.sides.items():
        if not any(side is used for used in sides.values()):
            how = "; --set data.split.test=published holds them out for a last test" if side.images and side.masks else ""
            notes.append(f"{len(side.images)} images and {len(side.masks)} masks of {name} are not used{how}.")
    return tuple(notes)


def _blank_note(samples: Sequence[Sample], blank: bool) -> tuple[str, ...]:
    count = sum(sample.mask is None for sample in samples)
    return (f"{count} images without a mask are background throughout.",) if blank and count else ()


def _class_list(root: Path, layout: Layout, options: FolderOptions) -> ClassList | None:
    if options.colours is not None:
        table = ColourTable(tuple(options.colours.items()), "data.options.colours")
        return ClassList(table.names, table, "data.options.colours")
    masks = [path.parent for side in layout.sides.values() for path in side.masks.values()]
    nearby = list(dict.fromkeys(folder for path in masks for folder in (path, path.parent) if folder.is_relative_to(root)))
    return find_class_list([root]) or one_class_list(nearby[:_MAX_FOLDERS_WITH_LISTS])


def _depth(samples: Iterable[Sample]) -> ImageType:
    """The depth of the first image that can be read."""
    for sample in samples:
        if sample.image is not None:
            try:
                return depth(sample.image, sample.part)
            except InputError:  # loading it says what is wrong with it
                pass
    return "uint8"


def _cuts(threshold: int | tuple[int, ...]) -> tuple[int, ...]:
    cuts = threshold if isinstance(threshold, tuple) else (threshold,)
    if sorted(set(cuts)) != list(cuts):
        raise InputError(f"data.options.threshold: {list(cuts)}; several are in ascending order")
    return cuts


def _cut_labels(cuts: Sequence[int], classes: Sequence[str] | Mapping[int, str] | None, ignore_label: int | None) -> Labels:
    numbers = range(len(cuts) + 1)
    if ignore_label is not None and ignore_label not in numbers:
        raise InputError(
            f"data.ignore_label: {ignore_label}, but data.options.threshold makes {', '.join(map(str, numbers))} of all "
            "grey values; leave it out, or name one of these"
        )
    if classes is None:
        classes = {number: f"class {number}" for number in numbers if number != ignore_label}
    labels = declared(classes, ignore_label, IGNORE_LABEL)
    if {*labels.indices, *([] if ignore_label is None else labels.ignored)} != set(numbers):
        raise InputError(
            f"data.options.threshold: with {len(cuts)} of them the classes are {', '.join(map(str, numbers))}, but "
            f"{', '.join(map(str, sorted(labels.indices)))} are named; name one class for each"
        )
    return labels
