"""The images of the report in which a rare class tells two models apart, all that is shown of each in one picture."""

import base64
import io
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from tune_seg.study.html.pictures import FALSE_ALARM, MISSED, RIGHT, Example, Examples, Picture

_WIDTH: Final = 320
"""Pixels of a picture on the sheet, at least: MLflow shows an image at its own size."""
_GAP, _LINE, _LETTERS = 12, 24, 15
_KEY: Final = (("found", RIGHT), ("missed", MISSED), ("false alarm", FALSE_ALARM))


def prediction_pictures(images: Examples) -> dict[str, Image.Image]:
    """What two models predict of each image of the report, by the name of its file."""
    return {f"{number}.png": sheet(example) for number, example in enumerate(images.shown, 1)}


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
