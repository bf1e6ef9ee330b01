"""The architectures of this package: their published sizes and layouts, for images of any size and number of channels."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import segmentation, vgg19

from tests.support.epoch_results import same
from tests.support.trials import CPU, encoded, head, run
from tune_seg.config import DataConfig, ModelConfig
from tune_seg.data import PackedData, pack, read
from tune_seg.models import OWN_ARCHITECTURES, build_model, check_model
from tune_seg.models.dilated_resnet import DilatedResNet
from tune_seg.models.frozen import FrozenEncoder
from tune_seg.models.split_model import SplitModel
from tune_seg.models.unet_2015 import UNet2015
from tune_seg.models.vgg19_fcn import VGG19FCN
from tune_seg.models.weights import load_weights
from tune_seg.training import Trainer, frozen_features


def config(**values: Any) -> ModelConfig:
    return ModelConfig.model_validate(values)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def without_values(architecture: str, num_classes: int, in_channels: int = 3) -> nn.Module:
    """The model with the shapes of its tensors and no values: it computes shapes alone."""
    with torch.device("meta"):
        return build_model(config(architecture=architecture), num_classes, in_channels=in_channels)


@pytest.fixture(scope="module")
def vgg() -> Iterator[VGG19FCN]:
    torch.manual_seed(0)
    yield VGG19FCN(5, 3).eval()


@pytest.fixture(scope="module", params=["fcn_resnet50", "unet_2015"])
def own(request: pytest.FixtureRequest) -> Iterator[SplitModel]:
    """A model for images of two channels."""
    torch.manual_seed(0)
    model = build_model(config(architecture=request.param), 3, in_channels=2).eval()
    assert isinstance(model, SplitModel)
    yield model


@pytest.mark.parametrize(
    ("architecture", "weights", "auxiliary"),
    [
        ("fcn_resnet50", segmentation.FCN_ResNet50_Weights.DEFAULT, 1024),
        ("fcn_resnet101", segmentation.FCN_ResNet101_Weights.DEFAULT, 1024),
        ("deeplabv3_resnet50", segmentation.DeepLabV3_ResNet50_Weights.DEFAULT, 1024),
        ("deeplabv3_resnet101", segmentation.DeepLabV3_ResNet101_Weights.DEFAULT, 1024),
    ],
)
def test_the_parameters_are_torchvisions_without_the_auxiliary_classifier(
    architecture: str, weights: Any, auxiliary: int
) -> None:
    inner = auxiliary // 4
    in_auxiliary = auxiliary * inner * 9 + 2 * inner + inner * 21 + 21
    assert parameters(without_values(architecture, 21)) == weights.meta["num_params"] - in_auxiliary
    with torch.device("meta"):
        published = getattr(segmentation, architecture)(weights=None, weights_backbone=None, aux_loss=False)
    names = {name: value.shape for name, value in published.state_dict().items()}
    assert {name: value.shape for name, value in without_values(architecture, 21).state_dict().items()} == names


def test_unet_2015_has_31_million_parameters_and_vgg19_fcn_those_of_vgg19_and_its_scores() -> None:
    assert parameters(without_values("unet_2015", 2, in_channels=1)) == 31_030_658
    last_of_vgg19 = 4096 * 1000 + 1000
    scores = sum(channels * 21 + 21 for channels in (4096, 512, 256))
    upsampling = 2 * 21 * 21 * 4 * 4
    assert parameters(without_values("vgg19_fcn", 21)) == 143_667_240 - last_of_vgg19 + scores + upsampling


@pytest.mark.parametrize("architecture", sorted(OWN_ARCHITECTURES))
@pytest.mark.parametrize(("channels", "size"), [(1, (61, 47)), (2, (8, 8)), (3, (64, 96)), (5, (33, 250))])
def test_images_of_any_size_and_channels_are_taken(architecture: str, channels: int, size: tuple[int, int]) -> None:
    model = without_values(architecture, 7, channels).eval()
    assert model(torch.zeros(2, channels, *size, device="meta")).shape == (2, 7, *size)


@pytest.mark.parametrize("architecture", sorted(OWN_ARCHITECTURES))
def test_a_model_of_any_channels_is_checked(architecture: str) -> None:
    with torch.device("meta"):
        assert check_model(config(architecture=architecture), [(33, 17)], in_channels=2) == []


def test_every_parameter_of_a_model_of_any_channels_gets_a_gradient(own: SplitModel, device: torch.device) -> None:
    own.to(device).train()
    logits = own(torch.randn(2, 2, 33, 17, device=device))
    loss = F.cross_entropy(logits, torch.ones(2, 33, 17, dtype=torch.long, device=device))
    gradients = torch.autograd.grad(loss, list(own.parameters()))
    own.cpu().eval()
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("architecture", ["fcn_resnet101", "deeplabv3_resnet50"])
def test_the_logits_are_those_of_torchvisions_model(architecture: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(segmentation, architecture)(weights=None, weights_backbone=None, num_classes=5).eval()
    with torch.device("meta"):
        model = DilatedResNet(architecture, 5, 3).eval()
    model.load_state_dict(theirs.state_dict(), assign=True)
    images = torch.randn(1, 3, 61, 47)
    with torch.no_grad():
        assert torch.equal(model(images), theirs(images)["out"])


def test_deeplabv3plus_is_smps_with_resnet18() -> None:
    assert config(architecture="deeplabv3plus") == config(architecture="DeepLabV3Plus", encoder="resnet18")


def test_unet_2015_starts_with_the_variance_of_its_paper_and_sees_an_image_on_every_level() -> None:
    torch.manual_seed(0)
    model = UNet2015(2, 1).eval()
    layers = dict(model.named_modules())
    for name in ("contracting.levels.2.0", "expanding.1.2", "up.0"):
        layer = layers[name]
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        inputs = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.in_channels
        assert layer.weight.var().item() == pytest.approx(2 / inputs, rel=0.02)
    features = [feature.detach().requires_grad_() for feature in model.encode(torch.randn(1, 1, 40, 56))]
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (64, 40, 56),
        (128, 20, 28),
        (256, 10, 14),
        (512, 5, 7),
        (1024, 3, 4),
    ]
    gradients = torch.autograd.grad(model.decode(features).square().sum(), features)
    assert all(gradient.any() for gradient in gradients)


def test_the_score_layers_of_vgg19_fcn_start_at_0_and_its_upsampling_as_interpolation(vgg: VGG19FCN) -> None:
    with torch.no_grad():
        assert not vgg(torch.randn(1, 3, 32, 32)).any()
        scores = torch.randn(1, 5, 6, 7)
        expected = F.interpolate(scores, scale_factor=2, mode="bilinear", align_corners=False)
        inner = (..., slice(1, -1), slice(1, -1))
        torch.testing.assert_close(vgg.upscore_fc7(scores)[inner], expected[inner])


def test_vgg19_fcn_sees_the_third_and_the_fourth_pooling(vgg: VGG19FCN) -> None:
    with torch.no_grad():
        features = vgg.encode(torch.randn(1, 3, 64, 96))
        assert [tuple(feature.shape[1:]) for feature in features[1:]] == [(256, 8, 12), (512, 4, 6), (512, 2, 3)]
        for number, layer in ((1, vgg.score_pool3), (2, vgg.score_pool4)):
            nn.init.normal_(layer.weight)
            moved = [feature.clone() for feature in features]
            moved[number][..., 0, 0] += 1.0
            changed = (vgg.decode(moved) - vgg.decode(features)).abs().amax(dim=(0, 1)) > 0
            reach = 3 * 64 // features[number].shape[2]  # of interpolation, around one of its pixels
            assert changed[0, 0] and not changed[reach:].any() and not changed[:, reach:].any()
            nn.init.zeros_(layer.weight)


def test_vgg19s_connected_layers_become_convolutions(vgg: VGG19FCN) -> None:
    with torch.device("meta"):
        theirs = vgg19(weights=None, init_weights=False).eval()
    state = {name: value for name, value in vgg.state_dict().items() if name.startswith("features.")}
    for number, layer in ((0, vgg.fc6), (3, vgg.fc7)):
        state |= {f"classifier.{number}.weight": layer.weight.detach().flatten(1), f"classifier.{number}.bias": layer.bias}
    state |= {"classifier.6.weight": torch.randn(1000, 4096), "classifier.6.bias": torch.randn(1000)}
    theirs.load_state_dict(state, assign=True)

    ours = copy.deepcopy(vgg)
    for parameter in ours.parameters():
        nn.init.zeros_(parameter)
    assert load_weights(ours, theirs.state_dict(), "here") == ["here has no last layer; it starts at random"]
    with torch.no_grad():
        *_, pool5 = ours.encode(images := torch.randn(1, 3, 64, 64))
        torch.testing.assert_close(pool5, theirs.features(images))
        # in the centre the padding of the 7 x 7 convolution is out of sight
        pool5 = torch.randn(1, 512, 7, 7)
        centre = F.relu(ours.fc7(F.relu(ours.fc6(pool5))))[..., 3, 3]
        torch.testing.assert_close(centre, theirs.classifier[:5](pool5.flatten(1)))


def test_the_logits_are_those_of_the_whole_model_when_its_encoder_is_frozen(own: SplitModel) -> None:
    images: Tensor = torch.randn(1, 2, 33, 47)
    encoder = FrozenEncoder(copy.deepcopy(own)).eval()
    features = encoder.features(images)
    used = encoder.features_in_use(features)
    assert used == ([False, True] if isinstance(own, DilatedResNet) else [True] * 5)
    kept = [each if use else torch.full_like(each, 7.0) for each, use in zip(features, used, strict=True)]
    with torch.no_grad():
        expected = own(images)
        assert torch.equal(expected, encoder(images)) and torch.equal(expected, encoder(kept))


@pytest.fixture
def few(tmp_path: Path) -> PackedData:
    """Four training and two validation scenes of 32 x 32 pixels."""
    data = DataConfig(format="synthetic", size=(32, 32), max_train=4, max_val=2)
    return PackedData(pack(read(data), tmp_path, data.size))


@pytest.mark.parametrize(("architecture", "encoder"), [("fcn_resnet50", "backbone."), ("unet_2015", "contracting.")])
def test_a_frozen_backbone_does_not_move_nor_do_its_statistics(
    few: PackedData, architecture: str, encoder: str, device: torch.device
) -> None:
    trainer = Trainer(head(model={"architecture": architecture}, augmentation={"flip": 0.5}, acw=True), few, device)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.epoch()
    after = trainer.model.state_dict()
    moved = {name for name, value in before.items() if not value.equal(after[name])}
    assert {name for name in before if f".{encoder}" not in name} == moved


def test_features_of_a_dilated_resnet_are_computed_once_and_train_alike_when_fresh(
    few: PackedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = head(model={"architecture": "fcn_resnet50"}, training={"epochs": 1})
    trainer = Trainer(config, few, CPU)
    sizes = encoded(trainer)
    kept = trainer.epoch()
    assert sizes == [1] * (len(few.train) + len(few.val))
    for path in few.path.parent.glob("*.features"):
        path.unlink()
    monkeypatch.setattr(frozen_features, "_DISK_SHARE", 0.0)
    monkeypatch.setattr(frozen_features, "_MEMORY_SHARE", 0.0)
    assert same([kept], run(config, few))
