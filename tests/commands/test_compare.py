"""The compare command: a study's rows beside the paper's, their ranks, and how far the two orders agree."""

import dataclasses
import itertools
import math
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from scipy.stats import spearmanr

from tests.support.epoch_results import result
from tests.support.records import asked, open_records
from tests.support.rows_study import ROWS_STUDY
from tune_seg.compare import main
from tune_seg.study.output.mlflow_store import default_uri
from tune_seg.study.output.results import ResultsFile, write_study
from tune_seg.study.papers.comparison import compared, load_study, rank_correlation, ranked
from tune_seg.study.papers.tables import load_table
from tune_seg.study.record import State


def written(directory: Path, scores: dict[str, Sequence[float]], **values: Any) -> Path:
    """A study of rows whose every metric is known, one score for each run; nan is a trial that failed."""
    runs = max(map(len, scores.values()))
    config: dict[str, Any] = {
        "paper": "taubert_table1",
        "data": {"format": "voc", "root": str(directory)},
        "model": {"architecture": "fcn_resnet101"},
        "rows": {row: {"training.momentum": index / 100} for index, row in enumerate(scores)},
        "space": {"training.seed": {"grid": list(range(runs))}},
        "search": {"sampler": "grid", "trials": 1000},
    }
    records = open_records(directory, **{**config, **values})
    for _ in range(sum(map(len, scores.values()))):
        record = asked(records)
        score = scores[record.assignment["row"]][record.assignment["training.seed"]]
        if math.isnan(score):
            records.close(record.number, State.FAILED, "RuntimeError: no memory left")
        else:
            records.add(record.number, result(1, score))
            records.close(record.number, State.COMPLETED)
    ResultsFile(records, directory / "results.parquet").write()
    write_study(records.config, directory / "study.yaml")
    return directory


def table_of(printed: str) -> dict[str, list[str]]:
    """The cells of each row of what was printed, by its name."""
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in printed.splitlines()]
    return {cells[0]: cells[1:] for cells in rows if cells and cells[0] not in ("", "row")}


@pytest.fixture
def trained(rows_study: Path) -> Path:
    """A study of a table's rows, two seeds each, as the search command leaves it."""
    return rows_study.parent / "studies" / "rows"


def test_a_study_that_was_trained_stands_beside_the_paper(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trained), "--dataset", "TRUS"]) == 0
    printed = capsys.readouterr().out
    trials = pq.read_table(trained / "results.parquet").to_pylist()
    shown = table_of(printed)
    own = ["DL", "DLNWCE", "DLNWCE early", "DLNDL"]
    assert [*shown] == ["CE", "ADFL", "FL", *own]  # the paper's order, and then what it has not
    means = {}
    for row in ("ADFL", "CE", "FL"):
        scores = [trial["mdice"] for trial in trials if trial["row"] == row]
        means[row] = statistics.fmean(scores)
        assert shown[row][0] == "2/2"
        assert shown[row][2] == f"{100 * means[row]:.2f} ±{100 * statistics.stdev(scores):.2f}"
    assert shown["CE"][1] == "77.53 ±5.04"  # of 81.18, 79.64 and 71.78
    assert shown["DL"][1] == shown["DL"][5] == shown["DL"][6] == "-"
    both = ["ADFL", "CE", "FL"]
    assert [shown[row][5] for row in both] == ["1", "3", "2"]
    here = sorted(both, key=lambda row: -means[row])
    assert [shown[row][6] for row in both] == [str(here.index(row) + 1) for row in both]
    rho = spearmanr([1, 3, 2], [here.index(row) for row in both]).statistic
    assert f"mdice: Spearman's rho {rho:+.3f}, n 3 rows, p " in printed
    assert "In the paper and not in the study: WCE\n" in printed
    assert f"In the study and not in the paper: {', '.join(own)}\n" in printed
    assert "mean ± standard deviation (n - 1) over training.seed" in printed
    assert "Of the paper's figures: The columns are headed DSC here" in printed


