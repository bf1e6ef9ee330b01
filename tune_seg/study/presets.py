"""The presets, which are search spaces, and the portfolios that come with the package."""

from pathlib import Path
from typing import Final

from tune_seg._package import PACKAGE

DEFAULT: Final = "default"
"""The preset that is used where none is named."""


def presets() -> dict[str, Path]:
    """The file of each preset, by its name."""
    return {path.stem: path for path in sorted(folder().glob("*.yaml"))}


def portfolios() -> dict[str, Path]:
    """The file of each portfolio, by its name: a list of settings that were good elsewhere."""
    return {path.stem: path for path in sorted((folder() / "portfolios").glob("*.yaml"))}


def folder() -> Path:
    """Where the presets lie."""
    installed, checkout = PACKAGE / "search_spaces", PACKAGE.parent / "search_spaces"
    return installed if installed.is_dir() else checkout


def summary(path: Path) -> str:
    """What a preset is for: the comment in the first line of its file."""
    with path.open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()
