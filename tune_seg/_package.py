"""Where the package is."""

from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parent
"""The folder of the package. What lies in it is found from here, whichever folder the module that asks is in."""
