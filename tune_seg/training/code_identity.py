"""What the result of a training can depend on in this package's code: a hash of it, which is part of every key.

The hash is taken of the syntax, so that comments, docstrings and the wording of messages can change while the checkpoints
that are stored stay in use.
"""

import ast
import functools
import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_seg._package import PACKAGE

_DEPENDS_ON = (
    "config",
    "data/dataset.py",  # the index of an ignored pixel
    "data/loading",
    "data/packing/file_format.py",
    "data/packing/packed.py",
    "layers.py",
    "losses",
    "metrics.py",
    "models",
    "schedules.py",
    "temperature.py",
    "training",
)
"""Files and folders of the package. A test compares them with what a training imports."""

_NOT_OF_A_TRIAL = frozenset(("config/data.py", "config/json_schema.py", "config/parsing.py", "config/study.py"))
"""Files in these folders that change no result. A wrong name here costs stored checkpoints, and nothing else."""

_LIBRARIES = ("numpy", "scipy", "segmentation-models-pytorch", "timm", "torch", "torchvision")

_TOLD = frozenset(("_logger", "problems", "warnings"))
"""What messages are given to, beside exceptions."""


@functools.cache
def code_identity(package: Path = PACKAGE) -> str:
    """A hash of the code that a result depends on, and of the versions of the libraries."""
    digest = hashlib.blake2b(digest_size=16)
    for path in code_of_a_training(package):
        digest.update(f"{path.relative_to(package).as_posix()}\n{_meaning(path.read_text())}\n".encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}".encode())
    return digest.hexdigest()


def code_of_a_training(package: Path = PACKAGE) -> list[Path]:
    """The modules of the package that a result depends on, in a fixed order."""
    roots = [package / name for name in _DEPENDS_ON]
    paths = [path for root in roots for path in (root.rglob("*.py") if root.is_dir() else (root,))]
    return sorted(
        path for path in paths if path.name != "__main__.py" and path.relative_to(package).as_posix() not in _NOT_OF_A_TRIAL
    )


def _meaning(source: str) -> str:
    """The syntax of a module but for comments, docstrings and the wording of messages."""
    tree = ast.parse(source)
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
    return ast.dump(tree, annotate_fields=False)


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


def _blank(statement: ast.stmt) -> None:
    """Empty the texts in a statement."""
    for node in ast.walk(statement):
        match node:
            case ast.Constant(value=str()):
                node.value = ""
            case ast.JoinedStr():
                node.values = []
