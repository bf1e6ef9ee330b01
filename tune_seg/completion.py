"""The completion command: `tune-seg completion SHELL`, the script that completes `tune-seg` in a shell."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from tune_seg._arguments import Parser
from tune_seg._commands import run

_HOW = """\
bash, in ~/.bashrc:
  eval "$(tune-seg completion bash)"
zsh, in ~/.zshrc, after compinit:
  eval "$(tune-seg completion zsh)"
"""

_FOLDERS: Final = (
    ("search", "data"),
    ("search", "studies"),
    ("search", "store"),
    ("report", "study"),
    ("report", "studies"),
    ("compare", "study"),
    ("compare", "studies"),
)
"""The arguments that are folders, each with its subcommand."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script; the exit status is 0."""
    print(script(parser().parse_args(argv).shell))
    return 0


def parser() -> Parser:
    """The command line of `tune-seg completion`."""
    parser = Parser(
        prog="tune-seg completion",
        description="Print the completion script for a shell.",
        epilog=_HOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=("bash", "zsh"), metavar="SHELL", help="bash or zsh")
    return parser


def script(shell: str) -> str:
    """The completion script for `shell`, bash or zsh: subcommands, options, presets, losses, files and folders."""
    import shtab

    from tune_seg.cli import parser
    from tune_seg.losses.catalogue import LOSSES
    from tune_seg.study.presets import presets

    whole = parser(whole=True)
    preset_names = " ".join(presets())
    config = {
        "bash": "_tune_seg_config",
        "zsh": "_tune_seg_config",
        "preamble": {
            "bash": f"""_tune_seg_config() {{
  compgen -W "{preset_names}" -- "$1"
  compgen -f -X '!*.yaml' -- "$1"
  compgen -d -- "$1"
}}""",
            "zsh": f"""_tune_seg_config() {{
  _alternative 'presets:preset:({preset_names})' 'files:file:_files -g "*.yaml"'
}}""",
        },
    }
    for (name, argument), action in _arguments(whole).items():
        if (name, argument) == ("search", "config"):
            action.complete = config  # type: ignore[attr-defined]  # the attribute that shtab looks for
        elif (name, argument) in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif (name, argument) == ("losses", "name"):
            action.choices = list(LOSSES)
    return str(shtab.complete(whole, shell=shell))


def _arguments(whole: argparse.ArgumentParser) -> dict[tuple[str, str], argparse.Action]:
    """The arguments of the subcommands, by subcommand and name."""
    (subcommands,) = (action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    return {(name, action.dest): action for name, parser in subcommands.choices.items() for action in parser._actions}


if __name__ == "__main__":
    sys.exit(run(main))
