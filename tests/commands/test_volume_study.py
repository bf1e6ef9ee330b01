"""A study of volumes from its files to a model in use, as somebody types it."""

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

import tune_seg
from tests.support.studies import search, write_config
from tune_seg import export, predict, report
from tune_seg.config import TrialConfig, parse
from tune_seg.data import PackedData, read
from tune_seg.data.volumes.geometry import sliced
from tune_seg.inference import TrainedModel
from tune_seg.study.configuration import load_config
from tune_seg.study.exporting import WINNER, model_file
from tune_seg.study.files import PACKS
from tune_seg.training.outputs import outputs

TURNED = [[-1.0, 0.0, 0.0, 11.0], [0.0, 0.98, -0.6, -20.0], [0.0, 0.2, 2.94, 5.0], [0.0, 0.0, 0.0, 1.0]]
AFFINE = np.array(TURNED, np.float32).astype(np.float64)  # as NIfTI keeps it
"""Voxels of 1 x 1 x 3 mm, turned by 11 degrees about the first axis."""
SHAPE = (32, 64, 10)
NAMES = ("background", "organ", "lesion")
CONFIG: dict[str, Any] = {
    "training": {"epochs": 2, "batch_size": 8, "optimizer": "adam", "lr": 1e-3, "threads": 1},
    "objective": "temperature/s_rec",
    "search": {"sampler": "grid", "early_stopping": {"kind": "none"}},
    "space": {"loss.end": {"grid": ["ce", "wce"]}, "training.seed": {"grid": [0, 1]}},
    "baselines": [],
}


def volume(seed: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and labels: an organ, and in it a lesion of some forty voxels."""
    drawn = np.random.default_rng(seed)
    places = np.moveaxis(np.indices(shape), 0, -1) - np.array(shape) // 2 - drawn.integers(-2, 3, 3)
    organ = (places**2 / np.array([80.0, 300.0, 16.0])).sum(axis=-1) < 1.0
    lesion = ((places - drawn.integers(-2, 3, 3)) ** 2 / np.array([5.0, 5.0, 2.0])).sum(axis=-1) <= 1.0
    labels = np.where(lesion, 2, organ).astype(np.uint8)
    return (drawn.normal(0.0, 40.0, shape) + np.array([0, 200, 400])[labels]).astype(np.int16), labels


def write_nnunet(root: Path) -> None:
    (root / "labelsTr").mkdir(parents=True)
    (root / "imagesTr").mkdir()
    for number in range(6):
        image, labels = volume(number, SHAPE)
        nib.save(nib.Nifti1Image(image, AFFINE), root / "imagesTr" / f"case_{number}_0000.nii.gz")
        nib.save(nib.Nifti1Image(labels, AFFINE), root / "labelsTr" / f"case_{number}.nii.gz")
    said = {"channel_names": {"0": "CT"}, "labels": {name: value for value, name in enumerate(NAMES)}}
    (root / "dataset.json").write_text(json.dumps(said))


def validated(model: TrainedModel, config: TrialConfig, packed: PackedData) -> list[np.ndarray]:
    """The class of each pixel of the validation slices, as validation finds it."""
    context = torch.autocast("cpu", enabled=False)
    with torch.inference_mode():
        return [
            image.argmax(dim=0).numpy()
            for logits, _, _ in outputs(model.module, packed, config, device=torch.device("cpu"), autocast=context)
            for image in logits
        ]


@pytest.mark.long("volume study")
def test_a_study_of_volumes_is_searched_predicted_exported_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "lesions", tmp_path / "out"
    write_nnunet(root)
    data = {"root": str(root), "size": [64, 32]}
    config = write_config(tmp_path / "volumes.yaml", **CONFIG, data=data)
    assert search(config) == 0
    directory = tmp_path / "studies" / "volumes"
    printed = capsys.readouterr().out
    assert "lesion" in printed and (directory / "report.html").is_file()

    # volumes that validate are predicted as they were validated, and lie where they lay
    assert predict.main([str(directory), str(root / "imagesTr"), "--out", str(out)]) == 0
    assert "6 volumes" in capsys.readouterr().out
    model = tune_seg.load_model(model_file(directory, WINNER), "cpu")
    assert model.class_names == NAMES
    studied = load_config(directory / "study.yaml")
    packed = PackedData(directory.parent / PACKS / f"{studied.data.content}.arrow")
    trial = parse(TrialConfig, {"training": {"batch_size": 8}})
    places = sorted((sample for sample in read(studied.data).samples if sample.split == "val"), key=lambda each: each.place)
    expected = validated(model, trial, packed)
    assert len(places) == len(expected) and len({each.group for each in places}) < 6
    masks: dict[str, Any] = {path.name.partition(".")[0]: nib.load(path) for path in (out / "masks").iterdir()}
    for place, slice_ in zip(places, expected, strict=True):
        mask = masks[place.group]
        assert mask.shape == SHAPE and np.array_equal(mask.affine, AFFINE)
        found = sliced(np.asarray(mask.dataobj)[..., None], mask.affine, "axial")[..., 0]
        assert np.array_equal(found[place.part], slice_)

    # a volume of another size, with the file of the model alone
    file = tmp_path / "model.safetensors"
    assert export.main([str(directory), "--out", str(file)]) == 0
    image, _ = volume(7, (29, 26, 5))
    nib.save(nib.Nifti1Image(image, AFFINE), tmp_path / "other.nii.gz")
    assert predict.main([str(file), str(tmp_path / "other.nii.gz"), "--out", str(tmp_path / "other")]) == 0
    other: Any = nib.load(tmp_path / "other" / "masks" / "other.nii.gz")
    assert other.shape == image.shape and np.array_equal(other.affine, AFFINE)

    loaded = tune_seg.load_model(file, "cpu")
    level = packed.val.gather([0])[0][0].numpy()
    assert np.array_equal(loaded.predict(level).mask, expected[0])
    capsys.readouterr()
    assert export.main([str(directory), "--onnx", "--out", str(tmp_path / "model.onnx")]) == 0
    difference = re.search(r"probabilities differ by (\S+) at most", capsys.readouterr().out)
    assert difference is not None and float(difference[1]) <= 1e-4
    (directory / "report.html").unlink()
    assert report.main([str(directory)]) == 0
    assert "lesion" in (directory / "report.html").read_text()
