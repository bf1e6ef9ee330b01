"""Volumes and their grids in space, as the readers of volumes share them."""
