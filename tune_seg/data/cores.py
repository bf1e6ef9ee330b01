"""The number of processor cores for decoding."""

import os


def available_cores() -> int:
    """The number of cores that this process may use; a batch system such as Slurm gives it fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS binds no process to cores
        return os.cpu_count() or 1
