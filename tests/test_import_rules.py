"""The layers of the package: imports go down only, lazy ones and those for types included."""

import ast
import functools
import graphlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tune_seg._package import PACKAGE

LAYERS = {
    "base": ("errors", "_package", "_child", "_endings", "_posix", "_commands", "_arguments", "_lazy", "_whole_file"),
    "names": ("metric_names", "format_names", "architectures", "schedules", "losses.spec", "losses.own", "losses.catalogue"),
    "config": ("config",),
    "parts": ("losses", "models", "data", "layers", "metrics", "boundary", "image_counts", "temperature"),
    "training": ("training",),
    "inference": ("inference",),
    "study": ("study",),
    "commands": (
        "search",
        "confirm",
        "ui",
        "predict",
        "export",
        "report",
        "clean",
        "compare",
        "presets",
        "schema",
        "completion",
        "cli",
        "__main__",
        "",
    ),
}
"""Lowest first, each with the folders and modules of `tune_seg` that it consists of; "" is `tune_seg` itself.

A module that is named itself is in that layer, whatever the layer of its folder.
"""

LISTS = ("format_names", "architectures", "losses.catalogue")
"""Lists of implementations, each as `module:attribute`, which is for the layer above to import."""

LEVEL = {name: level for level, names in enumerate(LAYERS.values()) for name in names}
OF_THE_STUDY = ("ray", "optuna", "mlflow")

BETWEEN_PARTS = {("models", "layers"), ("metrics", "image_counts")}
"""Which part may import which; any other two know nothing of one another."""

TORCH = ("torch", "torchvision", "segmentation_models_pytorch", "timm", "safetensors")
WITHOUT_TORCH = (
    *LAYERS["base"],
    *LAYERS["names"],
    "config",
    *(f"data.{name}" for name in ("formats", "images", "volumes", "labels", "options", "reading", "splitting")),
    "data.packing.write",
)
"""What can be imported where there is no torch, or before it: importing torch takes seconds."""


@dataclass(frozen=True)
class Import:
    """That one module imports another, which it names in full.

    Attributes:
        at_once: whether it does so outside of functions: when it is imported itself, or for types alone.
        for_types: whether only a type checker does.
    """

    by: str
    of: str
    line: int
    at_once: bool
    for_types: bool = False

    def __str__(self) -> str:
        return f"{self.by}, line {self.line}: {self.of}"


def imports(package: Path) -> list[Import]:
    """Every import of a module of `package`; a text that names a module, as `import_module` takes it, is one too."""
    modules = {name(path, package): path for path in sorted(package.rglob("*.py"))}
    known = frozenset(modules)
    return [
        found
        for module, path in modules.items()
        for found in imports_of(module, path.stem == "__init__", path.read_text(encoding="utf-8"), known)
    ]


@functools.cache  # a test plants an import in one of many files
def imports_of(module: str, is_package: bool, source: str, modules: frozenset[str]) -> list[Import]:
    """Those of one module, of which `source` is the text, where there are these modules."""
    tree = ast.parse(source)
    at_once, for_types = set(run_at_once(tree)), set(read_for_types(tree))
    return [
        Import(module, of, node.lineno, node in at_once, node in for_types)
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt | ast.expr)
        for of in imported(node, module, is_package, modules)
    ]


