"""The batches of an epoch: a function of the split, the seed and the epoch."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tune_seg.config import AugmentationConfig
from tune_seg.data.loading.augmentation import changes_nothing, draw, normalise, place, transform
from tune_seg.data.loading.resident import resident, take
from tune_seg.data.loading.sampling import ORDER, Sampler, occurrences
from tune_seg.data.loading.transfer import send
from tune_seg.data.packing.packed import Split
from tune_seg.schedules import steps_per_epoch


def batches(
    split: Split,
    *,
    epoch: int,
    seed: int,
    batch_size: int,
    augmentation: AugmentationConfig,
    device: torch.device | str,
    train: bool,
    indices: npt.NDArray[np.integer] | None = None,
    sampler: Sampler | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch: images float32 (B, C, h, w) in channels_last memory format, targets int64 (B, h, w).

    For training they are shuffled by (seed, epoch) and augmented by (seed, epoch, sample). A last batch that would be
    short is dropped, because batch normalisation over one or two samples upsets a model; the samples in it change from
    epoch to epoch. Only where the whole split is smaller than one batch is that one short batch given, of one sample at
    the worst, for which batch normalisation may raise an error. For validation they come in order, only
    normalised, and complete.

    Args:
        split: `train` or `val` of a :class:`tune_seg.data.PackedData`.
        epoch, seed: non-negative.
        batch_size: samples a batch.
        augmentation: what is done to a training image; its normalisation serves validation as well.
        device: where the batches are wanted. On a GPU the bytes are sent from pinned memory without waiting, and the
            transform runs there.
        train: whether these are training batches.
        indices: the samples to take, (samples,); all by default.
        sampler: draws the samples of an epoch of training, in place of each once. A sample that comes again is augmented
            otherwise.
    """
    target_device = torch.device(device)
    order = _order(split, indices, (seed, epoch) if train else None, sampler)
    whole = resident(split.data, target_device)
    # of the whole epoch at once: on a GPU one transfer
    rows = send(torch.from_numpy(split.rows[order]), target_device)
    moves = train and not changes_nothing(augmentation, split.data.size)
    places = (
        send(place(draw(seed, epoch, order, occurrences(order)), augmentation, split.data.size), target_device)
        if moves
        else None
    )
    for start, stop in _batched(len(order), batch_size, complete=not train):
        if whole is not None:
            images, masks = (take(tensor, rows[start:stop]) for tensor in whole)
        else:
            images, masks = (send(tensor, target_device) for tensor in split.gather(order[start:stop]))
        if places is not None:
            yield transform(images, masks, places[start:stop], augmentation)
        else:
            yield normalise(images, augmentation), masks.to(torch.int64)


def feature_batches(
    split: Split,
    features: Callable[[npt.NDArray[np.integer]], list[Tensor]],
    *,
    epoch: int,
    seed: int,
    batch_size: int,
    device: torch.device | str,
    train: bool,
    indices: npt.NDArray[np.integer] | None = None,
    sampler: Sampler | None = None,
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """As :func:`batches` without augmentation, with the `features` of the images in place of these.

    Args:
        features: takes the numbers of samples (B,) and gives their features, each (B, ...), on `device`.
    """
    target_device = torch.device(device)
    order = _order(split, indices, (seed, epoch) if train else None, sampler)
    whole = resident(split.data, target_device)
    rows = send(torch.from_numpy(split.rows[order]), target_device)
    for start, stop in _batched(len(order), batch_size, complete=not train):
        if whole is not None:
            masks = take(whole[1], rows[start:stop])
        else:
            masks = send(split.masks(order[start:stop]), target_device)
        yield features(order[start:stop]), masks.to(torch.int64)


def _order(
    split: Split, indices: npt.NDArray[np.integer] | None, shuffle: tuple[int, int] | None, sampler: Sampler | None
) -> npt.NDArray[np.int64]:
    if sampler is not None and shuffle is not None:
        return sampler.order(*shuffle)
    order = np.arange(len(split)) if indices is None else indices.astype(np.int64)
    if shuffle is not None:
        np.random.default_rng((ORDER, *shuffle)).shuffle(order)
    return order


def _batched(samples: int, batch_size: int, *, complete: bool) -> Iterator[tuple[int, int]]:
    """Where each batch starts and ends."""
    steps = -(-samples // batch_size) if complete else steps_per_epoch(samples, batch_size)
    return ((step * batch_size, min((step + 1) * batch_size, samples)) for step in range(steps))
