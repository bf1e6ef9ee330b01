"""What the generated pages write into the cells of their tables: a value, what is allowed, a row."""

import json
from collections.abc import Sequence
from typing import Any

Bounds = Sequence[tuple[str, float | None]]
"""Signs (`≥`, `>`, `≤`, `<`), each with its bound; None where there is none."""


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def value(value: Any) -> str:
    """A value as YAML has it, on one line: `null` for None."""
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{json.dumps(value)}`"


def values(allowed: Sequence[Any]) -> str:
    """One of these."""
    return ", ".join(map(value, allowed))


def number(bounds: Bounds, *, integer: bool) -> str:
    """A number within bounds."""
    words = [f"{sign} {bound:.10g}" for sign, bound in bounds if bound is not None]
    return " ".join(["a whole number" if integer else "a number", " and ".join(words)]).rstrip()


def either(*alternatives: str, null: bool = False) -> str:
    """One of several, and None if `null`."""
    return " or ".join(dict.fromkeys(alternatives)) + (", or `null`" if null else "")
