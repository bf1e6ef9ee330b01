"""What MLflow shows of the predictions of two models."""

import numpy as np

from tune_seg.study.html.pictures import Example, Picture, _png
from tune_seg.study.output.mlflow_pictures import sheet

TITLES = ("image", "truth", "ce", "focal", "confidence, ce", "confidence, focal")


def test_a_sheet_has_a_column_for_the_image_and_for_each_model() -> None:
    colours = [(40 * number, 10, 200) for number in range(1, 7)]  # text is grey
    pictures = [
        Picture(title, _png(np.full((3, 5, 3), colour, np.uint8)), "") for title, colour in zip(TITLES, colours, strict=True)
    ]
    found = np.asarray(sheet(Example("Image 3: of 15 pixels of sign, ce finds 1, focal 9", pictures)))
    times = 320 // 5
    places = [np.argwhere((found == colour).all(axis=2)) for colour in colours]
    for each in places:
        assert len(each) == 15 * times**2  # whole, and magnified without mixing
        assert tuple(each.max(axis=0) + 1 - each.min(axis=0)) == (3 * times, 5 * times)
    image, truth, ce, focal, sure_ce, sure_focal = (each.min(axis=0) for each in places)
    assert image[0] == ce[0] == focal[0] < truth[0] == sure_ce[0] == sure_focal[0]
    assert image[1] == truth[1] < ce[1] == sure_ce[1] < focal[1] == sure_focal[1]
