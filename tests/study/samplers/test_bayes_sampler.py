"""The sampler of this package, in studies of Optuna."""

import optuna
import pytest

from tests.support.records import space
from tune_seg.study.samplers.bayes_sampler import BayesSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = {
    "loss.kind": {"choice": ["static", "naive"]},
    "loss.start": {"choice": ["dice", "wdice"], "when": {"loss.kind": ["naive"]}},
    "loss.end": {"choice": ["ce", "wce"]},
    "schedule.start": {"float": [0.1, 0.6], "when": {"loss.kind": ["naive"]}},
    "training.lr": {"float": [1e-4, 1e-2], "log": True},
    "training.batch_size": {"int": [2, 8]},
    "augmentation.resize": {"choice": [[0.5, 2.0], [1.0, 1.0]]},
}


def score(values: dict[str, object]) -> float:
    return (
        (values["loss.end"] == "wce")
        + (values.get("loss.start") == "dice")
        - abs(int(str(values["training.batch_size"])) - 6) / 6
    )


def test_it_goes_where_scores_are_good() -> None:
    searched = space(SPACE)
    study = optuna.create_study(direction="maximize", sampler=BayesSampler(searched, seed=0))
    for _ in range(40):
        trial = study.ask()
        study.tell(trial, score(searched.sample(trial)))
    late = [trial.params for trial in study.trials[25:]]
    assert sum(params["loss.end"] == "wce" for params in late) >= 12
    assert study.best_value > 1.8


def test_fixed_values_are_kept_and_what_they_leave_open_is_chosen() -> None:
    searched = space(SPACE)
    study = optuna.create_study(direction="maximize", sampler=BayesSampler(searched, seed=1))
    for number in range(16):
        study.enqueue_trial({"loss.end": "ce", "augmentation.resize": "[1.0, 1.0]"})
        trial = study.ask()
        values = searched.sample(trial)
        assert values["loss.end"] == "ce"
        assert values["augmentation.resize"] == [1.0, 1.0]
        study.tell(trial, float(number))


def test_stopped_failed_and_running_trials_are_no_trouble() -> None:
    searched = space(SPACE)
    study = optuna.create_study(direction="maximize", sampler=BayesSampler(searched, seed=2))
    running = []
    for number in range(24):
        trial = study.ask()
        searched.sample(trial)
        if number % 4 == 3:
            running.append(trial)
            continue
        for epoch in (1, 2):
            trial.report(0.1 * epoch, step=epoch)
        state = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)[number % 4]
        study.tell(trial, 0.2 if state is optuna.trial.TrialState.COMPLETE else None, state=state)
    for trial in running:
        study.tell(trial, 0.5)
    searched.sample(study.ask())


def test_a_duplicate_that_was_left_out_says_nothing_of_its_configuration() -> None:
    searched = space({"loss.end": {"choice": ["ce", "wce", "focal"]}, "training.lr": {"float": [1e-4, 1e-2], "log": True}})
    study = optuna.create_study(direction="maximize", sampler=BayesSampler(searched, seed=0))
    for _ in range(16):
        trial = study.ask()
        study.tell(trial, float(searched.sample(trial)["loss.end"] == "wce"))
    for _ in range(16):  # as `Records` leaves them out while the first one still runs
        study.enqueue_trial({"loss.end": "wce", "training.lr": 1e-3})
        trial = study.ask()
        searched.sample(trial)
        trial.set_user_attr("duplicate", True)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    chosen = []
    for _ in range(6):
        trial = study.ask()
        chosen.append(searched.sample(trial)["loss.end"])
        study.tell(trial, float(chosen[-1] == "wce"))
    assert chosen.count("wce") >= 4


def test_a_study_that_goes_on_knows_its_trials() -> None:
    searched, storage = space(SPACE), optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, direction="maximize", sampler=BayesSampler(searched, seed=3))
    for _ in range(20):
        trial = study.ask()
        study.tell(trial, score(searched.sample(trial)))
    (name,) = optuna.get_all_study_names(storage)
    again = optuna.load_study(study_name=name, storage=storage, sampler=BayesSampler(searched, seed=4))
    chosen = [searched.sample(again.ask()) for _ in range(5)]
    assert sum(values["loss.end"] == "wce" for values in chosen) >= 4


def test_several_objectives_are_searched_all_along_their_front() -> None:
    searched = space(
        {"training.momentum": {"float": [0.0, 0.9]}, "loss.end": {"choice": ["ce", "wce"]}}, training={"optimizer": "sgd"}
    )
    study = optuna.create_study(directions=["maximize"] * 2, sampler=BayesSampler(searched, seed=0))
    for _ in range(50):
        trial = study.ask()
        start = searched.sample(trial)["training.momentum"] / 0.9
        study.tell(trial, [start, 1.0 - start**2])
    late = [trial.params["training.momentum"] / 0.9 for trial in study.trials[20:]]
    assert min(late) < 0.2
    assert max(late) > 0.8


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_chooses_the_same(seed: int) -> None:
    def values() -> list[dict[str, object]]:
        searched = space(SPACE)
        study = optuna.create_study(direction="maximize", sampler=BayesSampler(searched, seed=seed))
        for _ in range(14):
            trial = study.ask()
            study.tell(trial, score(searched.sample(trial)))
        return [trial.params for trial in study.trials]

    assert values() == values()
