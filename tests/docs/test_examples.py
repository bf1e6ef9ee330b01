"""The examples of docs/examples run as they are."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import CHECKOUT

ROOT = CHECKOUT
EXAMPLES = ROOT / "docs" / "examples"


def run(directory: Path, name: str, *arguments: str) -> str:
    """Run an example in `directory`; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_loss_in_ones_own_loop_learns_the_rare_class(tmp_path: Path) -> None:
    values = ast.literal_eval(run(tmp_path, "loss_in_your_own_loop.py").splitlines()[-1])
    assert values["recall"] > 0.9 and values["accuracy"] > 0.95


def test_a_loss_of_ones_own_is_described_and_built(tmp_path: Path) -> None:
    described, value = run(tmp_path, "own_loss.py").splitlines()
    assert described == "own_loss:Tempered -log softmax(x / t)_y [('temperature', '> 0')]"
    assert float(value) > 0


def test_the_results_of_a_study_are_read(tmp_path: Path, rows_study: Path) -> None:
    printed = run(tmp_path, "read_results.py", str(rows_study.parent / "studies" / "rows"))
    assert "recall of each class in the best trial: [" in printed
    assert "mdice" in printed


@pytest.mark.long("script")
def test_a_study_is_run_from_a_script_and_read_again(tmp_path: Path) -> None:
    printed = run(tmp_path, "study_from_python.py")
    *_, table = printed.partition("Outcome.FINISHED")  # the data frame, behind what the study prints
    assert table.count("completed") == 2
    assert "its last weights: " in run(tmp_path, "read_results.py", "studies/try")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
