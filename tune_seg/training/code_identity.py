"""What the result of a training can depend on in this package's code: a hash of it, which is part of every key.

The hash is taken of the syntax, so that comments, docstrings, what losses and metrics say of themselves and the wording of
messages can change while the checkpoints that are stored stay in use. Wording is the texts of a `raise`, of what is given to
one of `_TOLD`, and of a function or constant that `_WORDING` names; a test finds sentences that are anywhere else.

Python writes the same syntax down differently from one minor version to the next, and may compute differently, so its minor
version is part of the hash, on purpose.
"""

import ast
import functools
import hashlib
import importlib.metadata
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tune_seg._package import PACKAGE

_DEPENDS_ON = (
    "architectures.py",
    "boundary.py",
    "config",
    "data/dataset.py",  # the index of an ignored pixel
    "data/loading",
    "data/packing/file_format.py",
    "data/packing/packed.py",
    "data/tiles.py",
    "image_counts.py",
    "layers.py",
    "losses",
    "metric_names.py",  # which of them are taken of scaled outputs
    "metrics.py",
    "models",
    "schedules.py",
    "temperature.py",
    "training",
)
"""Files and folders of the package. A test compares them with what a training imports."""

_NOT_OF_A_TRIAL = frozenset(
    (
        "config/allowed.py",  # words of messages
        "config/data.py",  # what is packed has a hash of its own in every key
        "config/json_schema.py",  # for editors
        "config/parsing.py",  # checks values and hands them to the sections, and what these hold is in every key
        "config/study.py",  # makes configurations of trials, and what these hold is in every key
        "config/whole_epochs.py",  # the same
        "models/size.py",  # before all trainings
        "training/ensemble.py",  # after all trainings
        "training/held_out.py",  # the same
    )
)
"""Files in these folders that change no result. A wrong name here is a wrong result: after a change of that file, stored
results of the code before it are taken."""

_LIBRARIES = ("numpy", "scipy", "segmentation-models-pytorch", "timm", "torch", "torchvision")

_TOLD = frozenset(("_logger", "notes", "problems", "warnings"))
"""What messages are given to, beside exceptions."""

_PROSE = {
    "LossSpec": {"formula": 2, "source": 3, "when": 9},
    "Parameter": {"description": 1},
    "Metric": {"meaning": 0},
}
"""The arguments of a class that are text for readers alone, with their places."""

_WORDING = {
    "config/class_weights.py": ("_allowed",),
    "data/dataset.py": ("_DIFFERENT", "summarised"),
    "losses/_weighting.py": ("_allowed",),
    "losses/build.py": ("_once",),
    "losses/own.py": ("_EXPECTED",),
    "losses/spec.py": ("range", "allowed"),
    "models/weights.py": ("_left_out", "_last_layers", "_shapes", "_listed"),
}
"""Functions and constants that are words of messages, by file."""


@functools.cache
def code_identity(package: Path = PACKAGE) -> str:
    """A hash of the code that a result depends on, and of the versions of Python (3.11 of 3.11.9) and of the libraries."""
    digest = hashlib.blake2b(digest_size=16)
    for path in code_of_a_training(package):
        name = path.relative_to(package).as_posix()
        digest.update(f"{name}\n{_meaning(path.read_text(), _WORDING.get(name, ()))}\n".encode())
    digest.update(f"python {sys.version_info.major}.{sys.version_info.minor}".encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}".encode())
    return digest.hexdigest()


def code_of_a_training(package: Path = PACKAGE) -> list[Path]:
    """The modules of the package that a result depends on, in a fixed order.

    An `__init__.py` that only names what is elsewhere is not among them.
    """
    roots = [package / name for name in _DEPENDS_ON]
    paths = [path for root in roots for path in (root.rglob("*.py") if root.is_dir() else (root,))]
    return sorted(
        path
        for path in paths
        if path.name != "__main__.py"
        and path.relative_to(package).as_posix() not in _NOT_OF_A_TRIAL
        and not (path.name == "__init__.py" and _only_names(ast.parse(path.read_text()).body))
    )


def _only_names(body: list[ast.stmt]) -> bool:
    """Whether a module does no more than to offer what other modules of the package define, under the same names."""
    return all(_is_docstring(statement) or _names(statement) for statement in body)


def _names(statement: ast.stmt) -> bool:
    match statement:
        case ast.ImportFrom(module=str(module), names=names, level=0):
            inside = module.partition(".")[0] in (PACKAGE.name, "typing")
            return inside and all(alias.asname is None and alias.name != "*" for alias in names)
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=[]):
            return _only_names(body)
        case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=elements)):
            return all(isinstance(element, ast.Constant) for element in elements)
        case ast.AnnAssign(target=ast.Name(id="_HOMES"), value=ast.Dict(keys=keys, values=values)):
            return all(isinstance(element, ast.Constant) for element in (*keys, *values))
        case ast.Assign():
            return ast.unparse(statement) == "__getattr__, __dir__ = lazy(__name__, _HOMES)"
    return False


def _meaning(source: str, wording: Collection[str] = ()) -> str:
    """The syntax of a module but for comments, docstrings, prose and the wording of messages.

    Args:
        source: the module.
        wording: its functions and constants whose texts are words of messages.
    """
    return ast.dump(_wordless(source, wording), annotate_fields=False)


def _wordless(source: str, wording: Collection[str]) -> ast.Module:
    """The syntax that :func:`_meaning` writes down."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=called)) if called in _PROSE:
                _drop_prose(node, _PROSE[called])
            case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]) if name in wording:
                _blank(node)
    for block in _blocks(tree):
        block[:] = [statement for statement in block if not _is_docstring(statement)]
        for statement in block:
            match statement:
                case ast.Raise():
                    _blank(statement)
                case ast.Assert():
                    statement.msg = None
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=target))) if _name(target) in _TOLD:
                    _blank(statement)
    return tree


def _blocks(node: Any) -> Iterator[list[ast.stmt]]:
    """Every list of statements inside a node."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block
            for statement in block:
                yield from _blocks(statement)
    for inner in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield from _blocks(inner)


def _is_docstring(statement: ast.stmt) -> bool:
    """Whether it is a text that nothing is done with: the docstring of a module, a class, a function or an attribute."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _name(expression: ast.expr) -> str:
    """`problems` of `problems` and of `store.problems`."""
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _drop_prose(call: ast.Call, places: Mapping[str, int]) -> None:
    """Take these arguments away where they are given by name, and empty their texts where they are given by place."""
    call.keywords = [keyword for keyword in call.keywords if keyword.arg not in places]
    for place in places.values():
        if place < len(call.args):
            _blank(call.args[place])


def _blank(tree: ast.AST) -> None:
    """Empty the texts in a piece of code."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str()):
                node.value = ""
            case ast.JoinedStr():
                node.values = []
