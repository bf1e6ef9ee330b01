"""How a command is typed on this machine, and what a study is called in it."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from tune_seg._package import STUDIES


def called_in_commands(directory: Path) -> str:
    """What a study is called in a command: by its name in the usual folder, by its path elsewhere."""
    return shlex.quote(directory.name if directory.parent == STUDIES.absolute() else str(directory))


def command() -> str:
    """How `tune-seg` is typed here: the script that installs it leaves it in an environment that may not be active."""
    found, own = shutil.which("tune-seg"), Path(sys.executable).with_name("tune-seg")
    if found is not None and own.exists() and os.path.samefile(found, own):
        return "tune-seg"
    python = Path(sys.executable)
    near = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return shlex.join([str(near), "-m", "tune_seg"])
