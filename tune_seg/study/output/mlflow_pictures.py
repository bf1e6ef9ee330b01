"""The images of the report in which a rare class tells two models apart, all that is shown of each in one picture."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

from tune_seg.study.contents import read_study
from tune_seg.study.html.pictures import FALSE_ALARM, MISSED, RIGHT, Example, Picture, examples

_WIDTH: Final = 320
"""Pixels of a picture on the sheet, at least: MLflow shows an image at its own size."""
_GAP, _LINE, _LETTERS = 12, 24, 15
_KEY: Final = (("found", RIGHT), ("missed", MISSED), ("false alarm", FALSE_ALARM))


def prediction_pictures(directory: Path, overrides: Mapping[str, Any]) -> dict[str, Image.Image]:
    """What the configuration to take and plain cross entropy predict of three validation images, by the name of its file.

    Empty where the report shows none either.

    Args:
        directory: of the study.
        overrides: of its configuration, by dotted key: what `tune-seg confirm` has set for one session.
    """
    try:
        found = examples(read_study(directory, overrides))
    except Exception:  # whatever it is, the study has an answer, and the report says why it shows none
        return {}
    return {f"{number}.png": sheet(example) for number, example in enumerate(found.shown, 1)}


def sheet(example: Example) -> Image.Image:
    """Two rows: the image and what each model predicts, below them the truth and how sure each model is."""
    pictures = [(picture, _opened(picture)) for picture in example.pictures]
    columns = [pictures[:2], *zip(pictures[2:4], pictures[4:], strict=True)]
    width, height = pictures[0][1].size  # of all six
    font = ImageFont.load_default(_LETTERS)
    whole = Image.new("RGB", (_GAP + len(columns) * (width + _GAP), 2 * _LINE + 2 * (height + _LINE) + 2 * _GAP), "white")
    draw = ImageDraw.Draw(whole)
    draw.text((_GAP, _GAP // 2), example.title, "black", font)
    left = _GAP
    for name, colour in _KEY:
        draw.rectangle((left, _LINE + 8, left + 12, _LINE + 20), colour, "black")
        draw.text((left + 18, _LINE + 6), name, "black", font)
        left += 18 + round(font.getlength(name)) + 2 * _GAP
    for number, column in enumerate(columns):
        for row, (picture, pixels) in enumerate(column):
            left, top = _GAP + number * (width + _GAP), 2 * _LINE + _GAP + row * (height + _LINE)
            draw.text((left, top), picture.title, "black", font)
            whole.paste(pixels, (left, top + _LINE))
    return whole


def _opened(picture: Picture) -> Image.Image:
    """A picture of the report, magnified by a whole number where it is small: a mixture of two classes would be a third."""
    pixels = Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2]))).convert("RGB")
    times = max(1, -(-_WIDTH // pixels.width))
    return pixels.resize((times * pixels.width, times * pixels.height), Image.Resampling.NEAREST)
