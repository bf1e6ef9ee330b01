"""CamVid (Brostow et al. 2009) in its three layouts: SegNet's, the original and Kaggle's.

SegNet's has train/, trainannot/, val/, valannot/, test/, testannot/ (367, 101 and 233 images), with 11 classes as numbers.
The original has 701_StillsRaw_full/ and LabeledApproved_full/, Kaggle's has train/, train_labels/, val/, val_labels/, test/,
test_labels/ and class_dict.csv; both have the 32 classes as colours.

Hossain (section IV and Table 1, where the set is called Cityscape) tests with 36 of all 701 images and trains with the other
665, three times with other test images: data.split {folds: 3, val_fraction: 0.0514} on a root that has the test images too.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tune_seg.config import DataConfig, SplitConfig
from tune_seg.data.dataset import SPLITS, TEST, Sample, SplitName
from tune_seg.data.groups import GroupPattern, grouped, notes_of_divided
from tune_seg.data.images.class_lists import find_class_list, one_class_list
from tune_seg.data.images.colours import ColourMasks, read_colour_table
from tune_seg.data.images.files import MASK_SUFFIXES, FileDataset, match
from tune_seg.data.images.own_masks import own_masks
from tune_seg.data.images.pairing import pair
from tune_seg.data.images.published import PublishedOrFound
from tune_seg.data.images.scan import Scan
from tune_seg.data.labels import declared
from tune_seg.data.options import Options, read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = (
    "train/, trainannot/, val/, valannot/; or 701_StillsRaw_full/, LabeledApproved_full/; "
    "or train/, train_labels/, val/, val_labels/, class_dict.csv"
)

CLASS_NAMES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
"""SegNet's classes, by label."""

VOID = 11

