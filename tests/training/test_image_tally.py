"""The counts of images on the device: those of a plain reference, in the memory of one image."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.largest_tensor import LargestTensor
from tune_seg.training.image_tally import ImageTally

CLASSES, SIZE = 3, (4, 5)


def batch(images: int) -> tuple[Tensor, Tensor]:
    """Logits and a target, of which a part is ignored."""
    generator = torch.Generator().manual_seed(images)
    target = torch.randint(0, CLASSES, (images, *SIZE), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = 255
    return 3 * torch.randn(images, CLASSES, *SIZE, generator=generator), target


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_counts_are_those_of_each_image(device: torch.device, temperature: float) -> None:
    tally = ImageTally(CLASSES)
    batches = [batch(3), batch(2)]
    for logits, target in batches:
        tally.update(logits.to(device), torch.tensor(temperature, device=device), target.to(device))
    order = np.array([4, 0, 1, 2, 3])
    confusion = torch.arange(CLASSES**2, device=device).view(CLASSES, CLASSES)
    counts = tally.counts(order, confusion, background=1)
    assert len(counts) == 5 and counts.background == 1
    assert counts.confusion is not None and counts.confusion.tolist() == confusion.tolist()
    images = [image for each in batches for image in zip(*each, strict=True)]
    for place, number in enumerate(order):
        logits, target = images[number]
        valid = target != 255
        truth, outputs = target[valid].numpy(), logits[:, valid]
        prediction = outputs.argmax(dim=0).numpy()
        for c in range(CLASSES):
            assert counts.truths[place, c] == (truth == c).sum()
            assert counts.predictions[place, c] == (prediction == c).sum()
            assert counts.hits[place, c] == ((truth == c) & (prediction == c)).sum()
        for divisor, found in ((1.0, counts.raw), (temperature, counts.scaled)):
            p = (outputs / divisor).softmax(dim=0).numpy()
            bins, positive = (p * 10).astype(int).clip(0, 9), truth == np.arange(CLASSES)[:, None]
            assert found.positives is not None
            for k in range(10):
                assert found.outputs[place, k] == (bins == k).sum()
                assert found.gaps[place, k] == pytest.approx((p - positive)[bins == k].sum(), abs=1e-5)
                assert found.positives[place, k] == positive[bins == k].sum()


def test_what_is_made_on_the_way_is_as_large_as_one_image() -> None:
    tally = ImageTally(CLASSES)
    logits, target = batch(8)
    with LargestTensor() as seen:
        tally.update(logits, torch.tensor(1.5), target)
    assert seen.elements == CLASSES * SIZE[0] * SIZE[1]
