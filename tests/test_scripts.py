"""What the scripts and the examples use of the package and of the tests exists, though no test runs most of them."""

import ast
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import CHECKOUT

SCRIPTS = [*sorted((CHECKOUT / "scripts").rglob("*.py")), *sorted((CHECKOUT / "docs" / "examples").glob("*.py"))]


def lacking(source: str) -> list[str]:
    """The names of the package and of the tests that a script imports, or takes from a module, and that do not exist."""
    tree = ast.parse(source)
    found: dict[str, Any] = {}
    absent = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            absent += [alias.name for alias in node.names if ours(alias.name) and resolved(alias.name) is None]
        elif isinstance(node, ast.ImportFrom) and ours(str(node.module)):
            for alias in node.names:
                found[alias.asname or alias.name] = value = resolved(str(node.module), alias.name)
                absent += [f"{node.module}.{alias.name}"] if value is None else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = found.get(node.value.id)
            if isinstance(module, ModuleType) and not hasattr(module, node.attr):
                absent.append(f"{module.__name__}.{node.attr}")
    return absent


def ours(module: str) -> bool:
    return module.partition(".")[0] in ("tune_seg", "tests")


def resolved(module: str, name: str | None = None) -> Any:
    """A module, or what has a name in it, which may be a module too; None where it does not exist."""
    try:
        imported = importlib.import_module(module)
        if name is None or hasattr(imported, name):
            return getattr(imported, name) if name else imported
        return importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        if not ours(str(error.name)):
            raise
        return None


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_the_names_that_a_script_uses_exist(path: Path) -> None:
    assert lacking(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "absent"),
    [
        ("import tune_seg.absent", "tune_seg.absent"),
        ("from tune_seg.absent import pack", "tune_seg.absent.pack"),
        ("from tune_seg.data import pack, absent", "tune_seg.data.absent"),
        ("def late():\n    from tests.support import absent as other", "tests.support.absent"),
        ("from tune_seg.data.packing import write\nwrite.absent = 0.0", "tune_seg.data.packing.write.absent"),
    ],
)
def test_a_name_that_does_not_exist_is_found(source: str, absent: str) -> None:
    assert lacking(source) == [absent]


def test_the_tests_that_run_on_a_gpu_exist() -> None:
    source = (CHECKOUT / "scripts" / "bench" / "gpu_phases" / "correct.py").read_text()
    named = re.findall(r'"((?:\w+/)*test_\w+)"', source)
    assert len(named) > 5
    assert [name for name in named if not (CHECKOUT / "tests" / f"{name}.py").is_file()] == []
