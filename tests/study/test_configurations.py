"""Which trials repeat one configuration, and what its scores are."""

from typing import Any

from tests.support.epoch_results import result
from tune_seg.config import StudyConfig, parse
from tune_seg.study.configurations import (
    configuration_id,
    configurations,
    is_plain_cross_entropy,
    score_of_diverged,
    without_repeated,
)
from tune_seg.study.record import Record, State

STUDY = parse(StudyConfig, {"data": {"root": ".", "format": "folder", "split": {"folds": 3}}})


def trial(number: int, score: float = 0.5, state: State = State.COMPLETED, *, repeat: bool = False, **keys: Any) -> Record:
    assignment = {key.replace("_", ".", 1): value for key, value in keys.items()}
    return Record(number, assignment, STUDY.trial(assignment), state=state, history=[result(1, score)], repeat=repeat)


def test_trials_that_differ_in_seed_or_fold_are_one_configuration() -> None:
    records = [
        trial(0, loss_end="ce"),
        trial(1, loss_end="dice"),
        trial(2, loss_end="ce", training_seed=7),
        trial(3, loss_end="ce", fold=2),
        trial(4, loss_end="dice", training_lr=0.5),
    ]
    found = configurations(reversed(records))
    assert [[record.number for record in each.trials] for each in found] == [[0, 2, 3], [1], [4]]
    assert [each.name for each in found] == ["ce", "dice", "dice"]
    assert len({each.id for each in found}) == 3


def test_the_way_in_which_a_value_came_about_does_not_matter() -> None:
    default, said = trial(0), trial(1, loss_end="ce", loss_kind="static")
    assert configuration_id(default) == configuration_id(said)
    assert configuration_id(default) != configuration_id(trial(2, loss_end="focal"))


def test_the_scores_are_those_of_the_repeats_where_there_are_any() -> None:
    search, one, two = (
        trial(0, 0.9),
        trial(1, 0.5, repeat=True, training_seed=1),
        trial(2, 0.7, repeat=True, training_seed=2),
    )
    (alone,) = configurations([search])
    assert alone.scores("s_rec") == [0.9]
    diverged = trial(3, 0.1, State.DIVERGED, repeat=True, training_seed=3)
    running = trial(4, 0.2, State.RUNNING, repeat=True, training_seed=4)
    (both,) = configurations([search, one, two, diverged, running])
    assert both.scores("s_rec") == [0.5, 0.7, 0.0]  # the verdict counts it so too
    assert [score_of_diverged(name) for name in ("temperature/recall", "nll")] == [0.0, None]  # nll is best at 0
    assert [record.number for record in both.repeats] == [1, 2, 3]


def test_an_assignment_without_seed_and_fold() -> None:
    assert without_repeated({"loss.end": "ce", "training.seed": 3, "fold": 1}) == {"loss.end": "ce"}


def test_plain_cross_entropy_is_told_by_what_is_active() -> None:
    ce, focal = {"loss": "ce", "weight": 1.0}, {"loss": "focal", "weight": 1.0}
    for plain, loss in (
        (True, {"end": "ce"}),
        (True, {"kind": "program", "end": "dice", "components": {"a": ce}}),
        (False, {"end": "wce"}),
        (False, {"kind": "compound", "start": "dice", "end": "ce"}),
        (False, {"kind": "program", "components": {"a": ce, "b": focal}}),
    ):
        assert is_plain_cross_entropy(parse(StudyConfig, {"loss": loss})) is plain
    assert not is_plain_cross_entropy(parse(StudyConfig, {"loss": {"end": "ce"}, "acw": True}))
