"""A folder of images and masks: ROOT/images and ROOT/masks, matched by file name without extension."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tune_seg.config import DataConfig, Integer, Number, Positive
from tune_seg.data.dataset import SPLITS, TEST, ImageType, Sample, SplitName, problems_error
from tune_seg.data.groups import GroupPattern, grouped
from tune_seg.data.images.colours import ColourTable, read_colour_table
from tune_seg.data.images.files import MASK_SUFFIXES, FileDataset, match
from tune_seg.data.images.intensities import Intensities, training_images
from tune_seg.data.images.mask_meaning import Asked
from tune_seg.data.images.mask_scan import MaskScan
from tune_seg.data.images.pictures import Pictures, depth, page_numbers
from tune_seg.data.images.thresholds import CutMasks
from tune_seg.data.images.tiff import is_tiff
from tune_seg.data.labels import Labels, declared
from tune_seg.data.options import Options, read_options
from tune_seg.data.splitting import divide, text
from tune_seg.errors import InputError

LAYOUT = "images/, masks/"

IGNORE_LABEL = 255

_COLOUR_TABLES = ("colours.txt", "class_dict.csv")
_Intensity = Annotated[Integer, Field(ge=0, le=255)]
_Colour = tuple[
    Annotated[_Intensity, Field(description="red")],
    Annotated[_Intensity, Field(description="green")],
    Annotated[_Intensity, Field(description="blue")],
]


class FolderOptions(Options):
    """`data.options` of a folder."""

    channels: Positive = 3
    """How many channels the images have. 3 is RGB, to which grey images and palettes are converted; any other number is that
    of the files. Transparency is dropped where it is one channel more."""

    pages: Literal["samples", "channels"] = "samples"
    """What the pages of a TIFF are: `samples`, each with a page of the mask, or the `channels` of one image."""

    colours: dict[str, _Colour] | None = None
    """The colour of each class, where masks are coded in colours, such as `{road: [128, 64, 128], ...}`. null: those of
    `ROOT/colours.txt` or `ROOT/class_dict.csv`, if one is there."""

    group: GroupPattern = None
    """A regular expression found in the name of an image, whose first group (or all of it) names the video, the patient or
    the image that it is a part of; these are kept on one side of the split. `.*` takes every image by itself. null: detected
    from names such as `vid1_0001`, where a split is drawn."""

    range: tuple[Annotated[Number, Field(description="black")], Annotated[Number, Field(description="white")]] | None = None
    """The numbers in the images that become black and white, such as [0, 4095] for 12 bits or [0, 0.5] for reflectance.
    null: of images of more than 8 bits, the 0.1th and the 99.9th percentile of the training images, a channel at a time; 16
    bits of which half or more is used stay as they are."""

    nodata: Number | None = None
    """The number of pixels in which nothing was measured, which are ignored. null: what a GeoTIFF says; -9999, -99999 and
    -32768 in signed and floating-point numbers. Pixels that are nan always are."""

    threshold: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Where to cut the grey values of masks that were compressed as JPEG or smoothed: `128` makes 0 of what is below and 1
    of the rest, `[64, 192]` makes 0, 1 and 2. `1` makes one class of numbered objects. null: masks hold class numbers."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"data.options.range: black must lie below white, got {list(self.range)}")
        return self


def looks_like(root: Path) -> bool:
    """Whether the folders are there."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def read_folder(root: Path, config: DataConfig) -> FileDataset:
    """The data set under `root`.

    The published split is the folders images/train, images/val, masks/train, masks/val, if there are such, and images/test
    and masks/test for what `config.split.test` holds out. The class names
    are those of `config.classes`; of the colour table, whose rows are the raw values 0, 1, ...; of ROOT/classes.txt, one a
    line, the first for the value 0; or one for each distinct value. The depth of the images is that of the first.

    Raises:
        InputError: a folder is missing or empty, an image and its mask differ in pages, a table or an option is wrong, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, FolderOptions)
    pages_as_channels = options.pages == "channels"
    published = _samples(root, held_out=config.split.test == "published")
    samples = divide(grouped(_by_pages(published, pages_as_channels), options.group), config.split, root)
    pictures = Pictures(options.channels, _depth(samples), pages_as_channels)
    intensities = _intensities(samples, pictures, options)
    table = _colour_table(root, options)
    classes = config.classes or _class_names(root, table, config.ignore_label)
    if options.threshold is not None:
        cuts = _cuts(options, table)
        return FileDataset(samples, _cut_labels(cuts, classes, config.ignore_label), pictures, CutMasks(cuts), intensities)
    if table is not None and classes is not None:
        return FileDataset(samples, declared(classes, config.ignore_label, IGNORE_LABEL), pictures, table.masks, intensities)
    # what is held out does not decide what there is to learn: values that only its masks have are refused when it is packed
    masks = dict.fromkeys(sample.mask for sample in samples if sample.mask is not None and sample.split != TEST)
    names = None if classes is None else dict(classes if isinstance(classes, Mapping) else enumerate(classes))
    asked = Asked(names, isinstance(classes, Mapping), config.ignore_label, root / "masks")
    return FileDataset(samples, MaskScan(tuple(masks), asked), pictures, intensities=intensities)


def _samples(root: Path, *, held_out: bool) -> list[Sample]:
    images, masks = root / "images", root / "masks"
    folders = [folder / name for folder in (images, masks) for name in SPLITS]
    if not any(folder.is_dir() for folder in folders):
        return match(images, masks, "train", mask_suffixes=MASK_SUFFIXES)
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise problems_error("a split by folders needs images and masks for train and val; missing:", missing)
    sides: tuple[SplitName, ...] = (
        (*SPLITS, TEST) if held_out and (images / TEST).is_dir() and (masks / TEST).is_dir() else SPLITS
    )
    return [sample for name in sides for sample in match(images / name, masks / name, name, mask_suffixes=MASK_SUFFIXES)]


def _by_pages(samples: Sequence[Sample], pages_as_channels: bool) -> list[Sample]:
    """A sample for each page of the files that have several; they are one group."""
    files = Counter(sample.id for sample in samples)  # folders of train and val may use a name twice
    found: list[Sample] = []
    problems: list[str] = []
    for sample in samples:
        try:
            pages, mask_pages = (() if path is None else page_numbers(path) for path in (sample.image, sample.mask))
        except InputError:  # loading it says what is wrong with it
            pages = mask_pages = ()
        if pages_as_channels:
            pages = pages[:1]  # the page that represents all of them
        if pages and mask_pages and pages != mask_pages:
            problems.append(f"{sample.image}: {_count(pages)}, but its mask {sample.mask} has {_count(mask_pages)}")
        elif len(pages) > 1 and mask_pages:
            width = len(str(pages[-1]))
            group = sample.id if files[sample.id] == 1 else f"{sample.split}/{sample.id}"
            found += [replace(sample, id=f"{sample.id}#{page:0{width}}", group=group, part=page) for page in pages]
        else:
            found.append(sample)
    if problems:
        raise problems_error(
            "an image whose pages are its channels has a mask of one page:"
            if pages_as_channels
            else "each page of an image needs a page of its mask; if the pages are channels of one image, say so with "
            "data.options.pages: channels:",
            problems,
        )
    return found


def _count(pages: Sequence[int]) -> str:
    between = "" if list(pages) == list(range(len(pages))) else f" ({', '.join(map(str, pages))}, with copies in between)"
    return f"{len(pages)} page{'s' * (len(pages) > 1)}{between}"


def _depth(samples: Iterable[Sample]) -> ImageType:
    """The depth of the first image that can be read."""
    for sample in samples:
        if sample.image is not None:
            try:
                return depth(sample.image, sample.part)
            except InputError:  # loading it says what is wrong with it
                pass
    return "uint8"


def _intensities(samples: Sequence[Sample], pictures: Pictures, options: FolderOptions) -> Intensities | None:
    """How numbers become levels; None where the files have levels of 8 bits and no way to say that nothing was measured."""
    asked = options.range is not None or options.nodata is not None
    if pictures.dtype == "uint8" and not asked and not any(sample.image and is_tiff(sample.image) for sample in samples):
        return None
    return Intensities(pictures, training_images(samples), options.range, options.nodata)


def _colour_table(root: Path, options: FolderOptions) -> ColourTable | None:
    if options.colours is not None:
        return ColourTable(tuple(options.colours.items()), "data.options.colours")
    there = [root / name for name in _COLOUR_TABLES if (root / name).is_file()]
    if len(there) > 1:
        raise InputError(f"{there[0]} and {there[1].name} both say what colours mean; take one of them away")
    return read_colour_table(there[0]) if there else None


def _cuts(options: FolderOptions, table: ColourTable | None) -> tuple[int, ...]:
    cuts = options.threshold if isinstance(options.threshold, tuple) else (options.threshold or 1,)
    if sorted(set(cuts)) != list(cuts):
        raise InputError(f"data.options.threshold: {list(cuts)}; several are in ascending order")
    if table is not None:
        raise InputError(
            f"data.options.threshold cuts grey masks, but {table.where} says that they are in colours; choose one"
        )
    return cuts


def _cut_labels(cuts: Sequence[int], classes: Sequence[str] | Mapping[int, str] | None, ignore_label: int | None) -> Labels:
    numbers = range(len(cuts) + 1)
    if classes is None:
        classes = {number: f"class {number}" for number in numbers if number != ignore_label}
    labels = declared(classes, ignore_label, IGNORE_LABEL)
    if {*labels.indices, *([] if ignore_label is None else labels.ignored)} != set(numbers):
        raise InputError(
            f"data.options.threshold: with {len(cuts)} of them the classes are {', '.join(map(str, numbers))}, but "
            f"{', '.join(map(str, sorted(labels.indices)))} are named; name one class for each"
        )
    return labels


def _class_names(root: Path, table: ColourTable | None, ignore_label: int | None) -> tuple[str, ...] | dict[int, str] | None:
    if table is not None:
        return {number: name for number, name in table.names.items() if number != ignore_label}
    path = root / "classes.txt"
    if not path.is_file():
        return None
    names = tuple(line.strip() for line in text(path).rstrip().splitlines())
    if "" in names:
        raise InputError(f"{path}: line {names.index('') + 1} is empty; line n names the class of the value n - 1")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a class name appears twice; line n names the class of the value n - 1")
    return names
