"""What is wrong with real folders."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.support.random_folders.scenes import pick

if TYPE_CHECKING:
    from tests.support.random_folders.folder import Folder, Picture

FAULTS = (
    "mask missing",
    "masks missing",
    "masks missing, background",
    "image missing",
    "images missing",
    "mask of another size",
    "turned image",
    "colour copies",
    "truncated mask",
    "truncated image",
    "empty mask",
    "empty image",
    "pointer",
    "text",
    "pipe",
    "folder",
    "mask of another mode",
    "mask of other values",
    "inverted masks",
    "second image of a name",
    "strays",
    "preview",
    "visualisations",
)
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def damage(folder: "Folder", fault: str, rng: np.random.Generator) -> bool:
    """Do it to the folder, and to what is true of it; False where it does not fit."""
    hit = pick(rng, folder.pictures)
    mask = hit.masks[0]
    if fault.startswith("masks missing"):
        return _without_masks(folder, background=fault.endswith("background"))
    if fault in ("image missing", "images missing"):
        gone = folder.pictures[: 1 if fault == "image missing" else 5]
        for picture in gone:
            picture.image.unlink()
            folder.orphans += picture.masks
        folder.pictures = folder.pictures[len(gone) :]
        return True
    if fault in ("mask of another mode", "mask of other values", "inverted masks"):
        return _other_mask(folder, hit, fault, rng)
    if fault in ("strays", "preview", "visualisations", "second image of a name", "colour copies"):
        return _more_files(folder, hit, fault)
    if fault == "folder" and folder.choices["several"] != "none":
        return False  # the image is then one on which the class is not
    if fault == "turned image" and hit.image.suffix not in (".jpg", ".png", ".webp"):
        return False
    hit.classes = None
    path = hit.image if fault.endswith("image") else mask
    match fault:
        case "mask missing":
            for path in hit.masks:
                path.unlink()
            hit.masks = []
        case "turned image":
            with Image.open(hit.image) as image:
                exif = image.getexif()
                exif[0x0112] = 6
                image.save(hit.image, exif=exif)
        case "mask of another size":
            with Image.open(mask) as image:
                smaller = image.resize((image.width - 3, image.height), Image.Resampling.NEAREST)
            smaller.save(mask)
        case "truncated mask" | "truncated image":
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * rng.uniform(0.2, 0.6))])
        case "empty mask" | "empty image":
            path.write_bytes(b"")
        case "pointer":
            path.write_bytes(_POINTER)
        case "text":
            path.write_text("this is no picture\n")
        case "pipe":
            path.unlink()
            os.mkfifo(path)
        case "folder":
            path.unlink()
            path.mkdir()
    return True


def _without_masks(folder: "Folder", *, background: bool) -> bool:
    if background and folder.choices["layout"] in ("voc", "segnet"):
        return False  # which have no such option
    for picture in folder.pictures[-5:]:
        for path in picture.masks:
            path.unlink()
        picture.masks = []
        picture.classes = np.zeros_like(picture.classes) if background else None
    if background:
        folder.fields["options"]["without_mask"] = "background"
    return True


def _other_mask(folder: "Folder", hit: "Picture", fault: str, rng: np.random.Generator) -> bool:
    encoding = folder.encoding
    plain = folder.choices["several"] == "none" and encoding.container in ("png", "bmp", "rgb", "tif")
    if not plain or hit.classes is None:
        return False
    if fault == "mask of another mode":
        with Image.open(hit.masks[0]) as image:
            image.convert("RGB" if image.mode == "L" else "L").save(hit.masks[0])
        return True
    if encoding.values not in ((0, 1), (0, 255)) or folder.choices["ignored"] != "none":
        return False
    turned = [hit] if fault == "mask of other values" else folder.pictures[: len(folder.pictures) // 2]
    for picture in turned:
        assert picture.classes is not None
        there = picture.classes > 0
        if fault == "inverted masks":
            values = np.where(there, encoding.values[0], encoding.values[1])
            if not there.any():
                continue
        else:
            values = np.where(there, {1: 255, 255: 1}[encoding.values[1]], 0)
        Image.fromarray(values.astype(np.uint8)).save(picture.masks[0])
    return True


def _more_files(folder: "Folder", hit: "Picture", fault: str) -> bool:
    root, image = folder.root, Image.new("RGB", folder.shape[::-1], (9, 8, 7))
    if fault == "preview":
        image.save(root / "preview.png")
        folder.strays = [root / "preview.png"]
        return True
    if fault == "colour copies":
        for picture in folder.pictures:
            copy = picture.masks[0].with_name(f"{picture.masks[0].stem}_color.png")
            image.save(copy)
            folder.strays.append(copy)
        return True
    if fault == "visualisations":
        where = root / "overlays"
        where.mkdir()
        for number in range(3):
            image.save(where / f"{number}.png")
            folder.strays.append(where / f"{number}.png")
        return True
    if fault == "second image of a name":
        other = hit.image.with_suffix(".bmp" if hit.image.suffix == ".png" else ".png")
        takes_jpeg = folder.choices["layout"] == "voc" and hit.image.suffix == ".jpg"
        if other.exists() or other in hit.masks or takes_jpeg or hit.side == "test":
            return False
        image.save(other)
        hit.classes = None
        return True
    where = hit.image.parent
    (where / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (where / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (where / "readme.txt").write_text("images\n")
    shutil.copy(hit.image, where / f"._{hit.image.name}")
    (root / "__MACOSX").mkdir()
    shutil.copy(hit.image, root / "__MACOSX" / hit.image.name)
    for path in (where / f"._{hit.image.name}", root / "__MACOSX" / hit.image.name):
        folder.strays.append(Path(path))
    return True
