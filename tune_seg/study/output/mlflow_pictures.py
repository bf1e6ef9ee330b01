"""The images of the report in which a rare class tells two models apart, all that is shown of each in one picture."""

import base64
import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from tune_seg.study.html.pictures import FALSE_ALARM, MISSED, RIGHT, Example, Examples, Picture

_WIDTH: Final = 320
"""Pixels of a picture on the sheet, at least: MLflow shows an image at its own size."""
_GAP, _LINE, _LETTERS = 12, 24, 15
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_KEY: Final = (("found", RIGHT), ("missed", MISSED), ("false alarm", FALSE_ALARM))


def prediction_pictures(images: Examples) -> dict[str, Image.Image]:
    """What two models predict of each image of the report, by the name of its file."""
    return {f"{number}.png": sheet(example) for number, example in enumerate(images.shown, 1)}


def sheet(example: Example) -> Image.Image:
    """Two rows: the image and what each model predicts, below them the truth and how sure each model is."""
    pictures = [(picture, _opened(picture)) for picture in example.pictures]
    rows = [[pictures[0], *pictures[2:4]], [pictures[1], *pictures[4:]]]
    width, height = pictures[0][1].size  # of all six
    font = ImageFont.load_default(_LETTERS)
    across = _GAP + len(rows[0]) * (width + _GAP)
    heading = _wrapped(example.title, font, across - 2 * _GAP)
    titles = [[_wrapped(picture.title, font, width) for picture, _ in row] for row in rows]
    lines = [max(len(title) for title in row) for row in titles]
    down = (len(heading) + 1 + sum(lines)) * _LINE + len(rows) * height + 2 * _GAP
    whole = Image.new("RGB", (across, down), "white")
    draw = ImageDraw.Draw(whole)

    def write(text: Sequence[str], left: int, top: int) -> None:
        for number, line in enumerate(text):
            draw.text((left, top + number * _LINE), line, "black", font)

    write(heading, _GAP, _GAP // 2)
    left, top = _GAP, len(heading) * _LINE
    for name, colour in _KEY:
        draw.rectangle((left, top + 8, left + 12, top + 20), colour, "black")
        write([name], left + 18, top + 6)
        left += 18 + round(font.getlength(name)) + 2 * _GAP
    top += _LINE + _GAP
    for row, of_row, count in zip(rows, titles, lines, strict=True):
        for number, ((_, pixels), title) in enumerate(zip(row, of_row, strict=True)):
            left = _GAP + number * (width + _GAP)
            write(title, left, top + (count - len(title)) * _LINE)
            whole.paste(pixels, (left, top + count * _LINE))
        top += count * _LINE + height
    return whole


def _wrapped(text: str, font: _Font, width: int) -> list[str]:
    """The lines of a text that are no wider than `width` pixels, but where one word is."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _opened(picture: Picture) -> Image.Image:
    """A picture of the report, magnified by a whole number where it is small: a mixture of two classes would be a third."""
    pixels = Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2]))).convert("RGB")
    times = max(1, -(-_WIDTH // pixels.width))
    return pixels.resize((times * pixels.width, times * pixels.height), Image.Resampling.NEAREST)
