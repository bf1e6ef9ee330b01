"""The file of a model: what is written is read, and what is no such file is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tune_seg.config import ModelConfig
from tune_seg.errors import InputError
from tune_seg.inference import ModelDescription, load_model, read_model, write_model
from tune_seg.models import build_model

CLASSES = [{"name": "background", "colour": [0, 0, 0]}, {"name": "crack", "colour": [230, 159, 0]}]

ADJUSTMENT: dict[str, Any] = {"tau": 0.5, "temperature": 1.2, "shift": (-0.1, -2.0)}

RULE = {"low": [1.0], "high": [2.0], "nodata": None}


def description(**values: Any) -> ModelDescription:
    given = {
        "tune_seg_version": "0",
        "model": {"architecture": "Unet", "encoder": "resnet18"},
        "acw": False,
        "acw_positive": False,
        "classes": CLASSES,
        "size": (32, 32),
        "resize": "fit",
        "channels": 3,
        "dtype": "uint8",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
    }
    return ModelDescription.model_validate(given | values)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    said = description(temperature=1.5, adjustment=ADJUSTMENT, metrics={"s_rec": 0.7, "f1": None}, intensity_rule=RULE)
    of_volumes = description(volumes={"plane": "coronal", "spacing": 1.5, "window": (-160, 240)})
    assert ModelDescription.model_validate_json(of_volumes.model_dump_json()) == of_volumes
    model = build_model(said.model, 2)
    write_model(tmp_path / "new" / "a.safetensors", said, model.state_dict())
    found, weights = read_model(tmp_path / "new" / "a.safetensors")
    assert found == said
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format_version": 1}, r"format_version: Input should be 2.*an older or a newer tune_seg may have written it"),
        ({"format_version": 3}, r"format_version: Input should be 2.*an older or a newer tune_seg may have written it"),
        ({"volumes": {"bits": 16}}, r"volumes\.bits is 16, but the images are uint8"),
        ({"volumes": {"plane": "oblique"}}, r"volumes\.plane: Input should be"),
        ({"volumes": {"window": [3, 1]}}, r"black must lie below white"),
        ({"volumes": {}, "intensity_rule": RULE}, r"volumes have neither an intensity_rule nor pages"),
        ({"mean": [0.5]}, r"mean has 1 numbers, 3 are needed"),
        ({"adjustment": ADJUSTMENT | {"shift": [0.0, 0.0, 0.0]}}, r"adjustment\.shift has 3 numbers, 2 are needed"),
        ({"adjustment": ADJUSTMENT | {"shift": []}}, r"adjustment\.shift has 0 numbers, 2 are needed"),
        (
            {"model": {"architecture": "Unet", "encoder": "tu-hf-hub:a/b"}},
            r"is no name, and what is elsewhere",
        ),
        ({"intensity_rule": {"low": [1.0]}}, r"intensity_rule needs low, high and nodata"),
        ({"temperature": 0.0}, r"temperature: Input should be greater than 0"),
        ({"more": 1}, r"more: Extra inputs are not permitted"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    wrong = json.loads(description().model_dump_json()) | values
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"tune_seg": json.dumps(wrong)})
    with pytest.raises(InputError, match=said):
        read_model(tmp_path / "a.safetensors")


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors: no such file"):
        read_model(tmp_path / "none.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"no model at all")
    with pytest.raises(InputError, match=r"a\.safetensors: cannot be read as a model"):
        read_model(tmp_path / "a.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(InputError, match=r"b\.safetensors: weights that no tune_seg export wrote"):
        read_model(tmp_path / "b.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "c.pt")  # a pickle, which is not opened
    with pytest.raises(InputError, match=r"c\.pt: cannot be read as a model"):
        load_model(tmp_path / "c.pt")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    other = build_model(ModelConfig(architecture="FPN", encoder="resnet18"), 2)
    write_model(tmp_path / "a.safetensors", description(), other.state_dict())
    with pytest.raises(InputError, match=r"the weights do not fit Unet with resnet18"):
        load_model(tmp_path / "a.safetensors")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/a\.safetensors: cannot be written"):
        write_model(tmp_path / "file" / "a.safetensors", description(), {"a": torch.zeros(1)})
