"""The commands, how one is run, and what is said where `python -m` names a module that is none."""

import os
import sys
from collections.abc import Callable
from typing import Final

COMMANDS: Final = {
    "search": "search for the loss that serves your data",
    "confirm": "train the best of a study with more seeds, to be sure of its answer",
    "compare": "print a study's rows beside those of a published table",
    "losses": "list the losses: what they compute and what they take",
    "presets": "list the presets, which are ready search spaces",
    "schema": "print the JSON schema of the configuration, for editors",
    "completion": "print the completion script for a shell",
}
"""What each subcommand of `tune-seg` does. NAME is also run by `python -m tune_seg.NAME`."""


_PIPE_CLOSED: Final = 141
"""The exit status that a shell gives a command which a closed pipe has ended."""


def run(main: Callable[[], int]) -> int:
    """Call the `main` of a command; its exit status, also where the reader of what it prints has read enough."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has ended; what Python writes at its end goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    return status


def exit_if_no_command() -> None:
    """End the process with a sentence where `python -m` is about to run a module of the package that is no command.

    Python would import the module and end in silence. While `python -m` imports the packages of a module, `sys.argv[0]` is
    "-m", and the original arguments before those of the module end with its name.
    """
    if sys.argv[:1] != ["-m"]:
        return
    option, _, inside = sys.orig_argv[-len(sys.argv)].partition("tune_seg")
    if option and not option.endswith("m"):  # `-mtune_seg.search` is one argument
        return
    name = inside.removeprefix(".").removesuffix(".__main__")
    if inside[:1] in ("", ".") and name not in ("", "__main__", *COMMANDS):
        listed = ", ".join(f"tune-seg {command}" for command in COMMANDS)
        print(f"tune_seg.{name} is not a command; the commands are: {listed}", file=sys.stderr)
        sys.exit(2)
