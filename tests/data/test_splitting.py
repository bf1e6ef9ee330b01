"""Which samples train and which validate: groups stay together, and what is drawn does not depend on the files' order."""

from collections import Counter
from pathlib import Path
from typing import Any

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


def test_a_path_of_a_list_is_that_of_one_image_and_a_bare_name_of_several_is_refused(tmp_path: Path) -> None:
    names = [f"case{case}/{number:04}" for case in (1, 2) for number in range(2)]
    samples = [
        Sample(name, "train", tmp_path / "images" / f"{name}.png", tmp_path / "masks" / f"{name}.png") for name in names
    ]
    (tmp_path / "one").write_text("images/case1/0000.png\nimages\\case2\\0001.png\n")
    (tmp_path / "two").write_text("/elsewhere/case2/0000.png\n")
    split = SplitConfig(train=Path("one"), val=Path("two"))
    divided = divide(samples, split, tmp_path)
    assert [(sample.id, sample.split) for sample in divided] == [
        ("case1/0000", "train"),
        ("case2/0001", "train"),
        ("case2/0000", "val"),
    ]
    (tmp_path / "two").write_text("0000.png\n")
    with pytest.raises(InputError, match=r"two: 0000\.png may be case1/0000 or case2/0000; write these instead"):
        divide(samples, split, tmp_path)
    (tmp_path / "held").write_text("0001.png\n")
    with pytest.raises(InputError, match=r"held: 0001\.png may be case1/0001 or case2/0001"):
        divide(samples, SplitConfig(val_fraction=0.5, test=Path("held")), tmp_path)


def test_a_list_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "one").write_text("a\n")
    (tmp_path / "two").write_text("b\n")
    divided = split_by(slices({"a": 1, "b": 1, "c": 1}), train="~/one", val="~/two")
    assert [(sample.id, sample.split) for sample in divided] == [("a/0", "train"), ("b/0", "val")]


def test_of_two_columns_the_first_is_the_image_where_the_second_is_a_file_or_a_flag(tmp_path: Path) -> None:
    names = ("crack", "crack 2", "dog", "eel", "eel 2")
    files = [Sample(name, "train", Path(f"images/{name}.png"), Path(f"masks/{name}_gt.png")) for name in names]
    train, val = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("crack.png masks/crack_gt.png\ndog  1\n")
    for line, found in (
        ("eel 2.png", ["eel 2"]),
        ("eel -1", ["eel"]),
        ("images/eel.png\tmasks/eel_gt.png", ["eel"]),
        ("images/eel.png masks/eel_gt.png 0", ["eel"]),
    ):
        val.write_text(f"{line}\n")
        divided = divide(files, SplitConfig(train=train, val=val), tmp_path)
        assert [sample.id for sample in divided if sample.split == "val"] == found
        assert [sample.id for sample in divided if sample.split == "train"] == ["crack", "dog"]
    for line in ("eel 7.png", "images/eel 7.png", "eel masks/absent.png"):
        val.write_text(f"{line}\n")
        with pytest.raises(InputError, match=rf"val\.txt: {line} is neither an image nor a mask"):
            divide(files, SplitConfig(train=train, val=val), tmp_path)


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


def held_out(divided: tuple[Sample, ...]) -> set[str]:
    """The groups, or the ids of samples without one, that are held out, none of which may be elsewhere."""
    test = {sample.group or sample.id for sample in divided if sample.split == "test"}
    assert not test & {sample.group or sample.id for sample in divided if sample.split != "test"}
    assert all(sample.fold is None for sample in divided if sample.split == "test")
    return test


