"""Systems without locks on files, such as Windows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tune_seg._package import PACKAGE

WITHOUT_FCNTL = """
import builtins, sys
imported = builtins.__import__
def without_fcntl(name, globals=None, *rest):
    if name == "fcntl" and (globals or {}).get("__name__", "").startswith("tune_seg"):
        raise ModuleNotFoundError("No module named 'fcntl'", name="fcntl")
    return imported(name, globals, *rest)
builtins.__import__ = without_fcntl
"""
SENTENCE = "this part of tune_seg needs Linux or macOS, because it locks files by fcntl; on Windows use WSL 2"


def without_fcntl(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", WITHOUT_FCNTL + code], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["data.packing.write", "training.frozen_features", "study.run"])
def test_a_module_that_locks_files_says_what_it_needs(module: str) -> None:
    done = without_fcntl(f"import tune_seg.{module}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"tune_seg.errors.InputError: {SENTENCE}")


def test_the_search_command_says_what_it_needs(tmp_path: Path) -> None:
    done = without_fcntl(f"from tune_seg.search import main; sys.exit(main(['--studies', {str(tmp_path)!r}]))")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {SENTENCE}") and done.stderr.count("\n") == 1


def test_the_losses_need_no_locks() -> None:
    assert without_fcntl("from tune_seg.losses import build_loss; build_loss('ce', num_classes=2)").returncode == 0


def test_every_module_takes_fcntl_from_the_one_that_says_so() -> None:
    importing = [
        path.name for path in PACKAGE.rglob("*.py") if re.search(r"^\s*import fcntl", path.read_text(), re.MULTILINE)
    ]
    assert importing == ["_posix.py"]
