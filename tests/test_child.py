"""Processes that run one function, and never the script that started them."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.support import CHECKOUT
from tune_seg._child import Child


def add_one(connection: Connection, number: int) -> None:
    connection.send(number + 1)


def echo(connection: Connection) -> None:
    while True:
        try:
            connection.send(connection.recv())
        except (EOFError, OSError):
            return


def what_it_sees(connection: Connection) -> None:
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    connection.send((sys.path, sys.stdin.read(), ignored, "tests.conftest" in sys.modules))


def test_the_function_is_called_with_its_arguments_and_the_process_ends_with_it() -> None:
    child = Child(add_one, 3)
    assert child.connection.recv() == 4
    assert child.wait() == 0


def test_the_child_has_the_path_no_input_and_leaves_ctrl_c_to_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)  # as a notebook does
    path, text, ignores_ctrl_c, imported_the_parents = Child(what_it_sees).connection.recv()
    assert path == sys.path
    assert (text, ignores_ctrl_c, imported_the_parents) == ("", True, False)


def its_options(connection: Connection) -> None:
    connection.send((sys.warnoptions, sys._xoptions))


def test_the_child_has_the_options_of_python(tmp_path: Path) -> None:
    code = (
        "from tests.test_child import its_options\nfrom tune_seg._child import Child\n"
        "print(Child(its_options).connection.recv())"
    )
    command = [sys.executable, "-Xutf8", f"-Xpycache_prefix={tmp_path}", "-Wignore::ImportWarning", "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"(['ignore::ImportWarning'], {{'utf8': True, 'pycache_prefix': '{tmp_path}'}})\n"


def test_a_killed_child_is_noticed() -> None:
    child = Child(echo)
    child.connection.send("here")
    assert child.connection.recv() == "here"
    child.kill()
    with pytest.raises((EOFError, OSError)):
        child.connection.recv()
    assert child.wait() == -signal.SIGKILL


def test_a_child_ends_when_its_parent_is_killed() -> None:
    code = (
        "import time\nfrom tests.test_child import echo\nfrom tune_seg._child import Child\n"
        "child = Child(echo)\nchild.connection.send(1)\nchild.connection.recv()\nprint(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    deadline = time.monotonic() + 60
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["script", "input", "command"])
def test_the_script_that_starts_a_child_is_not_run_again(how: str, tmp_path: Path) -> None:
    code = (
        "print('begins', flush=True)\n"
        "from operator import methodcaller\n"
        "from tune_seg._child import Child\n"
        "child = Child(methodcaller('send', 'from the child'))\n"
        "print(child.connection.recv())\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    command = {"script": [str(script)], "input": ["-"], "command": ["-c", code]}[how]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, *command], input=code, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120
    )
    assert (done.stdout, done.stderr) == ("begins\nfrom the child\n", "")
