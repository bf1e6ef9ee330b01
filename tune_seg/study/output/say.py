"""How a line is printed while a study prepares and runs: as it is, on one line of the terminal however long it is."""

from contextlib import AbstractContextManager

from rich.console import Console


def say(console: Console, line: str) -> None:
    """Print a line whose text is no markup."""
    console.print(line, soft_wrap=True, markup=False)


def waiting(console: Console, what: str) -> AbstractContextManager[object]:
    """On a terminal, say what is waited for as long as the context lasts; a log is told nothing."""
    return console.status(f"Waiting: {what}")
