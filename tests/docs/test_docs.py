"""The documentation: its links lead somewhere, its examples are possible, its generated pages are current."""

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.support import CHECKOUT
from tune_seg import clean, confirm, export, predict, report, ui
from tune_seg.config import StudyConfig, parse
from tune_seg.losses import LOSSES
from tune_seg.metric_names import CATALOGUE, METRICS
from tune_seg.search import main, parser
from tune_seg.study.profiling import PARTS
from tune_seg.study.search_space.space import Space

ROOT = CHECKOUT
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md")), *sorted((ROOT / "scripts").glob("**/*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return found


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    seen: dict[str, int] = {}
    result = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        result.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
    return result


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_and_anchor_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def test_every_page_of_the_documentation_is_on_its_map() -> None:
    listed = set(re.findall(r"\]\(([\w/.-]+)", (ROOT / "docs" / "README.md").read_text()))
    pages = {named(page).removeprefix("docs/") for page in PAGES if page.parent == ROOT / "docs"}
    assert pages - {"README.md"} <= listed


def test_the_tests_that_the_page_of_kinds_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "data-kinds.md").read_text()))
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 40 and named - there == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_yaml_of_a_page_is_a_possible_study(page: Path) -> None:
    if page.name == "your-own-loss.md":
        return  # needs the module beside it: tests of own losses
    for block in blocks(page, "yaml"):
        values = yaml.safe_load(block) or {}  # a comment alone
        values.pop("datasets", None)  # the command's own, which makes studies of them
        assert Space(parse(StudyConfig, values)).probes


SEARCHES = [
    (page, line)
    for page in PAGES
    for block in blocks(page, "bash")
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith(("tune-seg search", "bash scripts/search.sh"))
]


@pytest.mark.parametrize(("page", "line"), SEARCHES, ids=[line.split("#")[0].strip() for _, line in SEARCHES])
def test_a_search_that_a_page_shows_is_possible(page: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line, comments=True)[2:]
    try:
        status = main([*words, "--dry-run"])
    except SystemExit as error:
        pytest.fail(f"{line}: {error}: {capsys.readouterr().err}")
    said = capsys.readouterr().err
    # the folders of the examples are not there, and a name of a file of weights is made up: all else has been checked
    assert status == 0 or "is not a folder" in said or "/KEY-weights.pt: cannot be read" in said, said


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_names_that_python_examples_import_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "tune_seg":
                module = importlib.import_module(str(node.module))
                for name in node.names:
                    assert hasattr(module, name.name), f"{node.module}.{name.name}"


def test_the_generated_pages_are_current() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "scripts" / "docs.py"), "--check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_table_that_is_not_current_is_found_and_written(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("bench", "__pycache__"))
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    page = tmp_path / "docs" / "command.md"
    current = page.read_text()
    page.write_text(
        current.replace("| `--trials N` | ", "| `--trials N` | roughly ", 1).replace("# The command", "# Command")
    )
    command = [sys.executable, str(tmp_path / "scripts" / "docs.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    checked = subprocess.run([*command, "--check"], env=environment, capture_output=True, text=True)
    assert checked.returncode == 1 and "docs/command.md is not what the code says" in checked.stderr
    subprocess.run(command, env=environment, check=True)
    assert page.read_text() == current.replace("# The command", "# Command")  # what is written by hand stays


def test_the_table_of_the_search_command_has_what_its_help_says() -> None:
    section = (ROOT / "docs" / "command.md").read_text().partition("## tune-seg search")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(--[\w-]+)[^`]*` \| (.*) \|$", section, re.MULTILINE))
    options = {action.option_strings[0]: action for action in parser()._actions if action.option_strings}
    assert [*rows] == [option for option in options if option != "-h"]
    assert rows["--studies"] == "the folder of the studies (default: studies)"
    assert rows["--max-concurrent"] == options["--max-concurrent"].help


@pytest.mark.parametrize(
    "command", [confirm, ui, predict, export, report, clean], ids=lambda each: each.__name__.rpartition(".")[2]
)
def test_the_table_of_a_command_has_what_its_help_says(command: ModuleType) -> None:
    name = command.__name__.rpartition(".")[2]
    section = (ROOT / "docs" / "command.md").read_text().partition(f"## tune-seg {name}")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(--[\w-]+)[^`]*` \| (.*) \|$", section, re.MULTILINE))
    assert rows == {a.option_strings[0]: a.help for a in command.parser()._actions if a.option_strings and a.dest != "help"}


def test_the_page_of_losses_has_each_with_its_formula_and_parameters() -> None:
    text = (ROOT / "docs" / "losses.md").read_text()
    for spec in LOSSES.values():
        (section,) = re.findall(rf"^### {spec.name}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
        assert f"\n{spec.formula}\n" in section and spec.source in section
        assert [name for name in re.findall(r"^\| `(\w+)`", section, re.MULTILINE)] == [p.name for p in spec.parameters]
        assert f"| [`{spec.name}`](#{spec.name}) | {spec.when} |" in text


def test_the_table_of_metrics_has_each_with_its_better_end_and_those_that_may_be_objectives_first() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    table = text.partition("## Which one do I maximise?")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    better = {name: best for names, *_, best in rows for name in re.findall(r"`(\w+)`", names)}
    assert better == {name: "1" if metric.maximise else "0" for name, metric in CATALOGUE.items()}
    assert {*list(better)[: len(METRICS)]} == {*METRICS}
    assert len(METRICS) == 12 and "Each of the twelve above `ece` can be the `objective`" in table


def test_every_preset_is_on_its_page_with_its_trials_and_epochs() -> None:
    text = (ROOT / "docs" / "presets.md").read_text()
    rows = {row[0]: row[3] for line in text.splitlines() if len(row := re.split(r" \| ", line.strip("| "))) == 6}
    for path in (ROOT / "search_spaces").glob("*.yaml"):
        values = yaml.safe_load(path.read_text())
        assert rows[f"`{path.stem}`"] == f"{values['search']['trials']} x {values['training']['epochs']}"


def test_the_page_of_the_command_says_of_a_profile_what_the_profile_says() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", (ROOT / "docs" / "command.md").read_text(), re.MULTILINE)
    assert [row for row in rows if row[0] in PARTS] == [*PARTS.items()]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
