"""TPE with a bound: below it plain TPE, above it a sample and the best, whatever the number of trials."""

import math
import random
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from tune_seg.study.samplers.bounded_tpe import BoundedTPESampler

optuna.logging.set_verbosity(optuna.logging.ERROR)


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    values: dict[str, Any] = {"kind": trial.suggest_categorical("kind", ["a", "b", "c"])}
    values["x"] = trial.suggest_float("x", 0.0, 1.0)
    if values["kind"] != "a":
        values["y"] = trial.suggest_float("y", values["x"], 2.0)
    return values


def score(values: dict[str, Any]) -> float:
    return float(values["x"] * (1.0 - values["x"]) + (values["kind"] == "b") + math.sin(values.get("y", 0.0)))


def run(sampler: BaseSampler, trials: int, objectives: int = 1, at_once: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """Suggestions of a study that keeps `at_once` trials open and prunes or fails some."""
    rng = random.Random(seed)
    study = optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)
    suggestions, running = [], []
    for _ in range(trials):
        trial = study.ask()
        suggestions.append(suggest(trial))
        running.append((trial, suggestions[-1]))
        if len(running) >= at_once:
            ended, values = running.pop(rng.randrange(len(running)))
            ending = rng.random()
            if objectives == 1 and ending < 0.3:
                for step in range(rng.randrange(3)):
                    ended.report(rng.choice([score(values), math.nan]), step)
                study.tell(ended, state=TrialState.PRUNED)
            elif ending < 0.4:
                study.tell(ended, state=TrialState.FAIL)
            else:
                study.tell(ended, [score(values) * (-1) ** index + index * values["x"] for index in range(objectives)])
    return suggestions


@given(seed=st.integers(0, 2**32 - 1), at_once=st.integers(1, 5), objectives=st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_up_to_the_bound_suggestions_are_those_of_plain_tpe(seed: int, at_once: int, objectives: int) -> None:
    plain = run(TPESampler(seed=seed, n_startup_trials=5), 40, objectives, at_once, seed)
    bounded = run(BoundedTPESampler(seed=seed, n_startup_trials=5, bound=40), 40, objectives, at_once, seed)
    assert bounded == plain


def finished(count: int, seed: int = 0, objectives: int = 1) -> tuple[list[FrozenTrial], optuna.Study]:
    rng = random.Random(seed)
    study = optuna.create_study(directions=["maximize"] * objectives, sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(count):
        trial = study.ask()
        suggest(trial)
        study.tell(trial, [rng.random() for _ in range(objectives)])
    return study.get_trials(), study


class Spy(BoundedTPESampler):
    """Remembers the trials that plain TPE was shown last."""

    def _sample(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        self.seen = study.get_trials(deepcopy=False)
        return super()._sample(study, trial, search_space)


def shown(sampler: Spy, trials: Sequence[FrozenTrial], objectives: int = 1) -> list[FrozenTrial]:
    """What TPE sees at the second of two trials that are asked for in a study with `trials`."""
    study = optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)
    study.add_trials(trials)
    for _ in range(2):
        suggest(study.ask())
    return sampler.seen


@pytest.mark.parametrize("objectives", [1, 2])
def test_beyond_the_bound_tpe_sees_the_best_a_sample_and_what_runs(objectives: int) -> None:
    trials, study = finished(400, objectives=objectives)
    seen = shown(Spy(seed=0, bound=100), trials, objectives)
    assert [trial.number for trial in seen] == sorted({trial.number for trial in seen})
    assert {trial.number for trial in seen if trial.state is TrialState.RUNNING} == {400, 401}
    numbers = {trial.number for trial in seen} - {400, 401}
    if objectives == 1:
        best = sorted(trials, key=lambda trial: -trial.values[0])[:25]
        assert len(numbers) <= 125
    else:
        best = study.best_trials
        assert len(numbers) <= 110 and len(best) <= 10
    assert len(numbers) >= 100
    assert numbers >= {trial.number for trial in best}


def test_of_trials_that_were_stopped_the_best_are_those_that_came_farthest() -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(300):
        trial = study.ask()
        suggest(trial)
        if number % 30 == 7:
            study.tell(trial, number / 300)
            continue
        for step in range(1, 2 + number % 5):
            trial.report(number / 300, step)
        study.tell(trial, state=TrialState.PRUNED)
    trials = study.get_trials()
    complete = [trial.number for trial in trials if trial.state is TrialState.COMPLETE]
    farthest = [trial for trial in trials if trial.state is TrialState.PRUNED and len(trial.intermediate_values) == 5]
    others = sorted(farthest, key=lambda trial: -trial.intermediate_values[5])[: 25 - len(complete)]
    seen = {trial.number for trial in shown(Spy(seed=0, bound=30), trials)}
    assert seen >= {*complete, *(trial.number for trial in others)}


def test_the_sample_is_uniform_over_early_and_late_trials() -> None:
    trials, _ = finished(300)
    counts = [0] * 300
    for seed in range(60):
        for trial in shown(Spy(seed=seed, bound=60), trials):
            if trial.number < 300:
                counts[trial.number] += 1
    best = {trial.number for trial in sorted(trials, key=lambda trial: -trial.values[0])[:25]}
    others = [count for number, count in enumerate(counts) if number not in best]
    # each of the others is in a sample with probability 60/300, so 12 of 60 times: variance 9.6
    thirds = [sum(others[start : start + 90]) / 90 for start in (0, 90, 180)]
    assert all(abs(third - 12) < 5 * math.sqrt(9.6 / 90) for third in thirds)
    assert min(others) > 0
