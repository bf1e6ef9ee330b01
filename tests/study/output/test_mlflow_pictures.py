"""What MLflow shows of the predictions of two models."""

import numpy as np
import pytest
from PIL import ImageFont

from tune_seg.study.html.pictures import Example, Picture, _png
from tune_seg.study.output.mlflow_pictures import _wrapped, sheet

TITLES = ("image", "truth", "ce", "focal", "confidence, ce", "confidence, focal")


@pytest.mark.parametrize("long", ["", " naive acw (start 0.1725, end 0.4068) and even more settings"])
def test_a_sheet_has_a_column_for_the_image_and_for_each_model(long: str) -> None:
    colours = [(40 * number, 10, 200) for number in range(1, 7)]  # text is grey
    pictures = [
        Picture(title + long, _png(np.full((3, 5, 3), colour, np.uint8)), "")
        for title, colour in zip(TITLES, colours, strict=True)
    ]
    found = np.asarray(sheet(Example(f"Image 3: of 15 pixels of sign, ce finds 1, focal 9{3 * long}", pictures)))
    times = 320 // 5
    places = [np.argwhere((found == colour).all(axis=2)) for colour in colours]
    for each in places:
        assert len(each) == 15 * times**2  # whole, and magnified without mixing
        assert tuple(each.max(axis=0) + 1 - each.min(axis=0)) == (3 * times, 5 * times)
    image, truth, ce, focal, sure_ce, sure_focal = (each.min(axis=0) for each in places)
    assert image[0] == ce[0] == focal[0] < truth[0] == sure_ce[0] == sure_focal[0]
    assert image[1] == truth[1] < ce[1] == sure_ce[1] < focal[1] == sure_focal[1]


def test_a_text_is_divided_where_it_would_be_cut_off() -> None:
    font, text = ImageFont.load_default(15), "confidence, wdice>wce naive acw (start 0.1725, end 0.4068)"
    lines = _wrapped(text, font, 320)
    assert " ".join(lines) == text and len(lines) == 2
    assert all(font.getlength(line) <= 320 for line in lines)
    assert _wrapped("inseparable", font, 10) == ["inseparable"]
