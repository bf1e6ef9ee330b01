"""The batches of an epoch: pure, aligned, and the same whatever else runs."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import tune_seg.data
from tests.support import CHECKOUT
from tune_seg.config import AugmentationConfig, DataConfig
from tune_seg.data import IGNORE_INDEX, PackedData, Split, augment, batches, draw, pack, read, steps_per_epoch
from tune_seg.data.loading.transfer import send

SIZE = (12, 16)
CLASSES = 5
PLAIN = AugmentationConfig(flip=0.0, resize=(1.0, 1.0))
# normalised values are the raw ones, so that a test can tell the class from the colour
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    """11 training and 5 validation samples whose red channel is 50 times the class; 255 where ignored."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 11), ("val", 5)):
        for number in range(count):
            mask = rng.integers(0, CLASSES, SIZE, dtype=np.uint8)
            mask[rng.random(SIZE) < 0.05] = IGNORE_INDEX
            noise = rng.integers(0, 256, SIZE, dtype=np.uint8)
            image = np.stack([np.where(mask == IGNORE_INDEX, 255, mask * 50).astype(np.uint8), noise, noise], axis=-1)
            for kind, array in (("images", image), ("masks", mask)):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / kind / split / f"{number:02d}.png")
    return PackedData(pack(read(DataConfig(root=root, size=SIZE)), root / "packs", SIZE))


def epoch_of(split: Split, device: torch.device | str = "cpu", **values: object) -> list[tuple[Tensor, Tensor]]:
    arguments: dict[str, object] = {
        "epoch": 0,
        "seed": 0,
        "batch_size": 4,
        "augmentation": AugmentationConfig(),
        "train": True,
    }
    return list(batches(split, device=device, **(arguments | values)))  # type: ignore[arg-type]


def same(left: list[tuple[Tensor, Tensor]], right: list[tuple[Tensor, Tensor]]) -> bool:
    return len(left) == len(right) and all(a[0].equal(b[0]) and a[1].equal(b[1]) for a, b in zip(left, right, strict=True))


def test_shapes_types_and_layout(data: PackedData, device: torch.device) -> None:
    for train, config, size in (
        (True, AugmentationConfig(), SIZE),
        (True, AugmentationConfig(crop=(8, 10)), (8, 10)),
        (True, AugmentationConfig(crop=(20, 24)), (20, 24)),
        (True, PLAIN, SIZE),
        (False, AugmentationConfig(crop=(8, 10)), SIZE),
    ):
        for images, target in epoch_of(data.train, device, train=train, augmentation=config):
            assert images.shape[1:] == (3, *size)
            assert target.shape == (len(images), *size)
            assert images.dtype == torch.float32
            assert target.dtype == torch.int64
            assert images.is_contiguous(memory_format=torch.channels_last)
            assert images.device.type == target.device.type == torch.device(device).type


def test_validation_is_in_order_complete_and_only_normalised(data: PackedData, device: torch.device) -> None:
    config = AugmentationConfig(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), crop=(8, 8))
    given = epoch_of(data.val, device, train=False, batch_size=2, augmentation=config)
    assert [len(images) for images, _ in given] == [2, 2, 1]
    raw, masks = data.val.gather(range(5))
    expected = (raw.numpy() / 255 - (0.1, 0.2, 0.3)) / (0.5, 0.6, 0.7)
    images = torch.cat([images for images, _ in given]).cpu().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-6)
    assert torch.cat([target for _, target in given]).cpu().equal(masks.long())


def test_without_augmentation_training_images_are_exactly_the_normalised_ones(
    data: PackedData, device: torch.device
) -> None:
    everything = epoch_of(data.train, device, train=False, batch_size=11, augmentation=PLAIN)[0]
    order = np.random.default_rng((0, 7, 3)).permutation(11)  # stream 0, seed 7, epoch 3
    images, target = epoch_of(data.train, device, seed=7, epoch=3, batch_size=11, augmentation=PLAIN)[0]
    assert images.equal(everything[0][order])
    assert target.equal(everything[1][order])


@pytest.mark.parametrize(("samples", "batch_size"), [(11, 4), (11, 11), (11, 12), (11, 10), (11, 1)])
def test_steps_per_epoch_agrees(data: PackedData, samples: int, batch_size: int) -> None:
    given = epoch_of(data.train, batch_size=batch_size)
    assert len(given) == steps_per_epoch(samples, batch_size)
    assert {len(images) for images, _ in given} == {min(samples, batch_size)}


def test_an_epoch_visits_every_sample_once(data: PackedData) -> None:
    order: list[list[int]] = []
    everything, _ = data.train.gather(range(11))
    for epoch in range(2):
        images = epoch_of(
            data.train, epoch=epoch, batch_size=11, augmentation=AugmentationConfig(**(PLAIN.model_dump() | RAW))
        )[0][0]
        rounded = images.permute(0, 2, 3, 1).round().to(torch.uint8)
        order.append([next(n for n in range(11) if everything[n].equal(image)) for image in rounded])
        assert sorted(order[-1]) == list(range(11))
    assert order[0] != order[1]


