"""Counts the pixels and outputs of each image, on the device that they are on."""

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
        self._pixels: list[Tensor] = []  # (3, C) an image
        self._outputs: list[Tensor] = []  # (6, bins) an image

    def update(self, logits: Tensor, temperature: Tensor, target: Tensor) -> None:
        """Add a batch; nothing is read back from the device.

        Args:
            logits: (N, C, H, W), float32.
            temperature: (), by which they are divided as well.
            target: (N, H, W), int64.
        """
        # image by image: what is made of one on the way takes several times its memory
        for scores, labels in zip(logits.flatten(2), target.flatten(1), strict=True):
            self._add(scores, temperature, labels)

    def _add(self, scores: Tensor, temperature: Tensor, labels: Tensor) -> None:
        """Add an image: scores (C, M), labels (M,)."""
        ignored = labels == self._ignore_index
        truth, prediction = labels.masked_fill(ignored, 0), scores.argmax(dim=0)
        counted = (~ignored).double()
        hit = counted * (truth == prediction)
        pixels = [
            self._summed(truth, hit, self._classes),
            self._summed(truth, counted, self._classes),
            self._summed(prediction, counted, self._classes),
        ]
        outputs = [
            part
            for divisor in (torch.ones_like(temperature), temperature)
            for part in self._reliability((scores / divisor).softmax(dim=0), truth, counted)
        ]
        self._pixels.append(torch.stack(pixels))
        self._outputs.append(torch.stack(outputs))

    def counts(
        self,
        order: npt.NDArray[np.integer],
        confusion: Tensor,
        background: int | None,
        half: npt.NDArray[np.integer] | None = None,
    ) -> ImageCounts:
        """What was counted; image k is the one that came as number `order[k]`.

        Args:
            order: (images,).
            confusion: (C, C) [truth, prediction], of all images.
            background: the class that `miou` and `mdice` leave out.
            half: (images,), of each image, in the order in which they came; None: there is one half.
        """
        hits, truths, predictions = torch.stack(self._pixels).cpu().numpy()[order].transpose(1, 0, 2).astype(np.int64)
        reliability = torch.stack(self._outputs).cpu().numpy()[order].transpose(1, 0, 2)
        outputs, gaps, positives, scaled_outputs, scaled_gaps, scaled_positives = reliability
        return ImageCounts(
            hits,
            truths,
            predictions,
            Reliability(outputs.astype(np.int64), gaps, positives.astype(np.int64)),
            Reliability(scaled_outputs.astype(np.int64), scaled_gaps, scaled_positives.astype(np.int64)),
            background,
            None if half is None else half[order].astype(np.int64),
            confusion.cpu().numpy(),
        )

    def _reliability(self, output: Tensor, truth: Tensor, counted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the outputs (C, M) in each bin the number, the sum of output minus truth, and how many are of the true class.

        (bins,) each.
        """
        bins = (output * _BINS).to(torch.int64).clamp_(0, _BINS - 1)
        positives = self._summed(bins.gather(0, truth.unsqueeze(0)).flatten(), counted, _BINS)
        bins = bins.flatten()
        error = output.double().scatter_add_(0, truth.unsqueeze(0), torch.full_like(counted, -1).unsqueeze(0))
        weights = counted.expand_as(error)
        outputs, gaps = (self._summed(bins, each.flatten(), _BINS) for each in (weights, error * weights))
        return outputs, gaps, positives

    @staticmethod
    def _summed(index: Tensor, weights: Tensor, size: int) -> Tensor:
        """The sum of the weights (M,) at each index from 0 to size - 1, float64 (size,)."""
        return weights.new_zeros(size).scatter_add_(0, index, weights)
