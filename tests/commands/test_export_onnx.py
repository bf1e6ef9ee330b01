"""A model as ONNX, run by ONNX Runtime without the package's help."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import tune_seg
from tests.support.image_files import photo
from tune_seg import export
from tune_seg.study.exporting import WINNER, model_file

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def study(rows_study: Path) -> Path:
    return rows_study.parent / "studies" / "rows"


def test_an_onnx_file_says_what_the_model_says(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "winner.onnx"
    assert export.main([str(study), "--onnx", "--out", str(path)]) == 0
    printed = capsys.readouterr().out
    model = tune_seg.load_model(model_file(study, WINNER), "cpu")
    height, width = model.description.size
    assert f"image: float32 (N, 3, {height}, {width}), levels from 0 to 255, not normalised" in printed
    difference = float(printed.partition("probabilities differ by ")[2].split()[0])
    assert 0.0 <= difference <= 1e-4
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.stack([photo(height, width) for _ in range(5)])
    (found,) = session.run(None, {"image": images.transpose(0, 3, 1, 2).astype(np.float32)})
    expected = np.stack([model.probabilities(image) for image in images])
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(np.unique(found.argmax(axis=1))) > 1
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == list(model.class_names)
    assert json.loads(said["size"]) == [height, width]
    assert said["tune_seg_version"] == tune_seg.__version__
    assert json.loads(said["tune_seg"])["temperature"] == model.description.temperature
    assert [file.name for file in path.parent.iterdir()] == ["winner.onnx"]


def test_a_package_that_is_missing_is_named_with_what_installs_it(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as Python has it where it cannot be imported
    assert export.main([str(study), "--onnx", "--out", str(tmp_path / "a.onnx")]) == 2
    said = capsys.readouterr().err
    assert "ONNX needs the package onnxscript" in said and "[onnx]" in said and "-m pip install" in said
    assert not (tmp_path / "a.onnx").exists()


def test_what_cannot_be_written_as_onnx_is_named(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(study), "--out", str(tmp_path / "a.onnx")]) == 2
    assert "a.onnx: add --onnx to write ONNX, or call the file a.safetensors" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert export.main([str(study), "--onnx", "--out", str(tmp_path / "file" / "a.onnx")]) == 2
    assert "a.onnx: cannot be written" in capsys.readouterr().err
