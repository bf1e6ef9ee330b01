"""What ends a study from outside."""

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

ENDINGS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What a batch system sends to end a job, and a terminal that is closed."""

_HANGUP: Final = getattr(signal, "SIGHUP", None)


def treat_as_ctrl_c() -> dict[signal.Signals, Any]:
    """Let :data:`ENDINGS` do what Ctrl-C does, which keeps what was computed; what `nohup` ignores stays ignored.

    Returns:
        the handlers that were there before, to put back.
    """
    treated = [each for each in ENDINGS if signal.getsignal(each) is not signal.SIG_IGN]
    return {each: signal.signal(each, _as_ctrl_c) for each in treated}


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    if number == _HANGUP:
        # the kernel and the shell both tell of a closed terminal, and a second Ctrl-C would not wait for the epoch to end
        signal.signal(number, signal.SIG_IGN)
        leave_lost_terminal()
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # a shell ignores Ctrl-C for what it runs in the background, not what ends a job
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def leave_lost_terminal() -> None:
    """Print nowhere from now on where the terminal is gone: to print there is an error, which would end the study."""
    for output in (1, 2):
        try:
            os.tcgetpgrp(output)
        except OSError as error:
            if error.errno == errno.EIO:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, output)
                os.close(null)


@contextmanager
def hangup_held_back() -> Iterator[None]:
    """Processes that this thread starts meanwhile, and those that they start, do not end with the terminal.

    A terminal that is closed tells all its processes. The one that runs the study ends the others when it has what they
    were computing.
    """
    if _HANGUP is None:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {_HANGUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
