"""What the study relies on in Optuna without Optuna's promise, on the installed version."""

from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tune_seg.study.samplers._optuna_private import StudyView, open_trial, storage_of, trial_id


def opened(path: Path) -> optuna.Study:
    """The study in the journal `path`, as another process opens it."""
    return optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s", load_if_exists=True)


def test_a_trial_is_read_from_the_storage_by_its_id(tmp_path: Path) -> None:
    study = opened(tmp_path / "journal")
    for number in range(3):
        trial = study.ask()
        value = trial.suggest_float("x", 0.0, 1.0)
        for handle in (trial, study.get_trials()[number]):
            found = storage_of(study).get_trial(trial_id(handle))
            assert (found.number, found.params) == (number, {"x": value})


def test_a_trial_that_another_process_left_open_goes_on(tmp_path: Path) -> None:
    before = opened(tmp_path / "journal").ask()
    x = before.suggest_float("x", 0.0, 1.0)
    study = opened(tmp_path / "journal")
    trial = open_trial(study, study.get_trials()[0])
    assert trial.suggest_float("x", 0.0, 1.0) == x
    y = trial.suggest_float("y", 0.0, 1.0)
    trial.report(0.25, step=1)
    trial.set_user_attr("outcome", "done")
    study.tell(trial, 0.5)
    (ended,) = opened(tmp_path / "journal").get_trials()
    assert (ended.params, ended.value, ended.intermediate_values) == ({"x": x, "y": y}, 0.5, {1: 0.25})
    assert ended.user_attrs == {"outcome": "done"}


def test_a_sampler_learns_from_the_trials_of_a_view_alone() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(40):
        trial = study.ask()
        study.tell(trial, abs(trial.suggest_float("x", 0.0, 1.0) - 0.3))
    some = study.get_trials()[::4]
    alone = optuna.create_study()
    alone.add_trials(some)

    def suggestions(of: optuna.Study) -> list[float]:
        sampler, trial = TPESampler(seed=1, n_startup_trials=5), study.get_trials()[-1]
        return [sampler.sample_independent(of, trial, "x", FloatDistribution(0.0, 1.0)) for _ in range(5)]

    assert suggestions(StudyView(study, some)) == suggestions(alone) != suggestions(study)
    assert [trial.number for trial in StudyView(study, some).get_trials()] == [trial.number for trial in some]
