"""What images and masks are called, and in which folders they lie."""

from dataclasses import dataclass
from unicodedata import normalize

import numpy as np

from tests.support.random_folders.scenes import pick

NAMINGS = {
    "equal": ("img{n}", "img{n}"),
    "words": ("{w}", "{w}"),
    "_mask": ("{w}", "{w}_mask"),
    "_gt": ("IMG_{n:04}", "IMG_{n:04}_gt"),
    " label": ("photo {n}", "photo {n} label"),
    "_sat": ("{n}_sat", "{n}_mask"),
    "manual1": ("{n:02}_training", "{n:02}_manual1"),
    "mask_": ("img_{n}", "mask_{n}"),
    "of a kind": ("image-{n}", "label-{n}"),
    "other case": ("Photo{n}", "photo{n}"),
    "zeros": ("{n}", "{n:03}"),
    "double ending": ("{w}", "{w}.jpg"),
    "blanks": ("my photo ({n})", "my photo ({n})"),
    "nfd": ("fußgänger é{n}", "fußgänger é{n}"),
    "dots": ("scan.{n}", "scan.{n}"),
    "dates": ("2024-05-0{d}T10.{n:02}", "2024-05-0{d}T10.{n:02}"),
    "frames": ("vid{g}_{n:04}", "vid{g}_{n:04}"),
    "frames_mask": ("seq{g}_f{n:03}", "seq{g}_f{n:03}_mask"),
    "patients": ("patient{g}_{n}", "patient{g}_{n}_seg"),
    "of a patient": ("{i}", "{i}"),
    "tiles": ("area{g}_x{n}_y0", "area{g}_x{n}_y0"),
}
"""The name of an image and that of its mask: by a number, a word, a day and a group."""

OF_GROUPS = ("frames", "frames_mask", "patients", "tiles")

LAYOUTS = {
    "plain": ("images", "masks"),
    "labels": ("imgs", "labels"),
    "capitals": ("Images", "Annotations"),
    "mmseg": ("img_dir/{side}", "ann_dir/{side}"),
    "folder first": ("images/{side}", "masks/{side}"),
    "split first": ("{side}/images", "{side}/masks"),
    "split in names": ("{side}_images", "{side}_masks"),
    "nested": ("data/set/images", "data/set/gts"),
    "beside": ("photos", "photos"),
    "in the root": ("", ""),
    "patient folders": ("images/p{patient}", "masks/p{patient}"),
    "patients first": ("p{patient}", "p{patient}"),
    "voc": ("JPEGImages", "SegmentationClass"),
    "segnet": ("{side}", "{side}annot"),
}
"""The folder of an image and that of its mask."""

TOGETHER = ("beside", "in the root", "patients first")
"""Images and masks lie in one folder, so their names must differ."""

OF_A_PATIENT = 3
"""Images in each patient's folder."""

_WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibex", "jay", "kea", "lynx", "mole", "newt", "owl", "pug")


@dataclass(frozen=True)
class Name:
    """The names of an image and of its mask without endings, and the group that the name of the image tells."""

    image: str
    mask: str
    group: str


def draw_names(rng: np.random.Generator, naming: str, count: int) -> list[Name]:
    """The names of as many images."""
    image, mask = NAMINGS[naming]
    step, start = pick(rng, (1, 1, 5)), pick(rng, (0, 1, 8))
    each = int(rng.integers(3, 6))
    found: list[Name] = []
    for number in range(count):
        values = {
            "n": start + step * number,
            "i": 1 + number % OF_A_PATIENT,
            "w": _WORDS[number],
            "d": 1 + number % 9,
            "g": 1 + number // each,
        }
        name, its_mask = image.format(**values), mask.format(**values)
        if naming == "nfd":
            its_mask = normalize("NFD", its_mask)
        group = name[: -len(name.split(str(values["g"]), 1)[1])] if naming in OF_GROUPS else ""
        found.append(Name(name, its_mask, group))
    return found
