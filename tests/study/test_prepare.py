"""What is refused once the data are packed, before a trial starts."""

from pathlib import Path

import pytest

from tune_seg.config import StudyConfig, parse
from tune_seg.data import PackedData, pack
from tune_seg.errors import InputError
from tune_seg.study.plan import plan_study
from tune_seg.study.prepare import _check_data


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