def test_an_epoch_is_the_same_whatever_ran_before(data: PackedData, device: torch.device) -> None:
    first = epoch_of(data.train, device, epoch=4, seed=2)
    torch.manual_seed(1)
    np.random.seed(1)
    iterator = batches(
        data.train, epoch=0, seed=9, batch_size=3, augmentation=AugmentationConfig(), device=device, train=True
    )
    next(iterator)
    epoch_of(data.val, device, train=False)
    assert same(first, epoch_of(data.train, device, epoch=4, seed=2))
    assert not same(first, epoch_of(data.train, device, epoch=5, seed=2))
    assert not same(first, epoch_of(data.train, device, epoch=4, seed=3))


augmentations = st.builds(
    AugmentationConfig,
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    resize=st.sampled_from([(1.0, 1.0), (0.5, 2.0), (0.3, 0.6), (1.5, 3.0), (0.9, 0.9)]),
    crop=st.sampled_from([None, (8, 8), (12, 16), (20, 9)]),
)


@settings(max_examples=60, deadline=None)
@given(
    config=augmentations,
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 1000),
    picked=st.lists(st.integers(0, 10), min_size=1, max_size=8),
)
def test_a_samples_augmentation_does_not_depend_on_its_batch(
    data: PackedData, config: AugmentationConfig, seed: int, epoch: int, picked: list[int]
) -> None:
    images, targets = augment(*data.train.gather(picked), draw(seed, epoch, picked), config)
    for row, index in enumerate(picked):
        image, target = augment(*data.train.gather([index]), draw(seed, epoch, [index]), config)
        assert image[0].equal(images[row])
        assert target[0].equal(targets[row])


def test_a_flip_mirrors_image_and_mask_together(data: PackedData, device: torch.device) -> None:
    raw, masks = (tensor.to(device) for tensor in data.train.gather(range(11)))
    numbers = draw(0, 0, range(11))
    plain = augment(raw, masks, numbers, PLAIN)
    flipped = augment(raw, masks, numbers, AugmentationConfig(flip=1.0, resize=(1.0, 1.0)))
    torch.testing.assert_close(flipped[0], plain[0].flip(3), rtol=0, atol=1e-4)
    assert flipped[1].equal(plain[1].flip(2))
    some = augment(raw, masks, numbers, AugmentationConfig(flip=0.4, resize=(1.0, 1.0)))
    for row, flip in enumerate(numbers.flip < 0.4):
        assert some[1][row].equal((flipped if flip else plain)[1][row])
    assert 0 < (numbers.flip < 0.4).sum() < 11


def test_a_crop_at_scale_one_is_a_part_of_the_image(data: PackedData) -> None:
    raw, masks = data.train.gather(range(11))
    numbers = draw(0, 0, range(11))
    plain, _ = augment(raw, masks, numbers, PLAIN)
    images, targets = augment(raw, masks, numbers, AugmentationConfig(flip=0.0, resize=(1.0, 1.0), crop=(8, 9)))
    places = set()
    for row in range(11):
        fits = [
            (top, left)
            for top in range(5)
            for left in range(8)
            if targets[row].equal(masks[row, top : top + 8, left : left + 9].long())
        ]
        assert len(fits) == 1
        top, left = fits[0]
        torch.testing.assert_close(images[row], plain[row, :, top : top + 8, left : left + 9], rtol=0, atol=1e-4)
        places.add((top, left))
    assert len(places) > 5


@pytest.mark.parametrize("crop", [(8, 9), (15, 21)])
def test_every_place_of_a_crop_occurs_and_no_other(crop: tuple[int, int]) -> None:
    """Each about as often as the others, of the first and the last as well."""
    count = 600
    rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    raw = torch.zeros((count, *SIZE, 3), dtype=torch.uint8)
    config = AugmentationConfig(flip=0.0, resize=(1.0, 1.0), crop=crop)
    for places, axis in ((rows, 1), (columns, 2)):
        _, targets = augment(raw, places.to(torch.uint8).expand(count, -1, -1), draw(0, 0, range(count)), config)
        inside = targets != IGNORE_INDEX
        cut = torch.where(inside, targets, 99).amin((1, 2))  # the source pixels before the crop
        padded = inside.any(3 - axis).int().argmax(1)  # the pixels of the crop before the source
        number = abs(SIZE[axis - 1] - crop[axis - 1]) + 1
        times = torch.bincount(cut + padded)
        assert len(times) == number
        assert (times > count / number / 2).all()


