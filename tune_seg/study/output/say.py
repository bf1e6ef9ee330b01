"""How a line is printed while a study prepares and runs: as it is, on one line of the terminal however long it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from tune_seg.study.output.heartbeat import heartbeat
from tune_seg.study.output.words import duration


def say(console: Console, line: str) -> None:
    """Print a line whose text is no markup."""
    console.print(line, soft_wrap=True, markup=False)


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Say what is waited for while the context lasts: a terminal shows it, a log has a line at once and every minute."""
    with console.status(f"Waiting: {what}") if console.is_terminal else _in_a_log(console, lambda: f"Waiting: {what}"):
        yield


@contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Say how far something is that goes through `total` items, a terminal by a bar, a log by lines as of :func:`waiting`.

    Yields:
        what is to be called with the number of items that are done, and of all.
    """
    if console.is_terminal:
        with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, of: bar.update(task, completed=done, total=of)
        return
    counts = (0, total)

    def update(done: int, of: int) -> None:
        nonlocal counts
        counts = done, of

    with _in_a_log(console, lambda: f"{what}: {counts[0]} of {counts[1]}"):
        yield update


@contextmanager
def _in_a_log(console: Console, line: Callable[[], str]) -> Iterator[None]:
    began = time.monotonic()
    say(console, line())
    with heartbeat([lambda: say(console, f"{line()}, {duration(time.monotonic() - began)} so far")]):
        yield
