"""How the trials of a study divide into search and repeats."""

from pathlib import Path
from typing import Any

import pytest

from tune_seg.config import StudyConfig, parse
from tune_seg.study.budget import repeats_of, repeats_of_trials
from tune_seg.study.plan import Plan, plan_study
from tune_seg.study.search_space.space import Space

SYNTHETIC = {"format": "synthetic", "max_train": 8, "max_val": 4}


def study(space: dict[str, Any], **search: Any) -> StudyConfig:
    return parse(StudyConfig, {"data": SYNTHETIC, "space": space, "training": {"epochs": 1}, "search": search})


def planned(directory: Path, space: dict[str, Any], **search: Any) -> Plan:
    return plan_study(study(space, **search), directory)


@pytest.mark.parametrize(("trials", "repeats"), [(2, 0), (5, 0), (12, 0), (15, 4), (16, 4), (20, 8), (30, 12), (100, 40)])
def test_small_studies_keep_little_or_nothing_for_repeats(trials: int, repeats: int) -> None:
    settings = StudyConfig().search.confirm
    assert repeats_of_trials(trials, settings) == repeats
    assert repeats_of_trials(trials, settings.model_copy(update={"share": 0.0})) == 0


def test_a_share_of_all_leaves_a_trial_to_the_search() -> None:
    assert repeats_of_trials(30, StudyConfig().search.confirm.model_copy(update={"share": 1.0})) == 29


@pytest.mark.parametrize(
    ("sampler", "trials", "searched", "repeats"),
    [("random", 30, 18, 12), ("grid", 30, 20, 10), ("grid", 20, 20, 0), ("grid", 12, 12, 0), ("grid", 96, 20, 76)],
)
def test_the_plan_says_how_the_trials_divide(tmp_path: Path, sampler: str, trials: int, searched: int, repeats: int) -> None:
    space = {"loss.end": {"choice": ["ce", "wce"]}, "training.lr": {"grid": [0.001 * i for i in range(1, 11)]}}
    plan = planned(tmp_path, space, sampler=sampler, trials=trials)
    assert (plan.searched, plan.repeats, plan.trials) == (searched, repeats, searched + repeats)
    assert f"of these: {searched} to search, {repeats} to repeat the best" in repr(plan)


@pytest.mark.parametrize("key", ["training.seed", "fold"])
def test_a_grid_over_seeds_or_folds_repeats_its_configurations_itself(tmp_path: Path, key: str) -> None:
    space = {"loss.end": {"choice": ["ce", "wce"]}, key: {"grid": [0, 1]}}
    data = {"root": str(tmp_path), "format": "folder", "split": {"folds": 2}}
    config = parse(StudyConfig, {"data": data, "space": space, "search": {"sampler": "grid", "trials": 40}})
    assert repeats_of(config, Space(config)) == 0


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_study_of_plain_cross_entropy_alone_has_nothing_to_compare_it_with(sampler: str) -> None:
    rates = {"training.lr": {"grid": [0.001, 0.002]}}
    alone = study(rates, sampler=sampler, trials=40)
    assert repeats_of(alone, Space(alone)) == 0
    weighted = study({**rates, "acw": {"choice": [False, True]}}, sampler=sampler, trials=40)
    assert repeats_of(weighted, Space(weighted)) > 0
