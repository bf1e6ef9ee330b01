"""How a line is printed while a study prepares and runs: as it is, on one line of the terminal however long it is."""

from rich.console import Console


def say(console: Console, line: str) -> None:
    """Print a line whose text is no markup."""
    console.print(line, soft_wrap=True, markup=False)
