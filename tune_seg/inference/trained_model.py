"""A trained model that is used: an image in, the class of each pixel and how sure the model is out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tune_seg.config import AugmentationConfig
from tune_seg.data.dataset import Image, Mask
from tune_seg.data.loading.augmentation import normalise
from tune_seg.data.packing.resizing import placed, resized_image
from tune_seg.data.tiled import padded
from tune_seg.data.tiles import Tile, TilePlace, tiles_of
from tune_seg.errors import InputError, first_line
from tune_seg.inference.model_file import ModelDescription, read_model
from tune_seg.models.build import build_model, to_device
from tune_seg.training.blending import Output, blended

_BATCH = 8
"""Tiles of an image that are computed at once."""


class Prediction(NamedTuple):
    """What a model says of an image.

    Attributes:
        mask: uint8 (H, W), the index of the most probable class.
        confidence: float32 (H, W), its probability.
    """

    mask: Mask
    confidence: npt.NDArray[np.float32]


Part = tuple[tuple[slice, slice], Tensor]
"""A part of an image as an index of its pixels, and the probabilities (C, h, w) of these."""


class TrainedModel:
    """A model with all that its use needs: images of any size in, probabilities of the same size out.

    An image goes the way that the validation images went: it is brought to the size of the training as `data.resize` says,
    or cut into tiles whose logits are blended; its logits are brought back to its own size, and divided by the temperature
    that was fitted to the validation images. Where validation cut an image off at its sides (`crop`), it is covered by as
    many overlapping parts as that takes.

    Args:
        description: what :func:`~tune_seg.inference.model_file.read_model` gave.
        weights: likewise.
        device: where to compute; a GPU where there is one.
        adjusted: take adjusted logits, which favour rare classes by the strength that was best on validation images.

    Attributes:
        description: of the model.
        module: the model, images (N, channels, h, w) to logits (N, C, h, w), before the temperature.
        device: where it computes.

    Raises:
        InputError: the weights do not fit the description, or there are no adjusted logits.

    Example:
        >>> model = load_model("winner.safetensors")  # doctest: +SKIP
        >>> model.class_names  # doctest: +SKIP
        ('background', 'crack')
        >>> model.predict(image).mask.shape == image.shape[:2]  # doctest: +SKIP
        True
    """

    def __init__(
        self,
        description: ModelDescription,
        weights: Mapping[str, Tensor],
        device: torch.device | str | None = None,
        *,
        adjusted: bool = False,
    ) -> None:
        if adjusted and description.adjustment is None:
            raise InputError("this model has no adjusted logits: nothing was fitted to its validation images")
        self.description = description
        self._adjustment = description.adjustment if adjusted else None
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"device {device or 'cuda'}: it cannot be used here ({first_line(error)}); there is always cpu"
            ) from error
        model = build_model(
            description.model.model_copy(update={"weights": "none"}),
            len(description.classes),
            in_channels=description.channels,
            acw=description.acw,
            acw_positive=description.acw_positive,
        )
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                f"the weights do not fit {description.model.architecture} with {description.model.encoder} "
                f"({first_line(error)}); export the model again"
            ) from error
        try:
            self.module = to_device(model, self.device).eval()
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"device {self.device}: its memory does not suffice for the model ({first_line(error)}); wait until others "
                "have left it, or take cpu"
            ) from error

    @property
    def class_names(self) -> tuple[str, ...]:
        """By class index."""
        return self.description.class_names

    def __repr__(self) -> str:
        """What it is, for a person."""
        model, (height, width) = self.description.model, self.description.size
        return (
            f"{model.architecture} with {model.encoder}, {len(self.class_names)} classes ({', '.join(self.class_names)}), "
            f"trained at {width} x {height} pixels, temperature {self.description.temperature:.4g}"
        )

    def predict(self, image: Image) -> Prediction:
        """The most probable class of each pixel, and its probability.

        Args:
            image: (H, W, channels) of the type that the description has.

        Raises:
            InputError: it is of another type, or has other channels.
        """
        return _prediction(self.parts(image), image)

    def probabilities(self, image: Image) -> npt.NDArray[np.float32]:
        """The probability of each class in each pixel, float32 (C, H, W).

        Args:
            image: as :meth:`predict` takes it.

        Raises:
            InputError: as :meth:`predict`.
        """
        return _probabilities(self.parts(image), image, len(self.class_names))

    @torch.inference_mode()
    def parts(self, image: Image) -> Iterator[Part]:
        """Parts that make up the image, each as an index, with the probabilities (C, h, w) of its pixels on the device.

        Args:
            image: as :meth:`predict` takes it.

        Raises:
            InputError: as :meth:`predict`.
        """
        self._check(image)
        tiles, size = self._tiles((image.shape[0], image.shape[1]))
        places = [TilePlace("", *tile.corner) for tile in tiles]
        number = 0
        for logits, _, _ in blended(self._outputs(image, tiles, size), places, size):
            for of_tile in logits:
                tile = tiles[number]
                number += 1
                yield (
                    (slice(*tile.own_rows), slice(*tile.own_columns)),
                    self._probabilities(of_tile[:, *tile.cell]),
                )

    def _check(self, image: Image) -> None:
        wanted = self.description
        if image.ndim != 3 or image.shape[2] != wanted.channels or image.dtype != wanted.dtype:
            raise InputError(
                f"an image of {image.dtype} values with shape {image.shape}; the model takes {wanted.dtype} values, "
                f"(height, width, {wanted.channels})"
            )

    def _tiles(self, shape: tuple[int, int]) -> tuple[Sequence[Tile], tuple[int, int]]:
        """The parts of an image of `shape` (H, W) that the model sees, and their size, which is that of all of them."""
        wanted = self.description
        if wanted.tiles.size is not None:
            return tiles_of(shape, wanted.tiles.size, wanted.tiles.overlap), wanted.tiles.size
        if wanted.volumes is not None and wanted.volumes.spacing is not None:  # at their scale, whatever their size
            return tiles_of(shape, wanted.size, min(wanted.size) // 4), wanted.size
        if wanted.resize == "crop":
            (rows, columns), _ = placed(shape, wanted.size, "crop")
            size = rows.stop - rows.start, columns.stop - columns.start
            return tiles_of(shape, size, min(size) // 4), size
        return tiles_of(shape, shape, 0), shape

    def _outputs(self, image: Image, tiles: Sequence[Tile], size: tuple[int, int]) -> Iterator[Output]:
        """The logits of the tiles, at their own size."""
        wanted = self.description
        normalisation = AugmentationConfig(mean=wanted.mean, std=wanted.std)
        for first in range(0, len(tiles), _BATCH):
            parts = [padded(image[tile.window], size) for tile in tiles[first : first + _BATCH]]
            seen = np.stack([resized_image(part, wanted.size, wanted.resize) for part in parts])
            logits = self.module(normalise(torch.from_numpy(seen).to(self.device), normalisation)).float()
            _, (rows, columns) = placed(size, wanted.size, wanted.resize)
            logits = _at_size(logits[:, :, rows, columns], size)
            nothing = torch.zeros(len(parts), device=self.device)
            yield logits, nothing, nothing

    def _probabilities(self, logits: Tensor) -> Tensor:
        if self._adjustment is None:
            return (logits / self.description.temperature).softmax(dim=0)
        shift = logits.new_tensor(self._adjustment.shift)[:, None, None]
        return ((logits - shift) / self._adjustment.temperature).softmax(dim=0)


class SeedEnsemble:
    """Several models of one configuration that differ in their seeds: their mean probability (Lakshminarayanan et al. 2017).

    Each has its own temperature. It takes as many times as long as they are.

    Args:
        models: at least one, that see images alike.

    Raises:
        InputError: there is none, or they differ in their classes or in how they see images.

    Example:
        >>> ensemble = tune_seg.Study("try").load_ensemble()  # doctest: +SKIP
        >>> ensemble.predict(image).mask.shape == image.shape[:2]  # doctest: +SKIP
        True
    """

    def __init__(self, models: Sequence[TrainedModel]) -> None:
        if not models:
            raise InputError("an ensemble needs models, and none is given")
        first = _how_it_sees(models[0].description)
        if any(_how_it_sees(model.description) != first for model in models):
            raise InputError("these models differ in their classes or in how they see images; export them from one study")
        self.models = tuple(models)

    @property
    def description(self) -> ModelDescription:
        """That of the first model."""
        return self.models[0].description

    @property
    def class_names(self) -> tuple[str, ...]:
        """By class index."""
        return self.description.class_names

    @property
    def device(self) -> torch.device:
        """Where the first model computes."""
        return self.models[0].device

    def __repr__(self) -> str:
        """What it is, for a person."""
        return f"mean of {len(self.models)} seeds, each {self.models[0]!r}"

    def predict(self, image: Image) -> Prediction:
        """As :meth:`TrainedModel.predict`, by the mean probability."""
        return _prediction(self.parts(image), image)

    def probabilities(self, image: Image) -> npt.NDArray[np.float32]:
        """The mean probability of each class in each pixel, float32 (C, H, W)."""
        return _probabilities(self.parts(image), image, len(self.class_names))

    @torch.inference_mode()
    def parts(self, image: Image) -> Iterator[Part]:
        """As :meth:`TrainedModel.parts`."""
        for same in zip(*(model.parts(image) for model in self.models), strict=True):
            yield same[0][0], torch.stack([probabilities for _, probabilities in same]).mean(dim=0)


def _how_it_sees(description: ModelDescription) -> dict[str, Any]:
    seen = {"classes", "size", "resize", "tiles", "channels", "dtype", "pages_as_channels", "intensity_rule", "volumes"}
    return description.model_dump(include=seen)


def _prediction(parts: Iterable[Part], image: Image) -> Prediction:
    mask = np.empty(image.shape[:2], np.uint8)
    confidence = np.empty(image.shape[:2], np.float32)
    for where, probabilities in parts:
        values, classes = probabilities.max(dim=0)
        mask[where], confidence[where] = classes.to(torch.uint8).cpu().numpy(), values.cpu().numpy()
    return Prediction(mask, confidence)


def _probabilities(parts: Iterable[Part], image: Image, classes: int) -> npt.NDArray[np.float32]:
    found = np.empty((classes, *image.shape[:2]), np.float32)
    for where, probabilities in parts:
        found[:, *where] = probabilities.cpu().numpy()
    return found


def load_model(path: str | Path, device: torch.device | str | None = None, *, adjusted: bool = False) -> TrainedModel:
    """The model in a file that `tune-seg export` wrote, ready for images.

    Nothing of the file is executed: it holds numbers, and a description that is checked.

    Args:
        path: of the file.
        device: where to compute; a GPU where there is one.
        adjusted: take adjusted logits, which favour rare classes by the strength that was best on validation images.

    Raises:
        InputError: it cannot be read, it is no model, or has no adjusted logits.
    """
    return TrainedModel(*read_model(path), device, adjusted=adjusted)


def _at_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    if logits.shape[2:] == size:
        return logits
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False, antialias=False)
