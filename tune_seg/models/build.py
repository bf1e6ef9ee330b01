"""Models by name: those of this package, and all of segmentation-models-pytorch's.

| architecture | what it is |
| --- | --- |
| `fcn_resnet101`, `deeplabv3_resnet101` (and `..._resnet50`) | :mod:`tune_seg.models.dilated_resnet`, Taubert's |
| `vgg19_fcn` | :mod:`tune_seg.models.vgg19_fcn`, Hossain's |
| `unet_2015` | :mod:`tune_seg.models.unet_2015`, Hossain's |
| `deeplabv3plus` | SMP's `DeepLabV3Plus`, with encoder `resnet18` Hossain's |
| any other | :mod:`tune_seg.models.smp` |

SMP's `DeepLabV3Plus` has an output stride of 16 with atrous rates 12, 24, 36, which Chen et al. (2018) pair with a stride of
8; with 16 they have 6, 12, 18. Hossain's was built in MATLAB, and the paper gives neither.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from torch import nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights, VGG19_Weights, segmentation

from tune_seg.config import ModelConfig
from tune_seg.errors import InputError, first_line
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.models.dilated_resnet import DilatedResNet
from tune_seg.models.frozen import FrozenEncoder, separable
from tune_seg.models.smp import build_smp, check_encoder
from tune_seg.models.split_model import SplitModel
from tune_seg.models.unet_2015 import UNet2015
from tune_seg.models.vgg19_fcn import VGG19FCN
from tune_seg.models.weights import load_weights, read_weights


@dataclass(frozen=True)
class _Own:
    """An architecture of this package: what builds it from numbers of classes and channels, and torchvision's weights."""

    build: Callable[[int, int], SplitModel]
    published: dict[str, Any]


def _dilated(name: str, imagenet: Any, coco: Any) -> _Own:
    return _Own(partial(DilatedResNet, name), {"imagenet": imagenet, "coco": coco})


_RESNET_50: Final = ResNet50_Weights.IMAGENET1K_V1  # what torchvision's models begin with by default, and Taubert's
_RESNET_101: Final = ResNet101_Weights.IMAGENET1K_V1
_OWN: Final = {
    "fcn_resnet50": _dilated("fcn_resnet50", _RESNET_50, segmentation.FCN_ResNet50_Weights.DEFAULT),
    "fcn_resnet101": _dilated("fcn_resnet101", _RESNET_101, segmentation.FCN_ResNet101_Weights.DEFAULT),
    "deeplabv3_resnet50": _dilated("deeplabv3_resnet50", _RESNET_50, segmentation.DeepLabV3_ResNet50_Weights.DEFAULT),
    "deeplabv3_resnet101": _dilated("deeplabv3_resnet101", _RESNET_101, segmentation.DeepLabV3_ResNet101_Weights.DEFAULT),
    "vgg19_fcn": _Own(VGG19FCN, {"imagenet": VGG19_Weights.IMAGENET1K_V1}),
    "unet_2015": _Own(UNet2015, {}),
}


def build_model(
    config: ModelConfig, num_classes: int, *, in_channels: int = 3, acw: bool = False, acw_positive: bool = False
) -> nn.Module:
    """A model with logits (N, C, H, W) for images (N, in_channels, H, W).

    What starts at random follows from torch's generator, and does not depend on what follows the model: two models that
    differ in their adaptive class weights or in what learns start alike.

    Args:
        config: architecture, encoder, weights, and whether the encoder learns.
        num_classes: C. COCO's last layer is kept for its 21 classes, in VOC's order, and starts at random for others.
        in_channels: of the images; a first convolution that was trained on RGB images is changed as SMP does it.
        acw: end the model with an :class:`~tune_seg.layers.AdaptiveClassWeight` layer (Hossain eq. (21)).
        acw_positive: give that layer positive weights.

    Raises:
        InputError: an unknown name, an encoder that the architecture cannot use, weights that do not exist for the
            encoder, cannot be downloaded or do not fit, an architecture without a decoder of its own to train.

    Example:
        >>> model = build_model(ModelConfig(architecture="Unet", encoder="resnet18"), num_classes=11)
    """
    model, _ = _built(config, num_classes, in_channels)
    return nn.Sequential(model, AdaptiveClassWeight(num_classes, positive=acw_positive)) if acw else model


def check_model(config: ModelConfig, sizes: Iterable[tuple[int, int]], in_channels: int = 3) -> list[str]:
    """Refuse a model that cannot be built, or cannot take images of one of `sizes` (H, W); nothing is kept.

    Returns:
        What of a file of weights is left out and what starts at random, a sentence each.

    Raises:
        InputError: as :func:`build_model`, or naming the size and the nearest sizes that fit.
    """
    if config.architecture not in _OWN:
        check_encoder(config)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; what they end in is said below
    # fetches published weights once, before any trial needs them
    model, notes = _built(config, 2, in_channels)
    model.eval()
    if config.architecture in _OWN:
        return notes  # it takes images of any size
    for height, width in sizes:
        try:
            with torch.inference_mode():
                model(torch.zeros(1, in_channels, height, width))
        except (RuntimeError, AssertionError, ValueError) as error:
            stride = getattr(model.encoder, "output_stride", 32)
            nearest = [max(1, round(side / stride)) * stride for side in (height, width)]
            fits = height % stride == 0 and width % stride == 0
            advice = "choose a larger size" if fits else f"the nearest multiple of {stride} is {nearest}"
            raise InputError(
                f"data.size (or augmentation.crop) [{height}, {width}]: {config.architecture} with {config.encoder} "
                f"cannot take it ({first_line(error)}); {advice}"
            ) from error
    return notes


def _built(config: ModelConfig, num_classes: int, in_channels: int) -> tuple[nn.Module, list[str]]:
    """The model without adaptive class weights, and what :func:`check_model` says of it."""
    own = _OWN.get(config.architecture)
    model = build_smp(config, num_classes, in_channels) if own is None else own.build(num_classes, in_channels)
    notes: list[str] = []
    if isinstance(config.weights, Path):
        notes = load_weights(model, read_weights(config.weights), f"model.weights {config.weights}")
    elif own is not None and config.weights != "none":
        load_weights(model, _published(own.published[config.weights], config), f"model.weights {config.weights}")
    if config.train == "all":
        return model, notes
    if not separable(model):
        raise InputError(
            f"model.train head: the decoder of {config.architecture} takes more than its encoder's features; choose "
            f"another architecture, or set model.train to all"
        )
    return FrozenEncoder(model), notes  # type: ignore[arg-type]


def _published(weights: Any, config: ModelConfig) -> dict[str, torch.Tensor]:
    """Torchvision's `weights`, from its cache or its site; a cached file is not trusted more than one of the user's."""
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise InputError(
            f"model.weights {config.weights}: {weights.url} is not on this machine and could not be downloaded "
            f"({first_line(error)}); connect it to the internet once, copy the file to {torch.hub.get_dir()}/checkpoints, "
            f"or set model.weights to none"
        ) from error
    return state
