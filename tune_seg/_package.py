"""Where the package is, and how more of it is installed."""

import sys
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parent
"""The folder of the package. What lies in it is found from here, whichever folder the module that asks is in."""


STUDIES: Final = Path("studies")
"""The folder in which studies are kept where nothing else is said."""


def how_to_install(extra: str) -> str:
    """What to do for an extra. The package is in no index, where its name may be somebody else's."""
    checkout = PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return f'install it with: "{sys.executable}" -m pip install "{checkout}[{extra}]"'
    return f"install tune_seg again with [{extra}]"
