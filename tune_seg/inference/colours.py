"""Colours by which classes are told apart, also by people who do not see all of them."""

import colorsys
from collections.abc import Sequence
from typing import Final

RGB = tuple[int, int, int]

_BACKGROUND: Final = ("background", "bg", "unlabelled", "unlabeled", "void", "other")
_OKABE_ITO: Final = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe & Ito, Color Universal Design, 2008, but for black, which is the background's."""
_GOLDEN: Final = 0.618033988749895


def class_colours(names: Sequence[str]) -> tuple[RGB, ...]:
    """A colour for each class: black for a background, then those of Okabe and Ito, then as many as there must be.

    Example:
        >>> class_colours(["background", "crack"])
        ((0, 0, 0), (230, 159, 0))
    """
    colours: list[RGB] = []
    others = 0
    for place, name in enumerate(names):
        if place == 0 and name.casefold() in _BACKGROUND:
            colours.append((0, 0, 0))
        else:
            colours.append(_colour(others))
            others += 1
    return tuple(colours)


def _colour(number: int) -> RGB:
    if number < len(_OKABE_ITO):
        return _OKABE_ITO[number]
    # steps of the golden ratio around the circle of hues, at three levels of brightness
    hue = (number * _GOLDEN) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, (1.0, 0.75, 0.5)[number % 3])
    return round(255 * red), round(255 * green), round(255 * blue)
