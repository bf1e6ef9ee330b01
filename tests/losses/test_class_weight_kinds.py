"""What classes weigh, against the papers' formulas in exact fractions or float64, written from the papers."""

import math
from fractions import Fraction
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_seg.losses.class_weight_kinds import effective_number, inverse_frequency, median_frequency, tempered

IMAGES = st.lists(st.lists(st.integers(0, 400), min_size=4, max_size=4), min_size=1, max_size=6).filter(
    lambda images: any(map(any, images))
)
"""How many pixels of each of four classes the images have."""


def counted(images: list[list[int]]) -> tuple[list[int], list[int]]:
    pixels = [sum(image[c] for image in images) for c in range(4)]
    return pixels, [sum(sum(image) for image in images if image[c]) for c in range(4)]


@given(IMAGES)
def test_median_frequency_balancing_is_that_of_eigen_and_fergus(images: list[list[int]]) -> None:
    pixels, of_images = counted(images)
    frequencies = {c: Fraction(pixels[c], of_images[c]) for c in range(4) if pixels[c]}
    middle = median(frequencies.values())
    expected = [float(middle / frequencies[c]) if c in frequencies else 0.0 for c in range(4)]
    assert median_frequency(pixels, of_images).tolist() == pytest.approx(expected, rel=1e-14)


@given(st.lists(st.integers(0, 3000), min_size=2, max_size=5).filter(any), st.integers(1, 400))
def test_effective_numbers_are_those_of_cui_et_al(pixels: list[int], volume: int) -> None:
    beta = Fraction(volume - 1, volume)
    expected = [float((1 - beta) / (1 - beta**n)) if n else 0.0 for n in pixels]
    assert effective_number(pixels, volume).tolist() == pytest.approx(expected, rel=1e-12)


def test_effective_numbers_of_many_pixels_keep_their_digits() -> None:
    volume = 250_000.5  # the pixels of an image need not be a whole number, on the average
    found = effective_number([10**10, 10**6, 1000, 1], volume)
    assert found[3] == pytest.approx(1.0, rel=1e-12)  # one sample is one sample
    assert found[0] == pytest.approx(1 / volume, rel=1e-12)  # no more than all that can differ
    assert found[2] == pytest.approx(0.001 * (1 + 999 / (2 * volume)), rel=1e-5)  # a series in n / N
    for n, weight in ((10**6, found[1]), (1000, found[2])):
        assert weight == pytest.approx(1 / volume / -math.expm1(n * math.log1p(-1 / volume)), rel=1e-12)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=6).filter(any))
def test_far_below_the_volume_effective_numbers_are_counts(pixels: list[int]) -> None:
    found, inverse = effective_number(pixels, 1e18), inverse_frequency(pixels)
    np.testing.assert_allclose(found / found.max(), inverse, rtol=1e-8)


@given(
    st.lists(st.floats(1e-6, 1e6) | st.just(0.0), min_size=1, max_size=8).filter(any),
    st.floats(0.0, 1.0),
    st.none() | st.floats(1.0, 1e4),
)
def test_a_power_and_a_limit_keep_order_zeros_and_the_smallest(weights: list[float], power: float, cap: Any) -> None:
    found = tempered(np.array(weights), power, cap).tolist()
    some = [w for w in weights if w]
    lowest = min(some) ** power
    for weight, now in zip(weights, found, strict=True):
        expected = min(weight**power, math.inf if cap is None else cap * lowest) if weight else 0.0
        assert now == pytest.approx(expected, rel=1e-12)
    assert min(w for w in found if w) == pytest.approx(lowest, rel=1e-12)
    if power == 0.0:
        assert set(found) <= {0.0, 1.0}


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=8))
def test_the_power_one_changes_no_bit(weights: list[float]) -> None:
    assert tempered(np.array(weights), 1.0, None).tolist() == weights
