"""What is refused once the data are packed, before a trial starts."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.image_files import numbers, photo, write_image
from tune_seg.config import StudyConfig, parse
from tune_seg.data import PackedData, pack
from tune_seg.errors import InputError
from tune_seg.study.output.results import check_same_study, write_study
from tune_seg.study.plan import Plan, plan_study
from tune_seg.study.prepare import _check_data, _packed_test


def study(root: Path, **data: Any) -> StudyConfig:
    return parse(StudyConfig, {"data": {"root": str(root), "size": [10, 12], "split": {"test": "published"}, **data}})


def build(root: Path) -> None:
    """Two images each that train, that validate and that are held out."""
    for split in ("train", "val", "test"):
        for number in range(2):
            write_image(root / "images" / split / f"{split}{number}.png", photo())
            write_image(root / "masks" / split / f"{split}{number}.png", numbers([0, 1]))


def test_images_that_are_held_out_and_train_or_validate_are_refused(tmp_path: Path) -> None:
    root, directory = tmp_path / "data", tmp_path / "studies" / "study"
    build(root)
    plan = plan_study(study(root), directory)
    packed = PackedData(pack(plan.dataset, tmp_path / "studies" / "packs", (10, 12)))
    test = _packed_test(plan, packed)
    assert test is not None and len(test.val) == 2
    for number, used in ((0, "train/train1"), (1, "val/val0")):
        copy = (root / "images" / f"{used}.png").read_bytes()
        (root / "images" / "test" / f"test{number}.png").write_bytes(copy)
    with pytest.raises(
        InputError,
        match=r"2 of its 2 images are .* train or validate \(train/train1 = test/test0; val/val0 = test/test1\).*; remove",
    ):
        _packed_test(plan_study(study(root), directory), packed)


def test_a_study_that_was_run_without_its_test_split_may_have_it_back(tmp_path: Path) -> None:
    described = tmp_path / "study.yaml"
    with_test, without = (study(tmp_path, content="c0", test_content=content) for content in ("t0", None))
    write_study(with_test, described)
    check_same_study(without, described)  # before the data are packed it is not known
    write_study(without, described)
    check_same_study(with_test, described)
    write_study(with_test, described)
    with pytest.raises(InputError, match=r"data\.test_content: t0 in the study, t1 now"):
        check_same_study(study(tmp_path, content="c0", test_content="t1"), described)


@pytest.mark.parametrize(("objective", "images"), [("temperature/s_rec", 1), (["recall", "temperature/f1"], 1)])
def test_a_temperature_needs_two_validation_images(tmp_path: Path, objective: str | list[str], images: int) -> None:
    data = {"format": "synthetic", "size": [16, 16], "max_train": 2, "max_val": images}
    plan = plan_study(parse(StudyConfig, {"data": data, "objective": objective}), tmp_path)
    packed = PackedData(pack(plan.dataset, tmp_path, plan.config.data.size))
    with pytest.raises(InputError, match=r"objective temperature/.*a single validation image.*validate at least two"):
        _check_data(plan, packed)


@pytest.mark.parametrize(("objective", "images"), [("temperature/s_rec", 2), ("s_rec", 1)])
def test_what_has_the_images_that_it_needs_is_taken(tmp_path: Path, objective: str, images: int) -> None:
    data = {"format": "synthetic", "size": [16, 16], "max_train": 2, "max_val": images}
    plan = plan_study(parse(StudyConfig, {"data": data, "objective": objective}), tmp_path)
    _check_data(plan, PackedData(pack(plan.dataset, tmp_path, plan.config.data.size)))


def test_a_test_split_with_a_copy_of_a_training_image_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    for split, name in (("train", "a"), ("val", "b"), ("test", "c"), ("test", "copy")):
        write_image(root / "images" / split / f"{name}.png", photo())
        write_image(root / "masks" / split / f"{name}.png", numbers([0, 1]))
    data = {"root": root, "size": [10, 12], "split": {"test": "published"}}
    plan = plan_study(parse(StudyConfig, {"data": data}), tmp_path / "studies" / "one")
    packed = PackedData(pack(plan.dataset, tmp_path / "studies" / "packs", (10, 12)))
    test = _packed_test(plan, packed)
    assert test is not None and len(test.val) == 2
    (root / "images" / "test" / "copy.png").write_bytes((root / "images" / "train" / "a.png").read_bytes())
    plan = plan_study(plan.config, plan.directory)
    with pytest.raises(
        InputError, match=r"data\.split\.test: 1 of its 2 images .* \(train/a = test/copy\).*data\.split\.test="
    ):
        _packed_test(plan, packed)


def test_class_weights_of_other_classes_are_refused_in_a_plan_or_once_the_classes_are_known(tmp_path: Path) -> None:
    def planned(root: Path, weights: dict[str, float], **data: Any) -> Plan:
        values = {"data": {"root": root, "size": [10, 12], **data}, "loss": {"end": "wce", "class_weights": weights}}
        return plan_study(parse(StudyConfig, values), tmp_path / "studies" / "one")

    root = tmp_path / "mine"
    build(root)
    with pytest.raises(InputError, match=r"^loss\.class_weights: no class crakc \(did you mean crack\?\); .* 0: road"):
        planned(root, {"road": 1, "crakc": 5}, classes=["road", "crack"])
    plan = planned(root, {"0": 1, "2": 5})  # whose masks are not read yet
    packed = PackedData(pack(plan.dataset, tmp_path / "studies" / "packs", (10, 12)))
    with pytest.raises(InputError, match=r"^loss\.class_weights: no class 2; the classes are 0: "):
        _check_data(plan, packed)
    _check_data(planned(root, {"0": 1, "1": 5}), packed)
