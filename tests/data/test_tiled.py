"""Large images as tiles: one side of the split for all of an image, and each pixel counted once where it validates."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from tests.support.image_files import Array, numbers, photo, write_image
from tests.support.volume_files import classes as classes_of_volume
from tests.support.volume_files import intensities, write_nifti
from tune_seg.config import DataConfig, parse
from tune_seg.data import Dataset, PackedData, PackedTest, Sample, pack, read, read_test
from tune_seg.data.packing.write import packed_origin
from tune_seg.data.tiled import TiledDataset, tiled
from tune_seg.errors import InputError

TILES = {"size": [32, 40], "overlap": 8}
SHAPES = {"a": (70, 100), "b": (32, 40), "c": (20, 90), "d": (100, 31), "e": (64, 64)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, shape in SHAPES.items():
        write_image(tmp_path / "data" / "images" / f"{name}.png", photo(*shape))
        write_image(tmp_path / "data" / "masks" / f"{name}.png", numbers([0, 1, 2, 255], *shape))
    return tmp_path / "data"


def config(root: Path, **values: object) -> DataConfig:
    return parse(DataConfig, {"root": root, "classes": ["x", "y", "z"], "tiles": TILES, **values})


def image_of(sample: Sample) -> str:
    return sample.id.partition("@")[0]


def mask_of(root: Path, name: str) -> Array:
    return np.asarray(Image.open(root / "masks" / f"{name}.png"))


def classes(mask: Array) -> list[int]:
    return np.bincount(mask.ravel(), minlength=256)[:3].tolist()


@pytest.mark.parametrize("split", [{"val_fraction": 0.4}, {"folds": 3}])
def test_each_pixel_of_an_image_that_validates_counts_once(root: Path, tmp_path: Path, split: dict[str, Any]) -> None:
    settings = config(root, split=split)
    assert settings.size == (32, 40)  # that of the tiles, where it is not set
    dataset = read(settings)
    packs = tmp_path / "packs"
    data = PackedData(pack(dataset, packs, settings.size))
    for fold in range(data.folds) if data.folds else [None]:
        of_fold = data.of_fold(fold)
        subset = "val" if fold is None else str(fold)
        validating = {image_of(sample) for sample in dataset.samples if sample.subset == subset}
        assert validating
        assert of_fold.val_pixels.tolist() == np.sum([classes(mask_of(root, name)) for name in validating], axis=0).tolist()
        assert len(set(of_fold.val_groups.tolist())) == len(validating)


def test_training_is_on_all_of_each_tile_and_no_image_is_divided(root: Path) -> None:
    dataset = read(config(root, split={"val_fraction": 0.4}))
    sides: dict[str, set[str]] = {}
    for sample in dataset.samples:
        sides.setdefault(image_of(sample), set()).add(sample.split)
        image, mask = dataset.load(sample)
        assert image.shape == (32, 40, 3) and mask.shape == (32, 40)
        assert sample.group == image_of(sample)
    assert all(len(side) == 1 for side in sides.values())
    for name in (name for name, side in sides.items() if side == {"train"}):
        seen = [classes(dataset.load(sample)[1]) for sample in dataset.samples if image_of(sample) == name]
        assert (np.sum(seen, axis=0) >= classes(mask_of(root, name))).all()
        (first, *_) = (sample for sample in dataset.samples if image_of(sample) == name)
        corner = mask_of(root, name)[:32, :40]
        labels = dataset.load(first)[1]
        np.testing.assert_array_equal(labels[: corner.shape[0], : corner.shape[1]], corner)
        assert (labels[corner.shape[0] :] == 255).all() and (labels[:, corner.shape[1] :] == 255).all()


def test_the_images_of_a_test_are_cut_too(root: Path, tmp_path: Path) -> None:
    (tmp_path / "held.txt").write_text("a\nc\n")
    settings = config(root, split={"val_fraction": 0.4, "test": str(tmp_path / "held.txt")})
    held_out = read_test(settings)
    assert held_out is not None
    test = PackedTest(pack(held_out, tmp_path / "packs", settings.size))
    assert test.val_pixels.tolist() == np.add(classes(mask_of(root, "a")), classes(mask_of(root, "c"))).tolist()
    assert not {image_of(sample) for sample in read(settings).samples} & {"a", "c"}


def test_limits_are_of_images_and_what_was_cut_is_said(root: Path, tmp_path: Path) -> None:
    settings = config(root, split={"val_fraction": 0.4}, max_train=1, max_val=1, size=[16, 20])
    dataset = read(settings)
    assert len({image_of(sample) for sample in dataset.samples}) == 2
    pack(dataset, tmp_path / "packs", settings.size)
    origin = packed_origin(dataset, tmp_path / "packs", settings.size)
    assert origin is not None
    said = "\n".join(origin.notes)
    assert f"2 images are cut into {len(dataset.samples)} tiles of 40 x 32 pixels" in said
    assert "--set 'data.size=[32,40]' leaves them as they are" in said


@pytest.mark.parametrize("values", [{}, {"size": [16, 20]}, {"size": [16, 16], "resize": "crop"}])
def test_the_pixels_of_the_files_are_counted_once_on_both_sides(root: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    settings = config(root, split={"val_fraction": 0.4}, **values)
    dataset = read(settings)
    pack(dataset, tmp_path / "packs", settings.size)
    origin = packed_origin(dataset, tmp_path / "packs", settings.size)
    assert origin is not None
    for side, counts in origin.counts.items():
        masks = [mask_of(root, name) for name in {image_of(sample) for sample in dataset.samples if sample.split == side}]
        assert list(counts.full) == np.sum([classes(mask) for mask in masks], axis=0).tolist()
        assert counts.ignored == sum(int((mask == 255).sum()) for mask in masks)
        assert all(0 < kept <= full for kept, full in zip(counts.kept, counts.full, strict=True))
        assert (counts.kept == counts.full) == (not values)


@dataclass(frozen=True)
class Noted(Dataset):
    """Images in memory, each noted when it is decoded."""

    decoded: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=Lock)

    class_names = ("x", "y")

    def shape(self, sample: Sample) -> tuple[int, int]:
        return 64, 64

    def load(self, sample: Sample) -> tuple[Array, npt.NDArray[np.uint8]]:
        with self.lock:
            self.decoded.append(sample.id)
        return np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.uint8)

    def source(self) -> dict[str, Any]:
        return {}


def test_packing_decodes_each_image_once_and_keeps_none(tmp_path: Path) -> None:
    names = [f"{number:02d}" for number in range(12)]
    whole = Noted(tuple(Sample(name, "train" if name < "09" else "val") for name in names))
    dataset = tiled(whole, parse(DataConfig, {"root": tmp_path, "tiles": {"size": [16, 16]}}))
    assert isinstance(dataset, TiledDataset)
    assert len(dataset.samples) == 12 * 16
    pack(dataset, tmp_path / "packs", (16, 16))
    assert sorted(whole.decoded) == names
    assert len(dataset.cache) == 0


def test_what_is_wrong_with_an_image_is_said_once(root: Path, tmp_path: Path) -> None:
    write_image(root / "masks" / "a.png", numbers([0, 1], 70, 99))
    (root / "images" / "d.png").write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        pack(read(config(root)), tmp_path / "packs", (32, 40))
    problems = str(caught.value).splitlines()[1:]
    assert len(problems) == 2
    assert "99 x 70 pixels, but its image a.png is 100 x 70 pixels" in problems[0]
    assert "d.png: cannot be read as an image" in problems[1]


def test_pages_of_a_tiff_are_cut_each(tmp_path: Path) -> None:
    pages = np.stack([photo(50, 60) for _ in range(3)])
    for kind, values in (("images", pages), ("masks", np.stack([numbers([0, 1], 50, 60) for _ in range(3)]))):
        for name in "ab":
            (tmp_path / kind).mkdir(exist_ok=True)
            tifffile.imwrite(
                tmp_path / kind / f"{name}.tif", values, photometric="rgb" if kind == "images" else "minisblack"
            )
    dataset = read(config(tmp_path, classes=["x", "y"]))
    assert Counter(sample.group for sample in dataset.samples) == {"a": 12, "b": 12}
    last = next(sample for sample in dataset.samples if sample.id == "a#2@3")
    np.testing.assert_array_equal(dataset.load(last)[0], pages[2, 18:, 20:])


def test_slices_of_volumes_are_cut_and_stay_with_their_patient(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        write_nifti(tmp_path / f"{name}.nii.gz", intensities(number))
        write_nifti(tmp_path / f"{name}_seg.nii.gz", classes_of_volume(number))
    dataset = read(config(tmp_path, tiles={"size": [8, 8]}, split={"val_fraction": 0.3}))
    whole = read(config(tmp_path, tiles={}, split={"val_fraction": 0.3}))
    assert Counter(sample.group for sample in dataset.samples) == {name: 5 * 4 for name in "abc"}
    for side in ("train", "val"):
        one, other = (
            np.sum([classes(each.load(sample)[1]) for sample in each.samples if sample.split == side], axis=0)
            for each in (whole, dataset)
        )
        assert (one == other).all() if side == "val" else (one < other).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"root": "x", "tiles": {"size": [32, 32], "overlap": 32}}, "no less than a tile"),
        ({"root": "x", "tiles": {"overlap": 3}}, "needs data.tiles.size"),
        ({"tiles": {"size": [32, 32]}}, "needs data.root"),
    ],
)
def test_tiles_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(DataConfig, values)
