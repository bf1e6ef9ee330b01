"""The phases of `gpu.py`, a file each with a function `run(task, result)`; each runs in a process of its own."""
