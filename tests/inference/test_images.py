"""Files of images that a model predicts: read as its validation read them, and written whole."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support import CHECKOUT
from tests.support.image_files import numbers, photo, write_image, write_palette
from tests.support.trials import CPU
from tests.support.volume_files import intensities, write_mhd
from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import Dataset, PackedData, pack, read
from tune_seg.errors import InputError
from tune_seg.inference import TrainedModel, write_model
from tune_seg.inference.describe import describe
from tune_seg.inference.images import ImageReader, Source, predict_images, sources
from tune_seg.inference.memory import memory_errors
from tune_seg.models import build_model
from tune_seg.training.outputs import outputs

Array = np.ndarray
TRIAL = parse(TrialConfig, {"training": {"batch_size": 1}})
SIZE = (32, 64)


def trained(root: Path, **options: Any) -> tuple[TrainedModel, Dataset, PackedData]:
    config = parse(DataConfig, {"root": root, "size": SIZE, "options": options, "split": {"val_fraction": 0.5}})
    dataset = read(config)
    data = PackedData(pack(dataset, root.parent / "packs", config.size))
    torch.manual_seed(3)
    module = build_model(TRIAL.model, data.num_classes, in_channels=data.channels)
    rule = dataset.intensity_rule
    said = describe(TRIAL, config, data, metrics={}, fitted={"temperature/T": 1.7}, intensity_rule=rule, version="0")
    return TrainedModel(said, module.state_dict(), CPU), dataset, data


def write_kind(path: Path, kind: str) -> None:
    """An image of one of the kinds that people have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "grey" | "deep":
            write_image(path, photo(*SIZE, 1, "uint16" if kind == "deep" else "uint8"))
        case "palette":
            write_palette(path, numbers([0, 7, 200], *SIZE))
        case "transparent":
            write_image(path, photo(*SIZE, 4))
        case "grey and transparent":
            Image.fromarray(photo(*SIZE, 2), "LA").save(path)
        case "black and white":
            Image.fromarray(photo(*SIZE, 1)[..., 0] > 127).save(path)
        case "twelve bits":
            write_image(path, (photo(*SIZE, 1, "uint16") >> 4).astype(np.uint16))
        case "deep colours":
            import imagecodecs

            path.write_bytes(imagecodecs.png_encode(photo(*SIZE, 3, "uint16")))
        case "floats":
            import tifffile

            values = photo(*SIZE, 1)[..., 0].astype(np.float32) / 100 - 1
            values[:3] = -9999.0
            tifffile.imwrite(path, values)


@pytest.mark.parametrize(
    ("kind", "ending", "options"),
    [
        ("grey", ".png", {}),
        ("palette", ".png", {}),
        ("transparent", ".png", {}),
        ("grey and transparent", ".png", {}),
        ("black and white", ".png", {}),
        ("deep", ".png", {"channels": 1}),
        ("deep", ".png", {}),
        ("twelve bits", ".tif", {"channels": 1}),
        ("deep colours", ".png", {}),
        ("floats", ".tif", {"channels": 1}),
        ("transparent", ".png", {"channels": 4}),
    ],
)
def test_an_image_is_predicted_as_validation_read_it(
    tmp_path: Path, kind: str, ending: str, options: dict[str, Any]
) -> None:
    for name in "abcd":
        write_kind(tmp_path / "data" / "images" / f"{name}{ending}", kind)
        write_image(tmp_path / "data" / "masks" / f"{name}.png", numbers([0, 1, 2], *SIZE))
    model, dataset, data = trained(tmp_path / "data", **options)
    samples = sorted((each for each in dataset.samples if each.split == "val"), key=lambda each: each.id)
    files = [each.image for each in samples if each.image is not None]
    found = sources(files, pages_as_channels=False)
    seen, _ = data.val.gather(range(len(files)))
    reader = ImageReader(model.description)
    context = torch.autocast("cpu", enabled=False)
    with torch.inference_mode():
        batches = list(outputs(model.module, data, TRIAL, device=CPU, autocast=context))
    logits = [image for of_batch, _, _ in batches for image in of_batch]
    assert len(list(predict_images(model, found, tmp_path / "out", probabilities=True))) == len(files) == len(logits) == 2
    for source, image, of_image in zip(found, seen.numpy(), logits, strict=True):
        read_again, unmeasured = reader.read(source)
        assert np.array_equal(read_again, image)
        assert (unmeasured is not None) == (kind == "floats")
        probabilities = (of_image / 1.7).softmax(dim=0).numpy()
        assert np.array_equal(np.load(tmp_path / "out" / "probabilities" / f"{source.name}.npy"), probabilities)
        mask = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{source.name}.png"))
        expected = probabilities.argmax(axis=0)
        if unmeasured is not None:
            assert unmeasured[:3].all() and not unmeasured[3:].any()
            expected = np.where(unmeasured, 255, expected)
        assert np.array_equal(mask, expected)


