"""What the samplers draw, against counting references written from the papers."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tune_seg.config import AugmentationConfig, SplitConfig, TrainingConfig
from tune_seg.data import Dataset, PackedData, Sample, Split, batches, draw, feature_batches, pack
from tune_seg.data.dataset import IGNORE_INDEX, Image, Mask
from tune_seg.data.loading.sampling import (
    ClassBalanced,
    RepeatFactor,
    Sampler,
    Sampling,
    build_sampler,
    occurrences,
    sampling,
    trained_on,
)
from tune_seg.data.packing.packed import Pixels
from tune_seg.data.splitting import divide

SIZE = (8, 8)
CLASSES = ("ground", "car", "sign", "never")
REPEATED: Sampling = ("repeat_factor", 0.5)
BALANCED: Sampling = ("class_balanced", None)
PLAIN = AugmentationConfig(flip=0.0, resize=(1.0, 1.0))

tables = arrays.arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=st.integers(0, 3)).filter(np.any)
thresholds = st.floats(1e-3, 1.0)


@dataclass(frozen=True)
class Scenes(Dataset):
    """Ground everywhere, ignored at one side, a car in every third scene, a sign in every ninth, and never `never`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        number = int(sample.id)
        mask = np.zeros(SIZE, np.uint8)
        mask[:, : number % 3] = IGNORE_INDEX
        if number % 3 == 0:
            mask[2:6, 2 : 4 + number % 4] = 1
        if number % 9 == 0:
            mask[7, 7] = 2
        if number == 13:
            mask[:] = IGNORE_INDEX
        return np.full((*SIZE, 3), number, np.uint8), mask

    def source(self) -> dict[str, Any]:
        return {"samples": [sample.id for sample in self.samples]}


@pytest.fixture(scope="module", params=[SplitConfig(val_fraction=0.25), SplitConfig(folds=3)], ids=["split", "folds"])
def scenes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    samples = [Sample(f"{number:02d}", "train") for number in range(40)]
    source = Scenes(divide(samples, request.param, Path()))
    packed = PackedData(pack(source, tmp_path_factory.mktemp("packs"), SIZE))
    return packed.of_fold(1) if packed.folds else packed


def masks_of(split: Split) -> npt.NDArray[np.uint8]:
    masks: npt.NDArray[np.uint8] = split.masks(range(len(split))).numpy()
    return masks


def numbers(target: torch.Tensor) -> list[int]:
    """The scenes, whose every value is their number."""
    return [int(value) for value in (target[:, 0, 0, 0] if target.ndim == 4 else target)]


def paper_factors(classes: list[set[int]], threshold: float) -> list[float]:
    """Of each image, as the paper's section on repeat factor sampling has them."""
    having = Counter(each for image in classes for each in image)
    of_class = {each: max(1.0, math.sqrt(threshold * len(classes) / count)) for each, count in having.items()}
    return [max((of_class[each] for each in image), default=1.0) for image in classes]


def classes_of(class_pixels: Pixels) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in class_pixels]


def test_the_pixels_of_each_class_in_each_image_are_in_the_pack(scenes: PackedData) -> None:
    for split, pixels in ((scenes.train, scenes.train_pixels), (scenes.val, scenes.val_pixels)):
        counted = [[(mask == number).sum() for number in range(len(CLASSES))] for mask in masks_of(split)]
        assert split.class_pixels.tolist() == counted
        assert split.class_pixels.dtype == np.int64
        assert split.class_pixels.sum(axis=0).tolist() == pixels.tolist()


