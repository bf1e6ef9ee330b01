"""The difference between two configurations, against other libraries and against what was put in."""

import math
from dataclasses import replace

import baycomp
import numpy as np
import pytest
import rliable.metrics
from scipy import stats

from tests.support.contenders import METRIC, contender, counted
from tune_seg.errors import InputError
from tune_seg.study.verdict import Contender, Repeat, compare
from tune_seg.study.verdict.paired import Spread, spread_of_others


def scores(seed: int, n: int, mean: float = 0.6, sd: float = 0.03) -> list[float]:
    return [float(each) for each in np.random.default_rng(seed).normal(mean, sd, n)]


@pytest.mark.parametrize("n", [2, 3, 8, 30])
def test_without_images_it_is_the_paired_t_test(n: int) -> None:
    a, b = scores(1, n, 0.64), scores(2, n)
    found = compare(contender("a", a), contender("b", b), METRIC, level=0.9)
    test = stats.ttest_rel(a, b)
    assert found.p_value() == pytest.approx(test.pvalue, rel=1e-6)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.9)))
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.n, found.level, found.images_known) == (n, 0.9, False)


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_with_folds_it_is_the_correlated_t_test_of_baycomp(folds: int) -> None:
    a, b = scores(3, folds, 0.62), scores(4, folds)
    keys = [(fold, fold) for fold in range(folds)]
    one, other = (contender(id, dict(zip(keys, of, strict=True))) for id, of in (("a", a), ("b", b)))
    found = compare(one, other, METRIC, test_share=1 / folds)
    b_better, a_better = baycomp.two_on_single(np.array(b), np.array(a))  # the second of the two is a
    assert found.p_value() == pytest.approx(2 * min(b_better, a_better), rel=1e-6)


def test_folds_need_the_share_that_is_validated() -> None:
    one = contender("a", {(0, 0): 0.5, (1, 1): 0.6})
    with pytest.raises(InputError, match="test_share"):
        compare(one, one, METRIC)
    assert compare(contender("a", {(0, 0): 0.5, (1, 0): 0.6}), one, METRIC).overlap == 0  # a single fold overlaps with none


def test_one_fresh_seed_against_the_probability_of_improvement_of_rliable() -> None:
    a, b = scores(5, 400, 0.62), scores(6, 400, 0.6)
    found = compare(contender("a", a), contender("b", b), METRIC)
    improvement = rliable.metrics.probability_of_improvement(np.array(a)[:, None], np.array(b)[:, None])
    assert found.p_fresh == pytest.approx(improvement, abs=0.03)


def test_the_interval_of_many_seeds_is_that_of_a_bootstrap_over_runs() -> None:
    """Which is what rliable reports; its own cannot be called: the `arch` that it asks for does not go with pandas 3."""
    values = scores(7, 200)
    found = compare(contender("a", values), contender("b", [0.0] * 200), METRIC)
    drawn = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0))
    assert (found.low, found.high) == pytest.approx(tuple(drawn.confidence_interval), abs=5e-4)
    few = compare(contender("a", values[:3]), contender("b", [0.6] * 3), METRIC)
    short = stats.bootstrap((values[:3],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0))
    low, high = short.confidence_interval
    assert few.high - few.low > 2 * (high - low)  # with three runs it is far too short


def test_only_common_repeats_count() -> None:
    found = compare(
        contender("a", [0.7, 0.8, 0.9]), contender("b", {(1, None): 0.6, (2, None): 0.8, (9, None): 0.1}), METRIC
    )
    assert found.n == 2
    assert found.mean == pytest.approx(0.15)
    failed = contender("b", [0.6, math.nan, 0.8])
    assert compare(contender("a", [0.7, 0.8, 0.9]), failed, METRIC).n == 2


def test_a_single_repeat_has_a_difference_and_no_interval_and_none_has_neither() -> None:
    one = compare(contender("a", [0.7]), contender("b", [0.6]), METRIC)
    assert one.mean == pytest.approx(0.1)
    assert all(math.isnan(each) for each in (one.low, one.high, one.p_value(), one.sd, one.p_fresh))
    none = compare(contender("a", [0.7]), contender("b", {(5, None): 0.6}), METRIC)
    assert none.n == 0
    assert math.isnan(none.mean) and math.isnan(none.p_value())


