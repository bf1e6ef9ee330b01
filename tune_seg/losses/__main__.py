"""The losses command: `tune-seg losses [NAME]`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tune_seg._arguments import Parser
from tune_seg._commands import run
from tune_seg.errors import InputError
from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.losses.own import entry_points
from tune_seg.losses.spec import LossSpec, Parameter

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 180
"""Characters from which on the table can be read; on a narrower terminal the losses are printed one after another."""
_UNCUT = 10_000
"""More characters than any line of the table has."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print every loss, or the one that is named in full; the exit status: 0, or 2 for an unknown loss."""
    name = parser().parse_args(argv).name
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNCUT  # a pipe has no width of its own, and rich would wrap the lines at 80
    try:
        if name is not None:
            _print_entry(console, get_spec(name))
            return 0
        specs, broken = _own_losses()
        specs = [*LOSSES.values(), *specs]
        if console.width < _WIDE:
            for spec in specs:
                _print_entry(console, spec)
        else:
            console.print(_table(specs))
        for message in broken:
            console.print(message, markup=False, soft_wrap=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> Parser:
    """The command line of `tune-seg losses`."""
    parser = Parser(prog="tune-seg losses", description="List the losses: what they compute and what they take.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this loss in full, also package.module:Class")
    return parser


def _own_losses() -> tuple[list[LossSpec], list[str]]:
    """The losses of installed packages, and what is wrong with those that cannot be used."""
    specs, broken = [], []
    for name in entry_points():
        if name not in LOSSES:
            try:
                specs.append(get_spec(name))
            except InputError as error:  # one broken package does not hide the others
                broken.append(f"cannot be used: {error}")
    return specs, broken


def _table(specs: Sequence[LossSpec]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("name", "formula", "parameters", "source", "proper", "family", "class weights"):
        table.add_column(title, overflow="fold", no_wrap=title in ("name", "proper", "family"))
    for spec in specs:
        table.add_row(*map(Text, _cells(spec)))
    return table


def _cells(spec: LossSpec) -> list[str]:
    parameters = "; ".join(map(_summary, spec.parameters))
    return [spec.name, spec.formula, parameters, spec.source, _proper(spec), spec.family, spec.class_weights]


def _summary(parameter: Parameter) -> str:
    whole = "whole number " if parameter.integer else ""
    per_class = ", or one per class" if parameter.per_class else ""
    return f"{parameter.name} = {_default(parameter)}, {whole}{parameter.range}{per_class}"


def _default(parameter: Parameter) -> str:
    default = parameter.default
    return "none" if default is None else f"{default:g}" if isinstance(default, float) else str(default)


def _proper(spec: LossSpec) -> str:
    return "yes" if spec.proper else "no"


def _print_entry(console: "Console", spec: LossSpec) -> None:
    lines = [
        spec.name,
        f"  formula        {spec.formula}",
        f"  source         {spec.source}",
        f"  family         {spec.family}",
        f"  proper         {_proper(spec)}",
        f"  class weights  {spec.class_weights}",
    ]
    if spec.when:
        lines.insert(1, f"  when to use    {spec.when}")
    if spec.max_classes is not None:
        lines.append(f"  classes        at most {spec.max_classes}")
    for parameter in spec.parameters:
        lines.append(f"  {parameter.name}: default {_default(parameter)}; {parameter.allowed}")
        if parameter.description:
            lines.append(f"    {parameter.description}")
    console.print("\n".join(lines), markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(run(main))
