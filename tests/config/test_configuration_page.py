"""docs/configuration.md: it has every key, what it shows can be read, and a page that is not current is found."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import yaml

from tune_seg._package import PACKAGE
from tune_seg.config import StudyConfig, parse, schema
from tune_seg.config.keys import flatten

CHECKOUT = PACKAGE.parent
PAGE = (CHECKOUT / "docs" / "configuration.md").read_text()


def docs(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "scripts" / "docs.py"), *options]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True)


def test_a_page_that_is_not_current_is_found_and_written(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("bench", "__pycache__"))
    shutil.copytree(CHECKOUT / "docs", tmp_path / "docs")
    page = tmp_path / "docs" / "configuration.md"
    page.write_text(PAGE.replace("`30`", "`31`", 1))
    checked = docs(tmp_path, "--check")
    assert checked.returncode == 1
    assert "docs/configuration.md is not what the code says" in checked.stderr
    assert docs(tmp_path).returncode == 0
    assert page.read_text() == PAGE


def test_every_key_has_a_line_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| [^|]+ \| (`[^`]*`|needed) \|", PAGE, re.MULTILINE))
    defaults = flatten(StudyConfig().model_dump(mode="json"))
    assert defaults.keys() - rows.keys() == {"baselines"}  # which the page explains in words
    for key, default in defaults.items():
        if key != "baselines":
            assert yaml.safe_load(rows[key].strip("`")) == default, key


def test_the_five_keys_come_first() -> None:
    first = re.findall(r"^\| `([\w.]+)`", PAGE, re.MULTILINE)[:5]
    assert first == ["data.size", "model.encoder", "model.weights", "training.epochs", "training.lr"]


def test_its_examples_can_be_read() -> None:
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    given = [example for example in examples if example]
    assert len(given) == 1
    for values in given:
        parse(StudyConfig, values)
        jsonschema.Draft202012Validator(schema()).validate(json.loads(json.dumps(values)))
