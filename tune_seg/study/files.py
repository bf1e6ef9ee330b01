"""The files of a study directory that people and other programs read."""

from typing import Final

CONFIGURATION: Final = "study.yaml"
"""The study's configuration, with all that is needed to run it again."""

RESULTS: Final = "results.parquet"
"""A row for each trial."""

CLASSES: Final = "classes.png"
"""A picture of the class frequencies."""