class Hungry(torch.nn.Module):
    """A model that asks for more memory than there is."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**48).sum() + images


def test_a_lack_of_memory_is_said_with_what_to_do(tmp_path: Path) -> None:
    for name in "abcd":
        write_image(tmp_path / "data" / "images" / f"{name}.png", photo(*SIZE))
        write_image(tmp_path / "data" / "masks" / f"{name}.png", numbers([0, 1, 2], *SIZE))
    model, _, _ = trained(tmp_path / "data")
    model.module = Hungry()
    source = Source(tmp_path / "data" / "images" / "a.png", None, "a")
    for probabilities in (False, True):
        with pytest.raises(
            InputError, match=r"a\.png: the memory of cpu does not suffice .* 64 x 32 pixels; cut it into tiles"
        ):
            list(predict_images(model, [source], tmp_path / "out", probabilities=probabilities))
    # what CUDA says, and its libraries, which have memory of their own
    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ):
        said = pytest.raises(InputError, match=r"a\.png: the memory of cuda does not .* with --device cpu")
        with said, memory_errors(source.path, (32, 64), torch.device("cuda")):
            raise error
    model.module = torch.nn.Linear(3, 3)  # whatever else is wrong keeps its own words
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        list(predict_images(model, [source], tmp_path / "out", probabilities=False))


@pytest.mark.long("an interrupted prediction")
def test_ctrl_c_leaves_whole_files_alone(tmp_path: Path) -> None:
    for name in "abcd":
        write_image(tmp_path / "data" / "images" / f"{name}.png", photo(*SIZE))
        write_image(tmp_path / "data" / "masks" / f"{name}.png", numbers([0, 1, 2], *SIZE))
    model, _, _ = trained(tmp_path / "data")
    write_model(tmp_path / "a.safetensors", model.description, model.module.state_dict())
    for number in range(200):
        write_image(tmp_path / "images" / f"{number}.png", photo(64, 64))
    arguments = [
        str(tmp_path / "a.safetensors"),
        str(tmp_path / "images"),
        "--out",
        str(tmp_path / "out"),
        "--probabilities",
    ]
    command = [sys.executable, "-m", "tune_seg.predict", *arguments]
    process = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not (tmp_path / "out" / "masks" / "0.png").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "interrupted" in said and "Traceback" not in said
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix in (".png", ".npy")]
    assert 0 < len(files) < 800
    for path in files:
        assert not path.name.startswith(".")
        if path.suffix == ".npy":
            assert np.load(path).shape == (3, 64, 64)
        else:
            Image.open(path).load()


def test_volumes_are_no_images_of_a_model_of_pictures(tmp_path: Path) -> None:
    write_mhd(tmp_path / "volumes" / "x.mha", intensities(0))
    for path in (tmp_path / "volumes", tmp_path / "volumes" / "x.mha"):
        with pytest.raises(InputError, match="a volume, but the model is of a study of pictures"):
            sources([path], pages_as_channels=False)