def name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run_at_once(tree: ast.AST) -> Iterator[ast.AST]:
    """The import statements that run when the module is imported, and those for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from run_at_once(node)


def read_for_types(tree: ast.AST) -> Iterator[ast.AST]:
    """What is below `if TYPE_CHECKING`."""
    for node in ast.walk(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
                yield from (inner for statement in body for inner in ast.walk(statement))


def imported(node: ast.AST, module: str, is_package: bool, modules: frozenset[str]) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=source, names=names, level=level):
            if level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                source = ".".join([*package[: len(package) - level + 1], *([source] if source else [])])
            for alias in names:
                whole = f"{source}.{alias.name}"
                yield whole if whole in modules else str(source)
        case ast.Constant(value=str(text)):
            named, colon, _ = text.partition(":")  # a loss is named as module:class
            listed = colon and module.partition(".")[2] in LISTS
            within = module.startswith(f"{named}.")  # its package, which is imported before it; a group of entry points too
            if named in modules and "." in named and not listed and not within:
                yield named


def unit_of(module: str) -> str:
    """What of `LAYERS` a module is, or belongs to."""
    _, _, inside = module.partition(".")
    return inside if inside in LEVEL else inside.partition(".")[0]


def layer_of(module: str) -> int:
    return LEVEL[unit_of(module)]


def upward(package: Path) -> list[Import]:
    """The imports that go up."""
    return [
        found
        for found in imports(package)
        if found.of.partition(".")[0] == package.name and layer_of(found.of) > layer_of(found.by)
    ]


def between_parts(package: Path) -> dict[tuple[str, str], list[Import]]:
    """The imports of one part by another, by the two parts."""
    found: dict[tuple[str, str], list[Import]] = {}
    for each in imports(package):
        if each.of.partition(".")[0] == package.name:
            arrow = (unit_of(each.by), unit_of(each.of))
            if arrow[0] != arrow[1] and {*arrow} <= {*LAYERS["parts"]}:
                found.setdefault(arrow, []).append(each)
    return found


def needing_torch(package: Path) -> list[str]:
    """The modules of `WITHOUT_TORCH` that torch is imported with, directly or by what they import; late or not."""
    modules = {name(path, package) for path in package.rglob("*.py")}
    needing: set[str] = set()
    graph: dict[str, set[str]] = {}
    for found in imports(package):
        if found.of.partition(".")[0] in TORCH and not found.for_types and (found.at_once or without_torch(found.by)):
            needing.add(found.by)
        if found.of in modules and found.at_once and not found.for_types:
            parts = found.of.split(".")
            graph.setdefault(found.by, set()).update(".".join(parts[:count]) for count in range(1, len(parts) + 1))
    while more := {module for module, of in graph.items() if module not in needing and of & needing}:
        needing |= more
    return sorted(filter(without_torch, needing))


def without_torch(module: str) -> bool:
    inside = f"{module.partition('.')[2]}."
    return inside.startswith(tuple(f"{each}." for each in WITHOUT_TORCH))


def libraries(package: Path) -> list[Import]:
    """The imports of what only the study may know, from elsewhere."""
    return [
        found
        for found in imports(package)
        if found.of.partition(".")[0] in OF_THE_STUDY and not found.by.startswith(f"{package.name}.study.")
    ]


def circle(package: Path) -> list[str]:
    """Modules that import one another in a circle, for types alone too; none where there is no circle.

    To import `a.b.c` is to import `a` and `a.b` before it, unless the module that asks is in them.
    """
    modules = {name(path, package) for path in package.rglob("*.py")}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports(package):
        if found.at_once and found.of in modules:
            parts = found.of.split(".")
            before = {".".join(parts[:count]) for count in range(1, len(parts))}
            graph[found.by] |= {found.of, *(each for each in before if not f"{found.by}.".startswith(f"{each}."))}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [str(module) for module in error.args[1]]
    return []


def test_every_module_belongs_to_a_layer() -> None:
    inside = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert inside - {"__init__"} == {name for name in LEVEL if "." not in name} - {""}
    modules = {name(path, PACKAGE).partition(".")[2] for path in PACKAGE.rglob("*.py")}
    assert LEVEL.keys() | {*LISTS} <= modules


def test_imports_go_down_only() -> None:
    assert [str(found) for found in upward(PACKAGE)] == []


def test_ray_optuna_and_mlflow_are_known_to_the_study_alone() -> None:
    assert [str(found) for found in libraries(PACKAGE)] == []
    known = {found.of.partition(".")[0] for found in imports(PACKAGE)}
    assert known.issuperset(OF_THE_STUDY)


def test_the_parts_know_one_another_only_where_it_is_listed() -> None:
    assert between_parts(PACKAGE).keys() == BETWEEN_PARTS


def test_the_configuration_the_catalogues_and_the_readers_need_no_torch() -> None:
    assert needing_torch(PACKAGE) == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circle(PACKAGE) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to plant an import in."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "tune_seg", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize(
    ("file", "planted", "of"),
    [
        ("losses/dice.py", "import tune_seg.training.step", "tune_seg.training.step"),
        ("losses/dice.py", "def late() -> None:\n    from tune_seg.study import records", "tune_seg.study.records"),
        ("data/reading.py", "if TYPE_CHECKING:\n    from tune_seg.training import Trainer", "tune_seg.training"),
        ("config/__init__.py", "from ..search import main", "tune_seg.search"),
        ("models/build.py", 'import_module("tune_seg.study.run")', "tune_seg.study.run"),
        ("metrics.py", "from tune_seg import compare", "tune_seg.compare"),
        ("training/step.py", "from tune_seg.study.reuse import Reuse", "tune_seg.study.reuse"),
        ("training/step.py", "import tune_seg.cli", "tune_seg.cli"),
        ("study/records.py", "from tune_seg import __version__", "tune_seg"),
        ("errors.py", "from tune_seg.config import keys", "tune_seg.config.keys"),
        ("config/model.py", "from tune_seg.models.smp import smp_model", "tune_seg.models.smp"),
        ("config/data.py", "if TYPE_CHECKING:\n    from tune_seg.data.formats import voc", "tune_seg.data.formats.voc"),
        ("config/loss.py", "from tune_seg.losses import build_loss", "tune_seg.losses"),
        ("config/study.py", "from tune_seg.metrics import SegmentationMetrics", "tune_seg.metrics"),
        ("losses/catalogue.py", "from tune_seg.config import parse", "tune_seg.config"),
        ("losses/spec.py", "from tune_seg.losses.dice import DiceLoss", "tune_seg.losses.dice"),
        ("format_names.py", 'READING = "tune_seg.data.reading"', "tune_seg.data.reading"),
        ("schedules.py", "from tune_seg import config", "tune_seg.config"),
    ],
)
def test_an_import_that_goes_up_is_found(copy: Path, file: str, planted: str, of: str) -> None:
    with (copy / file).open("a") as module:
        module.write(f"\n{planted}\n")
    assert [(found.by, found.of) for found in upward(copy)] == [(name(copy / file, copy), of)]


@pytest.mark.parametrize(
    ("file", "planted", "of"),
    [
        ("training/step.py", "def late() -> None:\n    import optuna", "optuna"),
        ("data/reading.py", "from ray import tune", "ray"),
        ("search.py", "import mlflow.entities", "mlflow.entities"),
    ],
)
def test_a_library_of_the_study_is_found_elsewhere(copy: Path, file: str, planted: str, of: str) -> None:
    with (copy / file).open("a") as module:
        module.write(f"\n{planted}\n")
    assert [(found.by, found.of) for found in libraries(copy)] == [(name(copy / file, copy), of)]


@pytest.mark.parametrize(
    ("file", "planted", "arrow"),
    [
        ("models/build.py", "from tune_seg.data import read", ("models", "data")),
        ("losses/dice.py", "def late() -> None:\n    import tune_seg.metrics", ("losses", "metrics")),
        ("layers.py", "if TYPE_CHECKING:\n    from tune_seg.models import build_model", ("layers", "models")),
        ("data/loading/batches.py", "from tune_seg.losses import build_loss", ("data", "losses")),
        ("temperature.py", "from tune_seg.metrics import SegmentationMetrics", ("temperature", "metrics")),
    ],
)
def test_an_import_between_parts_that_is_not_listed_is_found(
    copy: Path, file: str, planted: str, arrow: tuple[str, str]
) -> None:
    with (copy / file).open("a") as module:
        module.write(f"\n{planted}\n")
    assert between_parts(copy).keys() - BETWEEN_PARTS == {arrow}


@pytest.mark.parametrize(
    ("file", "planted", "needing"),
    [
        ("config/allowed.py", "import torch", "config.allowed"),
        ("losses/catalogue.py", "def late() -> None:\n    import torch", "losses.catalogue"),
        ("architectures.py", "from torchvision.models import get_weight", "architectures"),
        ("data/formats/voc.py", "from tune_seg.data.loading.transfer import to_device", "data.formats.voc"),
        ("data/formats/nifti.py", "from tune_seg import metrics", "data.formats.nifti"),
    ],
)
def test_what_needs_torch_and_must_not_is_found(copy: Path, file: str, planted: str, needing: str) -> None:
    assert needing_torch(copy) == []
    with (copy / file).open("a") as module:
        module.write(f"\n{planted}\n")
    assert f"tune_seg.{needing}" in needing_torch(copy)


def test_torch_may_be_named_for_types(copy: Path) -> None:
    with (copy / "data" / "reading.py").open("a") as module:
        module.write("\nif TYPE_CHECKING:\n    import torch\n")
    assert needing_torch(copy) == []


@pytest.mark.parametrize(
    ("file", "planted", "whole"),
    [
        ("losses/spec.py", "from tune_seg.losses.catalogue import LOSSES", True),
        ("losses/spec.py", "from tune_seg.config.keys import flatten", True),  # its package imports the losses
        ("losses/spec.py", "def late() -> None:\n    from tune_seg.losses.catalogue import LOSSES", False),
        ("losses/spec.py", "if TYPE_CHECKING:\n    from tune_seg.losses.catalogue import LOSSES", True),
    ],
)
def test_a_circle_is_found_where_there_is_one(copy: Path, file: str, planted: str, whole: bool) -> None:
    with (copy / file).open("a") as module:
        module.write(f"\n{planted}\n")
    assert ("tune_seg.losses.spec" in circle(copy)) is whole
