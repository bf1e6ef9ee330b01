"""What all volumes have in common: intensities, the cache, patients, options."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.support.volume_files import classes, config, intensities, levels, loaded, read_volume, write_mhd
from tune_seg.data import PackedData, pack, read
from tune_seg.data.volumes import intensities as module
from tune_seg.data.volumes.cache import Slices, VolumeCache, volumes_ahead
from tune_seg.data.volumes.case import Case, Volume
from tune_seg.data.volumes.dataset import dataset_of
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError


def write(root: Path, names: list[str], **shape: int) -> None:
    for seed, name in enumerate(names):
        write_mhd(root / f"{name}.mhd", intensities(seed, **shape))
        write_mhd(root / f"{name}_segmentation.mhd", classes(seed, **shape))


volume_values = arrays.arrays(np.int16, st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 2)))


@given(values=volume_values, ends=st.tuples(st.integers(0, 49), st.integers(51, 100)), bits=st.sampled_from([8, 16]))
def test_levels_keep_the_order_of_intensities_and_reach_from_black_to_white(
    values: Any, ends: tuple[int, int], bits: Any
) -> None:
    images = module.levels(Volume(values), VolumeOptions(percentiles=ends, bits=bits))
    assert images.shape == values.shape
    assert images.dtype == (np.uint8 if bits == 8 else np.uint16)
    for channel in range(values.shape[-1]):
        order = np.argsort(values[..., channel], axis=None)
        sorted_levels = images[..., channel].ravel()[order].astype(int)
        assert (np.diff(sorted_levels) >= 0).all()
        assert sorted_levels[0] == 0
        if np.ptp(values[..., channel]) > 0:
            assert sorted_levels[-1] == 2**bits - 1


@given(values=volume_values, bits=st.sampled_from([8, 16]))
def test_what_is_stored_dark_to_bright_is_turned_round(values: Any, bits: Any) -> None:
    options = VolumeOptions(window=(-1000.0, 1000.0), bits=bits)
    bright = module.levels(Volume(values), options).astype(int)
    dark = module.levels(Volume(values, inverted=True), options).astype(int)
    assert np.abs(bright + dark - (2**bits - 1)).max() <= 1  # halves are rounded to even, on both sides


def test_a_window_is_what_becomes_black_and_white() -> None:
    values = np.array([-2000.0, -160.0, 40.0, 240.0, 3000.0]).reshape(1, 1, 5, 1)
    assert module.levels(Volume(values), VolumeOptions(window=(-160.0, 240.0))).ravel().tolist() == [0, 0, 128, 255, 255]


def test_a_volume_that_is_nearly_empty_is_not_black() -> None:
    values = np.zeros((10, 20, 20, 1))
    values[3, 4, 5] = 7.0
    images = module.levels(Volume(values), VolumeOptions())
    assert images[3, 4, 5] == 255
    assert images.sum() == 255
    assert not module.levels(Volume(values * 0.0 + 5.0), VolumeOptions()).any()


def test_what_is_no_number_is_black_and_does_not_move_the_range() -> None:
    values = intensities(0).astype(np.float32)[..., None]
    expected = levels(values)
    with_holes = np.concatenate([values, np.full_like(values[:1], np.nan)])
    images = module.levels(Volume(with_holes), VolumeOptions())
    assert np.array_equal(images[:-1], expected)
    assert not images[-1].any()
    with pytest.raises(InputError, match="not one value is a finite number"):
        module.levels(Volume(np.full((1, 2, 2, 1), np.nan)), VolumeOptions())


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_percentiles_are_exact_though_differences_of_such_values_overflow(dtype: Any) -> None:
    info = np.finfo(dtype) if dtype is np.float32 else np.iinfo(dtype)
    values = np.random.default_rng(0).uniform(info.min / 3, info.max, (3, 8, 9, 1)).astype(dtype)
    assert np.array_equal(module.levels(Volume(values), VolumeOptions(percentiles=(3.3, 96.1))), levels(values, 3.3, 96.1))


def test_colours_stay_what_they_are() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    assert np.array_equal(module.levels(Volume(colours, colour=True), VolumeOptions()), colours)
    deep = module.levels(Volume(colours, colour=True), VolumeOptions(bits=16))
    assert deep.dtype == np.uint16
    assert np.array_equal(deep, colours.astype(int) * 257)


def test_sixteen_bits_are_asked_for_by_an_option(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    dataset = read(config(tmp_path, {"bits": 16, "percentiles": [0.0, 100.0]}))
    images, _ = loaded(dataset, "a")
    assert dataset.dtype == "uint16"
    assert images.dtype == np.uint16
    assert np.array_equal(images[..., 0], levels(intensities(0), 0.0, 100.0, 65535))


def test_threads_decode_a_volume_once() -> None:
    cache, decoded, lock, together = VolumeCache(0), [], Lock(), Barrier(8)

    def ask(number: int) -> int:
        together.wait()
        return int(cache.get(Path(str(number % 2)), 9, lambda: decode(number % 2)).images[0, 0, 0, 0])

    def decode(number: int) -> Slices:
        with lock:
            decoded.append(number)
        return Slices(np.full((1, 1, 1, 1), number, np.uint8), np.zeros((1, 1, 1), np.uint8))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [0, 1] * 4
    assert sorted(decoded) == [0, 1]
    cache.get(Path("2"), 9, lambda: decode(2))  # the third: the one that was asked for first goes
    copy = pickle.loads(pickle.dumps(cache))
    copy.get(Path("2"), 9, lambda: decode(2))
    assert decoded.count(2) == 2


@dataclass(frozen=True, eq=False)
class Counted(Case):
    """A volume in memory that notes each time when it is decoded."""

    decoded: list[str]

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def volume(self) -> Volume:
        self.decoded.append(self.name)
        return Volume(intensities(int(self.name))[..., None])

    def labels(self) -> Any:
        return classes(int(self.name))


@pytest.mark.parametrize("split", [{}, {"folds": 3}])
def test_packing_decodes_each_volume_once_and_keeps_none(tmp_path: Path, split: dict[str, Any]) -> None:
    decoded: list[str] = []
    names = [str(number) for number in range(9)]
    cases = [Counted(name, name, Path(name), Path(f"{name}m"), (5, 12, 10), 1, None, decoded) for name in names]
    settings = config(tmp_path, split=split, classes=["background", "one", "two"])
    dataset = dataset_of(tmp_path, settings, VolumeOptions(), cases)
    pack(dataset, tmp_path / "packs", (12, 10))
    assert sorted(decoded) == names
    assert len(dataset.cache) == 0


@dataclass(frozen=True, eq=False)
class Together(Counted):
    """A volume that is decoded only while others are."""

    others: Barrier

    def volume(self) -> Volume:
        volume = super().volume()
        self.others.wait(60.0)
        return volume


def test_as_many_volumes_as_asked_for_are_decoded_at_the_same_time(tmp_path: Path) -> None:
    decoded: list[str] = []
    four = Barrier(4)
    cases = [Together(n, n, Path(n), Path(f"{n}m"), (5, 12, 10), 1, None, decoded, four) for n in "012345678"]
    settings = config(tmp_path, split={"val_fraction": 0.1}, classes=["background", "one", "two"])
    dataset = replace(dataset_of(tmp_path, settings, VolumeOptions(), cases), cache=VolumeCache(3))
    dataset.load(min(dataset.samples, key=lambda sample: sample.place))
    assert len(decoded) == 4


@pytest.mark.parametrize(
    ("values", "cores", "ahead"),
    [
        (320 * 320 * 24, 16, 15),  # PROMISE12
        (4 * 240 * 240 * 155, 16, 3),  # BraTS
        (512 * 512 * 800, 16, 1),
        (512 * 512 * 800, 1, 0),
    ],
)
def test_volumes_are_decoded_ahead_as_cores_and_memory_allow(values: int, cores: int, ahead: int) -> None:
    assert volumes_ahead(values, cores) == ahead


def test_a_volume_that_cannot_be_decoded_says_so_for_each_of_its_slices() -> None:
    cache, tries = VolumeCache(1), []

    def decode() -> Slices:
        tries.append(1)
        raise InputError("a.mhd: damaged")

    for _ in range(3):
        with pytest.raises(InputError, match=r"a\.mhd: damaged"):
            cache.get(Path("a"), 5, decode)
    assert len(tries) == 1


def test_a_data_set_of_volumes_travels_to_another_process(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    dataset = read(config(tmp_path))
    images, masks = loaded(dataset, "a")
    others, other_masks = loaded(pickle.loads(pickle.dumps(dataset)), "a")
    assert np.array_equal(images, others)
    assert np.array_equal(masks, other_masks)


def test_slices_without_foreground_are_left_out_if_asked(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    mask = classes(0)
    mask[[0, 3]] = 0
    mask[4] = 9
    write_mhd(tmp_path / "a_segmentation.mhd", mask)
    named: dict[str, Any] = {"classes": ["background", "one", "two"], "ignore_label": 9}
    assert len(read(config(tmp_path, **named)).samples) == 10
    dataset = read(config(tmp_path, {"foreground_only": True}, **named))
    assert sorted(sample.part or 0 for sample in dataset.samples if sample.group == "a") == [1, 2]
    images, masks = loaded(dataset, "a")
    assert np.array_equal(images[..., 0], levels(intensities(0))[[1, 2]])  # the range is still the whole volume's
    assert np.array_equal(masks, mask[[1, 2]])


def test_a_common_spacing_cuts_and_fills_slices_around_their_centre(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        for path, array in ((f"{name}.mhd", intensities(seed)), (f"{name}_segmentation.mhd", classes(seed))):
            write_mhd(tmp_path / path, array, spacing=(2.0, 2.0, 3.0) if name == "a" else (1.0, 1.0, 3.0))
    options = {"spacing": 1.0}
    dataset = read(config(tmp_path, options, size=(16, 16)))
    images, masks = loaded(dataset, "a")  # 24 x 20 mm: cut
    assert np.array_equal(masks, classes(0).repeat(2, 1).repeat(2, 2)[:, 4:20, 2:18])
    images, masks = loaded(dataset, "b")  # 12 x 10 mm: filled up
    assert images.shape == (5, 16, 16, 1)
    assert np.array_equal(images[:, 2:14, 3:13, 0], levels(intensities(1)))
    assert np.array_equal(masks[:, 2:14, 3:13], classes(1))
    around = np.ones((16, 16), bool)
    around[2:14, 3:13] = False
    assert (masks[:, around] == 255).all()
    assert not images[:, around].any()


def test_an_expression_finds_the_patient_in_the_name(tmp_path: Path) -> None:
    write(tmp_path, ["p1_before", "p1_after", "p2_before"])
    dataset = read(config(tmp_path, {"patient": "^(p[0-9]+)_"}))
    assert {sample.id.split("/")[0]: sample.group for sample in dataset.samples} == {
        "p1_before": "p1",
        "p1_after": "p1",
        "p2_before": "p2",
    }
    with pytest.raises(InputError, match=r"data\.options\.patient: 'x' finds no patient in the volume's name 'p1_after'"):
        read(config(tmp_path, {"patient": "x"}))


def test_a_list_names_volumes_or_their_files_though_their_patients_have_other_names(tmp_path: Path) -> None:
    write(tmp_path, ["p1_before", "p1_after", "p2_before", "p3_before"])
    (tmp_path / "val.txt").write_text("p2_before\n")
    for line in ("p1_after", "p1_after.mhd", "some/folder/p1_after.mhd"):
        (tmp_path / "train.txt").write_text(f"{line}\n")
        samples = read(config(tmp_path, {"patient": "^p[0-9]"})).samples
        assert {(sample.id.split("/")[0], sample.split) for sample in samples} == {
            ("p1_after", "train"),
            ("p2_before", "val"),
        }
    (tmp_path / "val.txt").write_text("p1_before\n")
    with pytest.raises(InputError, match=r"samples of one group, .*, train and validate.*:\n +p1"):
        read(config(tmp_path, {"patient": "^p[0-9]"}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"percentile": [1, 99]},
            "unknown key data.options.percentile (did you mean percentiles?); the keys of data.options are percentiles",
        ),
        ({"percentiles": [99, 1]}, "data.options.percentiles: black must lie below white"),
        (
            {"percentiles": [-1, 99]},
            "data.options.percentiles: [-1, 99] is not possible; allowed: [black, white], numbers ≥ 0 and ≤ 100",
        ),
        ({"window": [5, 5]}, "data.options.window: black must lie below white"),
        (
            {"window": [float("-inf"), 5]},
            "data.options.window: [-inf, 5] is not possible; allowed: [black, white], numbers, or null, and finite",
        ),
        ({"bits": 12}, "data.options.bits"),
        ({"plane": "oblique"}, "data.options.plane: 'oblique' is not possible"),
        ({"segments": ["liver"]}, "names no segments, as DICOM"),
        ({"segments": ["liver", "liver"]}, "data.options.segments: name at least one segment, and each once"),
        ({"spacing": 0}, "data.options.spacing"),
        ({"patient": "("}, "data.options.patient: is not a valid regular expression"),
    ],
)
def test_wrong_options_are_refused_by_their_full_name(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    write(tmp_path, ["a", "b"])
    with pytest.raises(InputError) as error:
        read(config(tmp_path, options))
    assert said in str(error.value)


def test_an_unknown_value_names_the_file_of_the_mask(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    with pytest.raises(InputError, match=r"a_segmentation\.mhd: unknown label value 2 \(known: 0 to 1\); declare"):
        read_volume(tmp_path, "a", classes=["background", "gland"])


def test_volumes_are_packed_as_they_are_loaded(tmp_path: Path) -> None:
    write(tmp_path / "data", ["a", "b", "c"])
    dataset = read(config(tmp_path / "data"))
    data = PackedData(pack(dataset, tmp_path / "packs", (12, 10)))
    assert data.class_names == ("background", "class 1", "class 2")
    assert data.channels == 1
    for split, packed in (("train", data.train), ("val", data.val)):
        samples = sorted((sample for sample in dataset.samples if sample.split == split), key=lambda sample: sample.id)
        images, masks = packed.gather(np.arange(len(packed)))
        for number, sample in enumerate(samples):
            image, mask = dataset.load(sample)
            assert np.array_equal(images[number].numpy(), image)
            assert np.array_equal(masks[number].numpy(), mask)


def test_what_changes_the_images_changes_the_source(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    before = read(config(tmp_path)).source()
    assert read(config(tmp_path)).source() == before
    assert read(config(tmp_path, {"window": [0.0, 1.0]})).source() != before
    (tmp_path / "a.raw").write_bytes(b"\0" * (tmp_path / "a.raw").stat().st_size)
    assert read(config(tmp_path)).source() != before
