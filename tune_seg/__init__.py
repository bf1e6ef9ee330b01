"""tune_seg: find the loss, schedule and settings that serve a segmentation data set with rare classes."""

import time

IMPORTED = time.perf_counter()
"""When the package was imported: for a command, when it began, but for Python's own start."""