@settings(max_examples=60, deadline=None)
@given(tables, thresholds)
def test_repeat_factors_are_those_of_the_paper(class_pixels: Pixels, threshold: float) -> None:
    sampler = RepeatFactor(class_pixels, threshold)
    expected = paper_factors(classes_of(class_pixels), threshold)
    np.testing.assert_allclose(sampler.factors, expected, rtol=1e-12)
    np.testing.assert_allclose(sampler.times, np.array(expected) * len(expected) / sum(expected), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_class_balanced_draws_a_class_and_then_an_image_that_has_it(class_pixels: Pixels) -> None:
    images = classes_of(class_pixels)
    occurring = set[int]().union(*images)
    expected = [0.0] * len(images)
    for each in occurring:
        having = [number for number, image in enumerate(images) if each in image]
        for number in having:
            expected[number] += len(images) / len(occurring) / len(having)
    np.testing.assert_allclose(ClassBalanced(class_pixels).times, expected, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(tables, thresholds, st.integers(0, 2**32), st.integers(0, 6))
def test_an_epoch_has_as_many_places_as_images_and_follows_from_seed_and_epoch(
    class_pixels: Pixels, threshold: float, seed: int, epoch: int
) -> None:
    for one, other in (
        (RepeatFactor(class_pixels, threshold), RepeatFactor(class_pixels, threshold)),
        (ClassBalanced(class_pixels), ClassBalanced(class_pixels.copy())),
    ):
        order = one.order(seed, epoch)
        assert order.dtype == np.int64 and order.shape == (len(class_pixels),)
        assert order.min() >= 0 and order.max() < len(class_pixels)
        other.order(seed + 1, epoch + 1)
        assert np.array_equal(order, other.order(seed, epoch))


@settings(max_examples=40, deadline=None)
@given(tables, thresholds, st.integers(0, 2**32))
def test_epochs_of_repeat_factor_are_a_stream_of_lists_with_each_image_by_its_factor(
    class_pixels: Pixels, threshold: float, seed: int
) -> None:
    sampler = RepeatFactor(class_pixels, threshold)
    stream = np.concatenate([sampler.order(seed, epoch) for epoch in range(8)]).tolist()
    allowed = [{math.floor(factor), math.ceil(factor)} for factor in sampler.factors.tolist()]
    number = 0
    while stream:
        whole, chance = np.floor(sampler.factors), np.random.default_rng((2, seed, number)).random(len(class_pixels))
        length = int(sum(whole) + sum(chance < sampler.factors - whole))
        part, stream, number = stream[:length], stream[length:], number + 1
        if len(part) == length:
            assert all(part.count(image) in times for image, times in enumerate(allowed))


def rare(images: int = 40) -> Pixels:
    return np.array([[9, number % 4 == 0, number % 20 == 0, 0] for number in range(images)], np.int64)


def test_what_is_drawn_agrees_with_what_is_expected() -> None:
    """Within five standard deviations, of which none is larger than that of independent draws with these chances."""
    epochs, class_pixels = 100, rare()
    for sampler in (RepeatFactor(class_pixels, 0.5), RepeatFactor(class_pixels, 1.0), ClassBalanced(class_pixels)):
        drawn = np.concatenate([sampler.order(3, epoch) for epoch in range(epochs)])
        times = np.bincount(drawn, minlength=len(class_pixels))
        expected = sampler.times * epochs
        assert expected.sum() == pytest.approx(len(drawn)) and expected.std() > 0.0
        assert (np.abs(times - expected) < 5.0 * np.sqrt(expected)).all()
        # all images of a kind together, where a bias of a per cent would show
        for kind in np.unique(sampler.times):
            of_kind = sampler.times == kind
            assert abs(times[of_kind].sum() / expected[of_kind].sum() - 1.0) < 5.0 / math.sqrt(expected[of_kind].sum())


def test_each_class_has_an_equal_share_of_the_places() -> None:
    """Where every image has one class, what is drawn tells which class was."""
    class_pixels = np.zeros((30, 3), np.int64)
    class_pixels[np.arange(30), [0] * 24 + [1] * 5 + [2]] = 7
    sampler = ClassBalanced(class_pixels)
    classes = np.concatenate([class_pixels[sampler.order(0, epoch)].argmax(axis=1) for epoch in range(300)])
    assert np.abs(np.bincount(classes) / len(classes) - 1 / 3).max() < 5.0 * math.sqrt(2 / 9 / len(classes))


def test_without_a_rare_class_repeat_factor_is_uniform_to_the_bit(scenes: PackedData) -> None:
    arguments: dict[str, Any] = {"batch_size": 4, "augmentation": AugmentationConfig(), "device": "cpu", "train": True}
    sampler = build_sampler(("repeat_factor", 1e-3), scenes.train)
    for epoch in range(3):
        plain = batches(scenes.train, epoch=epoch, seed=5, **arguments)
        for one, other in zip(plain, batches(scenes.train, epoch=epoch, seed=5, sampler=sampler, **arguments), strict=True):
            assert one[0].equal(other[0]) and one[1].equal(other[1])


def test_uniform_needs_no_sampler_and_changes_nothing(scenes: PackedData) -> None:
    assert sampling(TrainingConfig()) is None and build_sampler(None, scenes.train) is None
    assert trained_on(None, scenes) is scenes.trained_on
    images = [
        batch
        for batch, _ in batches(scenes.train, epoch=3, seed=7, batch_size=1, augmentation=PLAIN, device="cpu", train=True)
    ]
    order = np.random.default_rng((0, 7, 3)).permutation(len(scenes.train))
    raw, _ = scenes.train.gather(order)
    assert [image.unique().numel() for image in images] == [3] * len(images)  # a number a channel
    brightness = [float(image.mean()) for image in images]
    assert np.argsort(brightness, kind="stable").tolist() == np.argsort(numbers(raw), kind="stable").tolist()
    expected = [np.random.default_rng((1, 7, 3, int(index))).random(4) for index in order]
    drawn = draw(7, 3, order)
    assert np.array_equal(np.stack([drawn.scale, drawn.top, drawn.left, drawn.flip], axis=1), expected)


@pytest.mark.parametrize("how", [REPEATED, BALANCED])
def test_batches_are_of_what_the_sampler_draws(scenes: PackedData, how: Sampling) -> None:
    sampler = build_sampler(how, scenes.train)
    assert sampler is not None
    order = sampler.order(1, 2)
    assert max(Counter(order.tolist()).values()) > 1
    raw, masks = scenes.train.gather(order)
    arguments: dict[str, Any] = {"epoch": 2, "seed": 1, "batch_size": 4, "device": "cpu", "train": True, "sampler": sampler}
    whole = len(order) // 4 * 4
    targets = torch.cat([target for _, target in batches(scenes.train, augmentation=PLAIN, **arguments)])
    assert targets.equal(masks[:whole].long())

    def features(indices: npt.NDArray[np.integer]) -> list[torch.Tensor]:
        return [scenes.train.gather(indices)[0]]

    given = list(feature_batches(scenes.train, features, **arguments))
    assert torch.cat([images for (images,), _ in given]).equal(raw[:whole])
    assert torch.cat([target for _, target in given]).equal(masks[:whole].long())
    # what is validated is in order and complete, whatever is trained on
    arguments["train"] = False
    assert torch.cat([target for _, target in batches(scenes.train, augmentation=PLAIN, **arguments)]).equal(
        torch.from_numpy(masks_of(scenes.train)).long()
    )


def test_a_sample_that_comes_again_is_augmented_otherwise() -> None:
    order = np.array([5, 7, 5, 5, 7])
    twice, once = draw(4, 2, order, occurrences(order)), draw(4, 2, [7, 5])
    assert len(set(twice.scale)) == len(set(twice.flip)) == 5
    assert (twice.scale[1], twice.scale[0]) == tuple(once.scale)
    assert np.array_equal(draw(4, 2, [5, 5, 5], range(3)).top, twice.top[[0, 2, 3]])  # whatever stands between


@pytest.mark.parametrize("how", [REPEATED, ("repeat_factor", 1.0), BALANCED])
def test_the_frequencies_are_those_of_what_is_trained_on(scenes: PackedData, how: Sampling) -> None:
    sampler = build_sampler(how, scenes.train)
    assert sampler is not None
    epochs, masks = 150, masks_of(scenes.train)
    of_image = [[(mask == number).sum() for number in range(len(CLASSES))] for mask in masks]
    pixels, image_pixels = (np.zeros(len(CLASSES)) for _ in range(2))
    for epoch in range(epochs):
        for index in sampler.order(0, epoch):
            pixels += of_image[index]
            image_pixels += (np.array(of_image[index]) > 0) * sum(of_image[index])
    expected = trained_on(how, scenes)
    assert expected.images == len(scenes.train) and expected.class_names == CLASSES
    np.testing.assert_allclose(pixels / epochs, expected.pixels, rtol=0.06)
    np.testing.assert_allclose(image_pixels / epochs, expected.image_pixels, rtol=0.06)
    assert expected.frequencies.sum() == pytest.approx(1.0)
    assert expected.frequencies[2] > 1.2 * scenes.frequencies[2]
    assert expected.pixels[3] == 0.0


def test_an_image_whose_pixels_are_all_ignored_is_repeated_as_little_as_any(scenes: PackedData) -> None:
    ignored = np.flatnonzero(scenes.train.class_pixels.sum(axis=1) == 0)
    repeated, balanced = (build_sampler(how, scenes.train) for how in (REPEATED, BALANCED))
    assert isinstance(repeated, RepeatFactor) and balanced is not None
    assert (repeated.factors[ignored] == 1.0).all() and not balanced.times[ignored].any()


@pytest.mark.parametrize("kind", ["repeat_factor", "class_balanced"])
def test_a_sampler_is_made_of_the_images_of_its_fold(scenes: PackedData, kind: str) -> None:
    config = TrainingConfig.model_validate({"sampling": kind, "repeat_threshold": 1.0})
    found: list[Sampler | None] = [
        build_sampler(sampling(config), data.train)
        for data in ([scenes.of_fold(fold) for fold in range(scenes.folds)] or [scenes])
    ]
    for data, sampler in zip([scenes.of_fold(fold) for fold in range(scenes.folds)] or [scenes], found, strict=True):
        assert sampler is not None and len(sampler.times) == len(data.train)
        assert sampler.times.sum() == pytest.approx(len(data.train))
