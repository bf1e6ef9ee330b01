"""The report command: where it writes, and what it says of what is no study."""

import shutil
from pathlib import Path

import pytest

from tune_seg import report
from tune_seg.study.files import REPORT


def test_it_writes_the_page_and_prints_where(rows_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(rows_study.parent / "studies" / "rows", tmp_path / "rows")
    file = tmp_path / "rows" / REPORT
    file.unlink(missing_ok=True)
    assert report.main(["rows", "--studies", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert "<h1>Study rows</h1>" in file.read_text(encoding="utf-8")


def test_what_is_no_study_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["nothing", "--studies", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"error: {tmp_path / 'nothing'} holds no study")
