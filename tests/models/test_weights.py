"""Initial weights from files in every format, of whole models and of encoders; and files that are rejected."""

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50, segmentation

from tests.support.epoch_results import result
from tests.support.trials import trial
from tune_seg.config import ModelConfig
from tune_seg.data import PackedData
from tune_seg.errors import InputError
from tune_seg.models import build_model, check_model, frozen_encoder
from tune_seg.models.weights import read_weights
from tune_seg.training import Trainer
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.resume import StoredTraining

CPU = torch.device("cpu")
SMALL = {"architecture": "FPN", "encoder": "mobilenet_v2"}
IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def config(path: object = "none", **values: Any) -> ModelConfig:
    return ModelConfig.model_validate({**SMALL, "weights": str(path), **values})


def built(chosen: ModelConfig, num_classes: int = 4, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(chosen, num_classes, **options).eval()


def state_of(chosen: ModelConfig, num_classes: int = 4, seed: int = 7, **options: Any) -> dict[str, Tensor]:
    return built(chosen, num_classes, seed, **options).state_dict()


def stored(state: Mapping[str, Tensor], path: Path) -> Path:
    store = CheckpointStore(str(path.parent))
    assert store.save("3f", [result(1)], {"model": state, "optimizer": {0: {"momentum_buffer": torch.zeros(2)}}})
    return path.with_name("3f.pt")


def saved(state: Mapping[str, Tensor], path: Path) -> Path:
    torch.save(state, path)
    return path


def saved_as_before_2020(state: Mapping[str, Tensor], path: Path) -> Path:
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def safe(state: Mapping[str, Tensor], path: Path) -> Path:
    path = path.with_suffix(".safetensors")
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def wrapped(state: Mapping[str, Tensor], path: Path) -> Path:
    torch.save({"epoch": 3, "state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}}, path)
    return path


FORMATS = [saved, saved_as_before_2020, safe, stored, wrapped]


def whole(frozen: nn.Module) -> nn.Module:
    encoder = frozen_encoder(frozen)
    assert encoder is not None
    return encoder.model


def same_weights(model: nn.Module, state: Mapping[str, Tensor]) -> bool:
    own = model.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], state[name]) for name in own)


@pytest.mark.parametrize("write", FORMATS)
def test_what_was_saved_is_what_a_model_starts_with(write: Callable[..., Path], tmp_path: Path) -> None:
    state = state_of(config())
    path = write(state, tmp_path / "weights.pt")
    assert same_weights(built(config(path)), state)
    assert same_weights(whole(built(config(path, train="head"))), state)
    assert check_model(config(path), [(64, 64)]) == [
        f"model.weights {path} has a last layer of 4 classes; it starts at random where the data have another number"
    ]


@pytest.mark.parametrize(("train", "positive"), [("all", False), ("head", True)])
def test_what_build_model_made_is_loaded_without_its_adaptive_class_weights(
    train: str, positive: bool, tmp_path: Path
) -> None:
    model = built(config(train=train), seed=7, acw=True, acw_positive=positive)
    with torch.no_grad():
        for parameter in model[-1].parameters():  # type: ignore[index]
            parameter.fill_(0.5)
    path = stored(model.state_dict(), tmp_path / "weights.pt")
    weighted = built(config(path), acw=True)
    assert torch.equal(weighted(IMAGES), built(config(path))(IMAGES))
    assert same_weights(built(config(path)), state_of(config()))
    assert f"model.weights {path} has adaptive class weights, left out" in check_model(config(path), [(64, 64)])


@pytest.mark.parametrize("lr_schedule", ["constant", "linear"])
def test_a_trial_begins_with_the_weights_that_a_former_study_ended_with(
    packed: PackedData, tmp_path: Path, lr_schedule: str
) -> None:
    """Whether a longer training could have gone on from them (constant) or not."""
    model = {"architecture": "DeepLabV3Plus", "encoder": "tu-test_resnet"}
    former = trial(model=model, training={"epochs": 1, "lr_schedule": lr_schedule}, acw=True)
    trainer = Trainer(former, packed, CPU)
    trainer.epoch()
    store = CheckpointStore(str(tmp_path))
    for _ in range(2):  # trained, and taken over whole
        training = StoredTraining(former, packed, CPU, store)
        _, progress = training.advance()
        assert training.done
        training.close()
        begun = Trainer(trial(model={**model, "weights": progress.checkpoint}), packed, CPU)
        ended = trainer.model.state_dict()
        assert same_weights(begun.model, {name[2:]: value for name, value in ended.items() if name.startswith("0.")})
    (results,) = tmp_path.glob("*-last-*.pt")
    with pytest.raises(InputError, match=r"no weights; name the file .* the column .* where that is empty, .* --store$"):
        read_weights(results)


