"""The command `tune-seg`, with a subcommand for each thing it does."""

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from tune_seg import __version__
from tune_seg._arguments import Parser
from tune_seg._commands import COMMANDS, run
from tune_seg.errors import did_you_mean
from tune_seg.presets import table

_EXAMPLES = """\
examples:
  tune-seg search                                       try it: generated images, minutes on two cores
  tune-seg search loss_schedule --data ROOT             find the loss for the images in ROOT
  tune-seg search loss_schedule --data ROOT --dry-run   say what would be done, and start nothing
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that the command line names; the exit status is the subcommand's.

    Args:
        argv: the command line, without the command's name; that of the process.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    name = arguments[0] if arguments else ""
    if name in COMMANDS:
        # as `python -m` does: a loss of the user's own may lie in the directory that the command is run from
        sys.path.insert(0, os.getcwd())
        return run(lambda: command(name).main(arguments[1:]))
    listed = f"; the commands are {', '.join(COMMANDS)}"
    if name and not name.startswith("-"):
        parser().error(f"unknown command {name}{did_you_mean(name, COMMANDS) or listed}")
    parser().parse_args(arguments)  # --help and --version end the process
    parser().error(f"no command{listed}")


def examples_and_presets() -> str:
    """What the help of `tune-seg` and that of `tune-seg search` end with."""
    return f"{_EXAMPLES}\npresets, the CONFIG of tune-seg search:\n{textwrap.indent(table(), '  ')}"


def command(name: str) -> ModuleType:
    """The module of a subcommand, which has `main(argv)` and `parser()`."""
    module = import_module(f"tune_seg.{name}")
    return import_module(f"tune_seg.{name}.__main__") if hasattr(module, "__path__") else module


def parser(whole: bool = False) -> Parser:
    """The command line of `tune-seg`.

    Args:
        whole: with the arguments of the subcommands, which import more.
    """
    parser = Parser(
        prog="tune-seg",
        usage="tune-seg [--help] [--version] COMMAND [ARGUMENTS]",
        description="Find the loss, schedule and settings that serve a segmentation data set with rare classes.",
        epilog=f"{examples_and_presets()}\n\ntune-seg COMMAND --help says more about a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tune-seg {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND [ARGUMENTS]", prog="tune-seg")
    for name, what in COMMANDS.items():
        parents = [command(name).parser()] if whole else []
        subparsers.add_parser(name, help=what, parents=parents, add_help=not whole)
    return parser
