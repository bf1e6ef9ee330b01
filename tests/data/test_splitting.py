"""Which samples train and which validate: groups stay together, and what is drawn does not depend on the files' order."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_seg.config import DataConfig, SplitConfig
from tune_seg.data import Sample, read
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError

ROOT = Path("nowhere")


def slices(cases: dict[str, int]) -> list[Sample]:
    """So many slices of each patient."""
    return [
        Sample(f"{case}/{number}", "train", group=case, part=number)
        for case, count in cases.items()
        for number in range(count)
    ]


def split_by(samples: list[Sample], **split: object) -> tuple[Sample, ...]:
    return divide(samples, SplitConfig.model_validate(split), ROOT)


patients = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 5), min_size=4, max_size=25)


@given(cases=patients, folds=st.integers(2, 4), seed=st.integers(0, 5), order=st.randoms(use_true_random=False))
def test_folds_hold_every_sample_once_and_no_patient_twice(
    cases: dict[str, int], folds: int, seed: int, order: object
) -> None:
    samples = slices(cases)
    divided = split_by(samples, folds=folds, seed=seed)
    assert sorted(sample.id for sample in divided) == sorted(sample.id for sample in samples)
    fold_of = {sample.group: sample.fold for sample in divided}
    assert all(sample.fold == fold_of[sample.group] for sample in divided)
    sizes = Counter(fold_of.values())
    assert set(sizes) == set(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert all((sample.split == "val") == (sample.fold == 0) for sample in divided)
    order.shuffle(samples)  # type: ignore[attr-defined]
    assert split_by(samples, folds=folds, seed=seed) == divided


@given(cases=patients, seed=st.integers(0, 5), fraction=st.floats(0.05, 0.95))
def test_a_fraction_keeps_patients_whole_and_neither_side_empty(cases: dict[str, int], seed: int, fraction: float) -> None:
    divided = split_by(slices(cases), val_fraction=fraction, seed=seed)
    sides = {split: {sample.group for sample in divided if sample.split == split} for split in ("train", "val")}
    assert sides["train"] | sides["val"] == set(cases)
    assert not sides["train"] & sides["val"]
    assert len(sides["val"]) == min(max(round(len(cases) * fraction), 1), len(cases) - 1)


def test_folds_of_a_fraction_leave_the_rest_to_training() -> None:
    """Hossain's three test runs: 36 of 701 images each, and no image in two of them."""
    samples = [Sample(f"s{number:03d}", "train") for number in range(701)]
    divided = split_by(samples, folds=3, val_fraction=36 / 701)
    assert Counter(sample.fold for sample in divided) == {None: 701 - 3 * 36, 0: 36, 1: 36, 2: 36}
    assert {sample.split for sample in divided if sample.fold != 0} == {"train"}


def test_another_seed_gives_other_folds() -> None:
    samples = slices({f"p{number}": 2 for number in range(20)})
    assert split_by(samples, folds=3, seed=1) != split_by(samples, folds=3, seed=2)


def test_too_few_patients_are_refused() -> None:
    samples = slices({"a": 9, "b": 9})
    with pytest.raises(InputError, match=r"data\.split\.folds: 3 folds of 2 groups \(such as patients, volumes or cities\)"):
        split_by(samples, folds=3)
    with pytest.raises(InputError, match="the samples of a cannot both train and validate"):
        split_by(slices({"a": 9}), val_fraction=0.5)


def test_a_list_names_samples_files_or_patients(tmp_path: Path) -> None:
    samples = slices({"a": 2, "b": 2, "c": 1, "d": 1})
    (tmp_path / "one").write_text("a\nb\n")
    (tmp_path / "two").write_text("some/where/c.mhd\n")
    split = SplitConfig(train=Path("one"), val=Path("two"))
    divided = divide(samples, split, tmp_path)
    assert [(sample.id, sample.split) for sample in divided] == [
        *((id, "train") for id in ("a/0", "a/1", "b/0", "b/1")),
        ("c/0", "val"),
    ]
    (tmp_path / "one").write_text("a/0\n")
    (tmp_path / "two").write_text("a/1\n")
    with pytest.raises(InputError, match=r"samples of one group, .*, train and validate.*\n  a"):
        divide(samples, split, tmp_path)


def test_a_list_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "one").write_text("a\n")
    (tmp_path / "two").write_text("b\n")
    divided = split_by(slices({"a": 1, "b": 1, "c": 1}), train="~/one", val="~/two")
    assert [(sample.id, sample.split) for sample in divided] == [("a/0", "train"), ("b/0", "val")]


def test_what_a_list_names_wrongly_is_said(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(".\n/\na/1\n")
    (tmp_path / "two").write_text("a\n")
    with pytest.raises(InputError) as error:
        divide(slices({"a": 2, "b": 2}), SplitConfig(train=Path("one"), val=Path("two")), tmp_path)
    assert str(error.value).splitlines()[1:] == [
        f"  {tmp_path / 'one'}: . is neither an image nor a mask",
        f"  {tmp_path / 'one'}: / is neither an image nor a mask",
        f"  {tmp_path / 'two'}: a is in the list of train too",
    ]


def test_the_published_split_stays_unless_another_is_asked_for() -> None:
    samples = [Sample(f"s{number}", "val" if number < 2 else "train") for number in range(6)]
    assert split_by(samples) == tuple(samples)
    assert split_by(samples, seed=3) == tuple(samples)
    assert sum(sample.split == "val" for sample in split_by(samples, val_fraction=0.5)) == 3
    both = [Sample("a/0", "train", group="a"), Sample("a/1", "val", group="a")]
    with pytest.raises(InputError, match=r"samples of one group, .*, train and validate"):
        split_by(both)


@pytest.mark.parametrize(
    ("limits", "train", "val"),
    [
        ({}, (6, 6, 6), (3, 3, 3)),
        ({"max_val": 2}, (4, 4, 4), (2, 2, 2)),
        ({"max_train": 5}, (4, 4, 4), (2, 2, 2)),
        ({"max_train": 2, "max_val": 2}, (2, 2, 2), (1, 1, 1)),
    ],
)
def test_limits_hold_in_every_fold(
    tmp_path: Path, limits: dict[str, int], train: tuple[int, ...], val: tuple[int, ...]
) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(9):
            (tmp_path / kind / f"s{number}.png").touch()
    config = {"root": tmp_path, "classes": ("a", "b"), "split": {"folds": 3}, **limits}
    folds = Counter(sample.fold for sample in read(DataConfig.model_validate(config)).samples)
    assert tuple(folds[fold] for fold in range(3)) == val
    assert tuple(sum(val) - each for each in val) == train


def test_a_limit_holds_where_most_samples_are_in_no_fold(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(40):
            (tmp_path / kind / f"s{number:02d}.png").touch()
    config = {"root": tmp_path, "classes": ("a", "b"), "split": {"folds": 3, "val_fraction": 0.1}, "max_train": 15}
    folds = Counter(sample.fold for sample in read(DataConfig.model_validate(config)).samples)
    assert folds == {None: 7, 0: 4, 1: 4, 2: 4}
