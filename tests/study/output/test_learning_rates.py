"""Whether a margin is the loss's or the learning rate's, in words."""

from typing import Any

from tests.support.reported import answer_of, record, repeats
from tune_seg.config import StudyConfig, parse
from tune_seg.study.output.learning_rates import rate_lines
from tune_seg.study.record import Record
from tune_seg.study.verdict import Kind

VARIED = {"training.lr": {"float": [1e-4, 1e-1], "log": True}}
BETTER = [*repeats("ce", [0.50, 0.51, 0.49, 0.50], 90), *repeats("focal", [0.70, 0.72, 0.69, 0.70], 100)]
EVEN = [0.7 + 0.001 * k for k in range(8)]


def said(records: list[Record], **values: Any) -> list[str]:
    return list(rate_lines(parse(StudyConfig, values), records, answer_of(records)))


def test_where_one_rate_was_used_for_all_it_is_said_that_ce_may_have_a_better_one() -> None:
    (line,) = said(BETTER, training={"lr": 3e-3, "weight_decay": 1e-4})
    assert line.startswith(
        "All losses had one learning rate (0.003) and weight decay (0.0001). With its own best ones plain"
    )
    assert "loss_and_rate" in line


def test_nothing_is_said_of_rates_where_no_loss_is_better() -> None:
    assert said([*repeats("ce", EVEN, 90), *repeats("focal", [0.5 + 0.001 * k for k in range(8)], 100)]) == []
    assert said([*repeats("ce", EVEN, 90), *repeats("focal", EVEN, 100)]) == []


def searched(*scores: tuple[str, float, float]) -> list[Record]:
    """Trials of a search: loss, learning rate, score."""
    return [record(number, score, end=end, lr=lr) for number, (end, lr, score) in enumerate(scores)]


def test_with_few_rates_of_ce_its_own_best_may_be_missing() -> None:
    trials = searched(("ce", 1e-3, 0.5), ("ce", 1e-2, 0.55), ("focal", 1e-2, 0.7))
    (line,) = said([*trials, *BETTER], space=VARIED)
    assert line.startswith("Plain cross entropy was tried with 2 settings of training.lr alone, so its own best may not be")


def test_what_ce_has_with_the_winners_rate_and_with_its_own_is_said() -> None:
    trials = searched(("ce", 1e-3, 0.62), ("ce", 1e-2, 0.55), ("ce", 1e-4, 0.4), ("focal", 1.2e-2, 0.7))
    ce = repeats("ce", [0.60, 0.61, 0.62, 0.63], 90, lr=1e-3)
    focal = repeats("focal", [0.70, 0.72, 0.69, 0.70], 100, lr=1.2e-2)
    (line,) = said([*trials, *ce, *focal], space=VARIED)
    assert line == (
        "Of 3 settings tried, plain cross entropy scored 0.5500 with about those of focal (lr 0.01), and 0.6200 with its "
        "own best (lr 0.001), each in one training."
    )


def test_a_margin_that_vanishes_with_the_rate_is_named() -> None:
    trials = searched(("ce", 1e-3, 0.7), ("ce", 1e-2, 0.55), ("ce", 1e-4, 0.4), ("focal", 1.2e-2, 0.7))
    ce, focal = repeats("ce", EVEN, 90, lr=1e-3), repeats("focal", EVEN, 100, lr=1.2e-2)
    records = [*trials, *ce, *focal]
    assert answer_of(records).verdict.kind is Kind.INDISTINGUISHABLE
    (line,) = said(records, space=VARIED)
    assert line.endswith("each in one training: the margin of focal (+0.1500) vanishes once both have their own best.")


def test_without_a_training_of_ce_at_the_winners_rate_nothing_is_said_of_it() -> None:
    trials = searched(("ce", 1e-3, 0.62), ("ce", 2e-3, 0.55), ("ce", 1e-4, 0.4), ("focal", 5e-2, 0.7))
    assert said([*trials, *BETTER, *repeats("focal", [0.9, 0.9], 120, lr=5e-2)], space=VARIED) == []
