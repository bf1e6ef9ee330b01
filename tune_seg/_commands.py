"""The commands, how one is run, and what is said where a module that is none is run."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from tune_seg._endings import treat_as_ctrl_c
from tune_seg.errors import InputError

COMMANDS: Final = {
    "search": "search for the loss that serves your data",
    "confirm": "train the best of a study again, with more seeds",
    "ui": "open MLflow's UI at the trials of a study",
    "predict": "find the classes in images by the model of a study",
    "export": "write the model of a study as one file",
    "report": "write what a study found as one HTML file",
    "clean": "say which files of a study can go, and remove them",
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


CONTINUES: Final = "; run the same command again to continue"
"""What is said of a study that was interrupted."""


def reported(study: Callable[[], int], further: str = "") -> int:
    """Call what a command does; its exit status. Wrong input and Ctrl-C are said in a line, which `further` ends.

    So are SIGTERM and SIGHUP: :func:`~tune_seg._endings.treat_as_ctrl_c`.
    """
    before = treat_as_ctrl_c()
    try:
        return study()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted{further}", file=sys.stderr)
        return 130
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def exit_if_no_command() -> None:
    """End the process with a sentence where a module of the package that is no command is run: by `python -m`, or as a file.

    Python would import the module and end in silence. A file that imports nothing of the package still does.
    """
    name = _named_by_option() if sys.argv[:1] == ["-m"] else _run_as_file()
    if name not in ("", "__main__", *COMMANDS):
        listed = ", ".join(f"tune-seg {command}" for command in COMMANDS)
        print(f"tune_seg.{name} is not a command; the commands are: {listed}", file=sys.stderr)
        sys.exit(2)


def _named_by_option() -> str:
    """The module that `python -m` is about to run, without the package's name; empty where it is of another package.

    While `python -m` imports the packages of a module, `sys.argv[0]` is "-m", and the original arguments before those of the
    module end with its name.
    """
    option, _, inside = sys.orig_argv[-len(sys.argv)].partition("tune_seg")
    if option and not option.endswith("m"):  # `-mtune_seg.search` is one argument
        return ""
    return inside.removeprefix(".").removesuffix(".__main__") if inside[:1] in ("", ".") else ""


def _run_as_file() -> str:
    """The module whose file Python runs, without the package's name; empty where the file is not in the package."""
    folder, file = os.path.dirname(os.path.abspath(__file__)) + os.sep, os.path.abspath(sys.argv[0] if sys.argv else "")
    if not file.startswith(folder) or not file.endswith(".py"):
        return ""
    return file.removeprefix(folder).removesuffix(".py").replace(os.sep, ".").removesuffix(".__main__")
