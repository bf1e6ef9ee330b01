"""Completion, in real shells."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tune_seg._commands import COMMANDS
from tune_seg.completion import script
from tune_seg.losses import LOSSES
from tune_seg.study.presets import presets

BASH = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
{function} tune-seg "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which a shell completes: with a folder, a configuration and another file."""
    (tmp_path / "lovely").mkdir()
    (tmp_path / "lone.yaml").touch()
    (tmp_path / "lone.txt").touch()
    return tmp_path


CASES = [
    (["tune-seg", "lo"], {"losses"}),
    (["tune-seg", "search", "lo"], {"loss_and_rate", "loss_schedule", "loss_program", "lone.yaml", "lovely"}),
    (["tune-seg", "search", "--trials", "3", "haus"], set()),
    (["tune-seg", "search", "default", "--tr"], {"--trials"}),
    (["tune-seg", "search", "--data", "lo"], {"lovely"}),
    (["tune-seg", "losses", "foc"], {"focal", "focal_tversky"}),
    (["tune-seg", "completion", "z"], {"zsh"}),
]
LISTED = [(words, offered) for words, offered in CASES if len(offered) > 1]


@pytest.mark.parametrize(("words", "offered"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_bash_completes(words: list[str], offered: set[str], folder: Path) -> None:
    (folder / ".script").write_text(script("bash"))
    loaded = f"source {folder / '.script'}; complete -p tune-seg"
    spec = subprocess.run(["bash", "--norc", "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    function = spec[spec.index("-F") + 1]
    code = BASH.format(script=folder / ".script", words=" ".join(words), count=len(words), function=function)
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stderr == ""
    assert {*done.stdout.split()} == offered


def test_bash_offers_every_command_and_every_preset(folder: Path) -> None:
    test_bash_completes(["tune-seg", "''"], {*COMMANDS}, folder)
    test_bash_completes(["tune-seg", "losses", "''"], {*LOSSES}, folder)
    test_bash_completes(["tune-seg", "search", "''"], {*presets(), "lone.yaml", "lovely"}, folder)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
@pytest.mark.parametrize(("words", "offered"), LISTED, ids=[" ".join(words) for words, _ in LISTED])
def test_zsh_completes(words: list[str], offered: set[str], folder: Path) -> None:
    (folder / ".script").write_text(script("zsh"))
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb", "PS1": "", "COLUMNS": "200"})
    try:
        os.write(terminal, b"autoload -Uz compinit; compinit -D -u; eval \"$(<.script)\"; echo load''ed\n")
        read_until(terminal, {"loaded"})
        os.write(terminal, f"{' '.join(words)}\t\t".encode())  # the second tab lists them
        shown = read_until(terminal, offered)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
    assert {word for word in shown if word.startswith(words[-1])} - {words[-1]} == offered


def read_until(terminal: int, words: set[str]) -> set[str]:
    """The words that are printed, once `words` are among them."""
    printed = ""
    while True:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, printed
        printed += os.read(terminal, 65536).decode()
        found = {*re.findall(r"[\w.-]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", " ", printed))}
        if words <= found:
            return found
