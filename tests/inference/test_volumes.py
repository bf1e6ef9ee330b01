"""Volumes that a model predicts: as their slices were validated, and where they lie."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.support.dicom_files import save, slices
from tests.support.dicom_files import volume as write_series
from tests.support.trials import CPU
from tests.support.volume_files import LPS, classes, config, intensities, turned, write_mhd, write_nifti
from tune_seg import predict
from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import Dataset, PackedData, pack, read
from tune_seg.data.volumes import volume_file
from tune_seg.data.volumes.geometry import Plane, sliced
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError
from tune_seg.inference import TrainedModel, load_model, write_model
from tune_seg.inference.describe import describe
from tune_seg.inference.volume_sources import volume_sources
from tune_seg.inference.volumes import predict_volumes
from tune_seg.models import build_model
from tune_seg.training.outputs import outputs

Array = np.ndarray
TRIAL = parse(TrialConfig, {"training": {"batch_size": 1}})
FITTED = {"temperature/T": 1.7}
NAMES = ("a", "b", "c", "d")


def made(data: DataConfig, packed: PackedData) -> TrainedModel:
    torch.manual_seed(3)
    module = build_model(TRIAL.model, packed.num_classes, in_channels=packed.channels)
    said = describe(TRIAL, data, packed, metrics={}, fitted=FITTED, intensity_rule=None, version="0")
    return TrainedModel(said, module.state_dict(), CPU)


def trained(root: Path, options: dict[str, Any] | None = None, **values: Any) -> tuple[TrainedModel, Dataset, PackedData]:
    data = config(root, options, split={"val_fraction": 0.5}, **values)
    dataset = read(data)
    packed = PackedData(pack(dataset, root.parent / "packs", data.size))
    return made(data, packed), dataset, packed


def validated(model: TrainedModel, dataset: Dataset, packed: PackedData, name: str) -> Array:
    """The probabilities (S, C, h, w) of the slices of a volume that validates, as validation computes them."""
    context = torch.autocast("cpu", enabled=False)
    with torch.inference_mode():
        batches = list(outputs(model.module, packed, TRIAL, device=CPU, autocast=context))
        probabilities = [(image / 1.7).softmax(dim=0).numpy() for logits, _, _ in batches for image in logits]
    places = sorted((sample for sample in dataset.samples if sample.split == "val"), key=lambda sample: sample.id)
    return np.stack([found for sample, found in zip(places, probabilities, strict=True) if sample.id.startswith(f"{name}/")])


def validates(dataset: Dataset) -> str:
    """The name of a volume that validates."""
    return min(sample.id.partition("/")[0] for sample in dataset.samples if sample.split == "val")


def predicted(model: TrainedModel, paths: list[Path], out: Path) -> None:
    assert model.description.volumes is not None
    found = volume_sources(paths, model.description.volumes, model.description.channels)
    assert len(list(predict_volumes(model, found.sources, out, probabilities=True))) == len(found.sources)


def written(out: Path, kind: str, name: str, plane: Plane = "axial") -> Array:
    """What was written of a volume, (S, H, W) or (S, H, W, C), read as a data set is."""
    header = volume_file.header(out / kind / f"{name}.nii.gz")
    found = sliced(volume_file.read_voxels(header), header.grid.affine, plane)
    return found if kind == "probabilities" else found[..., 0]


def assert_written(out: Path, name: str, probabilities: Array, plane: Plane = "axial") -> None:
    """Bit for bit these probabilities (S, C, H, W), and what follows from them."""
    assert np.array_equal(np.moveaxis(written(out, "probabilities", name, plane), -1, 1), probabilities)
    assert np.array_equal(written(out, "masks", name, plane), probabilities.argmax(axis=1))
    assert np.array_equal(written(out, "confidence", name, plane), probabilities.max(axis=1))


SHAPE = {"slices": 3, "height": 32, "width": 64}
SIZE = [32, 64]


@pytest.mark.parametrize("order", ["LPS", "RAS", "SPL", "AIR"])
@pytest.mark.parametrize("options", [{}, {"window": [-500, 900], "bits": 16}])
def test_a_nifti_volume_is_predicted_as_it_was_validated_and_keeps_its_place(
    tmp_path: Path, order: str, options: dict[str, Any]
) -> None:
    affine = turned(LPS, 8.0)
    for seed, name in enumerate(NAMES):
        write_nifti(tmp_path / "data" / "images" / f"{name}.nii.gz", intensities(seed, **SHAPE), affine, order)
        write_nifti(tmp_path / "data" / "labels" / f"{name}.nii.gz", classes(seed, **SHAPE), affine, order)
    model, dataset, packed = trained(tmp_path / "data", options, size=SIZE)
    name = validates(dataset)
    image = tmp_path / "data" / "images" / f"{name}.nii.gz"
    own: Any = nib.load(image)
    own.set_sform(own.affine, code=3)
    own.set_qform(own.affine, code=2)
    own.header["descrip"] = b"of the scanner"
    nib.save(own, image)
    predicted(model, [image], tmp_path / "out")
    assert_written(tmp_path / "out", name, validated(model, dataset, packed, name))
    for kind, dtype in (("masks", np.uint8), ("confidence", np.float32), ("probabilities", np.float32)):
        found: Any = nib.load(tmp_path / "out" / kind / f"{name}.nii.gz")
        assert found.get_data_dtype() == dtype and found.shape[:3] == own.shape
        assert np.array_equal(found.affine, own.affine)
        assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == (3, 2)
        assert np.array_equal(found.header.get_zooms()[:3], own.header.get_zooms())
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_a_nifti_of_two_dimensions_keeps_them(tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES):
        for folder, values in (("images", intensities(seed, **SHAPE)), ("labels", classes(seed, **SHAPE))):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(values[0].T, LPS), tmp_path / "data" / folder / f"{name}.nii")
    model, dataset, packed = trained(tmp_path / "data", size=SIZE)
    name = validates(dataset)
    predicted(model, [tmp_path / "data" / "images" / f"{name}.nii"], tmp_path / "out")
    found: Any = nib.load(tmp_path / "out" / "masks" / f"{name}.nii.gz")
    assert found.shape == (64, 32)
    assert_written(tmp_path / "out", name, validated(model, dataset, packed, name))


@pytest.mark.parametrize("ending", [".mhd", ".mha", ".nrrd"])
def test_a_volume_of_itk_is_predicted_as_it_was_validated_and_its_mask_is_a_data_sets(tmp_path: Path, ending: str) -> None:
    direction = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
    for seed, name in enumerate(NAMES):
        where: dict[str, Any] = {"direction": direction, "origin": (3.0, -4.0, 5.0)}
        write_mhd(tmp_path / "data" / f"{name}{ending}", intensities(seed, **SHAPE), **where)
        write_mhd(tmp_path / "data" / f"{name}_segmentation{ending}", classes(seed, **SHAPE), **where)
    model, dataset, packed = trained(tmp_path / "data", size=SIZE)
    name = validates(dataset)
    predicted(model, [tmp_path / "data" / f"{name}{ending}"], tmp_path / "out")
    assert_written(tmp_path / "out", name, validated(model, dataset, packed, name))
    image, mask = (volume_file.header(path).grid for path in (
        tmp_path / "data" / f"{name}{ending}", tmp_path / "out" / "masks" / f"{name}.nii.gz"
    ))  # fmt: skip
    assert mask.shape == image.shape
    np.testing.assert_allclose(mask.affine, image.affine, atol=1e-5)


@pytest.mark.parametrize("plane", ["coronal", "sagittal", "auto"])
def test_slices_lie_in_the_plane_of_the_training(tmp_path: Path, plane: str) -> None:
    affine = np.diag([-1.0, -3.0, 1.0, 1.0])  # thick from front to back, so they were taken coronally
    for seed, name in enumerate(NAMES):
        write_nifti(tmp_path / "data" / "images" / f"{name}.nii.gz", intensities(seed, 32, 32, 32), affine)
        write_nifti(tmp_path / "data" / "labels" / f"{name}.nii.gz", classes(seed, 32, 32, 32), affine)
    model, dataset, packed = trained(tmp_path / "data", {"plane": plane}, size=[32, 32])
    name = validates(dataset)
    predicted(model, [tmp_path / "data" / "images" / f"{name}.nii.gz"], tmp_path / "out")
    if plane == "sagittal":  # whose pixels are not square
        mask = written(tmp_path / "out", "masks", name, "sagittal")
        assert mask.shape == (32, 32, 32) and len(np.unique(mask)) > 1
        probabilities = written(tmp_path / "out", "probabilities", name, "sagittal")
        assert np.allclose(probabilities.sum(axis=-1), 1.0, atol=1e-5)
        assert np.array_equal(probabilities.argmax(axis=-1), mask)
    else:
        assert_written(tmp_path / "out", name, validated(model, dataset, packed, name), "coronal")


def test_a_dicom_series_is_predicted_as_it_was_validated(tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES):
        write_series(tmp_path / "data", name, seed)
    model, dataset, packed = trained(tmp_path / "data", size=[12, 10])
    name = validates(dataset)
    series = tmp_path / "data" / "images" / name
    predicted(model, [series], tmp_path / "out")
    probabilities = validated(model, dataset, packed, name)
    # the slices of DICOM that lie axially, from the feet up, are those that a radiologist sees
    found = np.moveaxis(written(tmp_path / "out", "probabilities", name), -1, 1)
    assert found.shape == (5, 3, 12, 10)
    expected = np.stack([model.probabilities(image) for image in _images(dataset, name)])
    assert np.array_equal(found, expected) and np.array_equal(found, probabilities)
    predicted(model, [tmp_path / "data" / "images"], tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all" / "masks").iterdir()) == [f"{each}.nii.gz" for each in NAMES]
    save(tmp_path / "mixed", [*slices(intensities(0)), *slices(intensities(1))])
    with pytest.raises(InputError, match="several lie in one folder"):
        predicted(model, [tmp_path / "mixed"], tmp_path / "none")


def _images(dataset: Dataset, name: str) -> list[Array]:
    samples = sorted((sample for sample in dataset.samples if sample.id.startswith(f"{name}/")), key=lambda each: each.id)
    return [dataset.load(sample)[0] for sample in samples]


def test_a_mask_of_a_series_is_one_that_the_reader_takes(tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES):
        write_series(tmp_path / "data", name, seed)
    model, _, _ = trained(tmp_path / "data", size=[12, 10])
    predicted(model, [tmp_path / "data" / "images"], tmp_path / "out")
    (tmp_path / "again").mkdir()
    (tmp_path / "data" / "images").rename(tmp_path / "again" / "images")
    (tmp_path / "out" / "masks").rename(tmp_path / "again" / "masks")
    dataset = read(config(tmp_path / "again", classes=["x", "y", "z"]))
    for name in NAMES:
        masks = [dataset.load(sample)[1] for sample in dataset.samples if sample.id.startswith(f"{name}/")]
        assert np.array_equal(np.stack(masks), written(tmp_path / "again", "masks", name))


def test_a_scale_in_millimetres_is_that_of_the_training(tmp_path: Path) -> None:
    shape = {"slices": 2, "height": 32, "width": 32}
    for seed, name in enumerate(NAMES):
        write_mhd(tmp_path / "data" / f"{name}.mhd", intensities(seed, **shape), spacing=(2.0, 2.0, 4.0))
        write_mhd(tmp_path / "data" / f"{name}_segmentation.mhd", classes(seed, **shape), spacing=(2.0, 2.0, 4.0))
    model, dataset, packed = trained(tmp_path / "data", {"spacing": 2.0}, size=[64, 64])
    name = validates(dataset)
    predicted(model, [tmp_path / "data" / f"{name}.mhd"], tmp_path / "out")
    assert_written(tmp_path / "out", name, validated(model, dataset, packed, name)[:, :, 16:48, 16:48])
    # of other pixels, and larger than what the model sees: every voxel has an answer
    large = intensities(9, 2, 150, 90)
    write_mhd(tmp_path / "large.mhd", large, spacing=(1.0, 2.0, 4.0))
    predicted(model, [tmp_path / "large.mhd"], tmp_path / "out")
    mask, probabilities = (written(tmp_path / "out", kind, "large") for kind in ("masks", "probabilities"))
    assert mask.shape == large.shape
    assert np.allclose(probabilities.sum(axis=-1), 1.0, atol=1e-5)


def test_each_voxel_is_predicted_where_it_lies(tmp_path: Path) -> None:
    """A model that says what it sees: whatever is done to a slice must be undone."""

    class Bright(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen = 100.0 * images.mean(dim=1, keepdim=True)
            return torch.cat([-seen, seen, torch.full_like(seen, -1e3)], dim=1)

    truth = np.zeros((4, 40, 60), np.uint8)
    truth[1:, 12:, 25:] = 1
    ways: tuple[dict[str, Any], ...] = ({"window": [0, 1]}, {"window": [0, 1], "spacing": 1.0})
    for number, options in enumerate(ways):
        root = tmp_path / str(number) / "data"
        for seed, name in enumerate(NAMES):
            write_nifti(root / "images" / f"{name}.nii.gz", intensities(seed, 2, 32, 32))
            write_nifti(root / "labels" / f"{name}.nii.gz", classes(seed, 2, 32, 32))
        model, _, _ = trained(root, options, size=[32, 32], resize="fit")
        model.module = Bright()
        affine = np.diag([-1.0, -2.0, 3.0, 1.0])
        write_nifti(root.parent / "x.nii.gz", truth.astype(np.int16), turned(affine, 5.0), "SAR")
        predicted(model, [root.parent / "x.nii.gz"], root.parent / "out")
        wrong = written(root.parent / "out", "masks", "x") != truth
        _, rows, columns = np.nonzero(wrong)
        assert ((np.abs(rows - 12) <= 3) | (np.abs(columns - 25) <= 3)).all()
        assert wrong.mean() < 0.06


def test_channels_in_files_of_their_own_are_put_together(tmp_path: Path) -> None:
    shape = {"slices": 2, "height": 32, "width": 32}
    for seed, name in enumerate(NAMES):
        for number, channel in enumerate(("flair", "t1")):
            write_nifti(tmp_path / "data" / name / f"{name}_{channel}.nii.gz", intensities(10 * number + seed, **shape))
        write_nifti(tmp_path / "data" / name / f"{name}_seg.nii.gz", classes(seed, **shape))
    model, dataset, packed = trained(tmp_path / "data", size=[32, 32])
    assert model.description.channels == 2
    name = validates(dataset)
    predicted(model, [tmp_path / "data"], tmp_path / "out")
    found = np.moveaxis(written(tmp_path / "out", "probabilities", f"{name}/{name}"), -1, 1)
    assert np.array_equal(found, validated(model, dataset, packed, name))
    assert not list((tmp_path / "out" / "masks").rglob("*seg*"))
    with pytest.raises(InputError, match=r"_t1\.nii\.gz: a volume of 1 channel, but the model takes 2"):
        predicted(model, [tmp_path / "data" / name / f"{name}_t1.nii.gz"], tmp_path / "none")


def test_the_command_takes_volumes_where_the_model_is_of_volumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate(NAMES):
        write_nifti(tmp_path / "data" / f"{name}.nii.gz", intensities(seed, **SHAPE))
        write_nifti(tmp_path / "data" / f"{name}_seg.nii.gz", classes(seed, **SHAPE))
    model, dataset, packed = trained(tmp_path / "data", {"window": [-500, 900]}, size=SIZE)
    file, out = tmp_path / "model.safetensors", tmp_path / "out"
    write_model(file, model.description, model.module.state_dict())
    assert load_model(file).description == model.description
    arguments = ["--out", str(out), "--probabilities", "--device", "cpu"]
    assert predict.main([str(file), str(tmp_path / "data"), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "left out as labels, by their names: a_seg.nii.gz and others" in printed and "4 volumes: " in printed
    name = validates(dataset)
    assert_written(out, name, validated(model, dataset, packed, name))
    assert sorted(path.name for path in (out / "masks").iterdir()) == [f"{each}.nii.gz" for each in NAMES]
    assert (out / "classes.txt").read_text().splitlines() == list(model.class_names)
    (tmp_path / "picture.png").touch()
    assert predict.main([str(file), str(tmp_path / "picture.png"), *arguments]) == 2
    assert "a picture, but the model is of slices of volumes" in capsys.readouterr().err


def test_a_mask_is_called_as_labels_are(tmp_path: Path) -> None:
    for name in ("a_0000", "b_0000", "b_0001", "c_flair", "d"):  # of a model of one channel b has two volumes
        write_nifti(tmp_path / f"{name}.nii.gz", intensities(0))
    found = volume_sources([tmp_path], VolumeOptions(), 1)
    assert [source.name for source in found.sources] == ["a", "b_0000", "b_0001", "c_flair", "d"]
    (alone,) = volume_sources([tmp_path / "a_0000.nii.gz"], VolumeOptions(), 1).sources
    assert alone.name == "a"


def test_what_is_no_volume_of_the_model_is_named(tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES):
        write_mhd(tmp_path / "data" / f"{name}.mhd", intensities(seed, **SHAPE))
        write_mhd(tmp_path / "data" / f"{name}_segmentation.mhd", classes(seed, **SHAPE))
    model, _, _ = trained(tmp_path / "data", size=SIZE)
    (tmp_path / "picture.png").touch()
    (tmp_path / "text.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.nii.gz").write_bytes(b"nothing")
    write_mhd(tmp_path / "nan.mhd", np.full((2, 8, 8), np.nan, np.float32))
    for seed in range(2):
        write_mhd(tmp_path / str(seed) / "x.mhd", intensities(seed))
    for paths, said in (
        (["picture.png"], r"picture\.png: a picture, but the model is of slices of volumes"),
        (["text.txt"], r"text\.txt: no volume that is read"),
        (["none.nii.gz"], r"none\.nii\.gz: no such file"),
        (["empty"], r"empty: no volume in this folder"),
        (["damaged.nii.gz"], r"damaged\.nii\.gz: cannot be read as NIfTI"),
        (["nan.mhd"], r"nan\.mhd: not one value is a finite number"),
        (["0/x.mhd", "1/x.mhd"], "would both be written as x"),
    ):
        with pytest.raises(InputError, match=said):
            predicted(model, [tmp_path / path for path in paths], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.nii.gz"))
