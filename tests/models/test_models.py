"""Models by name: what is built, and what is rejected before a trial starts."""

from typing import Any

import pytest
import torch

from tune_seg.config import ModelConfig, parse
from tune_seg.errors import InputError
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.models import build_model, check_model
from tune_seg.models.smp import _ARCHITECTURES


def model_config(**values: str) -> ModelConfig:
    return ModelConfig.model_validate(values)


@pytest.mark.parametrize("architecture", sorted(set(_ARCHITECTURES) - {"DPT", "Segformer"}))
def test_every_convolutional_architecture_takes_resnet18(architecture: str, device: torch.device) -> None:
    config = model_config(architecture=architecture)
    check_model(config, [(128, 160)])
    logits = build_model(config, num_classes=5).to(device).eval()(torch.zeros(2, 3, 128, 160, device=device))
    assert logits.shape == (2, 5, 128, 160)


def test_segformer_takes_its_own_encoder() -> None:
    check_model(model_config(architecture="Segformer", encoder="mit_b0"), [(64, 64)])


def test_acw_ends_the_model_and_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    plain = build_model(ModelConfig(), num_classes=4).eval()
    torch.manual_seed(0)
    weighted = build_model(ModelConfig(), num_classes=4, acw=True).eval()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(plain(images), weighted(images))
    assert isinstance(list(weighted.children())[-1], AdaptiveClassWeight)


def test_a_model_is_built_by_its_name_as_by_a_configuration() -> None:
    torch.manual_seed(0)
    by_name = build_model("DeepLabV3Plus", num_classes=4, encoder="resnet34", train="head", in_channels=1, acw=True)
    torch.manual_seed(0)
    config = model_config(architecture="DeepLabV3Plus", encoder="resnet34", train="head")
    expected = build_model(config, 4, in_channels=1, acw=True)
    assert str(by_name) == str(expected)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in by_name.state_dict().items())
    assert [p.requires_grad for p in by_name.parameters()] == [p.requires_grad for p in expected.parameters()]


def test_wrong_fields_of_a_model_are_named_in_full() -> None:
    wrong: dict[str, Any] = {"encodr": "resnet18"}
    with pytest.raises(InputError, match=r"unknown key model.encodr\b.*; the keys of model are architecture, encoder"):
        build_model("Unet", num_classes=4, **wrong)
    with pytest.raises(InputError, match=r"model.weights coco: there are none for Unet"):
        build_model("Unet", num_classes=4, weights="coco")
    with pytest.raises(TypeError, match=r"build_model\(ModelConfig\) takes no encodr"):
        build_model(ModelConfig(), 4, **wrong)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"model.architecture: unknown name 'UNet9' \(did you mean Unet\?\); the names are .*DeepLabV3Plus.*Unet",
    ):
        check_model(model_config(architecture="UNet9"), [(64, 64)])
    with pytest.raises(InputError, match=r"model.encoder: unknown name 'resnet19'; close to it are resnet18"):
        check_model(model_config(encoder="resnet19"), [(64, 64)])


def test_weights_that_an_encoder_does_not_have_are_refused() -> None:
    with pytest.raises(InputError, match=r"SMP has no imagenet weights for encoder dpn92"):
        check_model(model_config(encoder="dpn92", weights="imagenet"), [(64, 64)])


def test_a_size_that_the_model_cannot_take_is_refused() -> None:
    config = model_config(architecture="DPT", encoder="tu-vit_tiny_patch16_224")
    with pytest.raises(InputError, match=r"data.size \(or augmentation.crop\) \[100, 100\]: DPT"):
        check_model(config, [(100, 100)])


@pytest.mark.parametrize(
    ("architecture", "weights", "allowed"),
    [
        ("Unet", "coco", "none, imagenet and"),
        ("vgg19_fcn", "coco", "none, imagenet and"),
        ("unet_2015", "imagenet", "none and"),
    ],
)
def test_weights_that_are_not_published_are_refused(architecture: str, weights: str, allowed: str) -> None:
    with pytest.raises(
        InputError, match=rf"model.weights {weights}: there are none for {architecture}; allowed are {allowed}"
    ):
        parse(ModelConfig, {"architecture": architecture, "weights": weights})


def test_the_names_of_this_package_are_among_those_listed() -> None:
    with pytest.raises(InputError, match=r"the names are .*Unet.*deeplabv3_resnet101.*unet_2015.*vgg19_fcn"):
        check_model(model_config(architecture="UNet9"), [(64, 64)])


@pytest.mark.parametrize("channels", [1, 4])
def test_a_model_of_smp_takes_any_number_of_channels(channels: int) -> None:
    assert check_model(ModelConfig(), [(64, 64)], channels) == []
    assert build_model(ModelConfig(), 3, in_channels=channels).eval()(torch.zeros(1, channels, 32, 32)).shape[1] == 3


def test_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # the hub's own offline switch: the loading code runs, finds nothing in the cache and may not ask the network
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"model.weights imagenet: the weights of resnet18 are not on this machine"):
        check_model(model_config(weights="imagenet"), [(64, 64)])


def test_an_image_too_small_for_the_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[64, 64\]: PAN with resnet18 cannot take it .*choose a larger size"):
        check_model(model_config(architecture="PAN"), [(64, 64)])
