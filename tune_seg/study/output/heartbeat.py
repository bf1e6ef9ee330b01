"""A sign of life at regular times while something takes long."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

_EVERY = 60.0
"""Seconds from one sign to the next."""


@contextmanager
def heartbeat(signs: Sequence[Callable[[], None]]) -> Iterator[None]:
    """Call each of `signs` every minute in a thread of its own, as long as the context lasts."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(_EVERY):
            for sign in signs:
                with suppress(Exception):  # the next one may come; without it nothing is lost
                    sign()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
