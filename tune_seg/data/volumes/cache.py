"""The volumes in work: each is decoded once for all of its slices, and the next ones ahead of time."""

from pathlib import Path
from typing import NamedTuple

from tune_seg.data.dataset import Image
from tune_seg.data.images.class_numbers import Raw
from tune_seg.data.once import DecodedOnce, decoded_ahead


class Slices(NamedTuple):
    """A volume ready to be taken apart: images (S, H, W, C), raw masks (S, H, W)."""

    images: Image
    masks: Raw


VolumeCache = DecodedOnce[Path, Slices]
volumes_ahead = decoded_ahead
