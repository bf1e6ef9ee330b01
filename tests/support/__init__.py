"""What tests share: files in published layouts, losses written literally, cases, small studies, the checkout."""

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[2]
