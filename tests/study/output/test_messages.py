"""What a study says beside its reports."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from tests.support.records import asked, open_records
from tune_seg.config import StudyConfig, parse
from tune_seg.data import Dataset, PackedData, pack
from tune_seg.data.dataset import Sample
from tune_seg.study.output.class_warnings import warn_of_classes
from tune_seg.study.output.messages import say_failures, warn_of_frozen_encoders, warn_of_groups, warner
from tune_seg.study.record import State
from tune_seg.study.search_space.space import Space


class Halves(Dataset):
    """Images of one colour whose masks have two classes, which `masks` gives by the sample's id."""

    class_names = ("road", "sign", "tree")

    def __init__(self, samples: tuple[Sample, ...], masks: dict[str, tuple[int, int]]) -> None:
        super().__init__(samples)
        self._masks = masks

    def load(self, sample: Sample) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        left, right = self._masks[sample.id]
        mask = np.where(np.arange(8) < 4, left, right).astype(np.uint8)
        return np.zeros((8, 8, 3), np.uint8), np.tile(mask, (8, 1))

    def source(self) -> dict[str, Any]:
        return {"masks": self._masks}


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=60)


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("trained", "validated", "untrained", "unseen"),
    [
        ((0, 1), (0, 1), "tree", ""),
        ((0, 2), (0, 1), "sign", "tree"),
        ((2, 2), (0, 1), "road, sign", "tree"),
        ((0, 2), (0, 0), "sign", "tree"),
        ((1, 2), (1, 2), "road", ""),
    ],
)
def test_classes_that_no_training_or_no_validation_image_has_are_warned_of(
    console: Console, tmp_path: Path, trained: tuple[int, int], validated: tuple[int, int], untrained: str, unseen: str
) -> None:
    data = Halves((Sample("a", "train"), Sample("b", "val")), {"a": trained, "b": validated})
    warn_of_classes(console, PackedData(pack(data, tmp_path, (8, 8))))
    size = "(at 8 x 8 pixels, where small things may have disappeared)"
    what_to_do = "add images that have them, or divide whole groups anew with --set data.split.val_fraction=0.2."
    expected = [f"Warning: {untrained} in no training image {size}: no loss can find them; {what_to_do}"]
    if unseen:
        expected.append(f"Warning: {unseen} in no validation image {size}: nobody can tell who finds them; {what_to_do}")
    assert printed(console) == expected


def test_one_group_of_validation_images_is_warned_of(console: Console, tmp_path: Path) -> None:
    masks = {"a": (0, 1), "b": (0, 1), "c": (0, 2)}

    def warned(groups: tuple[str, str]) -> bool:
        samples = (Sample("a", "train"), *(Sample(id, "val", group=group) for id, group in zip("bc", groups, strict=True)))
        warn_of_groups(console, PackedData(pack(Halves(samples, masks), tmp_path, (8, 8))))
        return any("all validation images are of one group" in line for line in printed(console))

    assert not warned(("one", "other"))
    assert not warned(("", ""))
    assert warned(("one", "one"))


@pytest.mark.parametrize(
    ("train", "weights", "warned"), [("head", "none", True), ("all", "none", False), ("head", "imagenet", False)]
)
def test_an_encoder_that_is_frozen_at_random_weights_is_warned_of(
    console: Console, train: str, weights: str, warned: bool
) -> None:
    warn_of_frozen_encoders(console, Space(parse(StudyConfig, {"model": {"train": train, "weights": weights}})))
    assert any("the encoder is frozen" in line for line in printed(console)) == warned


def test_a_warning_is_printed_once(console: Console) -> None:
    warn = warner(console)
    for line in ("the disk is [full]", "the store is gone", "the disk is [full]"):
        warn(line)
    assert printed(console) == ["Warning: the disk is [full]", "Warning: the store is gone"]


def test_the_first_failures_are_named_with_their_reason(console: Console, tmp_path: Path) -> None:
    records = open_records(tmp_path, search={"trials": 5})
    say_failures(console, records)
    assert printed(console) == []
    for _ in range(2):
        records.close(asked(records).number, State.FAILED, "ValueError: too [small]\nTraceback ...")
    say_failures(console, records)
    lines = printed(console)
    assert lines[:2] == [f"Trial {number} failed: ValueError: too [small]" for number in (0, 1)]
    assert " ".join(" ".join(lines[2:]).split()) == "`error` in results.parquet has the full traceback of each failed trial."
