"""Searches replayed against the recorded table, see `../replay.py`."""
