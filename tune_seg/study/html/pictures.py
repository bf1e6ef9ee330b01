"""Validation images in which a rare class tells the configuration to take and plain cross entropy apart."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from tune_seg.data import PackedData
from tune_seg.data.dataset import IGNORE_INDEX
from tune_seg.errors import InputError
from tune_seg.image_counts import ImageCounts
from tune_seg.inference.model_file import read_description
from tune_seg.study.contents import StudyContents
from tune_seg.study.elsewhere import Call, reason
from tune_seg.study.exporting import PLAIN as PLAIN_MODEL
from tune_seg.study.exporting import WINNER, existing_model
from tune_seg.study.figures.style import NothingToShow
from tune_seg.study.images import read_images

Pixels = npt.NDArray[np.uint8]

_IMAGES: Final = 3
_LARGEST: Final = 480
"""Pixels of the longer side of a picture on the page."""
_MUTED: Final = 0.45
RIGHT: Final = (0, 114, 178)
MISSED: Final = (213, 94, 0)
FALSE_ALARM: Final = (240, 228, 66)
"""Blue, vermilion and yellow of Okabe & Ito, Color Universal Design, 2008."""


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Attributes:
        title: what it shows, the same for all images.
        source: the picture, as a data URI.
        text: what there is to see, for those who do not see it.
    """

    title: str
    source: str
    text: str


@dataclass(frozen=True)
class Example:
    """A validation image.

    Attributes:
        title: which image, and how much of the class the two models find.
        pictures: of it.
    """

    title: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Examples:
    """What is shown.

    Attributes:
        about: why this class and these images.
        shown: the images.
    """

    about: str
    shown: Sequence[Example]


@dataclass(frozen=True)
class _Choice:
    """A class, images, and the recall of the class in all validation images, of the one to take and of plain ce."""

    number: int
    images: Sequence[int]
    recalls: tuple[float, float]


def examples(study: StudyContents, call: Call) -> Examples:
    """Three validation images, what both models say of them, and how sure they are.

    Args:
        study: what the study holds.
        call: calls what needs torch.

    Raises:
        NothingToShow: there are no two models, or what they are compared on is gone.
    """
    packed, taken, plain = study.packed, study.taken, study.plain
    if len(study.config.objectives) > 1:
        raise NothingToShow("With several objectives none is recommended, so no images of one are shown.")
    if study.answer is None or packed is None or taken is None or plain is None:
        raise NothingToShow("No images are shown: there is no answer yet, or the packed data are gone.")
    if taken.id == plain.id:
        raise NothingToShow("Plain cross entropy is the one to take, so there are no two models to compare.")
    try:
        files = [existing_model(study.directory, name) for name in (WINNER, PLAIN_MODEL)]
        numbers = [int(read_description(file).study.rpartition(" ")[2]) for file in files]
    except (InputError, ValueError) as error:
        raise NothingToShow(f"No images are shown, as the models cannot be read: {error}.") from None
    of_both = [{trial.number for trial in configuration.trials} for configuration in (taken, plain)]
    if any(number not in trials for number, trials in zip(numbers, of_both, strict=True)):
        raise NothingToShow(
            "No images are shown: the models in the folder are of an earlier answer. Run the study to its end."
        )
    folds = {study.records[number].config.fold for number in numbers if number < len(study.records)}
    counts = [read_images(study.directory, number) for number in numbers]
    first, second = counts
    if first is None or second is None or len(folds) != 1:
        raise NothingToShow(
            "No images are shown: the counts of the validation images are gone, or the two models validate on two folds."
        )
    packed = packed.of_fold(folds.pop())
    choice = _choose(first, second, packed)
    names = [study.names[taken.id], study.names[plain.id]]
    try:
        predictions = call(_predicted, [str(file) for file in files], str(packed.path), packed.fold, choice.images)
    except (InputError, RuntimeError) as error:
        raise NothingToShow(f"No images are shown, as the models could not be used: {reason(error)}.") from None
    colours = np.array([each.colour for each in read_description(files[0]).classes], np.uint8)
    called = packed.class_names[choice.number]
    about = (
        f"Class {called}, {100 * packed.frequencies[choice.number]:.2g} % of the training pixels: over all validation "
        f"images {names[0]} finds {choice.recalls[0]:.0%} of it, {names[1]} {choice.recalls[1]:.0%}. "
        "Of the rare classes it is the one in which the two differ most, and these are the images in which they differ "
        "most: they show what differs, not how often."
    )
    shown = [
        _example(packed, image, choice.number, called, names, of_image, colours)
        for image, of_image in zip(choice.images, zip(*predictions, strict=True), strict=True)
    ]
    return Examples(about, shown)


