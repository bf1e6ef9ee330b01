"""Folds, numbers of channels, and 16 bits, from a data set to a training."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow

from tests.support.epoch_results import same
from tests.support.trials import run, trial
from tune_seg.config import AugmentationConfig, SplitConfig, StudyConfig, parse
from tune_seg.data import Dataset, PackedData, Sample, batches, pack
from tune_seg.data.dataset import Image, ImageType, Mask
from tune_seg.data.loading.resident import take
from tune_seg.data.packing import write
from tune_seg.data.splitting import divide
from tune_seg.errors import InputError
from tune_seg.study.search_space.space import Space
from tune_seg.training.resume import StoredTraining
from tune_seg.training.trajectory import TrainingData, trajectory_keys

SIZE = (32, 32)
CLASSES = ("background", "organ", "tumour")


@dataclass(frozen=True)
class Scans(Dataset):
    """Drawn volumes, a bright disc on noise in each slice, of any number of channels."""

    channels: int = 3
    dtype: ImageType = "uint8"
    size: tuple[int, int] = SIZE

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        rng = np.random.default_rng(list(sample.id.encode()))
        height, width = self.size
        rows, columns = np.ogrid[:height, :width]
        distance = np.hypot(rows - rng.uniform(8, height - 8), columns - rng.uniform(8, width - 8))
        mask = np.where(distance < 3, 2, np.where(distance < 9, 1, 0)).astype(np.uint8)
        image = rng.uniform(0.0, 0.3, (height, width, self.channels)) + 0.3 * mask[..., None]
        return (image * np.iinfo(self.dtype).max).astype(self.dtype), mask

    def source(self) -> dict[str, Any]:
        return {"samples": [sample.id for sample in self.samples]}


def scans(split: SplitConfig, patients: int = 6, slices: int = 2, **values: Any) -> Scans:
    names = [f"p{patient}" for patient in range(patients)]
    samples = [Sample(f"{name}/{part}", "train", group=name, part=part) for name in names for part in range(slices)]
    return Scans(divide(samples, split, Path()), **values)


@pytest.fixture(scope="module")
def in_folds(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    return PackedData(pack(scans(SplitConfig(folds=3)), tmp_path_factory.mktemp("packs"), SIZE))


def contents(data: PackedData, split: str) -> list[tuple[bytes, bytes]]:
    images, masks = getattr(data, split).gather(range(len(getattr(data, split))))
    return [(image.tobytes(), mask.tobytes()) for image, mask in zip(images.numpy(), masks.numpy(), strict=True)]


def test_every_sample_is_packed_once_and_validates_in_one_fold(in_folds: PackedData) -> None:
    source = scans(SplitConfig(folds=3))
    assert (in_folds.folds, in_folds.fold, len(in_folds), in_folds.train_images) == (3, 0, 12, (8, 8, 8))
    for fold in range(3):
        data = in_folds.of_fold(fold)
        assert (data.fold, data.content_id, data.path) == (fold, in_folds.content_id, in_folds.path)
        for split, inside in (("val", True), ("train", False)):
            loaded = [source.load(sample) for sample in source.samples if (sample.fold == fold) == inside]
            assert sorted(contents(data, split)) == sorted((image.tobytes(), mask.tobytes()) for image, mask in loaded)
        pixels = np.bincount(np.concatenate([np.frombuffer(mask, np.uint8) for _, mask in contents(data, "train")]))
        assert np.array_equal(data.train_pixels, pixels)
        assert np.array_equal(data.frequencies, pixels / pixels.sum())
        masks = [np.frombuffer(mask, np.uint8) for _, mask in contents(data, "train")]
        with_class = [sum(mask.size for mask in masks if number in mask) for number in range(len(pixels))]
        assert data.trained_on.image_pixels.tolist() == with_class
        assert data.trained_on.images == len(masks)
        patients = list(dict.fromkeys(sample.group for sample in source.samples if sample.fold == fold))
        assert [patients[group] for group in data.val_groups] == [s.group for s in source.samples if s.fold == fold]
        copy = pickle.loads(pickle.dumps(data.val))
        assert (copy.data.fold, copy.rows.tolist()) == (fold, data.val.rows.tolist())
    assert in_folds.of_fold(None) is in_folds


def test_a_fold_trains_as_the_same_split_by_lists_does(in_folds: PackedData, tmp_path: Path) -> None:
    """The order of the samples aside, which folds keep as they are packed: one batch is the whole split."""
    source = scans(SplitConfig(folds=3))
    split = tuple(
        replace(sample, id=f"{sample.fold} {sample.id}", fold=None, split="val" if sample.fold == 1 else "train")
        for sample in source.samples
    )

    @dataclass(frozen=True)
    class Named(Scans):
        def load(self, sample: Sample) -> tuple[Image, Mask]:
            return super().load(replace(sample, id=sample.id.split()[-1]))

    listed = PackedData(pack(Named(split), tmp_path, SIZE))
    assert contents(listed, "train") == contents(in_folds.of_fold(1), "train")
    assert same(run(trial(fold=1, loss={"end": "wce"}), in_folds), run(trial(loss={"end": "wce"}), listed))


def test_a_fold_that_is_not_there_is_refused(in_folds: PackedData, packed: PackedData) -> None:
    with pytest.raises(InputError, match="there is no fold 3; there are 0 to 2"):
        in_folds.of_fold(3)
    with pytest.raises(InputError, match=r"there is no fold 0; the data are not divided into folds \(data\.split\.folds\)"):
        packed.of_fold(0)
    assert packed.of_fold(None) is packed
    assert packed.fold is None


def test_folds_are_a_key_of_the_space_and_checked_with_it() -> None:
    data = {"root": "nowhere", "split": {"folds": 3}}
    config = parse(StudyConfig, {"data": data, "space": {"fold": {"grid": [0, 1, 2]}}})
    assert [config.trial(point).fold for point in Space(config).grid_points()] == [0, 1, 2]
    with pytest.raises(InputError, match=r"fold: there is no fold 3; data\.split\.folds 3 are 0 to 2"):
        Space(parse(StudyConfig, {"data": data, "space": {"fold": {"grid": [0, 3]}}}))
    with pytest.raises(InputError, match=r"fold: 1 needs folds; set data\.split\.folds"):
        parse(StudyConfig, {"fold": 1})


def test_a_fold_without_a_labelled_pixel_is_refused(tmp_path: Path) -> None:
    class Unlabelled(Scans):
        def load(self, sample: Sample) -> tuple[Image, Mask]:
            image, mask = super().load(sample)
            return image, np.full_like(mask, 255) if sample.fold == 2 else mask

    with pytest.raises(InputError, match=r"fold 2 \(4 samples\) holds no pixel with a class"):
        pack(Unlabelled(scans(SplitConfig(folds=3)).samples), tmp_path, SIZE)


def test_folds_have_keys_of_their_own_and_are_stored_apart(in_folds: PackedData) -> None:
    data = TrainingData.of(in_folds)
    keys = [trajectory_keys(trial(fold=fold, training={"device": "cpu"}), data) for fold in (None, 0, 1, 2)]
    assert keys[0] == keys[1]
    assert len({key for each in keys[1:] for key in each}) == 3 * 3
    device = torch.device("cpu")
    (first,), (second,) = (StoredTraining(trial(fold=fold), in_folds, device, None).advance()[0] for fold in (0, 1))
    assert first.train_loss != second.train_loss


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (1, "uint16"), (2, "uint8"), (3, "uint16"), (5, "uint16")])
def test_any_channels_and_16_bits_are_packed_as_they_are(tmp_path: Path, channels: int, dtype: ImageType) -> None:
    source = scans(SplitConfig(val_fraction=0.3), channels=channels, dtype=dtype)
    data = PackedData(pack(source, tmp_path, SIZE))
    assert (data.channels, data.dtype) == (channels, dtype)
    for split in (data.train, data.val):
        samples = [sample for sample in source.samples if sample.split == split.name]
        images, masks = split.gather(range(len(split)))
        assert images.shape == (len(samples), *SIZE, channels)
        for image, mask, sample in zip(images, masks, samples, strict=True):
            expected = source.load(sample)
            assert np.array_equal(image.numpy(), expected[0])
            assert np.array_equal(mask.numpy(), expected[1])


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_each_channel_is_resized_as_a_grey_image(tmp_path: Path, channels: int) -> None:
    source = scans(SplitConfig(val_fraction=0.3), channels=channels)
    small = PackedData(pack(source, tmp_path, (16, 24)))
    first = next(sample for sample in source.samples if sample.split == "train")
    image, _ = source.load(first)
    for channel in range(channels):
        expected = pillow.fromarray(image[..., channel]).resize((24, 16), pillow.Resampling.BILINEAR)
        assert np.array_equal(small.image(0)[..., channel], np.asarray(expected))


def test_16_bits_are_resized_as_8_bits_are_but_finer(tmp_path: Path) -> None:
    coarse = scans(SplitConfig(val_fraction=0.3), channels=1)
    fine = replace(coarse, dtype="uint16")
    eight, sixteen = (PackedData(pack(source, tmp_path, (16, 24))).image(0) for source in (coarse, fine))
    assert sixteen.dtype == np.uint16
    assert np.abs(sixteen / 65535 - eight / 255).max() < 2 / 255  # truncated once, rounded twice
    assert len(np.unique(sixteen)) > 256


def test_an_image_of_another_kind_is_named(tmp_path: Path) -> None:
    class Mixed(Scans):
        def load(self, sample: Sample) -> tuple[Image, Mask]:
            image, mask = super().load(sample)
            return image[..., :1] if sample.id == "p2/1" else image, mask

    with pytest.raises(InputError, match=r"p2/1: an image of 1 channels of uint8, in a data set of 3 channels of uint8"):
        pack(Mixed(scans(SplitConfig(val_fraction=0.3)).samples), tmp_path, SIZE)


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (1, "uint16"), (5, "uint16")])
def test_images_are_normalised_by_their_type_and_channels(
    tmp_path: Path, channels: int, dtype: ImageType, device: torch.device
) -> None:
    data = PackedData(pack(scans(SplitConfig(val_fraction=0.3), channels=channels, dtype=dtype), tmp_path, SIZE))
    given = AugmentationConfig(mean=tuple(0.1 * n for n in range(channels)), std=tuple(0.2 + n for n in range(channels)))
    for config, mean, std in (
        (AugmentationConfig(), (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3),
        (given, given.mean, given.std),
    ):
        order = {"epoch": 0, "seed": 0, "batch_size": 12, "device": device, "train": False}
        ((images, _),) = batches(data.val, augmentation=config, **order)  # type: ignore[arg-type]
        raw = data.val.gather(range(len(data.val)))[0].numpy()
        expected = (raw / np.iinfo(dtype).max - np.array(mean)) / np.array(std)
        np.testing.assert_allclose(images.cpu().permute(0, 2, 3, 1).numpy(), expected, rtol=0, atol=2e-6)
    with pytest.raises(InputError, match=rf"augmentation\.std: 2 numbers, but the images have {channels} channel"):
        AugmentationConfig(std=(0.1, 0.2)).normalisation(channels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_rows_of_what_lies_on_a_gpu_are_chosen_whatever_their_type(dtype: torch.dtype, device: torch.device) -> None:
    whole = torch.tensor([[0, 1], [200, 255], [7, torch.iinfo(dtype).max]], dtype=dtype).to(device)
    chosen = take(whole, torch.tensor([2, 0], device=device))
    assert (chosen.dtype, chosen.cpu().tolist()) == (dtype, [[7, torch.iinfo(dtype).max], [0, 1]])


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint16"), (4, "uint8")])
def test_a_training_on_any_channels_agrees_with_itself(tmp_path: Path, channels: int, dtype: ImageType) -> None:
    data = PackedData(pack(scans(SplitConfig(folds=3), channels=channels, dtype=dtype), tmp_path, SIZE))
    first = run(trial(fold=2, loss={"end": "wce"}), data)
    assert same(first, run(trial(fold=2, loss={"end": "wce"}), data))
    assert all(np.isfinite(result.train_loss) for result in first)


@pytest.mark.parametrize(("channels", "dtype"), [(3, "uint8"), (2, "uint16")])
def test_compressed_data_are_the_same_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, dtype: ImageType
) -> None:
    source = scans(SplitConfig(folds=3), channels=channels, dtype=dtype)
    raw = PackedData(pack(source, tmp_path / "raw", SIZE))
    monkeypatch.setattr(write, "_MAX_SHARE_OF_FREE_DISK", 0.0)
    compressed = PackedData(pack(source, tmp_path / "compressed", SIZE))
    assert compressed.path.stat().st_size < raw.path.stat().st_size
    assert compressed.path.name == raw.path.name
    assert [contents(compressed, split) for split in ("train", "val")] == [
        contents(raw, split) for split in ("train", "val")
    ]
    if dtype == "uint8":
        assert same(run(trial(), compressed), run(trial(), raw))
