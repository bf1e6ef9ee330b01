"""A finished study's model on images: files of predictions, from the command and from Python."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import tune_seg
from tests.support.image_files import photo, write_image
from tune_seg import export, predict
from tune_seg.data.images.pictures import read_mask
from tune_seg.study.choosing import choose
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
    said = capsys.readouterr().err
    assert "moved has no verdict (it was interrupted before its answer was complete, or its folder of models" in said
    assert ".arrow: not there: the packed images of the study" in said


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


def test_what_cannot_be_read_leaves_the_others(
    study: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (tmp_path / "images" / "a0.png").write_text("no picture")
    write_image(tmp_path / "images" / "b.png", photo(channels=1, dtype="uint16")[..., 0])
    assert run(study, tmp_path / "images", "--out", out) == 2
    said = capsys.readouterr()
    assert "3 images: " in said.out and "2 of 5 files could not be predicted:" in said.err
    assert "a0.png: cannot be read as an image" in said.err and "b.png: an image of 16 bits a channel" in said.err
    predicted = {path.relative_to(out / "masks").with_suffix("").as_posix() for path in (out / "masks").rglob("*.png")}
    assert predicted == images.keys()


def test_the_mean_of_all_repeats_with_adjusted_logits(study: Path, images: dict[str, Array], tmp_path: Path) -> None:
    found = tune_seg.Study(study / "study.yaml")
    (numbers,) = found.configurations["trials"][found.configurations["recommended"]]
    files = export_trials(study, numbers, tmp_path)
    image, out = tmp_path / "images" / "a.png", tmp_path / "out"
    assert run(study, image, "--out", out, "--ensemble", "--adjusted", "--probabilities") == 0
    probabilities = [tune_seg.load_model(file, adjusted=True).probabilities(images["a"]) for file in files]
    np.testing.assert_allclose(np.load(out / "probabilities" / "a.npy"), np.mean(probabilities, axis=0), atol=1e-6)


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    """A copy of the study, whose weights are where they were."""
    return copy_of(study, tmp_path / "copy")


def copy_of(study: Path, studies: Path) -> Path:
    copy = Path(shutil.copytree(study, studies / "rows"))
    (studies / "packs").symlink_to(study.parent / "packs")
    return copy


def best_trial(study: Path) -> Any:
    """The best trial by the first objective, by the table of results."""
    trials = tune_seg.Study(study / "study.yaml").trials
    return trials[trials["state"] == "completed"].sort_values("mdice", ascending=False).iloc[0]


def test_a_study_without_a_verdict_gives_its_best_trial_and_says_so(
    copied: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copied / "models")
    several, alone = (copy_of(copied, tmp_path / name) for name in ("several", "alone"))
    rewrite(several, objective=["mdice", "recall"])
    (alone / "configurations.parquet").unlink()
    best = best_trial(copied)
    for directory, why in (
        (copied, "it was interrupted before its answer was complete"),
        (several, "its objectives are mdice, recall, and none of them decides alone"),
        (alone, "its best configurations have not been compared over several seeds"),
    ):
        trial, note = choose(directory)
        assert trial == best.trial
        assert f"rows has no verdict ({why}" in note and f"took trial {best.trial}, " in note
    assert run(several, tmp_path / "images" / "a.png", "--out", tmp_path / "out") == 0
    assert "note: rows has no verdict (its objectives are mdice, recall, and none" in capsys.readouterr().err
    with pytest.warns(UserWarning, match=f"rows has no verdict .* took trial {best.trial}, "):
        model = tune_seg.Study(copied / "study.yaml").load_model()
    assert model.description.study == f"rows, trial {best.trial}"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png")), model.predict(images["a"]).mask)
    assert export.main([str(copied), "--ce", "--out", str(tmp_path / "ce.safetensors")]) == 0
    taken = re.search(r"took trial (\d+), ", capsys.readouterr().err)
    assert taken is not None
    description = tune_seg.load_model(tmp_path / "ce.safetensors").description
    assert description.study == f"rows, trial {taken[1]}"
    assert description.configuration["loss"]["end"] == "ce" and not description.acw


def rewrite(study: Path, **values: Any) -> None:
    """Put other values into the configuration of a study."""
    path = study / "study.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}, sort_keys=False))


def test_an_answer_that_is_older_than_the_newest_trials_is_said(
    copied: Path, images: dict[str, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "images" / "a.png"
    assert run(copied, image, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
    answered = copied / "models" / "answer.json"
    trials = json.loads(answered.read_text())["trials"]
    assert trials == len(tune_seg.Study(copied / "study.yaml").trials)
    answered.write_text(json.dumps({"trials": trials - 2}))  # as if two had ended since, in a session that was interrupted
    said = "rows: the model is that of an answer from before 2 trials ended"
    assert run(copied, image, "--out", tmp_path / "out") == 0
    assert said in capsys.readouterr().err
    assert export.main([str(copied), "--out", str(tmp_path / "a.safetensors")]) == 0
    assert said in capsys.readouterr().err
    with pytest.warns(UserWarning, match=said):
        tune_seg.Study(copied / "study.yaml").load_ensemble()
