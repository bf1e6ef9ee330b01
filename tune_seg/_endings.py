"""What ends a study from outside."""

import signal
from typing import Any, Final

ENDINGS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What a batch system sends to end a job, and a terminal that is closed."""


def treat_as_ctrl_c() -> dict[signal.Signals, Any]:
    """Let :data:`ENDINGS` do what Ctrl-C does, which keeps what was computed; what `nohup` ignores stays ignored.

    Returns:
        the handlers that were there before, to put back.
    """
    treated = [each for each in ENDINGS if signal.getsignal(each) is not signal.SIG_IGN]
    return {each: signal.signal(each, lambda *_: signal.raise_signal(signal.SIGINT)) for each in treated}
