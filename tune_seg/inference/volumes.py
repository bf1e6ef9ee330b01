"""Volumes in, predictions out, which are volumes too: slice by slice, and back to where the slices lie."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from tune_seg._whole_file import whole_file
from tune_seg.data.dataset import Image
from tune_seg.data.volumes.intensities import levels
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.data.volumes.resampling import centred, pixels, scaled
from tune_seg.errors import InputError
from tune_seg.inference.images import CONFIDENCE, MASKS, PROBABILITIES, reject_left_out
from tune_seg.inference.memory import memory_errors
from tune_seg.inference.model_file import ModelDescription
from tune_seg.inference.volume_sources import ENDING, VolumeSource

if TYPE_CHECKING:
    from tune_seg.inference.trained_model import SeedEnsemble, TrainedModel

Probabilities = npt.NDArray[np.float32]


def predict_volumes(
    model: "TrainedModel | SeedEnsemble", volumes: Sequence[VolumeSource], out: Path, *, probabilities: bool
) -> Iterator[VolumeSource]:
    """Predict volumes one after the other, and write what was predicted. Those that cannot be are named after all others.

    Of each there are a mask (the index of the class of each voxel, uint8), the confidence (the probability of that class,
    float32) and, where they are asked for, the probabilities of all classes, float32 with the classes as the fourth
    dimension. All are NIfTI, with the shape and the place of the volume; of one that is NIfTI with its affines and codes.

    Yields:
        each volume once its files are written.

    Raises:
        InputError: a volume cannot be read or a file not be written, or memory is short.
    """
    options, problems = options_of(model.description), list[str]()
    for source in volumes:
        try:
            slices = _levels(source, options)
            mask = np.empty(slices.shape[:3], np.uint8)
            confidence = np.empty(slices.shape[:3], np.float32)
            found = np.empty((*slices.shape[:3], len(model.class_names)), np.float32) if probabilities else None
            for number, image in enumerate(slices):
                with memory_errors(source.path, image.shape, model.device):
                    of_slice = slice_probabilities(model, image, source.spacing)
                mask[number], confidence[number] = of_slice.argmax(axis=0), of_slice.max(axis=0)
                if found is not None:
                    found[number] = np.moveaxis(of_slice, 0, -1)
        except InputError as error:
            problems.append(str(error))
            continue
        _write(source, mask, out / MASKS)
        _write(source, confidence, out / CONFIDENCE)
        if found is not None:
            _write(source, found, out / PROBABILITIES)
        yield source
    reject_left_out(problems, len(volumes))


def slice_probabilities(
    model: "TrainedModel | SeedEnsemble", image: Image, spacing: tuple[float, float] | None
) -> Probabilities:
    """The probability of each class in each pixel of a slice, float32 (C, H, W).

    The slice comes to pixels of the size that the model knows, as it did where it was validated; what validation has cut off
    around it is covered by overlapping parts. Probabilities come back to its own pixels bilinearly.

    Args:
        model: of a study of volumes.
        image: (H, W, channels), in levels.
        spacing: millimetres between two rows, and two columns; None where it is not stated.
    """
    description = model.description
    wanted = options_of(description).spacing
    shape = image.shape[0], image.shape[1]
    there = shape if spacing is None else pixels(shape, spacing, wanted)
    seen = scaled(image, there)
    if wanted is not None:  # slices were filled up around their centre
        seen = centred(seen, (max(there[0], description.size[0]), max(there[1], description.size[1])), 0)
    found = model.probabilities(seen)
    rows, columns = (slice((all - own) // 2, (all - own) // 2 + own) for all, own in zip(seen.shape, there, strict=False))
    found = found[:, rows, columns]
    if there == shape:
        return found
    tensor = torch.from_numpy(np.ascontiguousarray(found))[None]
    back: Probabilities = functional.interpolate(tensor, size=shape, mode="bilinear", align_corners=False)[0].numpy()
    return back


def options_of(description: ModelDescription) -> VolumeOptions:
    """How the volumes of a model were read.

    Raises:
        InputError: it is a model of pictures.
    """
    if description.volumes is None:
        raise InputError(
            "this model is of a study of pictures, and does not know how intensities of volumes become images; take the "
            "model of a study of volumes, or give it pictures"
        )
    return description.volumes


def _levels(source: VolumeSource, options: VolumeOptions) -> Image:
    try:
        return levels(source.volume(), options)
    except InputError as error:
        known = str(source.path) in str(error)
        raise error if known else InputError(f"{source.path}: {error}") from None


def _write(source: VolumeSource, slices: npt.NDArray[Any], folder: Path) -> None:
    import nibabel

    try:
        with whole_file(folder / f"{source.name}{ENDING}") as partial:
            nibabel.save(source.placed(slices), partial)
    except OSError as error:
        raise InputError(f"{folder}: {source.name} cannot be written ({error.strerror or error})") from error
