"""What `import tune_seg` gives."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tune_seg
from tests.support import CHECKOUT
from tune_seg._package import PACKAGE

NAMES = {
    *("Study", "Outcome", "load_config", "load_model", "InputError", "__version__"),
    *("losses", "layers", "schedules", "metrics", "temperature", "models", "data", "config", "training"),
}
HEAVY = ("torch", "ray", "optuna", "mlflow", "pandas", "numpy", "pyarrow", "pydantic", "rich", "yaml")


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout.strip()


def test_what_there_is_shows() -> None:
    assert set(dir(tune_seg)) == set(tune_seg.__all__) == NAMES
    assert tune_seg.__version__ == "0.2.0"


def test_the_package_imports_nothing_heavy_before_it_is_used() -> None:
    code = f"import sys, tune_seg; dir(tune_seg); print([name for name in {HEAVY} if name in sys.modules])"
    assert run(code) == "[]"


def test_every_part_is_there_when_it_is_used() -> None:
    parts = sorted(NAMES - {"Study", "Outcome", "load_config", "load_model", "InputError", "__version__"})
    code = f"import tune_seg; print(*(getattr(tune_seg, name).__name__ for name in {parts}))"
    assert run(code).split() == [f"tune_seg.{name}" for name in parts]


@pytest.mark.parametrize(
    ("name", "home"), [("Study", "tune_seg.study.api"), ("Outcome", "tune_seg.study.run"), ("InputError", "tune_seg.errors")]
)
def test_a_name_is_there_when_it_is_used(name: str, home: str) -> None:
    assert getattr(tune_seg, name) is getattr(import_module(home), name)
    assert run(f"from tune_seg import {name}; print({name}.__module__)") == home


@pytest.mark.parametrize("package", ["", ".data", ".inference", ".losses", ".models", ".training"])
def test_what_a_package_offers_shows_before_torch_is_imported(package: str) -> None:
    code = f"import sys, tune_seg{package} as package; print(*dir(package), 'torch' in sys.modules)"
    module = import_module(f"tune_seg{package}")
    assert run(code).split() == [*sorted(module.__all__), "False"]
    assert all(hasattr(module, name) for name in module.__all__)


LAZY = [path for path in sorted(PACKAGE.rglob("__init__.py")) if "_HOMES" in path.read_text()]


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
def test_a_lazy_package_says_the_same_to_type_checkers_and_to_python(path: Path) -> None:
    package = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
    module = import_module(package)
    tree = ast.parse(path.read_text())
    (for_types,) = (
        node.body for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    homes = {}
    for node in for_types:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            submodule = node.module == package
            homes[alias.asname or alias.name] = f"{package}.{alias.name}" if submodule else node.module
    assert homes == module._HOMES
    at_once = {name for name in module.__all__ if name in vars(module) and name not in homes}  # not lazy
    assert {*module.__all__} == {*homes, *at_once}
    assert len(module.__all__) == len({*module.__all__})


def test_the_lazy_packages_are_those_that_people_import() -> None:
    assert [path.parent.name for path in LAZY] == ["tune_seg", "data", "inference", "losses", "models", "training"]


def test_what_there_is_not_is_said_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="module 'tune_seg' has no attribute 'studdy'"):
        _ = tune_seg.studdy