def test_the_rows_name_trials_everywhere(trained: Path) -> None:
    trials = pq.read_table(trained / "results.parquet").to_pylist()
    seeds = {row: [0, 1] if row in ("ADFL", "CE", "FL") else [None] for row in ROWS_STUDY["rows"]}
    assert {row: sorted(trial["training.seed"] for trial in trials if trial["row"] == row) for row in seeds} == seeds
    assert yaml.safe_load((trained / "study.yaml").read_text())["paper"] == "hossain_table4"
    client = MlflowClient(default_uri(trained))
    experiment = client.get_experiment_by_name(trained.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`tune_seg.trial` != ''")
    for run in runs:
        trial = trials[int(run.data.tags["tune_seg.trial"])]
        assert run.data.params["row"] == trial["row"]
        assert run.info.run_name == f"{trial['trial']:03d} {trial['row']} ({trial['loss']})"
    assert len(runs) == len(trials) == 10


def test_the_format_that_was_detected_tells_the_data_set(trained: Path) -> None:
    # a study whose data.format is left out writes down which it was
    assert load_study(trained).config.data.format == "synthetic"


def test_the_paper_against_itself_agrees_to_the_last_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = load_table("taubert_table1")
    rows = [row for row in table.figures["VOC"]["fcn_resnet101"] if row not in table.unranked]
    scores = {row: table.values("VOC", "fcn_resnet101", row, "s_rec") for row in ("CE", *rows)}
    for name, sign in (("same", 1.0), ("opposite", -1.0)):
        (tmp_path / name).mkdir()
        study = written(
            tmp_path / name, {row: [0.5 + sign * (score - 0.5) for score in found] for row, found in scores.items()}
        )
        assert main([str(study)]) == 0
        printed = capsys.readouterr().out
        assert f"s_rec: Spearman's rho {sign:+.3f}, n 16 rows, p " in printed
        shown = table_of(printed)
        best = ["WDLNWCE"] if sign > 0 else ["CEMP"]
        assert [row for row, cells in shown.items() if cells[-1] == "1"] == best
        # DLWCE, WDLWCE and WDLAWCE share the places 2, 3 and 4
        assert {shown[row][-2] for row in ("DLWCE", "WDLWCE", "WDLAWCE")} == {"3"}
        assert "In the paper and not in the study: refine, WCE" not in printed
        assert "In the paper and not in the study: refine\n" in printed
        assert "CE is shown beside the row that the paper prints as WCE\n" in printed
        assert "In the paper and not in the study: model.architecture deeplabv3_resnet101\n" in printed


def test_an_unfinished_study_says_how_many_runs_stand_behind_a_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = written(tmp_path, {"CE": [0.5, 0.7, 0.6], "WCE": [0.25, math.nan, math.nan], "FL": [math.nan] * 3})
    assert main([str(study)]) == 0
    printed = capsys.readouterr().out
    shown = table_of(printed)
    assert {row: cells[0] for row, cells in shown.items()} == {"CE": "3/3", "WCE": "1/3", "FL": "0/3"}
    assert shown["CE"][1:3] == ["0.89", "0.600 ±0.100"] and shown["WCE"][1:3] == ["0.89", "0.250"]
    assert shown["FL"][1:3] == ["0.88", "-"]
    assert "they did not run to their end: 5 failed" in printed
    assert "s_rec: no rank correlation of 1 rows (too few)" in printed
    assert "WCE is not ranked: the paper's row is counted for CE" in printed


def test_what_was_trained_to_be_sure_of_an_answer_is_no_run_of_a_table(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, {"CE": [0.5, 0.7], "FL": [0.25, 0.35]}))
    repeats = [{**trial, "repeat": True, "s_rec": 1.0} for trial in study.trials]
    table = load_table("taubert_table1")
    both = dataclasses.replace(study, trials=[*study.trials, *repeats])
    rows = compared(both, table, "VOC", "fcn_resnet101", "fcn_resnet101")
    assert {row.name: (row.runs, list(row.here["s_rec"])) for row in rows} == {
        "CE": (2, [0.5, 0.7]),
        "FL": (2, [0.25, 0.35]),
    }


def test_a_study_of_a_part_of_its_grid_promises_no_more_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(written(tmp_path, {"CE": [0.5, 0.7], "FL": [0.25]}, search={"sampler": "grid", "trials": 3}))]) == 0
    shown = table_of(capsys.readouterr().out)
    assert {row: cells[0] for row, cells in shown.items()} == {"CE": "2", "FL": "1"}


def test_a_narrow_terminal_shows_the_metric_that_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = written(tmp_path, {"CE": [0.5, 0.7], "FL": [0.25, 0.25]})
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", "80")
    assert main([str(study)]) == 0
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert table_of(printed)["CE"] == ["2/2", "0.77", "0.600 ±0.141", "1", "1"]
    assert "accuracy: Spearman's rho" in printed
    assert "A terminal of 208 characters, or a file, shows accuracy, f1, recall, calibration, s_acc, s_rec." in printed


def test_a_metric_that_is_undefined_is_ranked_nowhere(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, {"CE": [0.5], "WDL": [0.25], "FL": [0.75]}))
    table = load_table("taubert_table1")
    rows = compared(study, table, "VOC", "fcn_resnet101", "deeplabv3_resnet101")
    assert ranked(rows, table, "recall") == {"CE": (2.0, 2.0), "WDL": (3.0, 3.0), "FL": (1.0, 1.0)}
    assert ranked(rows, table, "f1") == {"CE": (1.0, 2.0), "FL": (2.0, 1.0)}  # the paper prints nan for WDL


