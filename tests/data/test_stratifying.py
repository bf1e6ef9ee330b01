"""Drawn splits have every class on every side, where the images allow."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.image_files import photo, read_root, write_image
from tune_seg.config import DataConfig, SplitConfig
from tune_seg.data import PackedData, PackedTest, pack
from tune_seg.data.dataset import Dataset, Image, Mask, Sample
from tune_seg.data.images.files import FileDataset
from tune_seg.data.reading import read_both, read_test
from tune_seg.data.splitting import divide
from tune_seg.data.stratifying import stratified
from tune_seg.errors import InputError


@dataclass(frozen=True)
class Told(Dataset):
    """Samples whose ids tell which classes they have: `group/classes/number`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("a", "b", "c", "d")

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        mask = np.array([[int(value) for value in sample.id.split("/")[1]]], np.uint8)
        return np.zeros((*mask.shape, 3), np.uint8), mask

    def source(self) -> dict[str, Any]:
        return {}


def told(groups: Sequence[str], **split: object) -> tuple[Dataset, int, SplitConfig]:
    """Divided at random: a group for each text, with a sample for each word, the digits of which are its classes."""
    samples = [
        Sample(f"g{number:02}/{classes}/{place}", "train", group=f"g{number:02}")
        for number, words in enumerate(groups)
        for place, classes in enumerate(words.split())
    ]
    config = SplitConfig.model_validate(split)
    divided = Told(divide(samples, config, Path()))
    return divided, len(samples), config


def sides(dataset: Dataset) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for sample in dataset.samples:
        found.setdefault(sample.subset, set()).update(sample.id.split("/")[1])
    return found


def groups_on(dataset: Dataset) -> Counter[str]:
    """How many groups are on each side."""
    return Counter(side for side, _ in {(sample.subset, sample.group) for sample in dataset.samples})


words = st.lists(st.sampled_from(["0", "01", "02", "3", "012"]), min_size=1, max_size=3).map(" ".join)


@settings(deadline=None)
@given(
    groups=st.lists(words, min_size=6, max_size=14),
    way=st.sampled_from([{"val_fraction": 0.3}, {"folds": 3}, {"folds": 2, "val_fraction": 0.2}, {"test": 0.2}]),
    seed=st.integers(0, 3),
)
def test_classes_only_gain_sides_and_groups_stay_whole(groups: list[str], way: dict[str, Any], seed: int) -> None:
    before, count, config = told(groups, seed=seed, **way)
    after, moved = stratified(before, config.seed)
    assert len(after.samples) == count
    of_group: dict[str, set[str]] = {}
    for sample in after.samples:
        of_group.setdefault(sample.group, set()).add(sample.subset)
        assert sample.split == {"0": "val", "1": "train", "2": "train"}.get(sample.subset, sample.subset)
    assert all(len(found) == 1 for found in of_group.values())
    sizes = [
        {side: len({s.group for s in each.samples if s.subset == side}) for side in sides(before)}
        for each in (before, after)
    ]
    assert sizes[0] == sizes[1]
    covered = [sum(map(len, sides(each).values())) for each in (before, after)]
    assert (moved == 0) == (before.samples == after.samples)
    if "test" not in way and "folds" in way:
        assert covered[1] >= covered[0]
    assert stratified(before, config.seed)[0].samples == after.samples


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("way", [{"val_fraction": 0.2}, {"folds": 5}])
def test_a_class_that_few_images_have_is_on_every_side(way: dict[str, Any], seed: int) -> None:
    before, _, config = told(["0"] * 15 + ["01"] * 5, seed=seed, **way)
    after, _ = stratified(before, config.seed)
    assert all(found == {"0", "1"} for found in sides(after).values())


def test_a_class_of_one_group_trains() -> None:
    for seed in range(8):
        after, _ = stratified(told(["0"] * 9 + ["01"], seed=seed, val_fraction=0.3)[0], seed)
        assert sides(after) == {"train": {"0", "1"}, "val": {"0"}}


def test_two_groups_train_and_validate_before_any_is_held_out() -> None:
    for seed in range(8):
        after, _ = stratified(told(["0"] * 9 + ["01"] * 2, seed=seed, val_fraction=0.3, test=0.2)[0], seed)
        assert sides(after) == {"train": {"0", "1"}, "val": {"0", "1"}, "test": {"0"}}


