"""Where torch is: the process that steers a study does without it and calls another one; any other calls it itself."""

import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Self

from tune_seg._child import Child, answer
from tune_seg.errors import InputError

Call = Callable[..., Any]
"""Calls a function with arguments, all of which can be pickled: :func:`here`, or an :class:`Elsewhere`."""


def here(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, called in this process, which steers no study; where memory is short, it may end.

    Raises:
        InputError: the function has raised it.
        RuntimeError: the function has raised something else, from which this is raised.
    """
    try:
        return function(*arguments)
    except InputError:
        raise
    except Exception as error:
        raise RuntimeError("".join(traceback.format_exception_only(error)).strip()) from error


def reason(error: Exception) -> str:
    """What an exception says in one line: the last one where it has brought the traceback of another process."""
    return str(error).strip().rpartition("\n")[2] or type(error).__name__


class Elsewhere:
    """Calls functions in a process of its own, which begins with the first call; after one that has died, in another.

    It ends with the `with` block of this object.
    """

    def __init__(self) -> None:
        self._child: Child | None = None

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns.

        Raises:
            InputError: the function has raised it, or the process has ended without an answer.
            RuntimeError: the function has raised something else.
        """
        if self._child is None:
            self._child = Child(_serve)
        try:
            self._child.connection.send((function, arguments))
            found = self._child.connection.recv()
        except (EOFError, OSError):
            self.end()
            raise InputError("the process that scores has ended, most likely because memory was short") from None
        if isinstance(found, Exception):
            raise found
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.kill()
            self._child = None


def _serve(connection: Connection) -> None:
    while True:
        try:
            function, arguments = connection.recv()
        except (EOFError, OSError):
            return
        answer(connection, partial(function, *arguments))
