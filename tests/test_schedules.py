"""The loss schedules: values, shape and what they reject."""

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_seg.errors import InputError
from tune_seg.schedules import DEFAULT_FRACTIONS, build_schedule

KINDS = ("naive", "alternating")
# Bounds as (start, end) with start > 0, so that they suit both kinds.
bounds = st.tuples(st.floats(0.5, 1e5), st.floats(0.5, 1e5)).map(lambda pair: (pair[0], pair[0] + pair[1]))
fractions = st.floats(0, 1)


@given(bounds)
def test_naive_at_its_ends(pair: tuple[float, float]) -> None:
    start, end = pair
    weight = build_schedule("naive", start, end)
    assert [weight(i) for i in (0, start / 2, start)] == [0.0] * 3
    assert [weight(i) for i in (end, end + 1, 10 * end)] == [1.0] * 3


@given(bounds)
def test_alternating_at_its_ends(pair: tuple[float, float]) -> None:
    start, end = pair
    weight = build_schedule("alternating", start, end)
    assert weight(0) == 1.0
    assert weight(start) == 0.0
    assert [weight(i) for i in (end, end + 1, 10 * end)] == [1.0] * 3


def test_naive_between() -> None:
    weight = build_schedule("naive", 300, 900)
    assert [weight(i) for i in (301, 450, 600, 750)] == pytest.approx([1 / 600, 0.25, 0.5, 0.75])


def test_naive_may_start_at_once() -> None:
    weight = build_schedule("naive", 0, 10)
    assert [weight(0), weight(5), weight(10)] == [0.0, 0.5, 1.0]


def test_alternating_between() -> None:
    weight = build_schedule("alternating", 500, 900)
    assert [weight(i) for i in (125, 250, 375)] == pytest.approx([0.75, 0.5, 0.25])
    assert [weight(i) for i in (600, 700, 800)] == pytest.approx([1 - math.cos(math.pi * k / 8) for k in (1, 2, 3)])


@given(bounds, fractions, st.sampled_from(KINDS))
def test_literal_formula(pair: tuple[float, float], fraction: float, kind: str) -> None:
    (s, e), i = pair, fraction * 1.2 * pair[1]
    naive = max(0, min(1, (i - s) / (e - s)))
    alternating = min(1, max(0, 1 - i / s)) + 1 - math.cos(min(math.pi / 2, max(0, math.pi * (i - s) / (2 * (e - s)))))
    assert build_schedule(kind, s, e)(i) == pytest.approx(naive if kind == "naive" else alternating, abs=1e-12)


@given(bounds, fractions, fractions, st.sampled_from(KINDS))
def test_pieces_are_monotone_and_within_bounds(pair: tuple[float, float], a: float, b: float, kind: str) -> None:
    start, end = pair
    low, high = sorted((a, b))
    weight = build_schedule(kind, start, end)
    rising = [weight(start + fraction * (end - start)) for fraction in (low, high)]
    assert 0.0 <= rising[0] <= rising[1] <= 1.0
    falling = [weight(fraction * start) for fraction in (low, high)]
    assert 1.0 >= falling[0] >= falling[1] >= 0.0


@given(bounds, st.sampled_from(KINDS))
def test_continuous_at_start_and_end(pair: tuple[float, float], kind: str) -> None:
    weight = build_schedule(kind, *pair)
    step = 1e-6 * min(pair[0], pair[1] - pair[0])
    for place in pair:
        assert weight(place - step) == pytest.approx(weight(place), abs=1e-4)
        assert weight(place + step) == pytest.approx(weight(place), abs=1e-4)


def test_static_is_the_end_loss_whatever_the_bounds() -> None:
    weight = build_schedule("static", 5, 1)
    assert [weight(i) for i in (0, 3, 1000)] == [1.0] * 3


@pytest.mark.parametrize("kind", ["static", *KINDS])
def test_can_be_pickled(kind: str) -> None:
    weight = build_schedule(kind, 3, 9.5)
    copy = pickle.loads(pickle.dumps(weight))
    assert [copy(i) for i in range(12)] == [weight(i) for i in range(12)]


def test_default_fractions_are_taubert_s() -> None:
    assert dict(DEFAULT_FRACTIONS) == {"naive": (0.3, 0.9), "alternating": (0.5, 0.9)}
    for kind, (start, end) in DEFAULT_FRACTIONS.items():
        assert build_schedule(kind, start * 100, end * 100)(95) == 1.0


@pytest.mark.parametrize(
    ("kind", "start", "end", "message"),
    [
        ("linear", 1, 2, "'linear'.*static, naive, alternating"),
        ("naive", 2, 2, "start = 2.*end = 2"),
        ("naive", 3, 2, "start = 3.*end = 2"),
        ("naive", -1, 2, "start = -1"),
        ("naive", 1, math.inf, "end = inf"),
        ("naive", math.nan, 2, "start = nan"),
        ("naive", None, 2, "start = None"),
        ("naive", True, 2, "start = True"),
        ("alternating", 0, 2, "start = 0.*> 0"),
        ("alternating", 2, 1, "start = 2"),
    ],
)
def test_refuses(kind: str, start: Any, end: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_schedule(kind, start, end)
