"""How the tests are laid out: a test module is imported by none, and is where the package has what it tests."""

import re
from pathlib import Path

import pytest

from tests.support import CHECKOUT
from tune_seg._package import PACKAGE

TESTS = CHECKOUT / "tests"
OTHER_FOLDERS = {"bench", "commands", "docs", "support"}  # of scripts, of the command, of pages, and of what tests share


def named(text: str) -> set[str]:
    """The test modules that a text names, as imports and the strings that name a loss or are run do."""
    in_full = re.findall(r"\btests\.(?:\w+\.)*(test_\w+)", text)
    imported = re.findall(r"\bfrom tests[\w.]* import (.+)", text)
    return {*in_full, *(name for names in imported for name in re.findall(r"\btest_\w+", names))}


def test_no_test_module_names_another() -> None:
    modules = sorted(TESTS.rglob("*.py"))
    assert len(modules) > 90
    assert {str(path): others for path in modules if (others := named(path.read_text()) - {path.stem})} == {}


@pytest.mark.parametrize(
    "text",
    [
        "from tests.study.{} import scores",
        "import tests.study.{}",
        "from tests.study import {} as other",
        "from tests import conftest, {}",
        "trial(loss={{'end': 'tests.study.search_space.{}:waiting'}})",
    ],
)
def test_a_test_module_that_is_named_is_found(text: str) -> None:
    assert named(text.format("test_study")) == {"test_study"}


def test_what_tests_share_is_not_taken_for_a_test_module() -> None:
    assert named("from tests.support.studies import scores\n") == set()


def test_the_tests_are_in_the_folders_of_the_package() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert Path("study/search_space") in folders
    assert [folder for folder in folders if str(folder) not in OTHER_FOLDERS and not (PACKAGE / folder).is_dir()] == []