@pytest.mark.parametrize("architecture", ["FPN", "unet_2015"])
def test_a_last_layer_of_other_classes_starts_at_random_and_the_rest_does_not(architecture: str, tmp_path: Path) -> None:
    chosen = config(architecture=architecture)
    state = state_of(chosen, num_classes=9)
    path = saved(state, tmp_path / "weights.pt")
    fresh, loaded = built(chosen).state_dict(), built(config(path, architecture=architecture)).state_dict()
    last = {name for name, value in fresh.items() if value.shape != state[name].shape}
    assert 0 < len(last) <= 2
    for name, value in loaded.items():
        assert torch.equal(value, (fresh if name in last else state)[name]), name


def test_a_mismatch_lists_missing_unexpected_and_wrongly_shaped_names(tmp_path: Path) -> None:
    state = state_of(config())
    first, second, third, *_ = (name for name in state if name.startswith("decoder."))
    state["decoder.new"] = state.pop(first)
    state[second] = torch.zeros(2, 3)
    with pytest.raises(InputError) as error:
        check_model(config(saved(state, tmp_path / "weights.pt")), [(64, 64)])
    said, missing, unexpected, shaped = str(error.value).splitlines()
    assert said.startswith(f"model.weights {tmp_path / 'weights.pt'}: it does not fit model.architecture and model.encoder")
    assert (missing, unexpected) == (f"missing: {first}", "unexpected: decoder.new")
    assert shaped.startswith(f"wrongly shaped: {second} [2, 3], expected [") and third not in str(error.value)


def test_a_file_of_another_architecture_or_encoder_is_refused_with_a_few_of_its_names(tmp_path: Path) -> None:
    path = saved(state_of(config()), tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"missing: decoder\..*, and \d+ more\nunexpected: decoder\..*\nwrongly shaped: "):
        check_model(config(path, architecture="Unet"), [(64, 64)])
    with pytest.raises(InputError, match=r"unexpected: encoder\.features"):
        check_model(config(path, encoder="resnet18"), [(64, 64)])


