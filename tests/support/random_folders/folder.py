"""A folder drawn at random, and what is true of it."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from tests.support.random_folders.faults import FAULTS, damage
from tests.support.random_folders.masks import COLOURS, THRESHOLD, Encoding, draw_encoding, write_mask
from tests.support.random_folders.names import LAYOUTS, NAMINGS, OF_A_PATIENT, TOGETHER, Name, draw_names
from tests.support.random_folders.pictures import KINDS, WITH_HOLES, write_picture
from tests.support.random_folders.scenes import NAMES, Hole, Map, chance, pick, scene

SEVERAL = ("by class folder", "by class ending", "by object", "by object folder")
"""Masks of which an image has several."""

_LISTS = ("classes.txt", "class_names.txt", "_classes.csv", "dataset_meta.json", "data.classes", "data.classes by value")
_TABLES = ("colours.txt", "label_colors.txt", "class_dict.csv", "labelmap.txt", "data.options.colours")


@dataclass
class Picture:
    """An image.

    Attributes:
        image: its file.
        masks: its masks.
        hole: where it has no value.
        classes: what its masks show; None: it must not be read, as a file is missing or damaged.
        side: on which it was put; None: none.
        group: the video or the patient of which it is a part; empty: none.
    """

    image: Path
    masks: list[Path]
    hole: Hole
    classes: Map | None
    side: str | None = None
    group: str = ""


@dataclass
class Folder:
    """A folder, and what is true of it.

    Attributes:
        root: the folder.
        shape: (H, W) of most images.
        choices: what was drawn, in words.
        fields: what the reader is told, as fields of `data`.
        names: that each class must be read as, by its number; None: nobody named them.
        encoding: of the masks.
        ignored_is_said: whether somebody said which value is ignored.
        pictures: its images.
        strays: files that belong to no image and must not be read as one.
        orphans: masks whose image is missing, which must not be left out without a word.
    """

    root: Path
    shape: tuple[int, int]
    choices: dict[str, str]
    encoding: Encoding
    fields: dict[str, Any] = field(default_factory=dict)
    names: dict[int, str] | None = None
    ignored_is_said: bool = False
    pictures: list[Picture] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)


def draw_folder(seed: int, root: Path) -> Folder:
    """Write the folder of a seed below `root`, which is empty."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(24, 40)), int(rng.integers(24, 48))
    several = pick(rng, SEVERAL) if chance(rng, 0.15) else "none"
    classes = 2 if several.startswith("by object") else pick(rng, (2, 2, 3, 4, 5))
    ignored = pick(rng, ("none", "band", "block"), (0.6, 0.25, 0.15)) if several == "none" else "none"
    encoding = draw_encoding(rng, classes, ignored)
    layout, naming = pick(rng, list(LAYOUTS)), pick(rng, list(NAMINGS))
    if layout in TOGETHER or several != "none":
        naming = pick(rng, ("_mask", "_gt", " label") if several == "none" else ("equal", "words"))
        layout = layout if several == "none" else pick(rng, ("plain", "labels", "folder first"))
    if naming == "of a patient":
        layout = "patient folders"  # as the names are those of other images elsewhere
    if several != "none":
        white = pick(rng, (1, 255))
        encoding = Encoding("one each", (0, white), 200, pick(rng, ("png", "tif", "bmp", "palette")), False)
    kind, shapes = pick(rng, (*KINDS, "png", "jpg", "png and jpg")), pick(rng, ("one", "one", "several"))
    if kind in WITH_HOLES and layout in ("voc", "segnet"):
        kind = "tif"  # it is the folder's reader alone that knows of pixels that were not measured
    choices = {"images": kind, "masks": f"{encoding.how}, {encoding.container}", "ignored": ignored, "layout": layout}
    choices |= {"several": several, "names": naming, "shapes": shapes, "classes": str(classes)}
    folder = Folder(root, shape, choices, encoding)
    names = draw_names(rng, naming, int(rng.integers(6, 15)))
    sides = _sides(rng, layout, len(names))
    for name, side in zip(names, sides, strict=True):
        its = shape if shapes == "one" or chance(rng, 0.6) else (shape[0] + 5, shape[1] + 8)
        drawn = scene(rng, its, classes, ignored)
        its_kind = pick(rng, ("png", "jpg")) if kind == "png and jpg" else kind
        folder.pictures.append(_write(folder, name, side, drawn, its_kind, rng))
    _declare(folder, classes, rng)
    _divide(folder, rng)
    if kind in WITH_HOLES and kind != "tif nodata" and chance(rng, 0.3):
        folder.fields["options"]["range"] = (0.0, 1.0 if kind == "float nan" else 4095.0)
    folder.fields["resize"] = pick(rng, ("fit", "crop", "stretch"))
    if chance(rng, 0.4):
        fault = pick(rng, FAULTS)
        folder.choices["fault"] = fault if damage(folder, fault, rng) else "none"
    return folder