COLOURS = {
    "Animal": ((64, 128, 64), "pedestrian"),
    "Archway": ((192, 0, 128), "building"),
    "Bicyclist": ((0, 128, 192), "bicyclist"),
    "Bridge": ((0, 128, 64), "building"),
    "Building": ((128, 0, 0), "building"),
    "Car": ((64, 0, 128), "car"),
    "CartLuggagePram": ((64, 0, 192), "pedestrian"),
    "Child": ((192, 128, 64), "pedestrian"),
    "Column_Pole": ((192, 192, 128), "pole"),
    "Fence": ((64, 64, 128), "fence"),
    "LaneMkgsDriv": ((128, 0, 192), "road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "road"),
    "Misc_Text": ((128, 128, 64), "sign"),
    "MotorcycleScooter": ((192, 0, 192), "bicyclist"),
    "OtherMoving": ((128, 64, 64), "car"),
    "ParkingBlock": ((64, 192, 128), "pavement"),
    "Pedestrian": ((64, 64, 0), "pedestrian"),
    "Road": ((128, 64, 128), "road"),
    "RoadShoulder": ((128, 128, 192), "pavement"),
    "Sidewalk": ((0, 0, 192), "pavement"),
    "SignSymbol": ((192, 128, 128), "sign"),
    "Sky": ((128, 128, 128), "sky"),
    "SUVPickupTruck": ((64, 128, 192), "car"),
    "TrafficCone": ((0, 0, 64), "pole"),
    "TrafficLight": ((0, 64, 64), "sign"),
    "Train": ((192, 64, 128), "car"),
    "Tree": ((128, 128, 0), "tree"),
    "Truck_Bus": ((192, 128, 192), "car"),
    "Tunnel": ((64, 0, 64), "building"),
    "VegetationMisc": ((192, 192, 0), "tree"),
    "Void": ((0, 0, 0), None),
    "Wall": ((64, 192, 0), "building"),
}
"""The 32 classes in the order of label_colors.txt: the colour of each, and which of SegNet's classes it is part of."""

_Layout = Literal["SegNet", "original", "Kaggle"]
_SIDES: tuple[SplitName, ...] = (*SPLITS, TEST)
_FIRST_TEST_FRAME = 8550  # of the sequence 0001TP
_VAL_FRAMES = range(7959, 8160)  # of the sequence 0016E5
_DRIVES = ("0001TP", "0006R0", "0016E5", "Seq05VD")


class CamVidOptions(Options):
    """`data.options` of CamVid."""

    classes: Literal[11, 32] | None = None
    """11 merges the 32 classes to SegNet's; 32 keeps them, 31 without Void. null: those of the layout."""

    val: Literal["val", "test"] = "val"
    """The published images that validate. With `data.split` all images are divided anew, those of test
    too, unless it holds them out."""

    group: GroupPattern = None
    """A regular expression found in the name of an image, whose first group (or all of it) names the video, the patient or
    the image that it is a part of; these are kept on one side of the split. `.*` takes every image by itself. null: the
    drive, where `data.split` divides the images anew."""


def looks_like(root: Path) -> bool:
    """Whether it is one of the three layouts; Kaggle's is recognised by the colours in class_dict.csv.

    Images of one's own in SegNet's folders, whose masks have other names or formats, are read as a folder.
    """
    layout = _layout(root)
    return layout is not None and (layout != "SegNet" or _named_as_segnet(root))


def read_camvid(root: Path, config: DataConfig) -> FileDataset:
    """The data set under `root`; void is ignored unless `config.ignore_label` says otherwise.

    The published split is SegNet's, in the original layout by the names of the frames. With 32 classes, the raw values are
    the places in :data:`COLOURS`, from 0; with 11, they are SegNet's labels in every layout. The few pixels of the published
    masks that are in none of the 32 colours are void. Images of one's own in SegNet's layout have the classes of the list
    beside them; without one, the values of the masks get SegNet's names only where they are those of SegNet.

    Raises:
        InputError: a folder is missing or empty, an option does not fit the layout, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, CamVidOptions)
    layout = _layout(root)
    assert layout is not None
    if layout == "SegNet" and options.classes == 32:
        raise InputError(
            f"data.options.classes: 32, but {root} has the 11 classes of SegNet; the 32 are in the original, "
            "701_StillsRaw_full and LabeledApproved_full"
        )
    if options.val == TEST and (config.split.given or config.split.test is not None):
        how = "replaces" if config.split.given else "holds out with data.split.test"
        raise InputError(f"data.options.val: test is of the published split, which data.split {how}; leave one of them out")
    rules: list[str] = []
    if layout == "original":
        sides = _original(root)
    else:
        sides = {side: _fitted(samples, rules) for side, samples in _in_folders(root, layout).items()}
    if not config.split.given and not sides[options.val]:
        raise InputError(
            f"{root}: no images of the published split's {options.val}; add them, choose other ones with "
            "data.options.val, or divide the images that are there with data.split.val_fraction"
        )
    unused = 0
    if options.val == TEST:
        used = [*sides["train"], *(replace(sample, split="val") for sample in sides[TEST])]
    else:
        reads_test = config.split.given or config.split.test is not None
        used = [sample for side in (_SIDES if reads_test else SPLITS) for sample in sides[side]]
        unused = 0 if reads_test else len(sides[TEST])
    samples = _divided(used, options.group, config.split, root)
    asked = options.group is not None or _is_drawn(config.split)
    notes = () if asked else tuple(notes_of_divided([_of_drive(sample) for sample in samples]))
    if layout == "SegNet":
        return _segnet(samples, config, root, notes, tuple(dict.fromkeys(rules)), unused=unused)
    if options.classes == 11:
        void = VOID
        numbers = {colour: VOID if name is None else CLASS_NAMES.index(name) for colour, name in COLOURS.values()}
        names = dict(enumerate(CLASS_NAMES))
    else:
        void = list(COLOURS).index("Void")
        numbers = {colour: number for number, (colour, _) in enumerate(COLOURS.values())}
        names = {number: name for number, name in enumerate(COLOURS) if number != void}
    labels = declared(config.classes or names, config.ignore_label, void)
    masks = ColourMasks(numbers, "the 32 colours of CamVid", void)
    return FileDataset(samples, labels, masks=masks, split_notes=notes)


def _divided(samples: list[Sample], group: str | None, split: SplitConfig, root: Path) -> tuple[Sample, ...]:
    """Drives are kept whole where the sides are drawn. The published split divides one, and stays."""
    if group is not None:
        return divide(grouped(samples, group), split, root)
    if _is_drawn(split):
        # what is published to be held out is a part of a drive
        held_out = {TEST} if split.test == "published" else set[str]()
        return divide([s if s.split in held_out else _of_drive(s) for s in samples], split, root)
    # frames of one drive are not independent: where all validation images are of one, the study says so
    return tuple(_of_drive(sample) for sample in divide(samples, split, root))


def _is_drawn(split: SplitConfig) -> bool:
    return split.folds is not None or split.val_fraction is not None


def _of_drive(sample: Sample) -> Sample:
    drive = sample.id.partition("_")[0]
    return replace(sample, group=drive) if drive in _DRIVES else sample


def _segnet(
    samples: tuple[Sample, ...],
    config: DataConfig,
    root: Path,
    notes: tuple[str, ...],
    rules: tuple[str, ...],
    *,
    unused: int,
) -> FileDataset:
    """SegNet's layout, in which many keep other images."""
    published = declared(CLASS_NAMES, config.ignore_label, VOID)
    if config.classes is not None and len(config.classes) >= len(CLASS_NAMES):
        return FileDataset(samples, declared(config.classes, config.ignore_label, VOID), split_notes=notes)
    if config.classes is None and all(sample.id.partition("_")[0] in _DRIVES for sample in samples):
        return FileDataset(samples, published, split_notes=notes)
    folders = dict.fromkeys(sample.mask.parent for sample in samples if sample.mask is not None)
    class_list = find_class_list([root]) or one_class_list(folders)
    classes, reader, said = own_masks(samples, config, class_list, root / "trainannot")
    if config.classes is None and class_list is None and isinstance(classes, Scan):
        classes = PublishedOrFound(classes, published, "CamVid as SegNet has it")
    if unused:
        said += (f"{unused} images of test are not used; --set data.split.test=published holds them out for a last test.",)
    return FileDataset(samples, classes, masks=reader, layout=(*rules, *said), split_notes=notes)


def _layout(root: Path) -> _Layout | None:
    if all((root / name).is_dir() for name in ("train", "trainannot", "val", "valannot")):
        return "SegNet"
    if all((root / name).is_dir() for name in ("701_StillsRaw_full", "LabeledApproved_full")):
        return "original"
    if all((root / name).is_dir() for name in ("train", "train_labels", "val", "val_labels")):
        try:
            rows = read_colour_table(root / "class_dict.csv").rows
        except InputError:
            return None
        known = {colour for colour, _ in COLOURS.values()}
        return "Kaggle" if all(colour in known for _, colour in rows) else None
    return None


def _named_as_segnet(root: Path) -> bool:
    masks = [path.name for path in (root / "trainannot").iterdir()]
    images = {path.stem for path in (root / "train").iterdir()}
    return not masks or any(name.endswith(".png") and name.removesuffix(".png") in images for name in masks)


def _in_folders(root: Path, layout: _Layout) -> dict[SplitName, list[Sample]]:
    """The images of train/, val/ and test/; those of test, or their labels, may be missing."""
    ending = "annot" if layout == "SegNet" else "_labels"
    return {
        side: match(
            root / side,
            root / f"{side}{ending}",
            side,
            mask_ending="" if layout == "SegNet" else "_L",
            mask_suffixes=MASK_SUFFIXES if layout == "SegNet" else (".png",),
        )
        if side != TEST or all((root / name).is_dir() for name in (side, f"{side}{ending}"))
        else []
        for side in _SIDES
    }


def _fitted(samples: list[Sample], rules: list[str]) -> list[Sample]:
    """Images and masks whose names are not equal, put together where a rule fits them; the rule is added to `rules`."""
    images = {sample.image.name: sample for sample in samples if sample.image is not None and sample.mask is None}
    masks = {sample.mask.name: sample for sample in samples if sample.mask is not None and sample.image is None}
    if not images or not masks:
        return samples
    found = pair(list(images), list(masks))
    rules += [f"Names of images and masks: {rule}." for rule in found.rules]
    pairs = {images[image].id: masks[mask].mask for image, mask in found.pairs.items()}
    taken = {masks[mask].id for mask in found.pairs.values()}
    kept = (sample for sample in samples if sample.image is not None or sample.id not in taken)
    return [replace(sample, mask=pairs.get(sample.id, sample.mask)) for sample in kept]


def _original(root: Path) -> dict[SplitName, list[Sample]]:
    """All stills, on the sides on which SegNet's lists have them."""
    sides: dict[SplitName, list[Sample]] = {side: [] for side in _SIDES}
    for sample in match(root / "701_StillsRaw_full", root / "LabeledApproved_full", "train", mask_ending="_L"):
        side = _segnet_side(sample.id)
        sides[side].append(replace(sample, split=side))
    return sides


def _segnet_side(name: str) -> SplitName:
    """Where SegNet's lists have a still, such as 0016E5_07959 or Seq05VD_f00000."""
    sequence, _, frame = name.partition("_")
    number = int(frame.lstrip("f")) if frame.lstrip("f").isdecimal() else -1
    if sequence == "Seq05VD" or (sequence == "0001TP" and number >= _FIRST_TEST_FRAME):
        return "test"
    return "val" if sequence == "0016E5" and number in _VAL_FRAMES else "train"
