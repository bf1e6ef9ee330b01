"""A function in a fresh Python process, with a connection to it.

The `spawn` of :mod:`multiprocessing` imports the main module of the parent again in every child, so a script without
`if __name__ == "__main__":` would run twice. A child of this module imports only what its function needs.
"""

import contextlib
import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from tune_seg.errors import InputError

# Ctrl-C and the end of a terminal reach all its processes, but are meant for the parent, which then ends its children.
_CODE = """\
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from tune_seg._child import serve
serve(int(sys.argv[1]))
"""


class Child:
    """Runs `function(connection, *arguments)` in a process of its own, from now until the function returns.

    Python has the options `-X` and `-W` of this process there, and none of its others.

    Either end of the connection raises EOFError or OSError once the process at the other end is gone.

    Args:
        function: a function of a module that can be imported, so not of the main module.
        arguments: what can be pickled.

    Attributes:
        connection: the parent's end.

    Example:
        >>> from operator import methodcaller
        >>> child = Child(methodcaller("send", "hello"))  # calls connection.send("hello")
        >>> child.connection.recv(), child.wait()
        ('hello', 0)
    """

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        call = pickle.dumps((function, arguments))
        self.connection, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, *_options(), "-c", _CODE, str(number), json.dumps(list(map(str, sys.path)))]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[number])
        with contextlib.suppress(OSError):  # it has ended already, which whoever receives from it learns
            self.connection.send_bytes(call)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def kill(self) -> None:
        """End the process at once, and wait until it has ended."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait for the process to end; its exit status, negative if a signal ended it."""
        return self._process.wait()


def answer(connection: Connection, function: Callable[[], Any]) -> None:
    """Send what `function` returns, or what it raises: InputError as it is, anything else with its traceback as a text."""
    value: Any
    try:
        value = function()
    except InputError as error:
        value = error
    except Exception:  # not every exception can be pickled
        value = RuntimeError(traceback.format_exc())
    with contextlib.suppress(OSError):  # the parent has ended
        connection.send(value)


def _options() -> list[str]:
    values = (name if value is True else f"{name}={value}" for name, value in sys._xoptions.items())
    return [*(f"-X{value}" for value in values), *(f"-W{warning}" for warning in sys.warnoptions)]


def serve(file: int) -> None:
    """What the child does: it takes the function from the connection with this file descriptor, and calls it."""
    connection = Connection(file)
    try:
        call = connection.recv_bytes()
    except (EOFError, OSError):
        return  # the parent has ended
    function, arguments = pickle.loads(call)
    function(connection, *arguments)
