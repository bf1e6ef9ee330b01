"""The records of a study: every trial once, whatever ends the process, and what Optuna is told of it."""

import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.support.epoch_results import image_counts, result
from tests.support.records import SPACE, asked, open_records, room_for, run_to_the_end, wait_for
from tune_seg.errors import InputError
from tune_seg.study.images import read_images
from tune_seg.study.journal import StoredHistory
from tune_seg.study.record import Record, State


def optuna_trials(directory: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(directory / "trials.journal")))
    return optuna.load_study(study_name=None, storage=storage).trials


def test_a_completed_trial_reaches_optuna_with_the_score_of_its_last_epoch(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    record = asked(records)
    records.add(record.number, result(1, 0.9))
    records.add(record.number, result(2, 0.3))
    records.add(record.number, result(3, 0.4))
    records.close(record.number, State.COMPLETED)
    (trial,) = optuna_trials(tmp_path)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)
    assert trial.intermediate_values == {1: 0.9, 2: 0.3, 3: 0.4}
    assert record.score("s_rec") == 0.4
    assert record.seconds == 4.5


def test_a_stopped_trial_reaches_optuna_as_pruned_with_its_intermediate_values(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    record = asked(records)
    records.add(record.number, result(1, 0.2))
    records.close(record.number, State.PRUNED)
    (trial,) = optuna_trials(tmp_path)
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.2})


def test_an_undefined_f1_is_the_least_there_is(tmp_path: Path) -> None:
    records = open_records(tmp_path, objective="f1")
    run_to_the_end(records, asked(records), float("nan"))
    assert optuna_trials(tmp_path)[0].value == 0.0


def test_an_objective_that_is_unknown_is_told_as_a_failure(tmp_path: Path) -> None:
    records = open_records(tmp_path, objective="miou")
    record = asked(records)
    run_to_the_end(records, record, float("nan"))
    (trial,) = optuna_trials(tmp_path)
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.FAIL, None, {})
    assert record.state is State.COMPLETED
    assert open_records(tmp_path).trials[0].state is State.COMPLETED


