"""Metrics from the counts of images: the same as those of the pixels of the chosen images."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tune_seg.errors import InputError
from tune_seg.image_counts import ImageCounts, Reliability
from tune_seg.metrics import SegmentationMetrics

IGNORE = 255
GROUP_METRICS = ("group_recall", "group_miou", "group_mdice")
METRICS = ("accuracy", "recall", "f1", "miou", "mdice", "calibration", "s_acc", "s_rec", *GROUP_METRICS)
TEMPERATURE = 1.7
BINS = 10


def random_batch(seed: int, *, classes: int = 5, signal: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits (4, C, 8, 7) that lean towards the target; some pixels are ignored."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (4, 8, 7), generator=generator)
    logits = torch.randn(4, classes, 8, 7, generator=generator) * 2
    logits.scatter_add_(1, target.unsqueeze(1), torch.full((4, 1, 8, 7), signal))
    target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORE
    return logits, target


def reliability(logits: Tensor, target: Tensor) -> Reliability:
    """The outputs of each image (N, C, H, W) in bins, counted one by one."""
    outputs, gaps = np.zeros((len(target), BINS), np.int64), np.zeros((len(target), BINS))
    shares = logits.softmax(dim=1, dtype=torch.float32).numpy().astype(np.float64)
    for image, c, y, x in np.ndindex(shares.shape):
        if target[image, y, x] != IGNORE:
            share = shares[image, c, y, x]
            cell = min(BINS - 1, int(share * BINS))
            outputs[image, cell] += 1
            gaps[image, cell] += share - (int(target[image, y, x]) == c)
    return Reliability(outputs, gaps)


def counted(logits: Tensor, target: Tensor, background: int | None = None) -> ImageCounts:
    classes = range(logits.shape[1])
    valid, predicted = target != IGNORE, logits.argmax(dim=1)

    def each(what: Tensor) -> np.ndarray:
        return np.array([[int((what & valid & (labels == c))[i].sum()) for c in classes] for i in range(len(target))])

    labels = target
    hits, truths = each(predicted == target), each(torch.ones_like(valid))
    labels = predicted
    predictions = each(torch.ones_like(valid))
    raw, scaled = reliability(logits, target), reliability(logits / TEMPERATURE, target)
    return ImageCounts(hits, truths, predictions, raw, scaled, background)


def expected(logits: Tensor, target: Tensor, background: int | None) -> dict[str, object]:
    """With each image as a group by itself."""
    metrics = SegmentationMetrics(logits.shape[1], num_bins=BINS, background=background, num_groups=len(target))
    metrics.update(logits, target, torch.arange(len(target)))
    return dict(metrics.compute())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 6),
    signal=st.sampled_from([0.0, 2.0, 6.0]),
    chosen=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    with_background=st.booleans(),
)
def test_every_metric_over_any_choice_of_images(
    seed: int, classes: int, signal: float, chosen: list[int], with_background: bool
) -> None:
    logits, target = random_batch(seed, classes=classes, signal=signal)
    background = 0 if with_background else None
    counts = counted(logits, target, background)
    weights = np.bincount(chosen, minlength=4)[None]
    raw = expected(logits[chosen], target[chosen], background)
    scaled = expected(logits[chosen] / TEMPERATURE, target[chosen], background)
    for name in METRICS:
        assert counts.score(name, weights) == pytest.approx(raw[name], abs=1e-6, nan_ok=True), name
        assert counts.score(f"temperature/{name}", weights) == pytest.approx(scaled[name], abs=1e-6, nan_ok=True), name
    recalls = raw["class_recall"]
    assert isinstance(recalls, list)
    for c, recall in enumerate(recalls):
        assert counts.score(f"recall/{c}", weights) == pytest.approx(recall, nan_ok=True)


def test_all_images_count_once_where_nothing_is_chosen_and_choices_are_scored_side_by_side() -> None:
    counts = counted(*random_batch(3))
    weights = np.array([[1, 1, 1, 1], [2, 0, 0, 1], [0, 0, 0, 0]])
    scores = counts.score("s_rec", weights)
    assert scores.shape == (3,)
    assert counts.score("s_rec") == pytest.approx(scores[:1])
    assert np.isnan(scores[2])
    assert len(counts) == 4


def test_groups_are_the_sums_of_their_images() -> None:
    logits, target = random_batch(4)
    grouped = counted(logits, target, background=1).of_groups(np.array([1, 0, 1, 2]))
    assert len(grouped) == 3
    assert grouped.background == 1
    chosen = [0, 2, 3]  # groups 1 and 2
    metrics = SegmentationMetrics(5, num_bins=BINS, background=1, num_groups=2)
    metrics.update(logits[chosen], target[chosen], torch.tensor([0, 0, 1]))
    for name in METRICS:
        of_images = metrics.compute()[name]
        assert grouped.score(name, np.array([[0, 1, 1]])) == pytest.approx(of_images, abs=1e-6, nan_ok=True), name


def test_with_a_temperature_calibration_is_the_mean_of_the_halves() -> None:
    logits, target = random_batch(6)
    counts = replace(counted(logits, target), half=np.array([0, 1, 0, 1]))
    for chosen in ([0, 1, 2, 3], [0, 0, 1], [0, 2]):
        parts = [[image for image in chosen if image % 2 == half] for half in (0, 1)]
        each = [expected(logits[part] / TEMPERATURE, target[part], None)["calibration"] for part in parts if part]
        weights = np.bincount(chosen, minlength=4)[None]
        assert counts.score("temperature/calibration", weights) == pytest.approx(np.mean(np.array(each)), abs=1e-6)
        assert counts.score("calibration", weights) == pytest.approx(
            expected(logits[chosen], target[chosen], None)["calibration"], abs=1e-6
        )
    again = ImageCounts.from_bytes(counts.to_bytes())
    assert again.half is not None and again.half.tolist() == [0, 1, 0, 1]
    groups = counts.of_groups(np.array([0, 1, 0, 1])).half
    assert groups is not None and groups.tolist() == [0, 1]
    assert np.isnan(counts.score("temperature/calibration", np.zeros((1, 4))))


def test_many_small_groups_take_no_more_memory_than_their_counts() -> None:
    images = 3000
    one, sure = np.ones((images, 2), np.int64), Reliability(np.ones((images, 10), np.int64), np.zeros((images, 10)))
    counts = ImageCounts(one, one, one, sure, sure)
    tracemalloc.start()
    try:
        grouped = counts.of_groups(np.arange(images) // 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (grouped.hits == 2).all() and len(grouped) == images // 2
    assert peak < 10 * 2**20  # a table of images by groups has 34 MiB


def test_groups_that_have_nothing_to_say_are_left_out_of_every_choice() -> None:
    hits, truths = np.array([[4, 0], [0, 0], [2, 1]]), np.array([[8, 0], [0, 0], [2, 4]])
    sure = Reliability(np.ones((3, 10), np.int64), np.zeros((3, 10)))
    counts = ImageCounts(hits, truths, truths, sure, sure, background=0)
    weights = np.array([[1, 1, 1], [2, 5, 1], [3, 0, 0], [0, 3, 0]])
    recalls = [1 / 2, (1 + 1 / 4) / 2]
    expected = [np.mean(recalls), (2 * recalls[0] + recalls[1]) / 3, recalls[0], np.nan]
    assert counts.score("group_recall", weights) == pytest.approx(expected, nan_ok=True)
    dice = 2 * 1 / 8  # class 1 occurs in the last group alone
    assert counts.score("group_mdice", weights) == pytest.approx([dice, dice, np.nan, np.nan], nan_ok=True)


@pytest.mark.parametrize("background", [None, 0])
def test_the_text_holds_all_of_it(background: int | None) -> None:
    counts = counted(*random_batch(5), background=background)
    again = ImageCounts.from_bytes(counts.to_bytes())
    assert again.background == background
    weights = np.array([[1, 1, 1, 1], [3, 0, 1, 0]])
    for name in METRICS:
        for prefix in ("", "temperature/"):
            before, after = counts.score(prefix + name, weights), again.score(prefix + name, weights)
            np.testing.assert_allclose(after, before, atol=1e-6, err_msg=prefix + name)


def test_counts_beyond_32_bits_survive() -> None:
    many = np.array([[2**40, 1]])
    sure = Reliability(many, np.zeros((1, 2)))
    again = ImageCounts.from_bytes(ImageCounts(many, many, many, sure, sure).to_bytes())
    np.testing.assert_array_equal(again.truths, many)


@pytest.mark.parametrize("name", ["nll", "temperature/ece", "adjusted/s_rec", "recall/7", "recall/x"])
def test_a_metric_that_does_not_follow_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="does not follow"):
        counted(*random_batch(6)).score(name)
