"""What is checked of the data before a trial runs."""

from pathlib import Path

import pytest

from tests.support.image_files import numbers, photo, write_image
from tune_seg.config import StudyConfig, parse
from tune_seg.data import PackedData, pack
from tune_seg.errors import InputError
from tune_seg.study.plan import plan_study
from tune_seg.study.prepare import _packed_test


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
