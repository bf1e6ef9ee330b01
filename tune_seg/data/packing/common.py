"""Which images two packs have in common, whatever they are called there."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import Image
from tune_seg.data.packing.packed import PackedData


def common_images(first: PackedData, second: PackedData) -> list[tuple[str, str]]:
    """The ids of images that are equal to the last bit in two packs, in the order of the second.

    An image of one colour, such as an empty slice of a volume, tells nothing about another, and is left out.

    Only the middle row of an image is read, unless that is one of the other pack as well.
    """
    rows = {_middle(first.image(number)) for number in range(len(first))}
    suspected = [number for number in range(len(second)) if _middle(second.image(number)) in rows]
    if not suspected:
        return []
    rows = {_middle(second.image(number)) for number in suspected}
    alike = (number for number in range(len(first)) if _middle(first.image(number)) in rows)
    known, found = _digests(first, alike), _digests(second, suspected)
    ids, others = first.ids(), second.ids()
    return [(ids[known[digest]], others[number]) for digest, number in found.items() if digest in known]


def _digests(data: PackedData, numbers: Iterable[int]) -> dict[bytes, int]:
    """The first of the images with each digest, without those of one colour."""
    digests: dict[bytes, int] = {}
    for number in numbers:
        image = data.image(number)
        if (image != image[0, 0]).any():
            digests.setdefault(_digest(image), number)
    return digests


def _middle(image: Image) -> bytes:
    return _digest(image[len(image) // 2])


def _digest(values: npt.NDArray[np.uint8 | np.uint16]) -> bytes:
    return blake2b(np.ascontiguousarray(values).data, digest_size=16).digest()