def test_a_trial_has_its_loss_and_scores_by_name_for_those_who_look_at_the_journal(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    record = asked(records)
    records.add(record.number, result(1, recall=1 / 3, accuracy=math.nan))
    records.close(record.number, State.PRUNED)
    shown = optuna_trials(tmp_path)[0].user_attrs
    assert shown.keys() == {"assignment", "outcome", "loss", "recall"}
    assert (shown["loss"], shown["recall"]) == (record.name, 0.33333)
    assert open_records(tmp_path).trials[0] == record


def test_several_objectives_reach_optuna_together(tmp_path: Path) -> None:
    records = open_records(tmp_path, objective=["recall", "calibration"])
    record = asked(records)
    for epoch in (1, 2, 3):
        records.add(record.number, result(epoch, recall=0.3, calibration=0.8))
    records.close(record.number, State.COMPLETED)
    assert optuna_trials(tmp_path)[0].values == [0.3, 0.8]


def test_a_continued_study_keeps_what_ended_and_first_runs_what_did_not(tmp_path: Path) -> None:
    first = open_records(tmp_path)
    done, interrupted, failed = (asked(first) for _ in range(3))
    run_to_the_end(first, done, 0.5)
    first.add(interrupted.number, result(1))
    first.close(failed.number, State.FAILED, "RuntimeError: no memory left")

    second = open_records(tmp_path, search={"trials": 5})
    assert second.study_id == first.study_id
    assert second.trials[done.number] == done
    again = [asked(second) for _ in range(4)]
    assert [record.number for record in again] == [interrupted.number, failed.number, 3, 4]
    assert [record.assignment for record in again[:2]] == [interrupted.assignment, failed.assignment]
    assert all(not record.history and record.error == "" for record in again)
    assert second.ask() is None
    for record in again:
        run_to_the_end(second, record, 0.6)
    trials = optuna_trials(tmp_path)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def test_a_continued_random_search_does_not_repeat_itself(tmp_path: Path) -> None:
    draws: list[float] = []
    space = {"training.lr": {"float": [0.0001, 1.0]}}
    for trials in (5, 10, 15):
        records = open_records(tmp_path, search={"trials": trials}, space=space)
        while (record := records.ask()) is not None:
            run_to_the_end(records, record, 0.5)
            draws.append(record.assignment["training.lr"])
    assert len(set(draws)) == 15


def test_the_same_seed_draws_the_same_trials(tmp_path: Path) -> None:
    assignments = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        records = open_records(tmp_path / name)
        assignments.append([asked(records).assignment for _ in range(4)])
    assert assignments[0] == assignments[1]


@pytest.mark.parametrize("moment", ["enqueued", "asked"])
def test_a_process_that_dies_between_optunas_steps_loses_no_trial(tmp_path: Path, moment: str) -> None:
    baselines = [{"loss.end": "focal", "loss.gamma": 1.25}]
    records = open_records(tmp_path, baselines=baselines)
    # what a killed process leaves behind: Optuna has taken the trial, the records have not
    records._study.enqueue_trial(baselines[0])
    if moment == "asked":
        records._study.ask()
    continued = open_records(tmp_path, baselines=baselines)
    while (record := continued.ask()) is not None:
        run_to_the_end(continued, record, 0.5)
    assert sorted(continued.trials) == [0, 1, 2, 3]
    assert continued.trials[0].config.loss.gamma == 1.25
    assert {trial.state for trial in optuna_trials(tmp_path)} == {TrialState.COMPLETE}


def test_a_process_that_dies_before_optuna_was_told_finishes_the_trial(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    record = asked(records)
    for epoch in (1, 2, 3):
        records.add(record.number, result(epoch))
    outcome = {"state": "completed", "history": [epoch.to_json() for epoch in record.history], "error": ""}
    records._handles[0].set_user_attr("outcome", outcome)
    continued = open_records(tmp_path)
    assert continued.trials[0].state is State.COMPLETED
    assert optuna_trials(tmp_path)[0].state is TrialState.COMPLETE
    assert asked(continued).number == 1


def test_a_journal_whose_last_line_was_cut_off_goes_on_without_it(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    run_to_the_end(records, asked(records), 0.5)
    journal = tmp_path / "trials.journal"
    whole = journal.read_bytes()
    for cut in (1, 5, 40):
        journal.write_bytes(whole[:-cut])
        continued = open_records(tmp_path)
        assert sorted(continued.trials) == [0]
        assert continued.trials[0].history == records.trials[0].history


def test_a_renamed_directory_keeps_its_study(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    records = open_records(tmp_path / "before")
    record = asked(records)
    run_to_the_end(records, record, 0.5)
    history = list(record.history)
    (tmp_path / "before").rename(tmp_path / "after")
    (again,) = open_records(tmp_path / "after").trials.values()
    assert (again.assignment, list(again.history)) == (record.assignment, history)


def test_baselines_come_first_and_grids_are_gone_through_evenly(tmp_path: Path) -> None:
    space = {**SPACE, "training.seed": {"grid": [0, 1, 2]}}
    records = open_records(tmp_path, space=space, baselines=[{"loss.end": "focal", "loss.gamma": 2.0}], search={"trials": 7})
    trials = [asked(records) for _ in range(7)]
    assert [record.baseline for record in trials] == [True] + [False] * 6
    assert trials[0].config.loss.gamma == 2.0
    assert [record.config.training.seed for record in trials[1:]] == [0, 1, 2, 0, 1, 2]


def test_the_grid_sampler_runs_every_point_once_and_ends(tmp_path: Path) -> None:
    space = {key: SPACE[key] for key in ("loss.end", "augmentation.resize")}
    records = open_records(tmp_path, space=space, search={"sampler": "grid", "trials": 100})
    seen = []
    while (record := records.ask()) is not None:
        seen.append((record.config.loss.end, record.config.augmentation.resize))
    assert records.target == 4
    assert sorted(seen) == [(end, size) for end in ("ce", "focal") for size in ((0.5, 2.0), (1.0, 1.0))]


GRID = {"loss.end": {"choice": ["ce", "dice"]}, "acw": {"choice": [True, False]}}


@pytest.mark.parametrize("trials", [3, 100])
@pytest.mark.parametrize("baselines", [[{"loss.end": "dice"}], [{"loss.end": "dice"}, {"acw": True}, {"loss.end": "ce"}]])
def test_a_grid_ends_where_a_baseline_has_taken_one_of_its_points(
    tmp_path: Path, trials: int, baselines: list[dict[str, Any]]
) -> None:
    records = open_records(tmp_path, space=GRID, baselines=baselines, search={"sampler": "grid", "trials": trials})
    while (record := records.ask()) is not None:
        run_to_the_end(records, record, 0.5)
    assert records.handed_out_all and records.target == len(records.trials)
    points = {(record.config.loss.end, record.config.acw) for record in records.trials.values()}
    assert len(points) == min(4, records.target)
    again = open_records(tmp_path, space=GRID, baselines=baselines, search={"sampler": "grid", "trials": trials})
    assert again.ask() is None and again.target == records.target


def test_only_the_points_that_will_run_are_planned(tmp_path: Path) -> None:
    baselines = [{"loss.end": "ce", "acw": True}]
    records = open_records(tmp_path, space=GRID, baselines=baselines, search={"sampler": "grid", "trials": 3})
    planned = records.planned
    assert len(planned) == 3
    assert asked(records).config == planned[0]
    assert records.planned == planned[1:]
    assert [asked(records).config for _ in range(2)] == planned[1:]
    assert records.planned == [] and records.ask() is None


def test_a_baseline_that_leaves_something_open_is_not_planned(tmp_path: Path) -> None:
    baselines = [{"loss.end": "ce"}, {"loss.end": "ce", "acw": True}, {"loss.end": "dice", "acw": False}]
    records = open_records(tmp_path, space=GRID, baselines=baselines, search={"sampler": "random", "trials": 2})
    assert [(config.loss.end, config.acw) for config in records.planned] == [("ce", True)]


@pytest.mark.parametrize(("sampler", "looked_at"), [("grid", 6), ("random", 2)])
def test_of_what_is_known_more_is_looked_at_for_one_that_may_start(tmp_path: Path, sampler: str, looked_at: int) -> None:
    space = {"training.seed": {"grid": list(range(8))}}
    baselines = [{"training.seed": 7}, {"training.seed": 6}] if sampler == "random" else []
    records = open_records(tmp_path, space=space, baselines=baselines, search={"sampler": sampler, "trials": 10})
    order: list[int] = []

    def may_start(record: Record) -> bool:
        order.append(record.number)
        return sampler == "grid" and record.config.training.seed == 5

    first = records.ask(may_start)
    assert len(order) == looked_at and (first is None) == (sampler == "random")
    open_ones = [number for number in order if first is None or number != first.number]
    order.clear()

    def any_may_start(record: Record) -> bool:
        order.append(record.number)
        return True

    records.ask(any_may_start)
    assert order == open_ones  # all that are open, not only the one that starts


def test_a_grid_continued_in_another_order_runs_what_is_left(tmp_path: Path) -> None:
    parameters = {"loss.end": {"choice": ["ce", "dice", "wce"]}, "acw": {"choice": [True, False]}}
    first = open_records(tmp_path, space=parameters, search={"sampler": "grid", "trials": 9})
    for _ in range(3):
        run_to_the_end(first, asked(first), 0.5)
    turned = dict(reversed(parameters.items()))
    second = open_records(tmp_path, space=turned, search={"sampler": "grid", "trials": 9})
    while second.ask() is not None:
        pass
    assert len({(r.config.loss.end, r.config.acw) for r in second.trials.values()}) == len(second.trials) == 6


def test_a_trial_that_began_again_replaces_its_epochs(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    record = asked(records)
    for epoch, score in ((1, 0.1), (2, 0.2), (1, 0.3)):
        records.add(record.number, result(epoch, score))
    assert [entry.score("s_rec") for entry in record.history] == [0.3]


def test_trials_asked_ahead_are_handed_out_in_turn_and_stay_open_when_nobody_starts_them(tmp_path: Path) -> None:
    baselines = [{"loss.end": "focal", "loss.gamma": 2.0}]
    records = open_records(tmp_path, baselines=baselines, search={"trials": 40, "sampler": "tpe"})
    with records.asking_ahead(4):
        first = [asked(records) for _ in range(4)]
        assert [record.number for record in first] == [0, 1, 2, 3]
        assert first[0].baseline and first[0].config.loss.gamma == 2.0
        assert len(optuna_trials(tmp_path)) == 4  # how long a trial takes is not known yet
        for record in first:
            run_to_the_end(records, record, 0.5)  # in no time, so it pays to ask ahead
        wait_for(lambda: len(optuna_trials(tmp_path)) == 7)
        assert [asked(records).number for _ in range(2)] == [4, 5]
    assert sorted(records.trials) == list(range(6))
    left = [trial.number for trial in optuna_trials(tmp_path) if trial.number > 5]
    assert len(left) in (1, 2, 3)

    again = open_records(tmp_path, baselines=baselines, search={"trials": 40, "sampler": "tpe"})
    order = [asked(again).number for _ in range(40 - 4)]
    assert order == list(range(4, 40))
    assert again.ask() is None and again.handed_out_all


def test_one_slot_asks_for_each_trial_when_it_knows_how_the_one_before_ended(tmp_path: Path) -> None:
    assignments = []
    for name, ahead in (("plain", False), ("ahead", True)):
        (tmp_path / name).mkdir()
        records = open_records(tmp_path / name, search={"sampler": "tpe", "trials": 12})
        with records.asking_ahead(1) if ahead else nullcontext():
            while (record := records.ask()) is not None:
                assert len(optuna_trials(tmp_path / name)) == record.number + 1
                run_to_the_end(records, record, (record.config.loss.gamma or 0.0) / 10)
        assignments.append([record.assignment for record in records.trials.values()])
    assert assignments[0] == assignments[1]


def test_the_last_trials_are_asked_for_when_more_is_known(tmp_path: Path) -> None:
    records = open_records(tmp_path, search={"trials": 9})
    with records.asking_ahead(8):
        run_to_the_end(records, asked(records), 0.5)
        for _ in range(7):
            asked(records)
            run_to_the_end(records, records.trials[max(records.trials)], 0.5)
        time.sleep(0.1)
        assert len(optuna_trials(tmp_path)) == 8  # of one trial that remains none is asked ahead
        asked(records)
    assert records.handed_out_all


def test_trials_that_may_not_start_are_held_back_until_they_may(tmp_path: Path) -> None:
    space = {"training.seed": {"grid": list(range(40))}}
    records = open_records(tmp_path, space=space, search={"sampler": "grid", "trials": 40})

    def seeds(*allowed: int) -> Callable[[Record], bool]:
        return lambda record: record.config.training.seed in allowed

    with records.asking_ahead(2):
        assert asked(records).config.training.seed == 0
        second = records.ask(seeds(3, 4))
        assert second is not None and second.config.training.seed == 3
        assert records.ask(seeds(39)) is None  # sixteen times the slots are held back
        assert len(optuna_trials(tmp_path)) == 2 + 32 and not records.handed_out_all
        assert [asked(records).config.training.seed for _ in range(2)] == [1, 2]
        assert records.ask(seeds()) is None
        rest = [asked(records).config.training.seed for _ in range(36)]
    assert rest == list(range(4, 40))
    assert records.ask() is None and records.handed_out_all
    assert list(records.trials) == [0, 3, 1, 2, *range(4, 40)]


def test_what_was_held_back_is_no_trial_of_the_study_yet(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    assert records.ask(lambda record: False) is None
    assert records.trials == {}
    assert [trial.state for trial in optuna_trials(tmp_path)] == [TrialState.RUNNING] * 2
    continued = open_records(tmp_path)
    assert [asked(continued).number for _ in range(4)] == [0, 1, 2, 3]


def test_many_threads_ask_and_close_without_losing_a_trial(tmp_path: Path) -> None:
    records = open_records(tmp_path, search={"trials": 60, "sampler": "tpe"})

    def work(_: int) -> int:
        done = 0
        while (record := records.ask()) is not None:
            run_to_the_end(records, record, (record.config.loss.gamma or 0.0) / 10)
            done += 1
        return done

    with records.asking_ahead(4), ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(work, range(4))) == 60
    trials = optuna_trials(tmp_path)
    assert sorted(records.trials) == [trial.number for trial in trials] == list(range(60))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(trial.value == pytest.approx(records.trials[trial.number].score("s_rec")) for trial in trials)


def test_a_sampler_that_fails_ahead_ends_the_study_at_the_next_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = open_records(tmp_path, search={"trials": 40})

    def broken(trial: optuna.trial.Trial) -> dict[str, Any]:
        raise ArithmeticError("no value left")

    with pytest.raises(ArithmeticError, match="no value left"), records.asking_ahead(4):
        first = [asked(records) for _ in range(4)]
        monkeypatch.setattr(records._space, "sample", broken)
        run_to_the_end(records, first[0], 0.5)  # in no time, so it pays to ask ahead
        wait_for(lambda: records._error is not None)
        with pytest.raises(ArithmeticError, match="no value left"):
            records.ask()


@pytest.mark.parametrize("written", [False, True])
def test_a_journal_that_cannot_be_written_ends_the_study_at_the_next_ask(tmp_path: Path, written: bool) -> None:
    journal = tmp_path / "trials.journal"
    records = open_records(tmp_path)
    done, other = asked(records), asked(records)
    for epoch in (1, 2, 3):
        records.add(done.number, result(epoch))
    history = [epoch.to_json() for epoch in done.history]
    outcome = {"state": "completed", "history": history, "error": "", "checkpoint": None}
    size = len(json.dumps(outcome, separators=(",", ":")))
    with room_for(journal, size + 150 if written else 100):
        records.close(done.number, State.COMPLETED)
    assert done.state is (State.COMPLETED if written else State.RUNNING)
    run_to_the_end(records, other, 0.4)
    with pytest.raises(InputError, match=r"trials\.journal cannot be written \(File too large\); make space"):
        records.ask()
    with pytest.raises(InputError, match="make space"), records.asking_ahead(2):
        pass  # nobody asks after the last trial

    continued = open_records(tmp_path)
    assert list(continued.trials[other.number].history) == list(other.history)
    if written:
        assert continued.trials[done.number] == done
        assert optuna_trials(tmp_path)[done.number].state is TrialState.COMPLETE
    else:
        assert asked(continued).number == done.number
    assert asked(continued).number == 2


def test_a_trial_that_has_ended_is_not_closed_again(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    record = asked(records)
    run_to_the_end(records, record, 0.5)
    records.close(record.number, State.FAILED, "RuntimeError: too late")
    assert (record.state, record.error) == (State.COMPLETED, "")
    assert open_records(tmp_path).trials[0] == record


def test_a_finished_trial_keeps_its_history_on_the_disk(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    seen: list[Any] = []
    records.observers.append(lambda record: seen.append(record.history))
    record = asked(records)
    run_to_the_end(records, record, 0.5)
    assert isinstance(record.history, StoredHistory) and isinstance(seen[-1], list)
    assert list(record.history) == seen[-1]
    assert record.last == seen[-1][2]
    assert open_records(tmp_path).trials[0] == record


def test_the_counts_of_images_have_a_file_of_their_own_and_are_not_in_the_journal(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    done, stopped = asked(records), asked(records)
    counts = image_counts(seed=7)
    for epoch in (1, 2, 3):
        records.add(done.number, result(epoch, images=counts if epoch == 3 else None))
    records.add(stopped.number, result(1))
    assert read_images(tmp_path, done.number) is None
    records.close(done.number, State.COMPLETED)
    records.close(stopped.number, State.PRUNED)
    assert read_images(tmp_path, done.number) == counts
    assert read_images(tmp_path, stopped.number) is None
    for record in (done, open_records(tmp_path).trials[done.number]):
        assert record.last is not None and record.last.evaluation.images is None
        assert record.last.score("s_rec") == 0.5
    outcomes = [
        json.loads(line)["user_attr"]["outcome"]
        for line in (tmp_path / "trials.journal").read_text().splitlines()
        if '"outcome"' in line
    ]
    assert [epoch["images"] for outcome in outcomes for epoch in outcome["history"]] == [None] * 4


def test_a_trial_whose_counts_cannot_be_written_is_not_closed(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file")
    records = open_records(tmp_path)
    record = asked(records)
    records.add(record.number, result(1, images=image_counts()))
    records.close(record.number, State.COMPLETED)
    assert record.state is State.RUNNING
    with pytest.raises(InputError, match="cannot be written"):
        records.ask()
    (tmp_path / "images").unlink()
    assert asked(open_records(tmp_path)).number == record.number
