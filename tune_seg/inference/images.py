"""Files of images in, files of predictions out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from tune_seg._whole_file import whole_file
from tune_seg.data.dataset import IGNORE_INDEX, Image, Mask, problems_error
from tune_seg.data.images.intensities import Intensities
from tune_seg.data.images.pictures import IMAGE_SUFFIXES, Pictures, page_numbers
from tune_seg.errors import InputError
from tune_seg.inference.memory import memory_errors
from tune_seg.inference.model_file import ModelDescription
from tune_seg.inference.volume_sources import is_volume

if TYPE_CHECKING:
    from tune_seg.inference.trained_model import SeedEnsemble, TrainedModel

MASKS: Final = "masks"
OVERLAYS: Final = "overlays"
CONFIDENCE: Final = "confidence"
PROBABILITIES: Final = "probabilities"
CLASSES: Final = "classes.txt"

_MARK: Final = ".tune_seg_predictions"
"""The file by which a folder of predictions is known, so that nothing else is written over."""
_OPACITY: Final = 0.5


@dataclass(frozen=True)
class Source:
    """An image to predict.

    Attributes:
        path: its file.
        page: the page of it; None: it has one.
        name: of what is written of it, without an ending.
    """

    path: Path
    page: int | None
    name: str


def sources(paths: Iterable[Path], *, pages_as_channels: bool) -> list[Source]:
    """The images that files and folders hold, those of folders by the names they have there.

    Raises:
        InputError: something is not there, a folder has no image, a file is none, or two would be written as one.
    """
    found: list[Source] = []
    for path in paths:
        inside = sorted(file for file in path.rglob("*") if _is_image(file)) if path.is_dir() else [path]
        if not (path.is_dir() and inside) and is_volume(path):
            raise InputError(
                f"{path}: a volume, but the model is of a study of pictures, and does not know how intensities of volumes "
                "become images; take the model of a study of volumes, or give it pictures"
            )
        if not inside:
            raise InputError(f"{path}: no image in this folder (looked for {', '.join(IMAGE_SUFFIXES)})")
        for file in inside:
            if not _is_image(file):
                what = f"no image that is read ({', '.join(IMAGE_SUFFIXES)})" if file.exists() else "no such file"
                raise InputError(f"{file}: {what}")
            name = (file.relative_to(path) if path.is_dir() else Path(file.name)).with_suffix("").as_posix()
            pages = (0,) if pages_as_channels else page_numbers(file)
            found += (
                [Source(file, None, name)] if len(pages) == 1 else [Source(file, page, f"{name}_{page}") for page in pages]
            )
    first: dict[str, Source] = {}
    for source in found:
        other = first.setdefault(source.name, source)
        if other is not source:
            raise InputError(
                f"{source.path} and {other.path} would both be written as {source.name}; predict them into two folders"
            )
    return found


class ImageReader:
    """Reads files as the images of the training were read.

    Args:
        description: of the model.
    """

    def __init__(self, description: ModelDescription) -> None:
        self._pictures = Pictures(description.channels, description.dtype, description.pages_as_channels)
        rule = description.intensity_rule
        self._intensities = None if rule is None else Intensities.by_rule(self._pictures, rule)

    def read(self, source: Source) -> tuple[Image, npt.NDArray[np.bool_] | None]:
        """The image (H, W, C), and in which pixels (H, W) nothing was measured; None: in none.

        Raises:
            InputError: it cannot be read, or it is another kind of image than those of the training.
        """
        if self._intensities is None:
            return self._pictures.read(source.path, source.page), None
        return self._intensities.read(source.path, source.page)


def predict_images(
    model: "TrainedModel | SeedEnsemble", images: Sequence[Source], out: Path, *, probabilities: bool
) -> Iterator[Source]:
    """Predict images one after the other, and write what was predicted. Those that cannot be are named after all others.

    Of each there are an index mask, as a PNG whose palette shows the class colours; an overlay of these colours on the
    image; a map of the confidence, 255 where it is 1; and, where they are asked for, the probabilities as float32 (C, H, W).
    Pixels in which nothing was measured have 255 in the mask and a confidence of 0.

    Yields:
        each image once its files are written.

    Raises:
        InputError: an image cannot be read, or a file not be written.
    """
    reader = ImageReader(model.description)
    problems: list[str] = []
    for source in images:
        try:
            image, unmeasured = reader.read(source)
            with memory_errors(source.path, image.shape, model.device):
                if probabilities:
                    found = model.probabilities(image)
                    mask, confidence = found.argmax(axis=0).astype(np.uint8), found.max(axis=0)
                else:
                    mask, confidence = model.predict(image)
        except InputError as error:
            problems.append(str(error))
            continue
        if unmeasured is not None:
            mask, confidence = np.where(unmeasured, np.uint8(IGNORE_INDEX), mask), np.where(unmeasured, 0.0, confidence)
        try:
            if probabilities:
                with whole_file(out / PROBABILITIES / f"{source.name}.npy") as partial:
                    np.save(partial, found)
            levels = np.rint(255 * confidence).astype(np.uint8)
            for kind, picture in (
                (MASKS, _mask_picture(mask, model.description)),
                (OVERLAYS, pillow.fromarray(overlay(image, mask, model.description))),
                (CONFIDENCE, pillow.fromarray(levels)),
            ):
                with whole_file(out / kind / f"{source.name}.png") as partial:
                    picture.save(partial)
        except OSError as error:
            raise InputError(f"{out}: {source.name} cannot be written ({error.strerror or error})") from error
        yield source
    reject_left_out(problems, len(images))


def reject_left_out(problems: Sequence[str], count: int) -> None:
    """Name the files that could not be predicted.

    Args:
        problems: why, a line for each of them.
        count: how many files there were.

    Raises:
        InputError: there is one.
    """
    if not problems:
        return
    if count == 1:
        raise InputError(problems[0])
    raise problems_error(f"{len(problems)} of {count} files could not be predicted:", problems)


def check_out(out: Path, images: Iterable[Path]) -> None:
    """Reject a folder to write to in which something else could be lost, or taken for an image the next time.

    Raises:
        InputError: it holds what no prediction wrote, or it lies in a folder of images.
    """
    for folder in images:
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{out}: lies in {folder}, whose images are predicted; write to a folder beside it")
    if out.is_dir() and any(out.iterdir()) and not (out / _MARK).is_file():
        raise InputError(f"{out}: holds files that tune-seg predict did not write; name a new or an empty folder")


def write_classes(description: ModelDescription, out: Path) -> None:
    """Write the names of the classes in the order of their indices, a line each.

    Raises:
        InputError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARK).touch()
        (out / CLASSES).write_text("".join(f"{name}\n" for name in description.class_names), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error


def overlay(image: Image, mask: Mask, description: ModelDescription) -> npt.NDArray[np.uint8]:
    """The image as RGB, uint8 (H, W, 3), with the colours of its classes on it; black classes leave it as it is."""
    levels = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    rgb = levels[..., :3] if levels.shape[2] >= 3 else np.repeat(levels[..., :1], 3, axis=2)
    colours = _palette(description)[mask]
    shown = (mask != IGNORE_INDEX) & colours.any(axis=2)
    mixed = np.rint((1.0 - _OPACITY) * rgb + _OPACITY * colours).astype(np.uint8)
    return np.where(shown[..., None], mixed, rgb)


def _mask_picture(mask: Mask, description: ModelDescription) -> pillow.Image:
    picture = pillow.fromarray(mask)
    picture.putpalette(_palette(description).tobytes())
    return picture


def _palette(description: ModelDescription) -> npt.NDArray[np.uint8]:
    palette = np.zeros((2**8, 3), np.uint8)
    palette[: len(description.classes)] = [each.colour for each in description.classes]
    palette[IGNORE_INDEX] = 255
    return palette


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")
