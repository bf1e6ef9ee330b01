"""A real study whose best configurations are trained with more seeds, and its test split."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from tests.support.studies import SMALL, results, search, write_config
from tune_seg import Study
from tune_seg.config import DataConfig
from tune_seg.confirm import main
from tune_seg.data import read_test
from tune_seg.study.output.tracking import default_uri
from tune_seg.study.scoring import read_looks

SPACE: dict[str, Any] = {"loss.end": {"choice": ["ce", "wce"]}, "acw": {"choice": [False]}}
DATA = {**SMALL["data"], "split": {"test": "published"}}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a study of two trials, plain cross entropy and its weighted form, which has ended."""
    path = write_config(
        tmp_path_factory.mktemp("confirmed") / "short.yaml",
        data=DATA,
        objective="temperature/s_rec",
        space=SPACE,
        training=SMALL["training"] | {"epochs": 1},
        search={"sampler": "grid", "trials": 2, "early_stopping": {"kind": "none"}},
        baselines=[{"loss.end": "ce", "acw": False}],
    )
    assert search(path) == 0
    return path


def confirm(config: Path, *options: str) -> int:
    return main([config.stem, "--studies", str(config.parent / "studies"), *options])


@pytest.mark.long("confirm")
def test_more_seeds_give_a_verdict_and_one_look_at_the_test_split(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert confirm(config, "--seeds", "2", "--finalists", "1") == 0
    capsys.readouterr()
    assert confirm(config, "--seeds", "3", "--finalists", "1") == 0  # goes on
    printed = capsys.readouterr().out
    assert "Verdict: " in printed and "3 seeds each" in printed
    assert "ce, mean output of its seeds" in printed
    images = read_test(DataConfig.model_validate(DATA))
    assert images is not None
    rows = results(config)
    repeats = [row for row in rows if row["repeat"]]
    assert len(rows) == 8 and {row["state"] for row in rows} == {"completed"}
    assert sorted((row["loss"], row["training.seed"]) for row in repeats) == [
        (loss, seed) for loss in ("ce", "wce") for seed in (1, 2, 3)
    ]
    assert len({row["configuration"] for row in rows}) == 2

    directory = config.parent / "studies" / config.stem
    table = pq.read_table(directory / "configurations.parquet").to_pylist()
    assert [(row["name"], row["n"]) for row in table] == [("ce", 3), ("wce", 3)]
    assert sum(row["recommended"] for row in table) == 1
    kept = Study(directory / "study.yaml").config.search.confirm
    assert (kept.max_seeds, kept.finalists) == (20, 4)  # options are for their session
    looks = read_looks(directory)
    assert len(looks) == 2  # other trials were scored after the first command
    assert f"Test split, {len(images.samples)} images that no trial has seen (scored 2 times" in printed
    found = {run.data.tags["configuration"] for run in runs(directory)}
    assert found == {row["configuration"] for row in rows}
    study = Study("default", name=config.stem, studies=config.parent / "studies")
    assert list(study.configurations["n"]) == [3, 3]
    (taken,) = (row["configuration"] for row in table if row["recommended"])
    assert study.best["configuration"] == taken

    # again: nothing is trained, and nobody looks at the test split anew
    assert confirm(config, "--seeds", "3", "--finalists", "1") == 0
    assert "(scored 2 times" in capsys.readouterr().out
    assert len(results(config)) == 8 and json.dumps(read_looks(directory)) == json.dumps(looks)


def runs(directory: Path) -> list[Any]:
    client = MlflowClient(default_uri(directory))
    experiment = client.get_experiment_by_name(directory.name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.`tune_seg.trial` != ''"))


def test_what_is_no_study_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing", "--studies", str(tmp_path)]) == 2
    assert "holds no study (no study.yaml); give the name of one in --studies DIR, or its folder" in capsys.readouterr().err