def test_another_model_is_compared_with_the_one_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = written(tmp_path, {"CE": [0.5], "FL": [0.25]}, model={"architecture": "Unet"})
    assert main([str(study)]) == 2
    assert "model.architecture of the study is Unet, of the table fcn_resnet101, deeplabv3_resnet101; choose one of" in (
        capsys.readouterr().err
    )
    assert main([str(study), "--variant", "DeepLabV3", "--dataset", "sbd", "--metric", "recall"]) == 0
    printed = capsys.readouterr().out
    assert "DeepLabV3 (model.architecture Unet)" in printed and "rank by recall" in printed
    assert table_of(printed)["FL"][5] == "0.83"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--paper", "taubert"], "paper: no table 'taubert'; the tables are hossain_table2,"),
        (["--dataset", "COCO"], "--dataset COCO: the table has VOC, SBD, Cityscapes"),
        (["--variant", "unet"], "--variant unet: model.architecture of the table is fcn_resnet101, deeplabv3_resnet101"),
        (["--metric", "miou"], "--metric miou: the table has accuracy, f1, recall, calibration, s_acc, s_rec"),
        (["--paper", "hossain_table5"], "data.format voc of the study is not a data set of this table; say with --dataset"),
    ],
)
def test_what_the_table_has_not_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main([str(written(tmp_path, {"CE": [0.5], "FL": [0.25]})), *options]) == 2
    assert message in capsys.readouterr().err


def test_what_is_no_study_of_a_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere", "--studies", str(tmp_path)]) == 2
    assert f"error: {tmp_path / 'nowhere'} holds no study (no study.yaml); give the name of one in --studies DIR" in (
        capsys.readouterr().err
    )
    for name, values, message in (
        (
            "rowless",
            {"rows": {}},
            "study.yaml: the study has no rows; tune-seg compare is for the presets of published tables",
        ),
        ("early", {}, "results.parquet is not there yet: it is written when the first trial has ended"),
        ("none", {}, "results.parquet has no trial yet: the study ended before the first one began"),
        ("paperless", {"paper": None}, "study.yaml names no published table; say with --paper which it is of"),
    ):
        directory = tmp_path / name
        directory.mkdir()
        written(directory, {"CE": [0.5], "FL": [0.25]})
        described = yaml.safe_load((directory / "study.yaml").read_text())
        (directory / "study.yaml").write_text(yaml.safe_dump({**described, **values}))
        if name == "early":
            (directory / "results.parquet").unlink()
        if name == "none":
            pq.write_table(pa.table({}), directory / "results.parquet")
        assert main([name, "--studies", str(tmp_path)]) == 2
        assert message in capsys.readouterr().err


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=5))
def test_rank_correlation_is_that_of_scipy_and_its_p_a_share_of_all_orders(pairs: list[tuple[int, int]]) -> None:
    first, second = ([float(value) for value in side] for side in zip(*pairs, strict=True))
    found = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert math.isnan(found.rho)
        return
    assert found.rho == pytest.approx(spearmanr(first, second).statistic)
    orders = [abs(spearmanr(first, order).statistic) for order in itertools.permutations(second)]
    assert found.p == pytest.approx(np.mean([order >= abs(found.rho) - 1e-9 for order in orders]))
    assert rank_correlation(second, first).rho == pytest.approx(found.rho)


def test_rank_correlations_whose_values_are_known() -> None:
    up = [1.0, 2.0, 3.0, 4.0]
    assert rank_correlation(up, [10.0, 20.0, 25.0, 99.0]) == (found := rank_correlation(up, up))
    assert (found.n, found.exact) == (4, True)
    assert [found.rho, found.p] == pytest.approx([1.0, 2 / 24])
    # one pair of neighbours exchanged: 1 - 6 * 2 / (4 * 15)
    assert rank_correlation(up, [2.0, 1.0, 3.0, 4.0]).rho == pytest.approx(0.8)
    many = [float(value) for value in range(16)]
    assert rank_correlation(many, many[::-1]).rho == pytest.approx(-1.0)
    assert not rank_correlation(many, many[::-1]).exact
    assert rank_correlation([1.0], [2.0]).n == 1


def test_it_starts_without_torch() -> None:
    code = (
        "import sys; from tune_seg.compare import main; main(['nowhere']); "
        "print([name for name in ('torch', 'ray', 'mlflow', 'scipy', 'pyarrow', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
