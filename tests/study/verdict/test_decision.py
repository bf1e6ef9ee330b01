"""The verdict: which of the three it is, what it recommends, and what it says to do next."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.contenders import METRIC, contender, counted
from tune_seg.errors import InputError
from tune_seg.study.verdict import Contender, Kind, Repeat, decide
from tune_seg.study.verdict.contender import Key
from tune_seg.study.verdict.rule import MOST_SEEDS

NOISE = np.random.default_rng(0).normal(0, 0.02, (5, 12))


def around(id: str, mean: float, row: int, n: int = 8, *rank: int) -> Contender:
    noise = NOISE[row, :n] - NOISE[row, :n].mean()
    return contender(id, [float(each) for each in mean + noise], *rank)


def test_a_clear_difference_is_better_and_every_number_agrees() -> None:
    contenders = [around("ce", 0.6, 0), around("wce", 0.72, 1), around("focal", 0.61, 2)]
    verdict = decide(contenders, "ce", METRIC, margin=0.01)
    assert (verdict.kind, verdict.best, verdict.other, verdict.recommended) == (Kind.BETTER, "wce", "ce", "wce")
    assert verdict.difference.mean == pytest.approx(0.12)
    assert 0 < verdict.decisive.low < verdict.difference.low < 0.12 < verdict.difference.high < verdict.decisive.high
    assert verdict.more_seeds is None and not verdict.images_limit
    wce, focal = verdict.table
    assert (wce.id, focal.id) == ("wce", "focal")
    assert wce.p < 0.05 < focal.p
    assert wce.decisive == verdict.decisive
    assert focal.decisive.low < 0


def test_the_reference_may_be_the_better_one() -> None:
    verdict = decide([around("ce", 0.7, 0), around("wce", 0.5, 1), around("focal", 0.55, 2)], "ce", METRIC, margin=0.01)
    assert (verdict.kind, verdict.best, verdict.other, verdict.recommended) == (Kind.BETTER, "ce", "focal", "ce")
    assert verdict.difference.mean == pytest.approx(0.15)
    assert verdict.decisive.low > 0
    assert all(row.p > 0.5 for row in verdict.table)


def test_within_the_margin_the_simpler_is_recommended() -> None:
    verdict = decide([around("ce", 0.6, 0, 12), around("wce", 0.605, 1, 12)], "ce", METRIC, margin=0.05)
    assert (verdict.kind, verdict.best, verdict.recommended) == (Kind.INDISTINGUISHABLE, "wce", "ce")
    assert max(-verdict.difference.low, verdict.difference.high) <= 0.05
    assert verdict.difference.mean < verdict.bound < 0.05
    assert verdict.more_seeds is None


def test_copies_of_the_reference_are_indistinguishable_from_it() -> None:
    scores = [0.61, 0.64, 0.6]
    copies = [contender(f"copy {i}", scores) for i in range(4)]
    verdict = decide([contender("ce", scores), *copies], "ce", METRIC, margin=0.01)
    assert (verdict.kind, verdict.recommended) == (Kind.INDISTINGUISHABLE, "ce")
    assert (verdict.difference.low, verdict.difference.high) == (0, 0)


def test_a_simpler_finalist_within_the_margin_of_the_best_is_recommended_in_its_place() -> None:
    contenders = [around("ce", 0.5, 0, 12), around("wdice+wce acw", 0.706, 1, 12, 2), around("wce", 0.7, 2, 12, 1)]
    verdict = decide(contenders, "ce", METRIC, margin=0.04)
    assert (verdict.kind, verdict.best, verdict.recommended) == (Kind.BETTER, "wdice+wce acw", "wce")


def test_not_decided_says_how_many_seeds_would_be_enough() -> None:
    few = [around("ce", 0.6, 0, 4), around("wce", 0.63, 1, 4), around("focal", 0.6, 2, 4)]
    verdict = decide(few, "ce", METRIC, margin=0.005)
    assert (verdict.kind, verdict.recommended) == (Kind.UNDECIDED, "wce")
    assert verdict.more_seeds is not None and 1 <= verdict.more_seeds < 60
    assert not verdict.images_limit
    # as many more, with the same mean and scatter, do decide
    n = 4 + verdict.more_seeds
    for seeds, kind in ((n + 3, Kind.BETTER), (n // 2, Kind.UNDECIDED)):
        many = [contender(each.id, _stretched(each, seeds)) for each in few]
        assert decide(many, "ce", METRIC, margin=0.005).kind is kind


def _stretched(of: Contender, n: int) -> list[float]:
    """n scores with the mean and the standard deviation of those of a contender."""
    scores = np.array([repeat.scores[METRIC] for repeat in of.repeats.values()])
    drawn = np.random.default_rng(len(of.id)).standard_normal(n)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return [float(each) for each in scores.mean() + scores.std(ddof=1) * drawn]


def test_more_seeds_than_are_worth_naming() -> None:
    verdict = decide([around("ce", 0.6, 0, 4), around("wce", 0.6001, 1, 4)], "ce", METRIC, margin=1e-4)
    assert verdict.kind is Kind.UNDECIDED
    assert verdict.more_seeds is None and not verdict.images_limit
    assert MOST_SEEDS == 200


def on_folds(lead: float) -> list[Contender]:
    noise = (-0.02, 0.02, -0.02, 0.02, 0.0)
    scores: dict[Key, float] = {(fold, fold): 0.6 + lead + each for fold, each in enumerate(noise)}
    return [contender("ce", dict.fromkeys(scores, 0.6)), contender("wce", scores)]


def test_a_few_more_seeds_may_decide_what_very_many_do_not() -> None:
    """Each look costs more beyond 20 seeds, and what overlapping training sets leave does not shrink."""
    verdict = decide(on_folds(0.04), "ce", METRIC, margin=0.001, test_share=0.2)
    assert (verdict.kind, verdict.more_seeds, verdict.folds_limit) == (Kind.UNDECIDED, 9, False)


def test_overlapping_training_sets_are_named_where_they_are_why_seeds_do_not_decide() -> None:
    verdict = decide(on_folds(0.02), "ce", METRIC, margin=0.001, test_share=0.2)
    assert (verdict.kind, verdict.more_seeds) == (Kind.UNDECIDED, None)
    assert verdict.folds_limit and not verdict.images_limit
    assert not decide(on_folds(0.0001), "ce", METRIC, margin=0.001, test_share=0.2).folds_limit  # too small in any case


@pytest.mark.parametrize("finalists", [1, 2, 4])
def test_the_p_value_and_the_interval_that_decides_agree(finalists: int) -> None:
    for lead in np.linspace(0.02, 0.06, 81):
        rest = [around(str(row), 0.58, row) for row in range(2, finalists + 1)]
        for row in decide([around("ce", 0.6, 0), around("wce", 0.6 + lead, 1), *rest], "ce", METRIC, margin=0).table:
            assert (row.p < 0.05) == (row.decisive.low > 0)


def test_the_images_limit_what_seeds_can_show() -> None:
    generator = np.random.default_rng(1)
    effects = generator.normal(0, 0.3, (2, 30)) - 0.01
    ce, wce = (
        counted(id, 0.5 + effect - effect.mean() + lead + generator.normal(0, 0.002, (4, 1)))
        for id, effect, lead in zip(("ce", "wce"), effects, (0.0, 0.005), strict=True)
    )
    verdict = decide([ce, wce], "ce", METRIC, margin=0.01)
    assert (verdict.kind, verdict.more_seeds, verdict.images_limit) == (Kind.UNDECIDED, None, True)
    assert verdict.bound > 0.05


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(n: int) -> None:
    contenders = [around(id, mean, row, n) for row, (id, mean) in enumerate((("ce", 0.6), ("wce", 0.8), ("focal", 0.6)))]
    verdict = decide(contenders, "ce", METRIC, margin=0.01)
    assert (verdict.kind, verdict.recommended) == (Kind.UNDECIDED, "wce")
    assert verdict.more_seeds is not None and verdict.more_seeds >= 1
    assert math.isnan(verdict.difference.low) == (n == 1)


@pytest.mark.parametrize("lead", [0.5, 1e-15])
def test_two_seeds_that_do_not_scatter_decide_nothing(lead: float) -> None:
    verdict = decide([contender("ce", [0.0, 0.0]), contender("wce", [lead, lead])], "ce", METRIC, margin=0.01)
    assert (verdict.kind, verdict.recommended, verdict.more_seeds) == (Kind.UNDECIDED, "wce", 1)
    assert verdict.table[0].p == 1
    three = decide([contender("ce", [0.0] * 3), contender("wce", [lead] * 3)], "ce", METRIC, margin=0)
    assert three.kind is (Kind.BETTER if lead == 0.5 else Kind.INDISTINGUISHABLE)  # what rounding does is no difference


def test_a_difference_that_is_there_and_smaller_than_the_margin_is_not_better() -> None:
    noise = [-1e-4, 0.0, 1e-4, 0.0]
    contenders = [contender("ce", [0.6] * 4), contender("wce", [0.604 + each for each in noise])]
    verdict = decide(contenders, "ce", METRIC, margin=0.01)
    assert verdict.decisive.low > 0
    assert (verdict.kind, verdict.best, verdict.recommended) == (Kind.INDISTINGUISHABLE, "wce", "ce")
    assert decide(contenders, "ce", METRIC, margin=0.004).kind is Kind.BETTER


def test_the_same_lead_counts_for_less_among_more_finalists() -> None:
    two, five = (
        decide([around("ce", 0.6, 0), around("wce", 0.63, 1), *rest], "ce", METRIC, margin=0.01)
        for rest in ([around("a", 0.6, 2)], [around(id, 0.6, row) for id, row in (("a", 2), ("b", 3), ("c", 4))])
    )
    assert two.table[0].p < five.table[0].p


def test_a_finalist_that_never_had_a_score_is_left_out() -> None:
    failed = contender("failed", [math.nan] * 8)
    others = [around("ce", 0.6, 0), around("wce", 0.72, 1)]
    with_it, without = (decide(each, "ce", METRIC, margin=0.01) for each in ([*others, failed], others))
    assert with_it == without


def test_the_table_has_other_metrics_beside() -> None:
    def with_recall(each: Contender, recall: float) -> Contender:
        found = {key: Repeat(*key, {**repeat.scores, "recall/3": recall}) for key, repeat in each.repeats.items()}
        return replace(each, repeats=found)

    contenders = [with_recall(around("ce", 0.6, 0), 0.2), with_recall(around("wce", 0.72, 1), 0.5)]
    (row,) = decide(contenders, "ce", METRIC, margin=0.01, beside=["recall/3", "calibration"]).table
    assert row.beside["recall/3"].mean == pytest.approx(0.3)
    assert row.beside["calibration"].n == 0


@pytest.mark.parametrize("ids", [("ce",), ("wce", "focal")])
def test_a_reference_and_a_finalist_are_needed(ids: tuple[str, ...]) -> None:
    unknown = contender("ce" if "ce" not in ids else "wce", [math.nan] * 8)
    for contenders in ([around(id, 0.6, 0) for id in ids], [*(around(id, 0.6, 0) for id in ids), unknown]):
        with pytest.raises(InputError, match="ce"):
            decide(contenders, "ce", METRIC, margin=0.01)


def test_a_finalist_that_diverged_once_does_not_undo_the_verdict_on_the_others() -> None:
    generator = np.random.default_rng(4)
    ce, wce = (contender(id, list(mean + generator.normal(0, 0.02, 8))) for id, mean in (("ce", 0.6), ("wce", 0.72)))
    focal = contender("focal", [0.6, 0.62, 0.0])
    focal = replace(focal, repeats={key: replace(each, diverged=key[0] == 2) for key, each in focal.repeats.items()})
    verdict = decide([ce, wce, focal], "ce", METRIC, margin=0.01)
    assert (verdict.kind, verdict.best) == (Kind.BETTER, "wce")


def test_finalists_that_are_nearly_the_same_are_hardly_ever_called_better_where_nothing_is() -> None:
    """Whose scatter among themselves is no measure of that of their differences from the reference."""
    generator = np.random.default_rng(5)
    said = 0
    for _ in range(200):
        shared = generator.standard_normal(3)
        finalists = 0.6 + 0.03 * (math.sqrt(0.97) * shared + math.sqrt(0.03) * generator.standard_normal((3, 3)))
        table = np.vstack([0.6 + 0.03 * generator.standard_normal(3), finalists])
        contenders = [contender(id, list(row)) for id, row in zip(("ce", "a", "b", "c"), table, strict=True)]
        said += decide(contenders, "ce", METRIC, margin=0.01).kind is Kind.BETTER
    assert said <= 6


def test_equal_configurations_are_hardly_ever_told_apart() -> None:
    generator = np.random.default_rng(2)
    said = 0
    for _ in range(20):
        table = 0.6 + generator.normal(0, 0.03, (4, 10))
        contenders = [contender(id, list(row)) for id, row in zip(("ce", "a", "b", "c"), table, strict=True)]
        looks = [
            [Contender(each.id, each.name, each.simplicity, dict(list(each.repeats.items())[:n])) for each in contenders]
            for n in (3, 6, 10)
        ]
        said += any(decide(look, "ce", METRIC, margin=0.01).kind is Kind.BETTER for look in looks)
    assert said <= 3