def examples_or_why_none(study: StudyContents, call: Call) -> Examples | NothingToShow:
    """As :func:`examples`; where none are shown, the reason."""
    try:
        return examples(study, call)
    except NothingToShow as why:
        return why


def _choose(first: ImageCounts, second: ImageCounts, packed: PackedData) -> _Choice:
    """The rare class in which the recalls over all images differ most, and the images in which most pixels of it differ."""
    truths = first.truths.sum(axis=0)
    recalls = [
        np.divide(each.hits.sum(axis=0), truths, out=np.zeros(len(truths)), where=truths > 0) for each in (first, second)
    ]
    rare = (packed.frequencies < 1 / packed.num_classes) & (truths > 0)
    apart = np.where(rare, np.abs(recalls[0] - recalls[1]), -1.0)
    number = int(apart.argmax())
    differ = np.abs(first.hits[:, number] - second.hits[:, number])
    if apart[number] <= 0 or not differ.any():
        raise NothingToShow("No images are shown: in no rare class do the two models find different pixels.")
    images = [int(image) for image in np.argsort(-differ, kind="stable")[:_IMAGES] if differ[image]]
    return _Choice(number, images, (float(recalls[0][number]), float(recalls[1][number])))


def _predicted(files: Sequence[str], pack: str, fold: int | None, images: Sequence[int]) -> Any:
    """Of each model the predictions of each image."""
    from pathlib import Path

    from tune_seg.inference.trained_model import load_model

    packed = PackedData(pack, fold)
    pictures = [np.array(packed.image(int(packed.val.rows[image]))) for image in images]
    return [[tuple(model.predict(picture)) for picture in pictures] for model in map(load_model, map(Path, files))]


def _example(
    packed: PackedData, image: int, number: int, called: str, names: Sequence[str], predictions: Any, colours: Pixels
) -> Example:
    row = int(packed.val.rows[image])
    truth, grey = packed.mask(row), _grey(packed.image(row))
    found = [int(((mask == number) & (truth == number)).sum()) for mask, _ in predictions]
    there = int((truth == number).sum())
    pictures = [
        Picture("image", _png(_rgb(packed.image(row))), f"validation image {image}"),
        Picture("truth", _png(_muted(grey, truth, colours, truth == number)), f"truth: {there} pixels of {called}"),
    ]
    for name, (mask, _), hits in reversed(list(zip(names, predictions, found, strict=True))):
        right, there_not = (mask == number) & (truth == number), (mask == number) & (truth != number)
        drawn = _muted(grey, mask, colours, right, (truth == number) & ~right, there_not & (truth != IGNORE_INDEX))
        pictures.append(Picture(name, _png(drawn), f"{name} finds {hits} of {there} pixels of {called}"))
    for name, (_, confidence) in reversed(list(zip(names, predictions, strict=True))):
        pictures.append(
            Picture(f"confidence, {name}", _png(_viridis(confidence)), f"confidence, mean {confidence.mean():.2f}")
        )
    title = f"Image {image}: of {there} pixels of {called}, {names[1]} finds {found[1]}, {names[0]} {found[0]}"
    return Example(title, pictures)


def _muted(grey: Pixels, mask: Pixels, colours: Pixels, *marked: npt.NDArray[np.bool_]) -> Pixels:
    """The classes faintly on the grey image, and marked pixels in full: right, missed, false alarms."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colours)] = colours
    mixed = np.rint((1 - _MUTED) * grey[..., None] + _MUTED * palette[mask])
    mixed = np.where((mask == IGNORE_INDEX)[..., None], 255, mixed).astype(np.uint8)
    for where, colour in zip(marked, (RIGHT, MISSED, FALSE_ALARM), strict=False):
        mixed[where] = colour
    return mixed


def _rgb(image: Any) -> Pixels:
    levels = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    return np.array(levels[..., :3] if levels.shape[2] >= 3 else np.repeat(levels[..., :1], 3, axis=2))


def _grey(image: Any) -> Pixels:
    return np.asarray(pillow.fromarray(_rgb(image)).convert("L"))


def _viridis(confidence: npt.NDArray[np.float32]) -> Pixels:
    from matplotlib import colormaps  # takes a while, and a study without an answer has no pictures

    return np.asarray(colormaps["viridis"](confidence, bytes=True))[..., :3]


def _png(pixels: Pixels) -> str:
    picture = pillow.fromarray(pixels)
    if max(picture.size) > _LARGEST:  # nearest: a mixture of two classes would be a third one
        scale = _LARGEST / max(picture.size)
        picture = picture.resize([max(1, round(scale * side)) for side in picture.size], pillow.Resampling.NEAREST)
    with io.BytesIO() as file:
        picture.save(file, "png", optimize=True)
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
