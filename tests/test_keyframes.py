"""Weight curves over keyframes: exact where they must be, within bounds between, and what they reject."""

import math
import pickle
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_seg.errors import InputError
from tune_seg.schedules import Complement, Keyframe, Move, WeightCurve, build_schedule

MOVES: tuple[Move, ...] = get_args(Move)
shares = st.floats(0, 1, exclude_max=True)


@st.composite
def curves(draw: st.DrawFn) -> WeightCurve:
    gaps = draw(st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
    begin = draw(st.floats(-100, 100))
    weights = st.one_of(st.just(0.0), st.floats(1e-3, 10))
    return WeightCurve(
        tuple(
            Keyframe(begin + sum(gaps[:index]), draw(weights), draw(st.sampled_from(MOVES)), draw(st.integers(1, 5)))
            for index in range(len(gaps))
        )
    )


@given(curves())
def test_at_a_keyframe_the_weight_is_its_own_to_the_last_bit(curve: WeightCurve) -> None:
    assert [curve(keyframe.at) for keyframe in curve.keyframes] == [keyframe.weight for keyframe in curve.keyframes]


@given(curves(), st.floats(0, 1e6))
def test_before_the_first_and_after_the_last_keyframe_the_weight_holds(curve: WeightCurve, distance: float) -> None:
    first, last = curve.keyframes[0], curve.keyframes[-1]
    assert curve(first.at - distance) == first.weight
    assert curve(last.at + distance) == last.weight


@given(curves(), shares)
def test_between_two_keyframes_the_weight_lies_between_theirs(curve: WeightCurve, share: float) -> None:
    for here, there in pairwise(curve.keyframes):
        low, high = sorted((here.weight, there.weight))
        rounding = 1e-12 * high
        assert low - rounding <= curve(here.at + share * (there.at - here.at)) <= high + rounding


@given(curves(), shares)
def test_every_move_follows_its_formula(curve: WeightCurve, share: float) -> None:
    for here, there in pairwise(curve.keyframes):
        position = here.at + share * (there.at - here.at)
        t = (position - here.at) / (there.at - here.at)
        way = {
            "hold": 0.0 if position < there.at else 1.0,
            "linear": t,
            "cosine": 1 - math.cos(math.pi / 2 * t),
            "oscillating": (1 - math.cos(math.pi * (2 * here.cycles - 1) * t)) / 2,
        }[here.move]
        assert curve(position) == pytest.approx(here.weight + (there.weight - here.weight) * way, abs=1e-9)


@given(curves())
def test_a_silent_piece_is_0_throughout_and_another_is_not(curve: WeightCurve) -> None:
    pieces = [(curve.keyframes[0].at - 1, curve.keyframes[0].at), (curve.keyframes[-1].at, curve.keyframes[-1].at + 1)]
    pieces += [(here.at, there.at) for here, there in pairwise(curve.keyframes)]
    for begin, end in pieces:
        inside = [begin + share * (end - begin) for share in (0.123, 0.456, 0.789)]
        assert all(curve.silent(position) == curve.silent(inside[0]) for position in inside)
        # three places that no oscillation of up to five cycles makes 0 together
        assert curve.silent(inside[0]) == all(curve(position) == 0.0 for position in inside)


@given(curves(), st.integers(-20, 120), st.integers(0, 60))
def test_the_weights_over_a_stretch_are_those_at_its_positions(curve: WeightCurve, first: int, length: int) -> None:
    positions = range(first, first + length)
    assert curve.over(first, first + length - 1) == [curve(position) for position in positions]
    rest = Complement(curve)
    assert rest.over(first, first + length - 1) == [rest(position) for position in positions]


def test_a_held_weight_jumps() -> None:
    curve = WeightCurve((Keyframe(10, 0.25, "hold"), Keyframe(20, 1.0)))
    assert [curve(i) for i in (0, 10, 19.999, 20, 30)] == [0.25, 0.25, 0.25, 1.0, 1.0]


@pytest.mark.parametrize("cycles", [1, 2, 3, 7])
def test_an_oscillating_weight_reaches_the_next_one_as_often_as_it_has_cycles(cycles: int) -> None:
    curve = WeightCurve((Keyframe(0, 0.2, "oscillating", cycles), Keyframe(1, 0.8)))
    values = [curve(i / 10_000) for i in range(10_001)]
    peaks = sum(before < here > after for before, here, after in zip(values, values[1:], values[2:], strict=False))
    troughs = sum(before > here < after for before, here, after in zip(values, values[1:], values[2:], strict=False))
    assert peaks == troughs == cycles - 1  # and the last peak is the end
    assert (values[0], values[-1]) == (0.2, 0.8)
    assert max(values) == pytest.approx(0.8) and min(values) == pytest.approx(0.2)


# The schedules of Taubert as they stood before keyframes: the weights of their special cases must not change in a bit.


def naive(i: float, s: float, e: float) -> float:
    return min(1.0, max(0.0, (i - s) / (e - s)))


def alternating(i: float, s: float, e: float) -> float:
    if i <= s:
        return min(1.0, 1.0 - i / s)
    return 1.0 if i >= e else 1.0 - math.cos(math.pi / 2 * (i - s) / (e - s))


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_special_cases_keep_every_bit(first: int, second: int, a: float, b: float) -> None:
    for s, e in ((first, first + second), (a * 1000, (a + b) * 1000)):
        for kind, formula in (("naive", naive), ("alternating", alternating)):
            weight = build_schedule(kind, s, e)
            assert isinstance(weight, WeightCurve)
            rest = Complement(weight)
            for i in range(0, int(e) + 3, 7):
                assert weight(i) == formula(i, s, e)
                assert rest(i) == 1.0 - formula(i, s, e)


@given(curves())
def test_curves_can_be_pickled(curve: WeightCurve) -> None:
    assert pickle.loads(pickle.dumps(curve)) == curve
    assert pickle.loads(pickle.dumps(Complement(curve))) == Complement(curve)


@pytest.mark.parametrize(
    ("keyframes", "message"),
    [
        ([], "give at least one keyframe"),
        ([(0, 1), (0, 1)], r"keyframes\.1\.at = 0 does not lie after keyframes\.0\.at = 0"),
        ([(0, 1), (2, 1), (1, 1)], r"keyframes\.2\.at = 1 does not lie after keyframes\.1\.at = 2"),
        ([(math.nan, 1)], r"keyframes\.0\.at = nan is not possible; allowed: a finite number"),
        ([("0", 1)], r"keyframes\.0\.at = '0'"),
        ([(0, 1), (1, -0.5)], r"keyframes\.1\.weight = -0\.5 is not possible; allowed: a finite number >= 0"),
        ([(0, math.inf)], r"keyframes\.0\.weight = inf"),
        ([(0, True)], r"keyframes\.0\.weight = True"),
        ([(0, 1, "jump")], r"keyframes\.0\.move = 'jump' is not possible; allowed: hold, linear, cosine, oscillating"),
        ([(0, 1, "oscillating", 0)], r"keyframes\.0\.cycles = 0 is not possible; allowed: a whole number >= 1"),
        ([(0, 1, "oscillating", 1.5)], r"keyframes\.0\.cycles = 1\.5"),
    ],
)
def test_refuses(keyframes: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WeightCurve(tuple(Keyframe(*values) for values in keyframes))
