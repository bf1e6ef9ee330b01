"""The generated data set: a function of its arguments, with the class shares that the study needs."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import CHECKOUT
from tune_seg.config import DataConfig
from tune_seg.data import SyntheticDataset, pack, read, read_test, synthetic
from tune_seg.data.dataset import SPLITS, TEST, SplitName
from tune_seg.data.synthetic import CLASS_NAMES, TEST_IMAGES, TRAIN_IMAGES, VAL_IMAGES, scene

SIZE = (64, 96)


def shares(dataset: SyntheticDataset, split: str) -> np.ndarray:
    masks = [dataset.load(sample)[1] for sample in dataset.samples if sample.split == split]
    counts = np.bincount(np.concatenate(masks, axis=None), minlength=len(CLASS_NAMES))
    return counts / counts.sum()


def test_size_and_splits() -> None:
    dataset = read(DataConfig(size=SIZE))
    assert sum(sample.split == "train" for sample in dataset.samples) == TRAIN_IMAGES
    assert sum(sample.split == "val" for sample in dataset.samples) == VAL_IMAGES
    assert dataset.class_names == CLASS_NAMES
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) >= 8


def test_its_test_scenes_are_held_out_on_demand() -> None:
    config = DataConfig.model_validate({"size": SIZE, "max_val": 3, "split": {"test": "published"}})
    test = read_test(config)
    assert test is not None
    assert [sample.split for sample in test.samples] == ["test"] * TEST_IMAGES
    assert read(config).samples == read(DataConfig(size=SIZE, max_val=3)).samples
    assert read_test(DataConfig(size=SIZE)) is None
    counts = np.bincount(np.concatenate([test.load(sample)[1] for sample in test.samples], axis=None), minlength=10)
    assert (counts > 0).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("size", [(48, 48), SIZE, (128, 192)])
def test_class_shares_span_three_orders_of_magnitude(size: tuple[int, int], seed: int) -> None:
    dataset = SyntheticDataset.generate(size, seed)
    train = shares(dataset, "train")
    assert 0.25 < train.max() < 0.4
    assert 1e-4 < train.min() < 1e-3
    assert (shares(dataset, "val") > 0).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    split=st.sampled_from((*SPLITS, TEST)),
    index=st.integers(0, 10_000),
    size=st.tuples(st.integers(8, 90), st.integers(8, 90)),
)
def test_a_scene_of_any_size_is_a_function_of_its_arguments(
    seed: int, split: SplitName, index: int, size: tuple[int, int]
) -> None:
    image, mask = scene(seed, split, index, size)
    np.random.standard_normal(3)  # the state of the process must not matter
    again, mask_again = scene(seed, split, index, size)
    assert image.shape == (*size, 3)
    assert mask.shape == size
    assert image.dtype == mask.dtype == np.uint8
    assert mask.max() < len(CLASS_NAMES)
    assert np.array_equal(image, again)
    assert np.array_equal(mask, mask_again)


def test_scenes_differ_by_seed_split_and_index() -> None:
    images = {
        scene(seed, split, index, SIZE)[0].tobytes() for seed in (0, 1) for split in (*SPLITS, TEST) for index in (0, 1)
    }
    assert len(images) == 12


def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib; from tune_seg.data.synthetic import scene; "
        "print(hashlib.sha256(b''.join(a.tobytes() for a in scene(3, 'val', 7, (64, 96)))).hexdigest())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    ).stdout.strip()
    here = hashlib.sha256(b"".join(array.tobytes() for array in scene(3, "val", 7, SIZE))).hexdigest()
    assert answer == here


def test_rare_things_lie_in_front_of_frequent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The street is painted first, then the things from far to near, each over all that lies behind it."""
    paints = {
        "_draw_sky": {"sky"},
        "_draw_facades": {"building"},
        "_draw_ground": {"road", "pavement"},
        "_draw_tree": {"tree"},
        "_draw_car": {"car"},
        "_draw_pole": {"pole"},
        "_draw_sign": {"sign", "pole"},
        "_draw_traffic_light": {"traffic light", "pole"},
        "_draw_pedestrian": {"pedestrian"},
    }
    painted: list[tuple[str, float, np.ndarray, np.ndarray]] = []

    def record(name: str) -> None:
        draw = getattr(synthetic, name)

        def recorded(canvas: Any, rng: Any, street: Any, *nearness: float) -> None:
            mask, colours = canvas.mask.copy(), canvas.colours.copy()
            canvas.mask[:] = 255
            canvas.colours[:] = np.nan
            draw(canvas, rng, street, *nearness)
            here = canvas.mask != 255
            assert np.array_equal(here, ~np.isnan(canvas.colours).any(2))  # label and colour at the same pixels
            assert {CLASS_NAMES[label] for label in np.unique(canvas.mask[here])} <= paints[name]
            painted.append((name, *(nearness or (0.0,)), here, canvas.mask.copy()))
            canvas.mask[~here] = mask[~here]
            canvas.colours[~here] = colours[~here]

        monkeypatch.setattr(synthetic, name, recorded)

    for name in paints:
        record(name)
    names = set()
    for index in range(24):
        painted.clear()
        _, mask = scene(0, "train", index, SIZE)
        assert [name for name, *_ in painted[:3]] == ["_draw_sky", "_draw_facades", "_draw_ground"]
        distances = [nearness for _, nearness, *_ in painted]
        assert distances == sorted(distances)
        expected = np.full(SIZE, 255, np.uint8)
        for name, _, here, labels in painted:
            expected[here] = labels[here]
            names.add(name)
        assert np.array_equal(mask, expected)
    assert names == set(paints)


def test_a_rare_class_has_the_colours_of_a_frequent_one() -> None:
    """Most pixels of the rarest class have a building pixel of nearly their colour in the same image."""
    close = []
    for index in range(96):
        image, mask = scene(0, "train", index, SIZE)
        lights = image[mask == CLASS_NAMES.index("traffic light")].astype(int)
        if len(lights):
            walls = image[mask == CLASS_NAMES.index("building")].astype(int)
            close.append((np.abs(lights[:, None] - walls).max(2).min(1) < 16).mean())
    assert np.mean(close) > 0.7


def test_the_pack_depends_on_seed_and_size(tmp_path: Path) -> None:
    def path(seed: int, size: tuple[int, int], most: int) -> Path:
        config = DataConfig.model_validate({"size": size, "split": {"seed": seed}, "max_train": most, "max_val": 20})
        return pack(read(config), tmp_path, size)

    names = {path(0, (48, 48), 20), path(1, (48, 48), 20), path(0, (48, 56), 20), path(0, (48, 48), 10)}
    assert len(names) == 4
    assert path(0, (48, 48), 20) in names
