"""The presets command: `tune-seg presets`."""

import sys
from collections.abc import Sequence

from tune_seg._arguments import Parser
from tune_seg._commands import run
from tune_seg.study.presets import presets, summary


def main(argv: Sequence[str] | None = None) -> int:
    """Print the presets, one on a line; the exit status is 0."""
    parser().parse_args(argv)
    print(table())
    return 0


def parser() -> Parser:
    """The command line of `tune-seg presets`."""
    return Parser(prog="tune-seg presets", description="List the presets, one on a line.")


def table() -> str:
    """The presets, each on a line with what it is for."""
    files = presets()
    width = max(map(len, files))
    return "\n".join(f"{name:<{width}}  {summary(path)}" for name, path in files.items())


if __name__ == "__main__":
    sys.exit(run(main))
