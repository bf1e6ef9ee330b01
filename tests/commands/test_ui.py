"""The ui command: what is said where there is nothing to show."""

from pathlib import Path

import pytest
import yaml

from tune_seg.ui import main


def test_a_folder_without_a_study_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nosuch", "--studies", str(tmp_path)]) == 2
    assert "nosuch holds no study" in capsys.readouterr().err


def test_a_study_that_mlflow_has_nothing_of_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"data": {"format": "synthetic"}}))
    assert main([str(tmp_path)]) == 2
    assert "mlflow.db is not there yet" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"data": {"format": "synthetic"}, "mlflow_uri": "http://127.0.0.1:1"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "MLflow's store http://127.0.0.1:1 cannot be read" in said