class Command:
    """An object that makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", ["torch", "torch_old", "pickle"])
def test_a_file_that_would_execute_code_is_refused_and_not_executed(write: str, tmp_path: Path) -> None:
    path, made = tmp_path / "weights.pt", tmp_path / "made"
    values = {"encoder.weight": torch.zeros(2), "more": Command(made)}
    if write == "pickle":
        path.write_bytes(pickle.dumps({"more": Command(made)}, protocol=2))
    else:
        torch.save(values, path, _use_new_zipfile_serialization=write == "torch")
    with pytest.raises(InputError, match=r"cannot be read as tensors alone .* because that can execute code"):
        check_model(config(path), [(64, 64)])
    assert not made.exists()
    if write == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert made.exists()  # what was rejected is what would have been executed


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pt", b"", "cannot be read as tensors alone"),
        ("a.pt", b"no weights at all", "cannot be read as tensors alone"),
        ("a.safetensors", b"no weights at all", "cannot be read as tensors alone"),
        ("a.pt", None, r"cannot be read \(No such file or directory\)"),
        ("a.safetensors", None, r"cannot be read \("),
        ("a.pt", {"lr": 0.1}, "its entry 'lr' is a float, where a tensor is expected"),
        ("a.pt", torch.zeros(3), "it holds no tensors by name"),
        ("a.pt", {}, "it holds no tensors by name"),
    ],
)
def test_what_is_no_file_of_weights_is_refused_in_a_sentence(name: str, content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=rf"^model.weights {path}: {said}"):
        read_weights(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved(state_of(config()), tmp_path / "weights.pt")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="it is damaged"):
        read_weights(path)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_network_that_classified_rgb_images_gives_its_encoder_as_smp_fits_it(channels: int, tmp_path: Path) -> None:
    torch.manual_seed(7)
    classifier = resnet18(weights=None)
    path = saved(classifier.state_dict(), tmp_path / "resnet18.pth")
    chosen = config(path, architecture="Unet", encoder="resnet18")
    model = built(chosen, in_channels=channels)
    expected = built(config(architecture="Unet", encoder="resnet18"))  # as SMP loads its own weights, then fits them
    expected.encoder.load_state_dict(classifier.state_dict())  # type: ignore[operator,union-attr]
    expected.encoder.set_in_channels(channels, pretrained=True)  # type: ignore[operator,union-attr]
    images = torch.randn(1, channels, 64, 64)
    for found, wanted in zip(model.encoder(images), expected.encoder(images), strict=True):  # type: ignore[operator]
        torch.testing.assert_close(found, wanted)
    assert check_model(chosen, [(64, 64)], channels) == [
        f"model.weights {path} has weights of the encoder; all other layers start at random"
    ]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torchvision's cache, empty, and no way to fill it."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setattr("urllib.request._opener", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def coco(name: str = "fcn_resnet50") -> nn.Module:
    torch.manual_seed(7)
    model: nn.Module = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    return model.eval()


def test_coco_weights_are_torchvisions_without_the_auxiliary_classifier(cache: Path) -> None:
    theirs = coco()
    torch.save(theirs.state_dict(), cache / "fcn_resnet50_coco-1167a1af.pth")
    chosen = config("coco", architecture="fcn_resnet50", train="head")
    with torch.no_grad():
        assert torch.equal(built(chosen, 21)(IMAGES), theirs(IMAGES)["out"])
    refined, other = built(chosen, 11).state_dict(), built(chosen, 11, seed=1).state_dict()
    for name, value in refined.items():
        replaced = name.startswith("model.classifier.4.")
        assert torch.equal(value, other[name]) != replaced
        assert replaced or torch.equal(value, theirs.state_dict()[name.removeprefix("model.")]), name
    assert check_model(chosen, [(64, 64)]) == []
    path = cache / "fcn_resnet50_coco-1167a1af.pth"
    assert check_model(config(path, architecture="fcn_resnet50"), [(64, 64)]) == [
        f"model.weights {path} has an auxiliary classifier, left out",
        f"model.weights {path} has a last layer of 21 classes; it starts at random where the data have another number",
    ]


def test_imagenet_weights_are_those_of_the_backbone_alone(cache: Path) -> None:
    torch.manual_seed(7)
    classifier = resnet50(weights=None)
    torch.save(classifier.state_dict(), cache / "resnet50-0676ba61.pth")
    model = built(config("imagenet", architecture="deeplabv3_resnet50"), in_channels=1).state_dict()
    fresh = built(config(architecture="deeplabv3_resnet50"), in_channels=1).state_dict()
    for name, value in model.items():
        expected = fresh[name] if name.startswith("classifier.") else classifier.state_dict()[name.removeprefix("backbone.")]
        assert torch.equal(value, expected.sum(dim=1, keepdim=True) if name == "backbone.conv1.weight" else expected), name


def test_torchvisions_weights_that_cannot_be_downloaded_say_what_to_do(cache: Path) -> None:
    with pytest.raises(
        InputError, match=rf"model.weights coco: .*fcn_resnet50_coco.* is not on this .* copy .*{cache}, or set"
    ):
        check_model(config("coco", architecture="fcn_resnet50"), [(64, 64)])


@pytest.mark.parametrize("architecture", ["fcn_resnet50", "unet_2015", "FPN"])
def test_initial_weights_depend_on_the_seed_and_not_on_what_learns(architecture: str) -> None:
    chosen = config(architecture=architecture)
    plain = state_of(chosen, seed=3)
    assert same_weights(built(chosen, seed=3, acw=True)[0], plain)  # type: ignore[index]
    assert same_weights(whole(built(config(architecture=architecture, train="head"), seed=3)), plain)
    assert not same_weights(built(chosen, seed=4), plain)