@pytest.mark.parametrize(("lead", "p", "fresh"), [(0.0, 1.0, 0.5), (0.1, 0.0, 1.0), (-0.1, 0.0, 0.0)])
def test_repeats_that_do_not_scatter(lead: float, p: float, fresh: float) -> None:
    found = compare(contender("a", [0.5 + lead] * 3), contender("b", [0.5] * 3), METRIC)
    assert (found.p_value(), found.p_fresh) == (p, fresh)
    assert (found.low, found.high) == pytest.approx((lead, lead))


def test_the_bootstrap_of_images_gives_the_standard_error_of_their_mean() -> None:
    generator = np.random.default_rng(8)
    effect = generator.normal(0.05, 0.08, 80)
    found = compare(counted("a", np.tile(0.5 + effect, (4, 1))), counted("b", np.full((4, 80), 0.5)), METRIC)
    assert found.images_known
    assert found.se_seeds == pytest.approx(0.0, abs=1e-6)
    assert found.se_images == pytest.approx(effect.std(ddof=1) / math.sqrt(80), rel=0.07)
    assert found.df_images == 79


def test_images_that_both_find_equally_hard_cost_nothing() -> None:
    hard = np.random.default_rng(9).uniform(0.2, 0.8, (1, 50))
    found = compare(counted("a", np.tile(hard + 0.1, (3, 1))), counted("b", np.tile(hard, (3, 1))), METRIC)
    assert found.se_images == pytest.approx(0.0, abs=1e-6)
    against_nothing = compare(counted("a", np.tile(hard, (3, 1))), counted("b", np.zeros((3, 50))), METRIC)
    assert against_nothing.high > 0.52  # alone they would


def test_what_images_do_to_single_seeds_is_not_counted_twice() -> None:
    generator = np.random.default_rng(10)
    of_images = of_seeds = 0.0
    for _ in range(40):
        shares = generator.normal(0.5, 0.1, (6, 60))  # each seed meets its images by chance: all of it is noise of seeds
        found = compare(counted("a", shares), counted("b", np.full((6, 60), 0.5)), METRIC)
        of_images += found.se_images**2
        of_seeds += found.se_seeds**2
    assert of_images < 0.2 * of_seeds  # as large if it were; an estimate that may not be negative is above 0 on average


def test_folds_of_their_own_have_the_images_in_their_scatter() -> None:
    generator = np.random.default_rng(11)
    shares = 0.5 + generator.normal(0.0, 0.1, (5, 40))
    found = compare(counted("a", shares, range(5)), counted("b", np.full((5, 40), 0.5), range(5)), METRIC, test_share=0.2)
    assert found.df_images == 5 * 39
    assert found.se_images < 0.5 * found.se_seeds


def test_counts_that_are_lost_are_made_up_for_by_the_other_repeats() -> None:
    effect = np.random.default_rng(8).normal(0.05, 0.08, 80)
    whole, other = counted("a", np.tile(0.5 + effect, (4, 1))), counted("b", np.full((4, 80), 0.5))
    lost = replace(whole, repeats={**whole.repeats, (0, None): Repeat(0, None, whole.repeats[0, None].scores)})
    found, known = (compare(each, other, METRIC) for each in (lost, whole))
    assert found.images_known and found.n == 4
    assert (found.se_images, found.df_images) == pytest.approx((known.se_images, known.df_images))
    assert known.se_images > 0.005


def test_images_are_unknown_where_no_repeat_has_them_or_the_metric_does_not_follow() -> None:
    whole = counted("a", np.random.default_rng(12).uniform(0.4, 0.6, (3, 20)))
    bare = contender("b", [0.5, 0.5, 0.5])
    found = compare(whole, bare, METRIC)
    assert (found.images_known, found.se_images, found.df_images) == (False, 0, 0)
    for repeat in whole.repeats.values():
        assert repeat.resampled("nll") is None
    alone = Repeat(0, None, {METRIC: 0.5}, counted("c", np.array([[0.5]])).repeats[0, None].images)
    assert alone.resampled(METRIC) is None  # one image says nothing about others


def test_seen_from_the_other_side() -> None:
    a, b = contender("a", scores(13, 5)), contender("b", scores(14, 5))
    there, back = compare(a, b, METRIC), compare(b, a, METRIC).reversed()
    for name in ("mean", "low", "high", "p_fresh"):
        assert getattr(there, name) == pytest.approx(getattr(back, name)), name
    assert there.p_value() == pytest.approx(back.p_value())


