"""What a model says of an image, against what its validation said of the same image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.image_files import numbers, photo, write_image
from tests.support.trials import CPU
from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import PackedData, pack, read
from tune_seg.errors import InputError
from tune_seg.inference import SeedEnsemble, TrainedModel
from tune_seg.inference.describe import describe
from tune_seg.models import build_model
from tune_seg.training.outputs import outputs

FITTED = {"temperature/T": 1.7, "adjusted/T": 1.3, "adjusted/tau": 0.5}


def written(root: Path, shapes: dict[str, tuple[int, int]], **how: Any) -> None:
    for name, shape in shapes.items():
        write_image(root / "images" / f"{name}.png", photo(*shape, **how))
        write_image(root / "masks" / f"{name}.png", numbers([0, 1, 2], *shape))


def config_of(root: Path, **values: Any) -> DataConfig:
    given = {"root": root, "size": [32, 64], "classes": ["x", "y", "z"], "split": {"val_fraction": 0.5}}
    return parse(DataConfig, given | values)


def packed(root: Path, config: DataConfig) -> PackedData:
    return PackedData(pack(read(config), root / "packs", config.size))


def validated(model: torch.nn.Module, data: PackedData, trial: TrialConfig) -> list[torch.Tensor]:
    """The logits (C, h, w) of each validation image."""
    context = torch.autocast("cpu", enabled=False)
    with torch.inference_mode():
        batches = list(outputs(model.eval(), data, trial, device=CPU, autocast=context))
    return [logits for of_batch, _, _ in batches for logits in of_batch]


def made(config: DataConfig, data: PackedData, trial: TrialConfig, **how: Any) -> TrainedModel:
    torch.manual_seed(3)
    module = build_model(trial.model, data.num_classes, in_channels=data.channels, acw=trial.acw)
    said = describe(trial, config, data, metrics={}, fitted=FITTED, intensity_rule=None, version="0")
    return TrainedModel(said, module.state_dict(), CPU, **how)


@pytest.mark.parametrize(
    ("channels", "dtype", "acw"), [(3, "uint8", False), (3, "uint8", True), (1, "uint8", False), (3, "uint16", False)]
)
def test_an_image_of_the_size_of_the_training_is_predicted_as_it_was_validated(
    tmp_path: Path, channels: int, dtype: str, acw: bool
) -> None:
    written(tmp_path, dict.fromkeys("abcd", (32, 64)), channels=channels)
    config = config_of(tmp_path, options={} if channels == 3 else {"channels": channels})
    data = packed(tmp_path, config)
    trial = parse(TrialConfig, {"training": {"batch_size": 1}, "acw": acw})
    model = made(config, data, trial)
    images, _ = data.val.gather(range(len(data.val)))
    for image, logits in zip(images.numpy(), validated(model.module, data, trial), strict=True):
        probabilities = (logits / 1.7).softmax(dim=0)
        assert np.array_equal(model.probabilities(image), probabilities.numpy())
        prediction = model.predict(image)
        assert np.array_equal(prediction.mask, probabilities.argmax(dim=0).numpy())
        assert np.array_equal(prediction.confidence, probabilities.max(dim=0).values.numpy())


def test_an_image_of_tiles_is_predicted_as_it_was_validated(tmp_path: Path) -> None:
    shapes = {"a": (70, 100), "b": (64, 64), "c": (20, 90), "d": (100, 31)}
    written(tmp_path, shapes)
    config = config_of(tmp_path, size=[32, 32], tiles={"size": [32, 32], "overlap": 8})
    data = packed(tmp_path, config)
    trial = parse(TrialConfig, {"training": {"batch_size": 8}})
    model = made(config, data, trial)
    found = validated(model.module, data, trial)
    images = {sample.id.partition("@")[0] for sample in read(config).samples if sample.split == "val"}
    assert len(images) == 2
    whole = {name: np.asarray(model.probabilities(read_image(tmp_path, name))) for name in images}
    assert all(probabilities.shape == (3, *shapes[name]) for name, probabilities in whole.items())
    compared = 0
    for place, logits, mask in zip(data.val_tiles, found, data.val.masks(range(len(data.val))), strict=True):
        assert place is not None
        probabilities = (logits / 1.7).softmax(dim=0).numpy()
        for row, column in np.argwhere(mask.numpy() != 255):  # its own pixels
            there = whole[place.image][:, place.row + row, place.column + column]
            np.testing.assert_allclose(there, probabilities[:, row, column], atol=1e-6)
            compared += 1
    assert compared == sum(np.prod(shapes[name]) for name in images)


def read_image(root: Path, name: str) -> Any:
    from PIL import Image

    return np.asarray(Image.open(root / "images" / f"{name}.png"))


@pytest.mark.parametrize("resize", ["stretch", "fit", "crop"])
@pytest.mark.parametrize("shape", [(32, 64), (64, 128), (50, 40), (100, 300), (9, 7)])
def test_images_of_other_sizes_keep_them(tmp_path: Path, resize: str, shape: tuple[int, int]) -> None:
    written(tmp_path, dict.fromkeys("abcd", (32, 64)))
    values = {
        "root": tmp_path,
        "size": [32, 64],
        "classes": ["x", "y", "z"],
        "resize": resize,
        "split": {"val_fraction": 0.5},
    }
    config = parse(DataConfig, values)
    data = packed(tmp_path, config)
    model = made(config, data, parse(TrialConfig, {}))
    image = photo(*shape)
    probabilities = model.probabilities(image)
    assert probabilities.shape == (3, *shape) and np.allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)
    prediction = model.predict(image)
    assert np.array_equal(prediction.mask, probabilities.argmax(axis=0))
    assert np.array_equal(prediction.confidence, probabilities.max(axis=0))


def test_each_pixel_is_predicted_where_it_lies(tmp_path: Path) -> None:
    """A model that says what it sees: whatever is done to the image must be undone."""

    class Bright(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen = 100.0 * images.mean(dim=1, keepdim=True)
            return torch.cat([-seen, seen, torch.full_like(seen, -1e3)], dim=1)

    written(tmp_path, dict.fromkeys("abcd", (32, 64)))
    ways: tuple[dict[str, Any], ...] = (
        {"resize": "stretch"},
        {"resize": "fit"},
        {"resize": "crop"},
        {"tiles": {"size": [32, 64], "overlap": 8}},
    )
    for values in ways:
        config = config_of(tmp_path, **values)
        model = made(config, packed(tmp_path, config), parse(TrialConfig, {}))
        model.module = Bright()
        for shape in ((32, 64), (128, 128), (40, 300), (200, 60)):
            truth = np.zeros(shape, np.uint8)
            truth[shape[0] // 3 :, shape[1] // 4 :] = 1
            image = np.repeat(np.where(truth, 250, 5).astype(np.uint8)[..., None], 3, axis=2)
            wrong = model.predict(image).mask != truth
            rows, columns = np.nonzero(wrong)
            scale = max(1.0, shape[0] / 32, shape[1] / 64)
            near = (np.abs(rows - shape[0] // 3) <= scale) | (np.abs(columns - shape[1] // 4) <= scale)
            assert near.all(), (values, shape)
            assert wrong.mean() < 0.06


def test_adjusted_logits_are_taken_where_they_are_asked_for(tmp_path: Path) -> None:
    written(tmp_path, dict.fromkeys("abcd", (32, 64)))
    config = config_of(tmp_path)
    data = packed(tmp_path, config)
    trial = parse(TrialConfig, {"training": {"batch_size": 1}})
    model = made(config, data, trial, adjusted=True)
    image = data.val.gather([0])[0][0].numpy()
    logits = validated(model.module, data, trial)[0]
    frequencies = torch.tensor(data.train_pixels / data.train_pixels.sum())
    expected = ((logits - 0.5 * frequencies.log()[:, None, None]) / 1.3).softmax(dim=0)
    np.testing.assert_allclose(model.probabilities(image), expected.numpy(), atol=1e-6)
    without = model.description.model_copy(update={"adjustment": None})
    with pytest.raises(InputError, match="this model has no adjusted logits"):
        TrainedModel(without, model.module.state_dict(), CPU, adjusted=True)


@pytest.mark.parametrize(
    "image", [np.zeros((32, 64), np.uint8), np.zeros((32, 64, 4), np.uint8), np.zeros((32, 64, 3), np.float32)]
)
def test_an_image_of_another_kind_is_refused(tmp_path: Path, image: Any) -> None:
    written(tmp_path, dict.fromkeys("abcd", (32, 64)))
    config = config_of(tmp_path)
    model = made(config, packed(tmp_path, config), parse(TrialConfig, {}))
    with pytest.raises(InputError, match=r"the model takes uint8 values, \(height, width, 3\)"):
        model.predict(image)


def test_models_that_see_images_otherwise_make_no_ensemble(tmp_path: Path) -> None:
    written(tmp_path, dict.fromkeys("abcd", (32, 64)))
    config = config_of(tmp_path)
    model = made(config, packed(tmp_path, config), parse(TrialConfig, {}))
    other = TrainedModel(model.description.model_copy(update={"resize": "crop"}), model.module.state_dict(), CPU)
    with pytest.raises(InputError, match="differ in their classes or in how they see images"):
        SeedEnsemble([model, other])
    with pytest.raises(InputError, match="an ensemble needs models"):
        SeedEnsemble([])
    image = photo(50, 70)
    np.testing.assert_allclose(SeedEnsemble([model, model]).probabilities(image), model.probabilities(image), atol=1e-6)
