"""A finished study's model on images: files of predictions, from the command and from Python."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tune_seg
from tests.support.image_files import photo, write_image
from tune_seg import export, predict
from tune_seg.data.images.pictures import read_mask
from tune_seg.study.exporting import PLAIN, WINNER, export_trials, model_file

Array = np.ndarray


@pytest.fixture(scope="module")
def study(rows_study: Path) -> Path:
    return rows_study.parent / "studies" / "rows"


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Array]:
    folder = tmp_path / "images"
    return {
        "a": write_image(folder / "a.png", photo(40, 60)),
        "more/b": write_image(folder / "more" / "b.png", photo(33, 21)),
        "more/grey": write_image(folder / "more" / "grey.bmp", photo(64, 64, channels=1)),
    }


def run(*arguments: object) -> int:
    return predict.main(list(map(str, arguments)))


def test_a_study_predicts_images_of_any_size(
    study: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(study, tmp_path / "images", "--out", out, "--probabilities") == 0
    printed = capsys.readouterr().out
    assert "3 images" in printed and str(out / "masks") in printed
    model = tune_seg.load_model(model_file(study, WINNER))
    assert (out / "classes.txt").read_text().splitlines() == list(model.class_names)
    for name, image in images.items():
        rgb = image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
        expected = model.predict(rgb)
        probabilities = np.load(out / "probabilities" / f"{name}.npy")
        assert probabilities.dtype == np.float32 and np.array_equal(probabilities, model.probabilities(rgb))
        mask = Image.open(out / "masks" / f"{name}.png")
        assert mask.mode == "P" and np.array_equal(np.asarray(mask), expected.mask)
        assert np.array_equal(read_mask(out / "masks" / f"{name}.png"), expected.mask)  # a data set reads it as it is
        confidence = np.asarray(Image.open(out / "confidence" / f"{name}.png"))
        assert np.array_equal(confidence, np.rint(255 * expected.confidence))
        colours = np.array([each.colour for each in model.description.classes])[expected.mask]
        assert np.array_equal(np.asarray(mask.convert("RGB")), colours)
        overlay = np.asarray(Image.open(out / "overlays" / f"{name}.png"))
        shown = np.where(colours.any(axis=2, keepdims=True), np.rint((rgb + colours) / 2), rgb)
        assert np.array_equal(overlay, shown)


def test_a_trial_and_a_file_predict_too(
    study: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "images" / "a.png"
    assert export.main([str(study), "--trial", "0", "--out", str(tmp_path / "new" / "zero.safetensors")]) == 0
    assert 'tune_seg.load_model("' in capsys.readouterr().out
    assert run(tmp_path / "new" / "zero.safetensors", image, "--out", tmp_path / "file") == 0
    assert run(study, image, "--out", tmp_path / "trial", "--trial", "0") == 0
    assert run(study, image, "--out", tmp_path / "adjusted", "--trial", "0", "--adjusted") == 0
    for kind in ("masks", "confidence"):
        first, second = (np.asarray(Image.open(tmp_path / where / kind / "a.png")) for where in ("file", "trial"))
        assert np.array_equal(first, second)
    adjusted = tune_seg.load_model(tmp_path / "new" / "zero.safetensors", adjusted=True).predict(images["a"])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "adjusted" / "masks" / "a.png")), adjusted.mask)
    assert tune_seg.load_model(tmp_path / "new" / "zero.safetensors").description.study == "rows, trial 0"


def test_all_repeats_of_the_one_to_take_predict_together(
    study: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tune_seg.Study(study / "study.yaml")
    (numbers,) = found.configurations["trials"][found.configurations["recommended"]]
    assert len(numbers) == 2
    files = export_trials(study, numbers, tmp_path)
    expected = np.mean([tune_seg.load_model(file).probabilities(images["a"]) for file in files], axis=0)
    ensemble = found.load_ensemble()
    np.testing.assert_allclose(ensemble.probabilities(images["a"]), expected, atol=1e-6)
    assert repr(ensemble).startswith("mean of 2 seeds, each Unet with resnet18")
    assert run(study, tmp_path / "images" / "a.png", "--out", tmp_path / "out", "--ensemble") == 0
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    assert np.array_equal(mask, ensemble.predict(images["a"]).mask)
    assert run(files[0], tmp_path / "images" / "a.png", "--out", tmp_path / "out", "--ensemble") == 2
    assert "--ensemble: " in capsys.readouterr().err


def test_a_study_that_was_moved_without_its_checkpoints_still_predicts(
    study: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(study, tmp_path / "elsewhere" / "moved")
    assert run(tmp_path / "elsewhere" / "moved", tmp_path / "images" / "a.png", "--out", tmp_path / "out") == 0
    assert export.main([str(tmp_path / "elsewhere" / "moved"), "--ce", "--out", str(tmp_path / "ce.safetensors")]) == 0
    assert (tmp_path / "ce.safetensors").read_bytes() == model_file(study, PLAIN).read_bytes()
    (tmp_path / "elsewhere" / "moved" / "models" / "winner.safetensors").unlink()
    capsys.readouterr()
    assert run(tmp_path / "elsewhere" / "moved", tmp_path / "images" / "a.png", "--out", tmp_path / "out") == 2
    assert "winner.safetensors: not there: it is written when a study has an answer" in capsys.readouterr().err


def test_what_cannot_be_predicted_is_named(
    study: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, image = tmp_path / "out", tmp_path / "images" / "a.png"
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").touch()
    write_image(tmp_path / "other" / "a.png", photo())
    write_image(tmp_path / "deep.png", photo(channels=1, dtype="uint16")[..., 0])
    for arguments, said in (
        ((study, tmp_path / "none.png"), "none.png: no such file"),
        ((study, tmp_path / "text.txt"), "text.txt: no image that is read"),
        ((study, tmp_path / "empty"), "empty: no image in this folder"),
        ((study, image, tmp_path / "other" / "a.png"), "would both be written as a; predict them into two folders"),
        ((study, tmp_path / "deep.png"), "an image of 16 bits a channel, where the data set has 8"),
        ((tmp_path / "nothing", image), "nothing holds no study"),
        ((tmp_path / "text.txt", image), "text.txt: cannot be read as a model"),
        ((study, image, "--trial", "999"), "there is no trial 999; there are 0 to"),
        ((model_file(study, WINNER), image, "--trial", "1"), "is the file of one model; name the study"),
    ):
        assert run(*arguments, "--out", out) == 2
        assert said in capsys.readouterr().err
    assert not (out / "masks").exists()
    assert run(study, image, "--out", out, "--device", "nowhere") == 2
    assert "device nowhere: it cannot be used here" in capsys.readouterr().err
    for where, said in (
        (tmp_path / "other", "holds files that tune-seg predict did not write"),
        (tmp_path / "images" / "found", "lies in"),
    ):
        assert run(study, tmp_path / "images", "--out", where) == 2
        assert said in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["a.png"]
    (tmp_path / "file").touch()
    assert run(study, image, "--out", tmp_path / "file") == 2
    assert "file: cannot be written" in capsys.readouterr().err