@given(
    cases=st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 5), min_size=8, max_size=25),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 5),
    way=st.sampled_from([{"folds": 3}, {"val_fraction": 0.3}, {}]),
    order=st.randoms(use_true_random=False),
)
def test_a_share_of_the_patients_is_held_out_before_the_others_are_divided(
    cases: dict[str, int], share: float, seed: int, way: dict[str, Any], order: Any
) -> None:
    samples = slices(cases)
    divided = split_by(samples, test=share, seed=seed, **way)
    test = held_out(divided)
    assert len(test) == max(1, round(share * len(cases)))
    rest = [sample for sample in samples if sample.group not in test]
    assert [sample for sample in divided if sample.split != "test"] == list(split_by(rest, seed=seed, **way))
    assert len(divided) == len(samples)
    order.shuffle(samples)
    assert set(split_by(samples, test=share, seed=seed, **way)) == set(divided)


def test_another_seed_holds_out_other_patients() -> None:
    samples = slices({f"p{number}": 2 for number in range(40)})
    assert held_out(split_by(samples, test=0.2, seed=1)) != held_out(split_by(samples, test=0.2, seed=2))


def test_a_share_of_a_published_split_is_taken_from_both_of_its_sides() -> None:
    samples = [Sample(f"s{number:02d}", "val" if number < 20 else "train") for number in range(40)]
    divided = split_by(samples, test=0.25)
    test = held_out(divided)
    assert [sample for sample in divided if sample.split != "test"] == [s for s in samples if s.id not in test]
    assert len(test) == 10
    assert 0 < sum(id < "s20" for id in test) < 10


@pytest.mark.parametrize("way", [{"folds": 2}, {"val_fraction": 0.3}, {}])
def test_a_list_names_what_is_held_out(tmp_path: Path, way: dict[str, Any]) -> None:
    samples = slices({"a": 2, "b": 2, "c": 1, "d": 1, "e": 1})
    (tmp_path / "test list").write_text("b\nsome/where/d.mhd\n\nb/0\n")
    divided = divide(samples, SplitConfig.model_validate({"test": "test list", **way}), tmp_path)
    assert held_out(divided) == {"b", "d"}
    assert len(divided) == len(samples)
    (tmp_path / "test list").write_text("b\nz\n")
    with pytest.raises(InputError, match=r"test list: z is neither an image nor a mask"):
        divide(samples, SplitConfig.model_validate({"test": "test list", **way}), tmp_path)
    (tmp_path / "test list").write_text("\n")
    with pytest.raises(InputError, match=r"test list: the list is empty"):
        divide(samples, SplitConfig.model_validate({"test": "test list", **way}), tmp_path)


def test_three_lists_divide_what_they_name(tmp_path: Path) -> None:
    samples = slices({"a": 1, "b": 1, "c": 1, "d": 1})
    for name, case in (("one", "a"), ("two", "b"), ("three", "c")):
        (tmp_path / name).write_text(case)
    split = SplitConfig(train=Path("one"), val=Path("two"), test=Path("three"))
    assert [(sample.id, sample.split) for sample in divide(samples, split, tmp_path)] == [
        ("a/0", "train"),
        ("b/0", "val"),
        ("c/0", "test"),
    ]
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.txt").write_text({"train": "a", "val": "b", "test": "d"}[name])
    published = divide(samples, SplitConfig(test="published"), tmp_path)
    assert [(sample.id, sample.split) for sample in published] == [("a/0", "train"), ("b/0", "val"), ("d/0", "test")]
    assert len(divide(samples, SplitConfig(), tmp_path)) == 2


@pytest.mark.parametrize("side", ["train", "val"])
def test_an_image_of_a_list_that_is_held_out_as_well_is_refused(tmp_path: Path, side: str) -> None:
    samples = slices({"a": 1, "b": 1, "c": 1})
    for name, case in (("train", "a"), ("val", "b"), ("leaky", {"train": "a", "val": "b"}[side])):
        (tmp_path / f"{name}.txt").write_text(f"{case}\n")
    leak = (tmp_path / "leaky.txt").read_text().strip()
    with pytest.raises(InputError, match=rf"{side}\.txt: {leak} is held out by data\.split\.test"):
        divide(samples, SplitConfig(train=Path("train.txt"), val=Path("val.txt"), test=Path("leaky.txt")), tmp_path)