def test_further_repeats_shrink_what_they_can() -> None:
    shares = np.random.default_rng(15).normal(0.5, 0.1, (1, 40)) + np.random.default_rng(16).normal(0, 0.02, (4, 1))
    now = compare(counted("a", shares), counted("b", np.full((4, 40), 0.5)), METRIC)
    later = now.with_more(12)
    assert later.n == 16
    assert later.se_seeds == pytest.approx(now.se_seeds / 2)
    assert later.se_images == now.se_images


def test_the_p_value_and_the_interval_agree_after_every_look() -> None:
    shares = np.random.default_rng(17).normal(0.55, 0.1, (1, 40)) + np.random.default_rng(18).normal(0, 0.02, (5, 1))
    found = compare(counted("a", shares), counted("b", np.full((5, 40), 0.5)), METRIC)
    for look in (1.0, 0.1):
        p = found.p_value(look)
        assert 0 < p < 1
        assert found.half_width(p, look) == pytest.approx(abs(found.mean), rel=1e-6)
    assert found.p_value(0.1) > found.p_value()


def test_the_others_scatter_is_that_of_their_differences_from_the_same_contender() -> None:
    generator = np.random.default_rng(19)
    table = generator.normal(0.6, 0.03, (4, 6)) + generator.normal(0, 0.1, 6)
    b, a, *others = (contender(str(i), list(row)) for i, row in enumerate(table))
    spread = spread_of_others([b, a, *others], a, b, METRIC)
    assert spread is not None
    around = table[1:] - table[0]
    assert spread.variance == pytest.approx(around[1:].var(axis=1, ddof=1).mean())
    pairs = [table[i] - table[j] for i, j in ((1, 2), (1, 3), (2, 3))]
    of_their_own = np.var(pairs, axis=1, ddof=1).mean() / around.var(axis=1, ddof=1).mean()
    assert spread.df == pytest.approx(4 * min(1, of_their_own))
    found = compare(a, b, METRIC, spread=Spread(spread.variance, 4))
    own = (table[0] - table[1]).var(ddof=1)
    assert found.se_seeds == pytest.approx(math.sqrt((5 * own + 4 * spread.variance) / 9 / 6))
    assert found.df_seeds == 9


def test_others_that_go_up_and_down_together_are_no_further_witnesses() -> None:
    generator = np.random.default_rng(20)
    df = {}
    for alike in (0.0, 0.97, 1.0):
        table = 0.6 + 0.03 * (
            math.sqrt(alike) * generator.standard_normal((400, 1, 3))
            + math.sqrt(1 - alike) * generator.standard_normal((400, 4, 3))
        )
        table[:, 0] = 0.6 + 0.03 * generator.standard_normal((400, 3))
        found = []
        for scores in table:
            contenders = [contender(str(i), list(row)) for i, row in enumerate(scores)]
            spread = spread_of_others(contenders, contenders[1], contenders[0], METRIC)
            assert spread is not None
            found.append(spread.df)
        df[alike] = np.mean(found)
    assert df[0.0] > 3 > 0.5 > df[0.97] > df[1.0] == pytest.approx(0)


def test_one_that_diverged_says_nothing_about_the_scatter_of_the_others() -> None:
    a, b, c = (contender(id, scores(seed, 3)) for seed, id in ((21, "a"), (22, "b"), (23, "c")))
    broken = contender("d", [0.6, 0.62, 0.0])
    last = broken.repeats[2, None]
    diverged = Contender("d", "d", (), {**broken.repeats, last.key: replace(last, diverged=True)})
    assert spread_of_others([a, b, c, diverged], a, b, METRIC) == spread_of_others([a, b, c], a, b, METRIC)
    assert spread_of_others([a, b, diverged], a, b, METRIC) is None
    assert spread_of_others([a, b, c, diverged], diverged, b, METRIC) is None  # nor they about its own


def test_two_contenders_have_nobody_to_borrow_from() -> None:
    a, b = contender("a", [0.1, 0.2, 0.4]), contender("b", [0.3, 0.2, 0.1])
    assert spread_of_others([a, b], a, b, METRIC) is None
    assert spread_of_others([a, b, contender("c", [0.5])], a, b, METRIC) is None
