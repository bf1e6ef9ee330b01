"""What is repeated after a search, and what follows: the trials are not trained, their scores are drawn."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.epoch_results import result
from tune_seg.config import StudyConfig, parse
from tune_seg.data import PackedData
from tune_seg.study.budget import repeats_of
from tune_seg.study.configurations import configurations
from tune_seg.study.confirmation import Answer, Confirmation
from tune_seg.study.deadline import Deadline
from tune_seg.study.output.answer import diverged_lines
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space
from tune_seg.study.verdict import Kind
from tune_seg.study.verdict.classes import mean_score
from tune_seg.training.result import ScaledScores

LOSSES = ["ce", "wce", "focal", "dice", "wdice", "dual_focal", "tversky", "poly1"]
WORTH = {"ce": 0.5, "wce": 0.7, "focal": 0.55, "dice": 0.6}


def study(trials: int = 24, **values: Any) -> StudyConfig:
    search = {"sampler": "random", "trials": trials, **values.pop("search", {})}
    space = {"loss.end": {"choice": LOSSES}, "training.lr": {"float": [0.001, 0.002]}}
    return parse(StudyConfig, {"space": space, "training": {"epochs": 1}, "search": search, **values})


def opened(directory: Path, packed: PackedData, config: StudyConfig, **arguments: Any) -> Records:
    space = Space(config)
    wanted = repeats_of(config, space)
    confirmation = Confirmation(config, directory, packed, wanted, 2) if wanted else None
    return Records(directory, config, space, confirmation=confirmation, **arguments)


def confirmed(
    directory: Path, packed: PackedData, config: StudyConfig, score: Callable[[Record], float], **settings: Any
) -> tuple[list[Record], Answer | None]:
    """A session of `tune-seg confirm` with other settings of its own: what it has trained, and the answer."""
    confirm = config.search.confirm.model_copy(update=settings)
    config = config.model_copy(update={"search": config.search.model_copy(update={"confirm": confirm})})
    confirmation = Confirmation(config, directory, packed, None, 2)
    records = Records(directory, config, Space(config), confirmation=confirmation, search=False)
    ran = run(records, score=score)
    assert records.finished and records.target == len(records.trials)
    return ran, confirmation.answer([*records.trials.values()])


def score_of(record: Record, noise: float = 0.01) -> float:
    """What a training of this configuration with this seed gives."""
    seed = [record.config.training.seed, LOSSES.index(record.config.loss.end)]
    return WORTH.get(record.config.loss.end, 0.4) + noise * float(np.random.default_rng(seed).normal())


def run(records: Records, most: int = 1000, score: Callable[[Record], float] = score_of) -> list[Record]:
    """Train one trial after the other; those that were handed out."""
    ran: list[Record] = []
    while len(ran) < most and (record := records.ask()) is not None:
        records.add(record.number, result(1, score(record)))
        records.close(record.number, State.COMPLETED)
        ran.append(record)
    return ran


def of_seed(record: Record) -> tuple[str, float, int]:
    return record.config.loss.end, record.config.training.lr, record.config.training.seed


def test_the_best_and_plain_cross_entropy_are_repeated_with_the_same_fresh_seeds(tmp_path: Path, packed: PackedData) -> None:
    records = opened(tmp_path, packed, study(40))
    ran = run(records)
    assert records.ask() is None and records.handed_out_all and records.finished
    assert len(ran) == records.target <= 40
    repeats = [record for record in ran if record.repeat]
    assert not any(record.repeat for record in ran[:24]) and repeats == ran[24:]
    seeds: dict[tuple[str, float], list[int]] = {}
    for record in repeats:
        loss, lr, seed = of_seed(record)
        seeds.setdefault((loss, lr), []).append(seed)
    assert all(found == list(range(1, len(found) + 1)) for found in seeds.values())
    assert 0 not in {seed for found in seeds.values() for seed in found}  # that of the search
    assert sum(loss == "ce" for loss, _ in seeds) == 1
    assert len(seeds) <= 5  # four finalists
    best = max(configurations(ran[:24]), key=lambda each: each.scores("s_rec"))
    assert (best.config.loss.end, best.config.training.lr) in seeds


def test_the_verdict_names_what_is_better(tmp_path: Path, packed: PackedData) -> None:
    config = study(40)
    records = opened(tmp_path, packed, config)
    confirmation = Confirmation(config, tmp_path, packed, 16, 2)
    assert confirmation.answer(list(records.trials.values())) is None
    run(records)
    answer = confirmation.answer(list(records.trials.values()))
    assert answer is not None and answer.verdict.kind is Kind.BETTER
    assert answer.contenders[answer.verdict.recommended].config.loss.end == "wce"
    assert answer.contenders[answer.reference].config.loss.end == "ce"
    assert answer.verdict.difference.mean == pytest.approx(0.2, abs=0.02)


def test_there_are_no_more_repeats_than_there_is_time_for(tmp_path: Path, packed: PackedData) -> None:
    config = study(40)
    records = opened(tmp_path, packed, config)
    run(records, most=24)
    trials = [*records.trials.values()]
    confirmation = Confirmation(config, tmp_path, packed, 16, 2)
    whole = confirmation.next_round(trials)
    short = confirmation.next_round(trials, at_most=6)
    assert 4 <= len(short) <= 6 < len(whole)
    assert any(each["loss.end"] == "ce" for each in short)  # with fewer finalists, and plain cross entropy always
    assert confirmation.next_round(trials, at_most=0) == []


def test_without_time_for_any_repeat_the_study_ends_and_says_so(tmp_path: Path, packed: PackedData) -> None:
    config, now = study(40), time.monotonic()
    half = result(1, 0.5).seconds.total / 2
    assert half > 0
    records = opened(tmp_path, packed, config, deadline=Deadline(search=now + 1e6, end=now + half))
    ran = run(records)
    assert len(ran) == 24 and not any(record.repeat for record in ran)
    assert records.out_of_time and records.finished
    later = opened(tmp_path, packed, config)
    assert not later.finished
    assert all(record.repeat for record in run(later))


def test_plain_cross_entropy_is_trained_where_the_search_never_tried_it(tmp_path: Path, packed: PackedData) -> None:
    config = study(30, space={"loss.end": {"choice": ["wce", "focal", "dice"]}, "training.lr": {"float": [0.001, 0.002]}})
    records = opened(tmp_path, packed, config)
    ran = run(records)
    plain = [record for record in ran if record.config.loss.end == "ce"]
    assert len(plain) >= 3 and all(record.repeat for record in plain)
    assert len({record.config.training.lr for record in plain}) == 1


def test_an_interrupted_study_goes_on_as_if_it_had_not_been(tmp_path: Path, packed: PackedData) -> None:
    config = study(30, search={"sampler": "qmc"})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for directory in (whole, broken):
        directory.mkdir()
    undisturbed = run(opened(whole, packed, config))
    ran: list[Record] = []
    # the search ends in one session, as another session draws from the sampler anew; the repeats are broken off repeatedly
    for most in (18, 1, 2, 1, 5, 1000):
        ran += run(opened(broken, packed, config), most)
    assert sorted(map(of_seed, ran)) == sorted(map(of_seed, undisturbed))
    again = opened(broken, packed, config)
    assert again.ask() is None and again.finished


@pytest.mark.long("more repeats")
def test_more_repeats_go_on_from_those_there_are_and_nothing_is_searched(tmp_path: Path, packed: PackedData) -> None:
    config = study(20)
    run(opened(tmp_path, packed, config), score=lambda record: score_of(record, noise=0.2))
    before = opened(tmp_path, packed, config).trials
    ran, _ = confirmed(tmp_path, packed, config, lambda record: score_of(record, noise=0.2))
    assert ran and all(record.repeat and record.extra for record in ran)
    assert not {of_seed(record) for record in ran} & {of_seed(record) for record in before.values()}


@pytest.mark.long("sessions of repeats")
def test_a_session_of_more_repeats_goes_on_to_its_seeds_whatever_earlier_ones_have_repeated(
    tmp_path: Path, packed: PackedData
) -> None:
    def noisy(record: Record) -> float:
        return score_of(record, noise=0.08)

    config = study(40, search={"confirm": {"finalists": 2}})
    run(opened(tmp_path, packed, config), score=noisy)
    confirmed(tmp_path, packed, config, noisy, finalists=6, max_seeds=3)
    for seeds in (8, 9):
        _, answer = confirmed(tmp_path, packed, config, noisy, max_seeds=seeds)
        assert answer is not None
        undecided = answer.verdict.kind is Kind.UNDECIDED and answer.verdict.more_seeds is not None
        assert not undecided or answer.verdict.difference.n == seeds


@pytest.mark.long("search after repeats")
def test_a_search_that_goes_on_repeats_what_it_finds_and_counts_no_repeat_that_was_added(
    tmp_path: Path, packed: PackedData
) -> None:
    space = {"loss.end": {"choice": LOSSES}, "loss.gamma": {"float": [0.5, 5.0], "when": {"loss.end": ["focal"]}}}
    baselines = [{"loss.end": "ce"}, {"loss.end": "wce"}, {"loss.end": "dice"}]
    config = study(24, space=space, baselines=baselines, search={"confirm": {"finalists": 2}})

    def noisy(record: Record) -> float:
        return score_of(record, noise=0.08)

    run(opened(tmp_path, packed, config), score=noisy)
    ran, _ = confirmed(tmp_path, packed, config, noisy)
    assert ran
    longer = study(60, space=space, baselines=baselines, search={"confirm": {"finalists": 2}})
    records = opened(tmp_path, packed, longer)
    found = run(records, score=lambda record: 0.95 + 0.01 * noisy(record))  # far better than all before
    assert sum(not record.extra for record in records.trials.values()) <= 60
    lead = max((record for record in found if not record.repeat), key=lambda record: record.score("s_rec") or 0.0)
    (best,) = (each for each in configurations(records.trials.values()) if lead in each.trials)
    assert len(best.repeats) >= 3
    answer = Confirmation(longer, tmp_path, packed, 24, 2).answer([*records.trials.values()])
    assert answer is not None and best.id in answer.contenders and not answer.left_out


def test_a_repeat_that_was_broken_off_is_counted_once(tmp_path: Path, packed: PackedData) -> None:
    config = study(20)
    records = opened(tmp_path, packed, config)
    run(records, 12)
    broken = records.ask()
    assert broken is not None and broken.repeat
    again = Records(
        tmp_path, config, Space(config), confirmation=Confirmation(config, tmp_path, packed, None, 2), search=False
    )
    assert again.target == len(again.trials)


def test_what_leads_the_search_without_a_repeat_is_named(tmp_path: Path, packed: PackedData) -> None:
    records = opened(tmp_path, packed, study(40))
    run(records)
    trials = [*records.trials.values()]
    assignment = {"loss.end": "poly1", "training.lr": 0.0015}
    config = study(40)
    late = Record(900, assignment, config.trial(assignment), state=State.COMPLETED, history=[result(1, 0.99)])
    confirmation = Confirmation(config, tmp_path, packed, 16, 2)
    before, after = confirmation.answer(trials), confirmation.answer([*trials, late])
    assert before is not None and after is not None
    assert not before.left_out and [each.name for each in after.left_out] == ["poly1"]


def test_a_better_plain_cross_entropy_of_a_longer_search_does_not_take_the_verdict_with_it(
    tmp_path: Path, packed: PackedData
) -> None:
    config = study(40)
    records = opened(tmp_path, packed, config)
    run(records)
    trials = [*records.trials.values()]
    assignment = {"loss.end": "ce", "training.lr": 0.00123}
    late = Record(900, assignment, config.trial(assignment), state=State.COMPLETED, history=[result(1, 0.69)])
    confirmation = Confirmation(config, tmp_path, packed, 16, 2)
    before, after = confirmation.answer(trials), confirmation.answer([*trials, late])
    assert before is not None and after is not None and after.reference == before.reference
    ended = Confirmation(config, tmp_path, packed, 40, 2).next_round([*trials, late])
    assert {each["training.lr"] for each in ended if each["loss.end"] == "ce"} == {0.00123}


def test_what_the_sampler_draws_again_is_neither_trained_nor_counted(tmp_path: Path, packed: PackedData) -> None:
    config = study(12, space={"loss.end": {"choice": LOSSES}}, search={"confirm": {"share": 0}})
    records = opened(tmp_path, packed, config)
    ran = run(records)
    assert sorted(record.config.loss.end for record in ran) == sorted(LOSSES)  # there are no more than eight
    assert records.finished and records.target == 8
    assert {*records.trials} == {record.number for record in ran}
    again = opened(tmp_path, packed, config)
    assert again.trials.keys() == records.trials.keys()
    assert not run(again)


def test_beside_a_grid_a_point_with_nothing_new_leaves_its_turns_to_the_others(tmp_path: Path, packed: PackedData) -> None:
    space = {"acw": {"grid": [False, True]}, "loss.end": {"choice": LOSSES, "when": {"acw": [True]}}}
    records = opened(tmp_path, packed, study(20, space=space, search={"confirm": {"share": 0}}))
    ran = run(records)
    assert sorted(r.config.loss.end for r in ran if r.config.acw) == sorted(LOSSES)
    assert sum(not r.config.acw for r in ran) == 1
    assert records.finished and records.target == 9


def test_a_repeat_that_fails_ends_the_session_and_not_the_study(tmp_path: Path, packed: PackedData) -> None:
    config = study(20)
    records = opened(tmp_path, packed, config)
    run(records, 12)
    record = records.ask()
    assert record is not None and record.repeat
    records.close(record.number, State.FAILED, "its worker was lost")
    rest = run(records)
    assert records.handed_out_all and not records.finished
    again = opened(tmp_path, packed, config)
    first = again.ask()
    assert first is not None and of_seed(first) == of_seed(record) and first.repeat
    again.add(first.number, result(1, 0.5))
    again.close(first.number, State.COMPLETED)
    run(again)
    assert again.finished
    seeds = [of_seed(each) for each in again.trials.values() if each.repeat]
    assert len(seeds) == len(set(seeds)) and len(rest) < len(seeds)


def test_with_several_objectives_the_front_is_repeated_and_its_probability_known(tmp_path: Path, packed: PackedData) -> None:
    config = study(40, objective=["recall", "accuracy"], search={"confirm": {"finalists": 2}})
    records = opened(tmp_path, packed, config)
    while (record := records.ask()) is not None:
        # what finds more is less accurate, but for dice, which is worst in both
        recall = 0.1 if record.config.loss.end == "dice" else score_of(record)
        accuracy = 0.1 if record.config.loss.end == "dice" else 1 - score_of(record)
        records.add(record.number, result(1, 0.5, recall=recall, accuracy=accuracy))
        records.close(record.number, State.COMPLETED)
    answer = Confirmation(config, tmp_path, packed, 16, 2).answer(list(records.trials.values()))
    assert answer is not None and set(answer.front) == set(answer.contenders)
    assert not any(each.config.loss.end == "dice" for each in answer.contenders.values())
    assert all(0.0 <= share <= 1.0 for share in answer.front.values()) and max(answer.front.values()) > 0.9


def test_folds_take_turns(tmp_path: Path, packed: PackedData, monkeypatch: pytest.MonkeyPatch) -> None:
    class Folds:
        folds, num_classes = 3, packed.num_classes
        val_groups = packed.val_groups

        def of_fold(self, fold: int | None) -> "Folds":
            return self

    config = study(30, data={"root": str(tmp_path), "format": "folder", "split": {"folds": 3}})
    folds: Any = Folds()
    ran = run(opened(tmp_path, folds, config))
    pairs: Mapping[int, int | None] = {r.config.training.seed: r.config.fold for r in ran if r.repeat}
    assert [fold for _, fold in sorted(pairs.items())][:3] == [0, 1, 2]


def test_a_training_that_diverged_counts_as_nothing_found(tmp_path: Path, packed: PackedData) -> None:
    config = study(40)
    records = opened(tmp_path, packed, config)
    while (record := records.ask()) is not None:
        bad = record.repeat and record.config.loss.end == "wce"
        records.add(record.number, result(1, score_of(record), diverged=bad))
        records.close(record.number, State.DIVERGED if bad else State.COMPLETED)
    answer = Confirmation(config, tmp_path, packed, 16, 2).answer(list(records.trials.values()))
    assert answer is not None
    assert answer.contenders[answer.verdict.recommended].config.loss.end != "wce"
    lines = list(diverged_lines(answer))
    for each, measured in zip(answer.contenders.values(), answer.measured, strict=True):
        for name in ("s_rec", "recall"):  # the table shows what the statistics take
            assert mean_score(measured, name) == pytest.approx(np.mean(each.scores(name)))
        if each.config.loss.end == "wce":
            assert each.scores("s_rec") == [0.0] * len(each.repeats)
            n = len(each.repeats)
            assert any(
                line.startswith("wce ") and f" diverged in {n} of {n} repeats; each counts as 0." in line for line in lines
            )
    assert lines


@pytest.mark.parametrize("tried", [False, True])
def test_plain_cross_entropy_that_always_diverges_is_worth_nothing_and_does_not_take_the_whole_budget(
    tmp_path: Path, packed: PackedData, tried: bool
) -> None:
    space = {"loss.end": {"choice": ["ce"] * tried + ["wce"]}, "training.lr": {"grid": [0.001, 0.002]}}
    config = study(20, space=space, search={"sampler": "grid"})
    records = opened(tmp_path, packed, config)
    while (record := records.ask()) is not None:
        bad = record.config.loss.end == "ce"
        records.add(record.number, result(1, score_of(record), diverged=bad))
        records.close(record.number, State.DIVERGED if bad else State.COMPLETED)
    plain = [of_seed(each) for each in records.trials.values() if each.repeat and each.config.loss.end == "ce"]
    assert len(plain) == len(set(plain)) == 3
    answer = Confirmation(config, tmp_path, packed, 16, 2).answer(list(records.trials.values()))
    assert answer is not None and answer.verdict.kind is Kind.BETTER
    assert answer.verdict.difference.mean == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(
    ("trials", "searched", "repeats"), [(5, 5, 0), (12, 12, 0), (14, 12, 0), (16, 12, 4), (30, 12, 18), (500, 12, 100)]
)
def test_a_grid_is_searched_first_and_the_other_trials_are_repeats(
    tmp_path: Path, packed: PackedData, trials: int, searched: int, repeats: int
) -> None:
    space = {"loss.end": {"choice": ["ce", "wce", "focal"]}, "training.lr": {"grid": [0.001, 0.002, 0.003, 0.004]}}
    baselines = [{"loss.end": "ce", "training.lr": 0.001}]  # which is a point of the grid
    config = study(trials, space=space, search={"sampler": "grid"}, baselines=baselines)
    assert repeats_of(config, Space(config)) == repeats
    records = opened(tmp_path, packed, config)
    assert records.target == searched + repeats <= trials
    ran = run(records)
    assert len({of_seed(record) for record in ran if not record.repeat}) == searched
    assert any(record.repeat for record in ran) == bool(repeats) and records.finished


def test_what_is_unknown_is_no_score_of_nothing(tmp_path: Path, packed: PackedData) -> None:
    config = study(40, objective="temperature/s_rec")
    records = opened(tmp_path, packed, config)
    nan = float("nan")
    while (record := records.ask()) is not None:
        scaled = {"temperature": ScaledScores({"s_rec": nan, "f1": nan, "recall": 0.5}, nan)}
        records.add(record.number, result(1, score_of(record), scaled=scaled))
        records.close(record.number, State.COMPLETED)
    assert any(record.repeat for record in records.trials.values()) and records.finished
    assert Confirmation(config, tmp_path, packed, 16, 2).answer(list(records.trials.values())) is None


def test_with_several_objectives_the_finalists_stay_whatever_their_repeats_say(tmp_path: Path, packed: PackedData) -> None:
    config = study(60, objective=["recall", "accuracy"], search={"confirm": {"finalists": 2}})
    records = opened(tmp_path, packed, config)
    while (record := records.ask()) is not None:
        worth = score_of(record, 0.001) - record.repeat * 0.3  # the search was lucky for all of them
        records.add(record.number, result(1, 0.5, recall=worth, accuracy=worth))
        records.close(record.number, State.COMPLETED)
    found = {of_seed(record)[:2] for record in records.trials.values() if record.repeat}
    assert len(found) == 3  # with plain cross entropy


def test_a_grid_over_seeds_compares_all_its_configurations(tmp_path: Path, packed: PackedData) -> None:
    space = {"loss.end": {"grid": LOSSES}, "training.seed": {"grid": [1, 2, 3, 4, 5]}}
    config = study(100, space=space, search={"sampler": "grid"})
    records = opened(tmp_path, packed, config)
    run(records)
    answer = Confirmation(config, tmp_path, packed, 0, 2).answer([*records.trials.values()])
    assert answer is not None and answer.of_the_grid and len(answer.verdict.table) == len(LOSSES) - 1
    assert answer.verdict.kind is Kind.BETTER and answer.contenders[answer.verdict.best].name == "wce"
    assert {row.difference.n for row in answer.verdict.table} == {5}
    again, confirmed_answer = confirmed(tmp_path, packed, config, score_of)
    assert again and confirmed_answer is not None and not confirmed_answer.of_the_grid


def test_seeds_begin_again_after_the_largest_one(tmp_path: Path, packed: PackedData) -> None:
    config = study(20, training={"epochs": 1, "seed": 2**31 - 2})
    records = opened(tmp_path, packed, config)
    ran = run(records, score=lambda record: score_of(record, noise=0.2))
    assert records.finished
    found = dict.fromkeys(record.config.training.seed for record in ran if record.repeat)
    assert list(found)[:3] == [2**31 - 1, 0, 1]


def test_repeats_keep_their_seeds_where_the_search_goes_on_over_seeds(tmp_path: Path, packed: PackedData) -> None:
    space = {"loss.end": {"choice": ["ce", "wce"]}, "training.seed": {"int": [0, 1000]}}
    config = study(20, space=space)

    def noisy(record: Record) -> float:
        return score_of(record, noise=0.3)

    before = [record for record in run(opened(tmp_path, packed, config), score=noisy) if record.repeat]
    seeds = [record.config.training.seed for record in before]
    after = run(opened(tmp_path, packed, study(60, space=space)), score=noisy)
    assert max(record.config.training.seed for record in after if not record.repeat) > max(seeds)
    again = [of_seed(record) for record in after if record.repeat]
    assert again and not set(again) & {of_seed(record) for record in before}
    confirmation = Confirmation(config, tmp_path, packed, 24, 2)
    answer = confirmation.answer([*opened(tmp_path, packed, config).trials.values()])
    assert answer is not None
    assert answer.verdict.difference.n == sum(
        record.config.loss.end == "wce" for record in (*before, *after) if record.repeat
    )
