"""A study whose space has grown goes on with the trials that it has."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.support.records import asked, run_to_the_end, space
from tune_seg.errors import InputError
from tune_seg.study.configurations import configuration_id
from tune_seg.study.files import CONFIGURATION, JOURNAL
from tune_seg.study.growing import grow_journal, grow_study, grown, narrowed
from tune_seg.study.output.results import check_same_study, write_study
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space

SMALL: dict[str, Any] = {
    "loss.end": {"choice": ["wce", "focal"]},
    "loss.gamma": {"float": [1.0, 3.0], "when": {"loss.end": ["focal"]}},
}
LARGE: dict[str, Any] = {
    "loss.kind": {"choice": ["static", "naive"]},
    "loss.start": {"choice": ["dice"], "when": {"loss.kind": ["naive"]}},
    "schedule.start": {"float": [0.1, 0.6], "when": {"loss.kind": ["naive"]}},
    "schedule.end": {"float": ["schedule.start + 0.1", 1.0], "when": {"loss.kind": ["naive"]}},
    "loss.end": {"choice": ["ce", "wce", "focal"]},
    "loss.gamma": {"float": [0.5, 5.0], "when": {"loss.end": ["focal"]}},
    "acw": {"choice": [True, False]},
    "training.lr": {"float": [1e-4, 1e-2], "log": True},
}
VALUES: dict[str, Any] = {"training": {"epochs": 3, "lr": 1e-3}, "search": {"sampler": "bayes", "trials": 30}}


def records(directory: Path, searched: Space) -> Records:
    return Records(directory, searched.config, searched)


def grown_space(directory: Path, trials: int = 6) -> Space:
    """A study of the small space with some trials, and the larger space."""
    small, large = space(SMALL, **VALUES), space(LARGE, **VALUES)
    study = records(directory, small)
    for number in range(trials):
        run_to_the_end(study, asked(study), 0.1 * number)
    write_study(small.config, directory / CONFIGURATION)
    return large


def test_the_trials_of_before_are_trials_of_the_larger_space(tmp_path: Path) -> None:
    large = grown_space(tmp_path)
    before = records(tmp_path, space(SMALL, **VALUES)).trials
    assert grow_study(tmp_path, large)
    study = records(tmp_path, large)
    assert len(study.trials) == 6
    for number, record in study.trials.items():
        assert dict(before[number].assignment).items() <= dict(record.assignment).items()
        assert record.assignment["loss.kind"] == "static"
        assert record.assignment["acw"] is False
        assert record.assignment["training.lr"] == 1e-3
        assert large.is_complete(record.assignment)
        assert record.config == before[number].config  # so that its trajectory is the same
        assert configuration_id(record) == configuration_id(before[number])
        assert record.score("s_rec") == before[number].score("s_rec")
    later = [asked(study) for _ in range(8)]
    for each in later:
        run_to_the_end(study, each, 0.5)
    assert {each.number for each in later} == set(range(6, 14))
    assert any(each.assignment["acw"] for each in later)


def test_optuna_reads_all_parameters_of_old_and_new_trials(tmp_path: Path) -> None:
    large = grown_space(tmp_path)
    grow_study(tmp_path, large)
    study = records(tmp_path, large)
    run_to_the_end(study, asked(study), 0.5)
    read = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL))))
    assert len(read.trials) >= 7  # with those that were left out, as the same had been tried
    for trial in read.trials:
        assert {key: trial.params[key] for key in trial.user_attrs["assignment"]} == trial.user_attrs["assignment"]
        assert trial.distributions["loss.end"] == CategoricalDistribution(("ce", "wce", "focal"))


@pytest.mark.parametrize("sampler", ["bayes", "tpe", "random"])
def test_every_sampler_goes_on_in_all_of_the_larger_space(tmp_path: Path, sampler: str) -> None:
    large = grown_space(tmp_path, trials=12)
    grow_study(tmp_path, large)
    again = space(LARGE, **VALUES | {"search": {"sampler": sampler, "trials": 80}})
    study = records(tmp_path, again)
    gammas = []
    for number in range(50):
        record = asked(study)
        assert again.is_complete(record.assignment)
        gammas.append(record.assignment.get("loss.gamma"))
        run_to_the_end(study, record, 0.01 * number)
    assert any(gamma is not None and not 1.0 <= gamma <= 3.0 for gamma in gammas)


def test_a_range_may_depend_on_a_key_that_does_not_vary(tmp_path: Path) -> None:
    values = VALUES | {"loss": {"kind": "naive", "start": "dice"}, "schedule": {"start": 0.3, "end": 0.9}}
    small = space(SMALL, **values)
    run_to_the_end(study := records(tmp_path, small), asked(study), 0.5)
    write_study(small.config, tmp_path / CONFIGURATION)
    large = space(SMALL | {"schedule.end": {"float": ["schedule.start + 0.1", 1.0]}}, **values)
    assert grow_study(tmp_path, large)
    assert records(tmp_path, large).trials[0].assignment["schedule.end"] == 0.9


def test_a_study_that_was_killed_while_it_grew_goes_on_in_either_space(tmp_path: Path) -> None:
    large = grown_space(tmp_path)
    grow_study(tmp_path, large)  # and the process ends before `study.yaml` is written
    small = space(SMALL, **VALUES)
    assert grow_study(tmp_path, small)
    assert asked(records(tmp_path, small)).assignment["loss.end"] in ("wce", "focal")
    assert grow_study(tmp_path, large)
    write_study(large.config, tmp_path / CONFIGURATION)
    grown(tmp_path)
    assert not grow_study(tmp_path, large)


def test_nothing_is_written_where_nothing_has_grown(tmp_path: Path) -> None:
    large = grown_space(tmp_path)
    assert grow_study(tmp_path, large)
    written = (tmp_path / JOURNAL).read_bytes()
    assert not grow_journal(tmp_path / JOURNAL, large)
    write_study(large.config, tmp_path / CONFIGURATION)
    assert not grow_study(tmp_path, large)
    assert (tmp_path / JOURNAL).read_bytes() == written


def test_a_study_accepts_a_larger_space_and_refuses_a_smaller_one(tmp_path: Path) -> None:
    small, large = space(SMALL, **VALUES).config, space(LARGE, **VALUES).config
    write_study(small, tmp_path / CONFIGURATION)
    check_same_study(large, tmp_path / CONFIGURATION)
    write_study(large, tmp_path / CONFIGURATION)
    with pytest.raises(InputError, match=r"space.acw: choice \[true, false\] in the study, it does not vary now"):
        check_same_study(small, tmp_path / CONFIGURATION)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss.end": {"choice": ["wce"]}, "loss.gamma": {"float": [1.0, 3.0]}}, "space.loss.end"),
        ({"loss.gamma": {"float": [1.5, 3.0], "when": {"loss.end": ["focal"]}}}, "which is not all of it"),
        ({"loss.gamma": {"int": [1, 3], "when": {"loss.end": ["focal"]}}}, "which is not all of it"),
        ({"loss.gamma": {"float": [1.0, 3.0], "log": True, "when": {"loss.end": ["focal"]}}}, "which is not all of it"),
    ],
)
def test_what_the_space_has_lost_is_named(change: dict[str, Any], said: str) -> None:
    if "loss.end" in change:
        change = {"loss.end": change["loss.end"]}
    before, now = space(SMALL, **VALUES), space(SMALL | change if "loss.gamma" in change else change, **VALUES)
    assert any(said in line for line in narrowed(before.config, now.config))


def test_a_condition_may_widen_and_not_narrow() -> None:
    both = {"loss.end": {"choice": ["focal", "unified_focal"]}, "training.lr": {"float": [1e-4, 1e-2]}}
    wide = space(both | {"training.momentum": {"float": [0.1, 0.9]}}, training={"optimizer": "sgd"}).config
    tight = space(
        both | {"training.momentum": {"float": [0.1, 0.9], "when": {"loss.end": ["focal"]}}}, training={"optimizer": "sgd"}
    ).config
    assert narrowed(tight, wide) == []
    assert "it varied where it does not now" in narrowed(wide, tight)[0]