def test_a_draw_with_every_class_on_every_side_stays_and_not_every_mask_is_read(tmp_path: Path) -> None:
    for number in range(200):
        write_image(tmp_path / "images" / f"s{number:03}.png", photo())
        write_image(tmp_path / "masks" / f"s{number:03}.png", np.tile(np.array([0, 1], np.uint8), (10, 6)))
    dataset = read_root(tmp_path, classes=["a", "b"])
    assert dataset.samples == divide(dataset.samples, SplitConfig(val_fraction=0.2), tmp_path)

    seen: list[Sample] = []

    class Watched(FileDataset):
        def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
            seen.extend(samples)
            return super().classes_in(samples)

    watched = Watched(**{name: getattr(dataset, name) for name in ("samples", "classes", "pictures", "masks")})
    assert stratified(watched, 0) == (watched, 0)
    assert 0 < len(seen) < 40


@pytest.mark.parametrize("classes", [None, ["road", "sign"]])
def test_a_rare_class_of_a_folder_both_trains_and_validates_and_that_is_said(
    tmp_path: Path, classes: list[str] | None
) -> None:
    rare = {"e", "m"}
    for name in "abcdefghijklmnopqrst":
        write_image(tmp_path / "images" / f"{name}.png", photo())
        mask = np.zeros((10, 12), np.uint8)
        mask[3, 3] = name in rare
        write_image(tmp_path / "masks" / f"{name}.png", mask)
    for seed in range(4):
        dataset = read_root(tmp_path, classes=classes, split={"val_fraction": 0.2, "seed": seed})
        assert {sample.split for sample in dataset.samples if sample.id in rare} == {"train", "val"}
        assert sum(sample.split == "val" for sample in dataset.samples) == 4
        drawn = divide(dataset.samples, SplitConfig(val_fraction=0.2, seed=seed), tmp_path)
        said = any("so that rare classes are on every side" in note for note in dataset.split_notes)
        assert said == (drawn != dataset.samples)


def test_what_was_read_is_kept_where_packs_are(tmp_path: Path) -> None:
    for name in "abcdefghij":
        write_image(tmp_path / "images" / f"{name}.png", photo())
        mask = np.zeros((10, 12), np.uint8)
        mask[3, 3] = name in "ad"
        write_image(tmp_path / "masks" / f"{name}.png", mask)
    config = DataConfig.model_validate({"root": tmp_path, "split": {"folds": 5}})
    first, _ = read_both(config, tmp_path / "packs")
    assert not (tmp_path / "packs").exists()
    (tmp_path / "packs").mkdir()
    assert read_both(config, tmp_path / "packs")[0].samples == first.samples
    (kept,) = (tmp_path / "packs").iterdir()
    assert read_both(config, tmp_path / "packs")[0].samples == first.samples
    kept.write_text("damaged")
    assert read_both(config, tmp_path / "packs")[0].samples == first.samples
    mask[:] = 1
    write_image(tmp_path / "masks" / "b.png", mask)
    read_both(config, tmp_path / "packs")
    assert len(list((tmp_path / "packs").iterdir())) == 2  # another file, another answer


def drawn_apart(root: Path, value: int) -> DataConfig:
    """Twenty images with an object, and a configuration that draws four of them for the test, whose object has `value`."""
    config = DataConfig.model_validate({"root": root, "size": (10, 12), "split": {"test": 0.2}})
    for number in range(20):
        write_image(root / "images" / f"{chr(97 + number)}.png", photo())
        mask = np.zeros((10, 12), np.uint8)
        mask[3:7, 2:8] = 1
        write_image(root / "masks" / f"{chr(97 + number)}.png", mask)
    test = read_test(config)
    assert test is not None and len(test.samples) == 4
    for sample in test.samples:
        mask = np.zeros((10, 12), np.uint8)
        mask[3:7, 2:8] = value
        assert sample.mask is not None
        write_image(sample.mask, mask)
    return config


def test_masks_of_a_drawn_test_that_mean_something_else_are_refused(tmp_path: Path) -> None:
    config = drawn_apart(tmp_path, 255).model_copy(update={"classes": ["background", "crack"]})
    dataset, _ = read_both(config, tmp_path / "packs")
    with pytest.raises(InputError, match=r"two kinds of masks: 16 masks .* with 1, 4 masks .* with 255, none with both"):
        pack(dataset, tmp_path / "packs", (10, 12))


def test_a_class_of_a_drawn_test_alone_is_known_before_images_change_places(tmp_path: Path) -> None:
    dataset, test = read_both(drawn_apart(tmp_path, 2), tmp_path / "packs")
    assert test is not None
    data = PackedData(pack(dataset, tmp_path / "packs", (10, 12)))
    held_out = PackedTest(pack(test, tmp_path / "packs", (10, 12)))
    assert data.class_names == held_out.class_names == ("class 0", "class 1", "class 2")
    assert min(data.train_pixels) > 0 and min(data.val_pixels) > 0 and min(held_out.val_pixels) > 0