@settings(max_examples=100, deadline=None)
@given(config=augmentations, seed=st.integers(0, 2**32))
def test_image_and_mask_stay_aligned(config: AugmentationConfig, seed: int) -> None:
    """Colours and labels both say the row (or column) of a source pixel, so they may differ by half a pixel at most."""
    height, width = SIZE
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    raw = torch.stack([rows, columns, rows], dim=-1).to(torch.uint8).expand(4, -1, -1, -1)
    for channel, places in enumerate((rows, columns)):
        masks = places.to(torch.uint8).expand(4, -1, -1)
        images, targets = augment(raw, masks, draw(seed, 0, range(4)), config.model_copy(update=RAW))
        valid = targets != IGNORE_INDEX
        assert valid.any()
        assert (images[:, channel] - targets)[valid].abs().max() <= 0.5 + 1e-3
        assert (images[:, channel][~valid] == 0).all()


def test_draws_depend_on_seed_epoch_and_sample() -> None:
    arguments = [(seed, epoch, [index]) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1)]
    draws = [draw(*argument) for argument in arguments]
    for field in ("scale", "top", "left", "flip"):
        assert len({float(getattr(numbers, field)[0]) for numbers in draws}) == len(arguments)


def test_no_random_numbers_of_an_epoch_are_used_twice(data: PackedData, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of an epoch and each sample's augmentation have a generator of their own; none start alike."""
    started: list[str] = []
    default_rng = np.random.default_rng

    def recorded(*arguments: Any) -> np.random.Generator:
        generator = default_rng(*arguments)
        started.append(str(generator.bit_generator.state))
        return generator

    monkeypatch.setattr(np.random, "default_rng", recorded)
    for seed in (0, 1):
        for epoch in (0, 1, 2):
            epoch_of(data.train, epoch=epoch, seed=seed, batch_size=11)
    assert len(started) == len(set(started)) == 2 * 3 * (1 + 11)


def test_a_batch_augments_each_sample_by_its_number(data: PackedData) -> None:
    """However the epoch is cut into batches, its samples look the same."""
    whole = epoch_of(data.train, batch_size=11)[0]
    single = epoch_of(data.train, batch_size=1)
    assert torch.cat([images for images, _ in single]).equal(whole[0])
    assert torch.cat([target for _, target in single]).equal(whole[1])
    order = np.random.default_rng((0, 0, 0)).permutation(11)
    images, target = augment(*data.train.gather(order), draw(0, 0, order), AugmentationConfig())
    assert images.equal(whole[0])
    assert target.equal(whole[1])


def test_zooming_out_pads_with_the_mean_and_ignores_it(data: PackedData, device: torch.device) -> None:
    raw, masks = (tensor.to(device) for tensor in data.train.gather(range(11)))
    masks = masks.clamp(max=4)
    config = AugmentationConfig(flip=0.0, resize=(0.5, 0.5))
    images, targets = augment(raw, masks, draw(0, 0, range(11)), config)
    padded = targets == IGNORE_INDEX
    assert (images.permute(0, 2, 3, 1)[padded] == 0).all()
    assert (padded.sum((1, 2)) == 12 * 16 - 6 * 8).all()
    assert len({tuple(place) for place in (~padded).flatten(1).int().argmax(1)[:, None].tolist()}) > 5
    # at half the size every pixel is the mean of 2 x 2
    halved = torch.nn.functional.avg_pool2d(augment(raw, masks, draw(0, 0, range(11)), PLAIN)[0], 2)
    for row in range(11):
        inside = images[row][:, ~padded[row]].reshape(3, 6, 8)
        torch.testing.assert_close(inside, halved[row], rtol=0, atol=1e-4)


def test_the_scale_is_uniform() -> None:
    """Of a resize between 0.5 and 2, a third of the scales lie below 1: seen in how many images are padded."""
    raw = torch.zeros((400, 16, 16, 3), dtype=torch.uint8)
    masks = torch.zeros((400, 16, 16), dtype=torch.uint8)
    _, targets = augment(raw, masks, draw(0, 0, range(400)), AugmentationConfig(resize=(0.5, 2.0)))
    shares = (targets != IGNORE_INDEX).float().mean((1, 2))
    assert 0.26 < (shares < 1).float().mean() < 0.4
    below = shares[shares < 1].sqrt()  # uniform in [0.5, 1]
    assert 0.7 < below.mean() < 0.8


def test_the_transform_is_the_same_on_every_device(data: PackedData, device: torch.device) -> None:
    for config in (AugmentationConfig(), AugmentationConfig(crop=(20, 9), resize=(0.3, 3.0))):
        here = epoch_of(data.train, "cpu", augmentation=config)
        there = epoch_of(data.train, device, augmentation=config)
        for (images, target), (other_images, other_target) in zip(here, there, strict=True):
            torch.testing.assert_close(other_images.cpu(), images, rtol=0, atol=1e-3)
            assert other_target.cpu().equal(target)


def test_importing_the_part_needs_no_torch() -> None:
    code = "import sys, tune_seg.data; assert tune_seg.data.read and tune_seg.data.pack; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert answer.stdout.strip() == "False"
    assert all(hasattr(tune_seg.data, name) for name in tune_seg.data.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tune_seg.data.nothing


def test_what_is_on_the_device_already_is_not_sent_again(device: torch.device) -> None:
    there = send(torch.arange(3), device)
    assert send(there, torch.device(device.type)) is there
