"""Command lines: argparse that says what a misspelt option was probably meant to be."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tune_seg._package import STUDIES
from tune_seg.errors import did_you_mean


class Parser(argparse.ArgumentParser):
    """An argument parser that takes options by their whole names, and names the nearest one where there is none.

    Args:
        settings: as for `argparse.ArgumentParser`.
    """

    def __init__(self, **settings: Any) -> None:
        # an abbreviation would make every beginning of an option an option, which a new option could then take away
        super().__init__(**settings, allow_abbrev=False)

    def add_studies(self) -> None:
        """Add the option that names the folder in which a command looks for a study."""
        self.add_argument("--studies", type=Path, default=STUDIES, metavar="DIR", help="where studies are kept")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """Parse; anything that is left over is an error here, so that a subcommand names its own options."""
        arguments, left = super().parse_known_args(args, namespace)
        for word in left:
            option = word.partition("=")[0]
            if option.startswith("-"):
                self.error(f"unknown option {option}{did_you_mean(option, self._option_string_actions)}")
        if left:
            self.error(f"unexpected {' '.join(left)}")
        return arguments, left
