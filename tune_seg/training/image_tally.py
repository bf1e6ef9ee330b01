"""Counts the pixels and outputs of each image, batch by batch, on the device that they are on."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tune_seg.image_counts import ImageCounts, Reliability

_BINS: Final = 10


class ImageTally:
    """Collects what :class:`~tune_seg.image_counts.ImageCounts` holds, a batch at a time.

    Args:
        num_classes: C.
        ignore_index: Label of the pixels that count nowhere.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self._classes = num_classes
        self._ignore_index = ignore_index
        self._pixels: list[Tensor] = []  # (N, 3, C) a batch
        self._outputs: list[Tensor] = []  # (N, 4, bins) a batch

    def update(self, logits: Tensor, temperature: Tensor, target: Tensor) -> None:
        """Add a batch; nothing is read back from the device.

        Args:
            logits: (N, C, H, W), float32.
            temperature: (), by which they are divided as well.
            target: (N, H, W), int64.
        """
        scores, labels = logits.flatten(2), target.flatten(1)
        ignored = labels == self._ignore_index
        truth, prediction = labels.masked_fill(ignored, 0), scores.argmax(dim=1)
        counted = (~ignored).double()
        hit = counted * (truth == prediction)
        pixels = [
            self._per_image(truth, hit, self._classes),
            self._per_image(truth, counted, self._classes),
            self._per_image(prediction, counted, self._classes),
        ]
        outputs = [
            part
            for divisor in (torch.ones_like(temperature), temperature)
            for part in self._reliability((scores / divisor).softmax(dim=1), truth, counted)
        ]
        self._pixels.append(torch.stack(pixels, dim=1))
        self._outputs.append(torch.stack(outputs, dim=1))

    def counts(
        self, order: npt.NDArray[np.integer], background: int | None, half: npt.NDArray[np.integer] | None = None
    ) -> ImageCounts:
        """What was counted; image k is the one that came as number `order[k]`.

        Args:
            order: (images,).
            background: the class that `miou` and `mdice` leave out.
            half: (images,), of each image, in the order in which they came; None: there is one half.
        """
        hits, truths, predictions = torch.cat(self._pixels).cpu().numpy()[order].transpose(1, 0, 2).astype(np.int64)
        outputs, gaps, scaled_outputs, scaled_gaps = torch.cat(self._outputs).cpu().numpy()[order].transpose(1, 0, 2)
        return ImageCounts(
            hits,
            truths,
            predictions,
            Reliability(outputs.astype(np.int64), gaps),
            Reliability(scaled_outputs.astype(np.int64), scaled_gaps),
            background,
            None if half is None else half[order].astype(np.int64),
        )

    def _reliability(self, output: Tensor, truth: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
        """The number of outputs (N, C, M) in each bin, and the sum of output minus truth over them; (N, bins) each."""
        bins = (output * _BINS).to(torch.int64).clamp_(0, _BINS - 1)
        error = output.double().scatter_add_(1, truth.unsqueeze(1), torch.full_like(counted, -1).unsqueeze(1))
        weights = counted.unsqueeze(1).expand_as(error)
        return (
            self._per_image(bins.flatten(1), weights.flatten(1), _BINS),
            self._per_image(bins.flatten(1), (error * weights).flatten(1), _BINS),
        )

    @staticmethod
    def _per_image(index: Tensor, weights: Tensor, size: int) -> Tensor:
        """The sum of the weights (N, M) at each index from 0 to size - 1, float64 (N, size)."""
        return weights.new_zeros(len(index), size).scatter_add_(1, index, weights)
