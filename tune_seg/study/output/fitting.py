"""Tables that fit the terminal: what matters least is left out before anything is cut off."""

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

_ENDLESS = 100_000
"""Characters that no table has."""


def fitting_table(console: Console, make: Callable[[Sequence[str]], Table], optional: Sequence[str]) -> Table:
    """The table with as many of the optional columns as the console has room for.

    Args:
        console: where it will be printed.
        make: makes the table with some of the optional columns; it says which of the columns
            may not be wrapped: all but one.
        optional: columns, the most important one first; the last ones are left out first.
    """
    for count in range(len(optional), -1, -1):
        table = make(optional[:count])
        if fits(console, table):
            return table
    for column in table.columns:  # narrower than what nobody wants to miss: in pieces, but all of it
        column.no_wrap, column.min_width, column.overflow = False, None, "fold"
    return table


def fits(console: Console, table: Table) -> bool:
    """Whether the console has room for the table; the columns that may not be wrapped get the width that they need."""
    for column in table.columns:
        if column.no_wrap:  # which rich does not measure
            column.min_width = max(map(cell_len, _lines(column)))
    without_end = console.options.update(max_width=_ENDLESS)  # a measurement is never wider than that
    return console.measure(table, options=without_end).minimum <= console.width


def _lines(column: Column) -> list[str]:
    return [line for text in (column.header, *column.cells) for line in str(text).split("\n")]


def heading(metric: str) -> str:
    """The name of a metric above a column: what comes before the slash is on a line of its own."""
    return metric.replace("/", "/\n")