def test_an_image_of_the_published_split_that_a_list_holds_out_is_refused(tmp_path: Path) -> None:
    samples = [Sample("a", "train"), Sample("b", "val"), Sample("c", "test"), Sample("d", "test")]
    (tmp_path / "list").write_text("c\na\nb\n")
    with pytest.raises(InputError, match=r"train or validate in the published split.*val_fraction.*\n  a\n  b$"):
        divide(samples, SplitConfig(test=Path("list")), tmp_path)
    (tmp_path / "list").write_text("c\n")
    assert [sample.id for sample in divide(samples, SplitConfig(test=Path("list")), tmp_path)] == ["a", "b", "c"]


def test_names_that_train_and_val_share_do_not_keep_a_list_from_holding_out_others(tmp_path: Path) -> None:
    samples = [Sample("a", "train"), Sample("a", "val"), Sample("c", "test")]
    (tmp_path / "list").write_text("c\n")
    divided = divide(samples, SplitConfig(test=Path("list")), tmp_path)
    assert [(sample.id, sample.split) for sample in divided] == [("a", "train"), ("a", "val"), ("c", "test")]
    (tmp_path / "list").write_text("a\n")
    with pytest.raises(InputError, match=r"train or validate in the published split.*\n  a\n  a$"):
        divide(samples, SplitConfig(test=Path("list")), tmp_path)


@pytest.mark.parametrize("way", [{"folds": 2}, {"val_fraction": 0.3}])
def test_a_patient_of_whom_a_part_is_held_out_is_refused(tmp_path: Path, way: dict[str, Any]) -> None:
    (tmp_path / "list").write_text("b/1\nc\n")
    split = SplitConfig.model_validate({"test": "list", **way})
    with pytest.raises(
        InputError, match=r"samples of one group, .* are held out, and others of it train or validate.*\n  b$"
    ):
        divide(slices({"a": 2, "b": 2, "c": 2, "d": 1}), split, tmp_path)


def test_a_patient_on_both_sides_of_a_published_test_is_refused() -> None:
    samples = [Sample("a/0", "train", group="a"), Sample("b/0", "val", group="b"), Sample("b/1", "test", group="b")]
    with pytest.raises(InputError, match=r"are held out, and others of it train or validate.*\n  b$"):
        split_by(samples, test="published")


def test_without_a_published_test_split_none_can_be_held_out() -> None:
    for way in ({}, {"val_fraction": 0.5}):
        with pytest.raises(InputError, match=r"data\.split\.test: published, but nowhere has no published test images"):
            split_by([Sample("a", "train"), Sample("b", "val")], test="published", **way)


def test_a_published_test_split_stays_while_the_others_are_divided_into_folds() -> None:
    samples = [Sample(f"s{number}", split) for split in ("train", "val", "test") for number in range(3)]
    named = [Sample(f"{sample.split} {sample.id}", sample.split) for sample in samples]
    divided = split_by(named, test="published", folds=3)
    assert held_out(divided) == {"test s0", "test s1", "test s2"}
    assert Counter(sample.fold for sample in divided if sample.split != "test") == {0: 2, 1: 2, 2: 2}


def test_something_must_be_left_to_train_and_to_validate_with(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a\nb\n")
    with pytest.raises(InputError, match="so much is held out that nothing is left"):
        divide(slices({"a": 2, "b": 2}), SplitConfig(test=Path("list")), tmp_path)
    with pytest.raises(InputError, match="so much is held out that nothing is left"):
        split_by([Sample("a", "train"), Sample("b", "val")], test=0.4)
    with pytest.raises(InputError, match="one sample cannot both train and validate"):
        split_by([Sample("a", "train"), Sample("b", "train")], test=0.4)
