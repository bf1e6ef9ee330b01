"""What a study writes at a trial in its journal, beside what Optuna does: its records, samplers and growth read it."""

from typing import Final

ASSIGNMENT: Final = "assignment"
"""The values of its varied keys; a repeat has them too, which has no parameters."""
REPEAT: Final = "repeat"
"""It repeats a configuration."""
EXTRA: Final = "extra"
"""It is a repeat that `tune-seg confirm` has added."""
DUPLICATE: Final = "duplicate"
"""It was left out, because the same had been tried."""
