"""What the generated pages write into the cells of their tables: a value, a row."""

import json
from typing import Any


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def value(value: Any) -> str:
    """A value as YAML has it, on one line: `null` for None."""
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{json.dumps(value)}`"
