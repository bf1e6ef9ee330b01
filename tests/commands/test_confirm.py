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
from tune_seg.study.files import LOOKS, TEST
from tune_seg.study.held_out import read_looks
from tune_seg.study.output.mlflow_store import default_uri

SPACE: dict[str, Any] = {"loss.end": {"choice": ["ce", "wce"]}, "acw": {"choice": [False]}}
DATA = {**SMALL["data"], "split": {"test": "published"}}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a study that has tried plain cross entropy and its weighted form, and repeated both three times."""
    path = write_config(
        tmp_path_factory.mktemp("confirmed") / "short.yaml",
        data=DATA,
        objective="temperature/s_rec",
        space=SPACE,
        training=SMALL["training"] | {"epochs": 1},
        search={
            "sampler": "random",
            "trials": 16,  # the space has two
            "early_stopping": {"kind": "none"},
            "confirm": {"share": 0.6, "finalists": 1, "margin": 0.7},
        },
        baselines=[{"loss.end": "ce", "acw": False}],
    )
    return path


def confirm(config: Path, *options: str) -> int:
    return main([config.stem, "--studies", str(config.parent / "studies"), *options])


@pytest.mark.long("confirm")
def test_more_seeds_give_a_verdict_and_one_look_at_the_test_split_after_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(config) == 0
    directory = config.parent / "studies" / config.stem
    printed = capsys.readouterr().out
    assert "Verdict: not decided" in printed and "3 seeds each" in printed
    assert "The test split stays unopened until there is a decision." in printed and "Test split," not in printed
    assert not (directory.parent / LOOKS).exists()
    assert confirm(config, "--seeds", "4") == 0  # goes on, and there will be no more
    printed = capsys.readouterr().out
    assert "Verdict: " in printed and "4 seeds each" in printed
    assert "ce, mean output of its seeds" in printed
    images = read_test(DataConfig.model_validate(DATA))
    assert images is not None
    rows = results(config)
    repeats = [row for row in rows if row["repeat"]]
    assert len(rows) == 10 and {row["state"] for row in rows} == {"completed"}
    assert sorted((row["loss"], row["training.seed"]) for row in repeats) == [
        (loss, seed) for loss in ("ce", "wce") for seed in (1, 2, 3, 4)
    ]
    assert len({row["configuration"] for row in rows}) == 2

    table = pq.read_table(directory / "configurations.parquet").to_pylist()
    assert [(row["name"], row["n"]) for row in table] == [("ce", 4), ("wce", 4)]
    assert sum(row["recommended"] for row in table) == 1
    kept = Study(directory / "study.yaml").config.search.confirm
    assert (kept.max_seeds, kept.finalists) == (20, 1)  # options are for their session
    (looks,) = (directory.parent / LOOKS).iterdir()
    (look,) = read_looks(looks)
    winner_and_plain = {row["configuration"] for row in table if row["recommended"] or row["name"] == "ce"}
    assert look.trials == {row["trial"] for row in repeats if row["configuration"] in winner_and_plain}
    assert f"Test split, {len(images.samples)} images that no trial has seen (scored once)" in printed
    scored = (directory / TEST).read_bytes()
    found = {run.data.tags["configuration"] for run in runs(directory)}
    assert found == {f"{row['loss']} [{row['configuration']}]" for row in rows}
    study = Study("default", name=config.stem, studies=config.parent / "studies")
    assert list(study.configurations["n"]) == [4, 4]
    (taken,) = (row["configuration"] for row in table if row["recommended"])
    assert study.best["configuration"] == taken

    # again: nothing is trained, and nobody looks at the test split anew
    assert confirm(config, "--json") == 0
    told = capsys.readouterr()
    assert "(scored once)" in told.err
    started, answer, end = map(json.loads, told.out.splitlines())
    assert (started["event"], started["trials"], answer["event"], end["event"], end["status"]) == (
        "started",
        10,
        "answer",
        "end",
        0,
    )
    assert answer["recommended"] == taken and answer["sentence"] in told.err
    assert {each["configuration"]: each["repeats"] for each in answer["contenders"]} == {
        row["configuration"]: 4 for row in table
    }
    assert len(results(config)) == 10 and len(read_looks(looks)) == 1 and (directory / TEST).read_bytes() == scored


def runs(directory: Path) -> list[Any]:
    client = MlflowClient(default_uri(directory))
    experiment = client.get_experiment_by_name(directory.name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.`tune_seg.trial` != ''"))


def test_what_is_no_study_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing", "--studies", str(tmp_path)]) == 2
    assert "holds no study (no study.yaml); give the name of one in --studies DIR, or its folder" in capsys.readouterr().err


@pytest.mark.long("confirm fewer")
def test_a_session_that_compares_fewer_leaves_the_weights_of_the_other_finalists(tmp_path: Path) -> None:
    ends = ["ce", "wce", "focal"]
    path = write_config(
        tmp_path / "three.yaml",
        training=SMALL["training"] | {"epochs": 1},
        space={"loss.end": {"grid": ends}},
        search={"sampler": "grid", "confirm": {"share": 0.0, "finalists": 2, "max_seeds": 2}},
        baselines=[],
    )
    assert search(path) == 0
    assert confirm(path, "--finalists", "1") == 0
    rows = results(path)
    repeated = {row["loss"] for row in rows if row["repeat"]}
    assert len(repeated) == 2
    # those that have no repeat yet are still needed by the study, which compares two with plain cross entropy
    (other,) = (row for row in rows if row["loss"] not in repeated)
    assert other["checkpoint"] is not None and Path(other["checkpoint"]).is_file()
