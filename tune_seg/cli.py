"""The console command `tune-seg`, with a subcommand for each thing it does."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from tune_seg import IMPORTED, compare, search
from tune_seg.losses import __main__ as losses

_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "search": partial(search.main, began=IMPORTED),
    "compare": compare.main,
    "losses": losses.main,
}


def main() -> int:
    """Run the subcommand that the command line names; the exit status is the subcommand's."""
    # as `python -m` does: a loss of the user's own may lie in the directory that the command is run from
    sys.path.insert(0, os.getcwd())
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in _COMMANDS:
        print(f"usage: tune-seg {{{','.join(_COMMANDS)}}} ...; tune-seg search --help says more", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    return _COMMANDS[arguments[0]](arguments[1:])
