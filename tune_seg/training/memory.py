"""How much memory is free, and what the C library does with memory that was freed."""

import ctypes
import os
from pathlib import Path
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # the numbers of malloc.h
_M_MMAP_MAX: Final = -4


def keep_freed_memory() -> None:
    """Have this process keep what it frees for what it allocates next, where the C library is glibc.

    A training step frees and allocates the same hundreds of megabytes again and again. By default glibc gives large pieces
    back to the system, which hands them out anew page by page, zeroed. Afterwards the process holds its peak until it ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def available_memory() -> int:
    """Bytes that a process can take without swapping, as far as the system says; 0 where it does not."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except ValueError:  # on macOS
        return 0
