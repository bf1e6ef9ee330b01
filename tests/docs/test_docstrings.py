"""The examples in the docstrings print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest
import torch

import tune_seg

ROOT = Path(tune_seg.__file__).parent


def modules_with_examples() -> list[str]:
    paths = (path for path in sorted(ROOT.rglob("*.py")) if ">>> " in path.read_text())
    return [".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__") for path in paths]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_run_as_they_are_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write to the working directory
    failed = doctest.testmod(
        importlib.import_module(name),
        extraglobs={"torch": torch},
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    ).failed
    assert failed == 0


def test_few_examples_are_left_out() -> None:
    """Those that need a training, packed data in folds or a model or a study of the reader's own."""
    marked = {path.stem for path in ROOT.rglob("*.py") if "doctest: +SKIP" in path.read_text()}
    assert marked == {"packed", "frozen_features", "resume", "trainer", "held_out", "trained_model", "plots"}
