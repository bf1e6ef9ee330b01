"""tune_seg: find the loss, schedule and settings that serve a segmentation data set with rare classes."""

from typing import Final

from tune_seg._commands import exit_if_no_command

__version__: Final = "0.2.0"

exit_if_no_command()
