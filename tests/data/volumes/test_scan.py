"""What the values of label volumes mean: 255 above all, against counts of the arrays that were written."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.volume_files import Array, classes, config, intensities, loaded, write_mhd, write_nifti
from tune_seg.data import Dataset, read
from tune_seg.errors import InputError

NAMES = "abcd"


def write(root: Path, change: Callable[[int, Array], Array], most: int = 1, suffix: str = ".nii.gz") -> list[Array]:
    """Volumes with labels 0 to `most`, changed; the labels as they were before."""
    save: Any = write_nifti if suffix.startswith(".nii") else write_mhd
    labels = [classes(seed, most=most) for seed in range(len(NAMES))]
    for seed, (name, label) in enumerate(zip(NAMES, labels, strict=True)):
        save(root / f"images/{name}{suffix}", intensities(seed))
        save(root / f"labels/{name}{suffix}", change(seed, label))
    return labels


def counted(dataset: Dataset) -> Counter[int]:
    return Counter(np.concatenate([loaded(dataset, name)[1].ravel() for name in NAMES]).tolist())


def white(_: int, label: Array) -> Array:
    return label * np.uint8(255)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("names", [None, ["background", "lesion"]])
def test_where_labels_are_0_and_255_alone_255_is_the_object(tmp_path: Path, suffix: str, names: Any) -> None:
    labels = write(tmp_path, white, suffix=suffix)
    dataset = read(config(tmp_path, classes=names))
    assert dataset.find_classes(lambda _: None) == ("background", "class 255" if names is None else "lesion")
    assert counted(dataset) == Counter(np.concatenate(labels, axis=None).tolist())
    share = 100 * np.mean(labels)
    assert any(f"{share:.3g} % of the pixels" in note for note in dataset.notes)


def test_slices_with_nothing_but_0_are_without_foreground_where_255_is_the_object(tmp_path: Path) -> None:
    def upper_half(_: int, label: Array) -> Array:
        label = white(_, label)
        label[:2] = 0
        return label

    write(tmp_path, upper_half)
    dataset = read(config(tmp_path, {"foreground_only": True}, classes=["background", "lesion"]))
    assert {sample.part for sample in dataset.samples} == {2, 3, 4}


def test_volumes_with_1_and_volumes_with_255_are_not_mixed(tmp_path: Path) -> None:
    labels = write(tmp_path, lambda seed, label: label * np.uint8(255 if seed % 2 else 1))
    for names in (None, ["background", "lesion"]):
        with pytest.raises(InputError, match=r"two kinds of masks: 2 masks .* with 1, 2 masks .* with 255"):
            read(config(tmp_path, classes=names)).find_classes(lambda _: None)
    alike = {0: "background", 1: "lesion", 255: "lesion"}
    assert counted(read(config(tmp_path, classes=alike))) == Counter(np.concatenate(labels, axis=None).tolist())


def test_255_beside_several_classes_is_taken_for_ignored_with_its_share(tmp_path: Path) -> None:
    def framed(_: int, label: Array) -> Array:
        label[:, 0] = 255
        return label

    write(tmp_path, framed, most=3)
    dataset = read(config(tmp_path, classes=["background", "a", "b", "c"]))
    dataset.find_classes(lambda _: None)
    assert counted(dataset)[255] == 4 * 5 * 10
    assert any("255 is taken for ignored: 8.33 % of the pixels" in note for note in dataset.notes)


def test_what_is_said_of_255_is_taken_without_reading_the_labels(tmp_path: Path) -> None:
    labels = write(tmp_path, white)
    for values in ({"classes": {0: "background", 255: "lesion"}}, {"classes": ["background", "a"], "ignore_label": 255}):
        dataset = read(config(tmp_path, **values))
        assert dataset.masks_to_scan == 0
        objects = 1 if "ignore_label" not in values else 255
        assert counted(dataset)[objects] == np.sum(labels)


@pytest.mark.parametrize("empty", [False, True])
def test_where_a_file_names_two_classes_and_labels_are_0_and_255_alone_255_is_the_second(
    tmp_path: Path, empty: bool
) -> None:
    labels = write(tmp_path, lambda seed, label: white(seed, label * np.uint8(not (empty and seed == 0))))
    labels[0] *= np.uint8(not empty)
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "lesion": 1}}')
    dataset = read(config(tmp_path))
    assert dataset.find_classes(lambda _: None) == ("background", "lesion")
    assert counted(dataset) == Counter(np.concatenate(labels, axis=None).tolist())
    assert any("0 is taken for background, 255 for lesion" in note for note in dataset.notes)


def test_names_in_a_file_are_all_there_is(tmp_path: Path) -> None:
    write(tmp_path, lambda seed, label: white(seed, label) if seed == 3 else label)
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "lesion": 1}}')
    dataset = read(config(tmp_path))
    with pytest.raises(InputError, match=r"unknown label value 255 \(known: 0 to 1\)"):
        loaded(dataset, "d")
