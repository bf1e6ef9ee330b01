"""The presets: the search spaces that come with the package."""

from pathlib import Path
from typing import Final

from tune_seg._package import PACKAGE

DEFAULT: Final = "default"
"""The preset that is used where none is named."""


def presets() -> dict[str, Path]:
    """The file of each preset, by its name."""
    installed, checkout = PACKAGE / "search_spaces", PACKAGE.parent / "search_spaces"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def summary(path: Path) -> str:
    """What a preset is for: the comment in the first line of its file."""
    with path.open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()
