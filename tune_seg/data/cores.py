"""How many processor cores there are to decode with."""

import os


def available_cores() -> int:
    """How many cores this process may use: a batch system such as Slurm gives it fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS binds no process to cores
        return os.cpu_count() or 1
