"""Models by name: those of the papers, and all of segmentation-models-pytorch's. docs/models.md says what each one is."""

import logging
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, overload

import torch
from torch import nn
from torchvision.models import get_weight

from tune_seg.architectures import OWN_ARCHITECTURES, Architecture
from tune_seg.config import ModelConfig, parse
from tune_seg.errors import InputError, first_line
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.models.frozen import FrozenEncoder, separable
from tune_seg.models.smp import build_smp, check_encoder
from tune_seg.models.weights import load_weights, read_weights


@overload
def build_model(
    model: str,
    num_classes: int,
    *,
    encoder: str = ...,
    weights: str | Path = ...,
    train: Literal["all", "head"] = ...,
    in_channels: int = ...,
    acw: bool = ...,
    acw_positive: bool = ...,
) -> nn.Module: ...
@overload
def build_model(
    model: ModelConfig, num_classes: int, *, in_channels: int = ..., acw: bool = ..., acw_positive: bool = ...
) -> nn.Module: ...
def build_model(
    model: ModelConfig | str,
    num_classes: int,
    *,
    in_channels: int = 3,
    acw: bool = False,
    acw_positive: bool = False,
    **fields: Any,
) -> nn.Module:
    """A model with logits (N, C, H, W) for images (N, in_channels, H, W).

    What starts at random follows from torch's generator, and does not depend on what follows the model: two models that
    differ in their adaptive class weights or in what learns start alike.

    Args:
        model: the architecture, or a configuration that names it.
        num_classes: C. COCO's last layer is kept for its 21 classes, in VOC's order, and starts at random for others.
        in_channels: of the images; a first convolution that was trained on RGB images is changed as SMP does it.
        acw: end the model with an :class:`~tune_seg.layers.AdaptiveClassWeight` layer (Hossain eq. (21)).
        acw_positive: give that layer positive weights.
        fields: of :class:`~tune_seg.config.ModelConfig`, where `model` is an architecture: `encoder`, `weights` (`none`,
            `imagenet`, `coco` or the path of a file) and `train` (`all`, or `head` for a frozen encoder).

    Raises:
        InputError: an unknown name, an encoder that the architecture cannot use, weights that do not exist for the
            encoder, cannot be downloaded or do not fit, an architecture without a decoder of its own to train.
        TypeError: fields beside a configuration.

    Example:
        >>> model = build_model("Unet", num_classes=11, encoder="resnet18")
        >>> model(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 11, 64, 96])
        >>> same = build_model(ModelConfig(architecture="Unet", encoder="resnet18"), num_classes=11)
    """
    if isinstance(model, str):
        model = parse(ModelConfig, {**fields, "architecture": model}, prefix="model")
    elif fields:
        raise TypeError(f"build_model(ModelConfig) takes no {', '.join(fields)}; set them in the configuration")
    built, _ = _built(model, num_classes, in_channels)
    return nn.Sequential(built, AdaptiveClassWeight(num_classes, positive=acw_positive)) if acw else built


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on a device, its weights in channels_last memory format, as batches are."""
    # torch's stubs lack the memory format, which its documentation has
    moved: nn.Module = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def check_model(config: ModelConfig, sizes: Iterable[tuple[int, int]], in_channels: int = 3) -> list[str]:
    """Check that a model can be built, and that it takes images of all `sizes` (H, W); the model itself is not kept.

    Returns:
        What is left out of a file of weights and what starts at random, a sentence each.

    Raises:
        InputError: as :func:`build_model`, or naming the size and the nearest sizes that fit.
    """
    if config.architecture not in OWN_ARCHITECTURES:
        check_encoder(config)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; what they end in is said below
    # fetches published weights once, before any trial needs them
    model, notes = _built(config, 2, in_channels)
    model.eval()
    if config.architecture in OWN_ARCHITECTURES:
        return notes  # it takes images of any size
    for height, width in sizes:
        try:
            with torch.inference_mode():
                model(torch.zeros(1, in_channels, height, width))
        except (RuntimeError, AssertionError, ValueError) as error:
            stride = getattr(model.encoder, "output_stride", 32)
            nearest = [max(1, round(side / stride)) * stride for side in (height, width)]
            fits = height % stride == 0 and width % stride == 0
            raise InputError(
                f"data.size (or augmentation.crop) [{height}, {width}]: {config.architecture} with {config.encoder} "
                f"cannot take it ({first_line(error)}); "
                + ("choose a larger size" if fits else f"the nearest multiple of {stride} is {nearest}")
            ) from error
    return notes


def _built(config: ModelConfig, num_classes: int, in_channels: int) -> tuple[nn.Module, list[str]]:
    """The model without adaptive class weights, and what :func:`check_model` says of it."""
    own = OWN_ARCHITECTURES.get(config.architecture)
    model = build_smp(config, num_classes, in_channels) if own is None else _own(own, num_classes, in_channels)
    notes: list[str] = []
    if isinstance(config.weights, Path):
        notes = load_weights(model, read_weights(config.weights), f"model.weights {config.weights}")
    elif own is not None and config.weights != "none":
        load_weights(model, _published(get_weight(own.weights[config.weights]), config), f"model.weights {config.weights}")
    if config.train == "all":
        return model, notes
    if not separable(model):
        raise InputError(
            f"model.train head: the decoder of {config.architecture} takes more than its encoder's features; choose "
            f"another architecture, or set model.train to all"
        )
    return FrozenEncoder(model), notes  # type: ignore[arg-type]


def _own(architecture: Architecture, num_classes: int, in_channels: int) -> nn.Module:
    module, _, name = architecture.implementation.partition(":")
    model: nn.Module = getattr(import_module(module), name)(*architecture.arguments, num_classes, in_channels)
    return model


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
