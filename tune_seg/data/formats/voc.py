"""PASCAL VOC segmentation: JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/ (Everingham et al. 2012)."""

import re
from collections.abc import Container
from pathlib import Path

from tune_seg.config import DataConfig
from tune_seg.data.dataset import SPLITS, TEST, Sample, problems_error
from tune_seg.data.formats._pascal import CLASS_NAMES, VOID, home_of, images_in, listed, listed_split, samples_of
from tune_seg.data.groups import GroupOptions, grouped
from tune_seg.data.images.class_lists import find_class_list
from tune_seg.data.images.files import FileDataset
from tune_seg.data.images.own_masks import own_masks
from tune_seg.data.images.published import PublishedOrFound
from tune_seg.data.images.scan import Scan
from tune_seg.data.labels import declared
from tune_seg.data.options import read_options
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

LAYOUT = "JPEGImages/, SegmentationClass/, ImageSets/Segmentation/, or a folder above, VOC2012/ or VOCdevkit/"

_HOMES = ("", "VOC2012", "VOCdevkit/VOC2012")
_PUBLISHED_NAME = re.compile(r"20(0[789]|1[012])_00\d{4}")
_FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")


class VocOptions(GroupOptions):
    """`data.options` of VOC."""

    extra: Path | None = None
    """A folder of more labels, PNG with the same numbers, such as `SegmentationClassAug`; relative to the folder that holds
    `JPEGImages`. Its images train too, but never those of `val.txt`, and VOC's own label wins. null: none."""


def looks_like(root: Path) -> bool:
    """Whether the folders are there, or in VOC2012/ or VOCdevkit/VOC2012/."""
    return home_of(root, _HOMES, _FOLDERS) is not None


def read_voc(root: Path, config: DataConfig) -> FileDataset:
    """The data set under `root`: background and twenty classes, 255 (void) is ignored.

    Images of one's own have the classes of the list beside them, such as labelmap.txt; without one, the values of the masks
    get VOC's names only where they are those of VOC.

    With VOC's own train.txt and the labels of SBD as `extra`, 10,582 images train and 1,449 validate. The published test
    split is that of test.txt, whose labels are public for 2007 alone.

    Raises:
        InputError: a file is missing, a list is empty, an image is in both lists, or as
            :func:`~tune_seg.data.splitting.divide`.
    """
    options = read_options(config.options, VocOptions)
    home = home_of(root, _HOMES, _FOLDERS)
    assert home is not None
    images, masks, lists = home / "JPEGImages", home / "SegmentationClass", home / "ImageSets" / "Segmentation"
    known = images_in(images)
    if all((lists / f"{side}.txt").is_file() for side in SPLITS):
        (train, val), source = listed_split(lists, known), lists / "train.txt"
    else:
        train, val, source = _one_list(lists, known), [], lists
    published: list[Sample] = [
        *samples_of(train, source, images, masks, ".png", "train"),
        *samples_of(val, lists / "val.txt", images, masks, ".png", "val"),
    ]
    test = listed(lists / "test.txt", known) if config.split.test == "published" and (lists / "test.txt").is_file() else []
    if both := sorted({*train, *val} & set(test)):
        raise problems_error(f"{lists / 'test.txt'} names images of train.txt or val.txt; take each out of one:", both)
    published += samples_of(test, lists / "test.txt", images, masks, ".png", TEST)
    if options.extra is not None:
        extra = home / options.extra.expanduser()
        names = sorted(path.stem for path in extra.glob("*.png") if not path.name.startswith("."))
        if not names:
            raise InputError(f"data.options.extra: no PNG label in {extra}; name the folder that holds them")
        more = [name for name in names if name not in {*train, *val, *test}]
        published += samples_of(more, extra, images, extra, ".png", "train")
    samples = divide(grouped(published, options.group), config.split, root)
    labels = declared(config.classes or CLASS_NAMES, config.ignore_label, VOID)
    class_list = find_class_list([home, root, masks])
    decided = class_list is None or config.classes is not None
    if decided and all(_PUBLISHED_NAME.fullmatch(sample.id) for sample in samples):
        return FileDataset(samples, labels)
    classes, reader, notes = own_masks(samples, config, class_list, masks)
    if config.classes is None and class_list is None and isinstance(classes, Scan):
        classes = PublishedOrFound(classes, labels, "VOC")
    return FileDataset(samples, classes, masks=reader, layout=notes)


def _one_list(lists: Path, known: Container[str]) -> list[str]:
    """The names in all lists, such as the default.txt of annotation tools; they are divided anew."""
    names = dict.fromkeys(name for path in sorted(lists.glob("*.txt")) if path.stem != TEST for name in listed(path, known))
    if not names:
        raise InputError(f"{lists}: no list of images, such as train.txt and val.txt, is here")
    return list(names)
