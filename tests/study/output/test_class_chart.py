"""The class frequencies as a person sees them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from tune_seg.data import PackedData
from tune_seg.losses.class_weight_kinds import Weights
from tune_seg.study.output.class_chart import show_classes


def shown(packed: PackedData, picture: Path, weights: Sequence[Weights] = ()) -> list[str]:
    printed = io.StringIO()
    show_classes(packed, picture, Console(file=printed, width=100), weights=weights)
    return printed.getvalue().splitlines()


def test_classes_are_listed_by_frequency_with_bars_on_a_logarithmic_scale(packed: PackedData, tmp_path: Path) -> None:
    lines = shown(packed, tmp_path / "classes.png")
    assert "Class frequencies in 8 training images" in lines[0]
    order = [packed.class_names[index] for index in np.argsort(-packed.frequencies, kind="stable")]
    assert [line[: len(name)] for line, name in zip(lines[2:], order, strict=False)] == order
    bars = [line.count("\u2588") for line in lines[2:]]
    assert bars == sorted(bars, reverse=True)
    first, second = (packed.frequencies[packed.class_names.index(name)] for name in order[:2])
    lowest = -int(lines[1].split("1e-")[1].split()[0])
    assert bars[:2] == [round(40 * (1 - np.log10(share) / lowest)) for share in (first, second)]


def test_the_picture_has_a_bar_for_each_class_and_is_drawn_once(packed: PackedData, tmp_path: Path) -> None:
    picture = tmp_path / "classes.png"
    shown(packed, picture)
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    blue = (pixels == (31, 119, 180)).all(axis=2)  # matplotlib's first colour
    columns = blue.any(axis=0).astype(int)
    assert (np.diff(columns) == 1).sum() == (packed.frequencies > 0).sum()
    before = picture.stat().st_mtime_ns
    assert shown(packed, picture) == []
    assert picture.stat().st_mtime_ns == before


def test_class_weights_stand_beside_the_frequencies(packed: PackedData, tmp_path: Path) -> None:
    shares = packed.frequencies
    assert not shares.all()  # of one class there is no pixel
    inverse = np.array([shares.max() / share if share else 0.0 for share in shares])
    lines = shown(packed, tmp_path / "classes.png", [inverse, inverse**0.5])
    assert "class weight" in lines[1]
    cells = {name: next(line for line in lines[2:] if line.startswith(name)) for name in packed.class_names}
    frequent, rare, absent = (packed.class_names[i] for i in (shares.argmax(), inverse.argmax(), shares.argmin()))
    assert " 1 " in cells[frequent] and " to " not in cells[frequent] + cells[absent]
    assert f"{inverse.max() ** 0.5:.3g} to {inverse.max():.3g} " in cells[rare]
    assert cells[absent].split()[-1] == "0"
    assert "weight" not in "".join(shown(packed, tmp_path / "other.png"))