def _sides(rng: np.random.Generator, layout: str, count: int) -> list[str | None]:
    if "{side}" not in LAYOUTS[layout][0]:
        return [None] * count
    val = pick(rng, ("val", "val", "valid", "validation")) if layout != "segnet" else "val"
    held_out = ["test"] if chance(rng, 0.3) else []
    sure = ["train", val, *held_out]
    return [*sure, *(pick(rng, ["train", *sure]) for _ in range(count - len(sure)))]


def _write(folder: Folder, name: Name, side: str | None, drawn: Map, kind: str, rng: np.random.Generator) -> Picture:
    images, masks = (
        folder.root / where.format(side=side, patient=1 + len(folder.pictures) // OF_A_PATIENT)
        for where in LAYOUTS[folder.choices["layout"]]
    )
    hole = np.zeros(drawn.shape, bool)
    if kind in WITH_HOLES:
        hole[: int(rng.integers(0, 8))] = True
    image = write_picture(images / name.image, kind, hole, rng)
    several = folder.choices["several"]
    group = "" if "patient" in LAYOUTS[folder.choices["layout"]][0] else name.group  # whose names count in their folder
    published = {None: None, "valid": "val", "validation": "val"}.get(side, side)
    if several == "none":
        mask, shown = write_mask(masks / name.mask, drawn, folder.encoding, rng)
        return Picture(image, [mask], hole, shown, published, group)
    found: list[Path] = []
    for number in range(1, int(folder.choices["classes"])):
        there = (drawn == number).astype(np.int16)
        parts = [there]
        if several.startswith("by object"):
            left = np.zeros_like(there, bool)
            left[:, : there.shape[1] // 2] = True
            parts = [np.where(left, there, 0).astype(np.int16), np.where(left, 0, there).astype(np.int16)]
        elif not there.any() and number > 1:
            continue  # as of an image on which the class is not
        for place, part in enumerate(parts):
            where = {
                "by class folder": masks / NAMES[number] / name.mask,
                "by class ending": masks / f"{name.mask}_{NAMES[number]}",
                "by object": masks / f"{name.mask}_{place + 1}",
                "by object folder": masks / name.mask / f"{place + 1}",
            }[several]
            found.append(write_mask(where, part, folder.encoding, rng)[0])
    return Picture(image, found, hole, drawn, published, group)


def _declare(folder: Folder, classes: int, rng: np.random.Generator) -> None:
    """Say what the classes are: in a file beside the folders, in the configuration, or nowhere."""
    encoding, root = folder.encoding, folder.root
    several = folder.choices["several"]
    options = folder.fields.setdefault("options", {})
    if encoding.threshold:
        options["threshold"] = THRESHOLD
    if several.startswith("by class") and classes > 2:  # of one class it is a folder like any other
        folder.names = dict(enumerate(NAMES[:classes]))
    elif several.startswith("by object"):
        folder.names = {0: "background", 1: "object"}
    if encoding.are_colours:
        where = pick(rng, (*_TABLES, "nowhere"))
        folder.choices["declared"] = where
        if where != "nowhere":
            folder.names = dict(enumerate(NAMES[:classes]))
            void = {} if folder.choices["ignored"] == "none" else {"void": COLOURS[-1]}
            folder.fields |= {"ignore_label": classes} if void else {}
            folder.ignored_is_said = bool(void)
            table = {name: COLOURS[number] for number, name in folder.names.items()} | void
            if where == "data.options.colours":
                options["colours"] = {name: list(colour) for name, colour in table.items()}
            else:
                (root / where).write_text(_table(where, table))
        return
    where = pick(rng, (*_LISTS, "nowhere", "nowhere", "nowhere"))
    folder.choices["declared"] = where
    ignored_by_value = folder.choices["ignored"] != "none" and encoding.container != "tifint"
    if ignored_by_value and (encoding.ignored != 255 or chance(rng, 0.5)):
        folder.fields["ignore_label"] = encoding.ignored
        folder.ignored_is_said = True
    if where == "nowhere":
        return
    names = NAMES[:classes]
    folder.names = dict(enumerate(names))
    if where == "data.classes":
        folder.fields["classes"] = list(names)
    elif where == "data.classes by value":
        values = range(classes) if several != "none" or encoding.threshold else encoding.values
        folder.fields["classes"] = dict(zip(values, names, strict=False))
    else:
        (root / where).write_bytes(_list(where, names, pick(rng, ("\n", "\r\n"))).encode(pick(rng, ("utf-8", "utf-8-sig"))))


def _list(where: str, names: tuple[str, ...], end: str) -> str:
    if where == "_classes.csv":
        return end.join(["Pixel Value, Class", *(f"{number}, {name}" for number, name in enumerate(names))])
    if where == "dataset_meta.json":
        return json.dumps({"label_map": {str(number): name for number, name in enumerate(names)}})
    return end.join(names) + end


def _table(where: str, table: dict[str, tuple[int, int, int]]) -> str:
    rows = [(name, *colour) for name, colour in table.items()]
    if where == "class_dict.csv":
        return "name,r,g,b\n" + "".join(f"{name},{r},{g},{b}\n" for name, r, g, b in rows)
    if where == "labelmap.txt":
        return "# label:color_rgb:parts:actions\n" + "".join(f"{name}:{r},{g},{b}::\n" for name, r, g, b in rows)
    return "".join(f"{r} {g} {b} {name}\n" for name, r, g, b in rows)


def _divide(folder: Folder, rng: np.random.Generator) -> None:
    """Put the images on sides by lists, or hold some out."""
    pictures = folder.pictures
    if folder.choices["layout"] == "voc":
        lists = folder.root / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        (lists / "default.txt").write_text("\n".join(picture.image.stem for picture in pictures))
        return
    if pictures[0].side is not None:
        if any(picture.side == "test" for picture in pictures) and chance(rng, 0.7):
            folder.fields["split"] = {"test": "published"}
        return
    if not chance(rng, 0.25):
        if chance(rng, 0.3):
            folder.fields["split"] = pick(rng, ({"folds": 3}, {"val_fraction": 0.4}))
        return
    way = pick(rng, ("stems", "names", "paths", "windows", "two columns", "masks", "nfd"))
    folder.choices["lists"] = way
    sides = ["train", "val", *(pick(rng, ("train", "train", "val", "neither")) for _ in pictures[2:])]
    lines: dict[str, list[str]] = {"train": [], "val": [], "neither": []}
    for number, (picture, side) in enumerate(zip(pictures, sides, strict=True)):
        image, mask = (str(path.relative_to(folder.root)) for path in (picture.image, picture.masks[0]))
        lines[side].append(
            {
                "stems": picture.image.stem if picture.image.suffix else image,
                "names": picture.image.name,
                "paths": image,
                "windows": image.replace("/", "\\"),
                "two columns": f"{image} {mask}",
                "masks": Path(mask).name,
                "nfd": normalize("NFD", image),
            }[way]
        )
        pictures[number] = replace(picture, side=side)
    for side in ("train", "val"):
        (folder.root / f"{side}.txt").write_text(pick(rng, ("\n", "\r\n")).join([*lines[side], ""]), newline="")
