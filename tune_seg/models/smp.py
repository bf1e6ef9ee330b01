"""Any architecture and encoder of segmentation-models-pytorch (SMP), by the names that its documentation uses."""

import difflib
import logging
from collections.abc import Iterable

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders import encoders
from torch import nn

from tune_seg.config import ModelConfig
from tune_seg.errors import InputError
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.models.frozen import FrozenEncoder, separable

_ARCHITECTURES = {architecture.__name__: architecture for architecture in smp.MODEL_ARCHITECTURES_MAPPING.values()}


def build_model(
    config: ModelConfig, num_classes: int, *, in_channels: int = 3, acw: bool = False, acw_positive: bool = False
) -> nn.Module:
    """A model with logits (N, C, H, W) for images (N, in_channels, H, W).

    Args:
        config: architecture, encoder, encoder weights, and whether the encoder learns.
        num_classes: C.
        in_channels: of the images.
        acw: end the model with an :class:`~tune_seg.layers.AdaptiveClassWeight` layer (Hossain eq. (21)).
        acw_positive: give that layer positive weights.

    Raises:
        InputError: an unknown name, an encoder that the architecture cannot use, weights that do not exist for the
            encoder or cannot be downloaded, an architecture without a decoder of its own to train.

    Example:
        >>> model = build_model(ModelConfig(architecture="Unet", encoder="resnet18"), num_classes=11)
    """
    architecture = _architecture(config.architecture)
    weights = None if config.weights == "none" else config.weights
    try:
        model: nn.Module = architecture(
            encoder_name=config.encoder, encoder_weights=weights, in_channels=in_channels, classes=num_classes
        )
    except OSError as error:
        raise InputError(
            f"model.weights {config.weights}: the weights of {config.encoder} are not on this machine and could not be "
            f"downloaded ({_first_line(error)}); connect it to the internet once, copy the cache of a machine that has "
            f"them (HF_HOME), or set model.weights to none"
        ) from error
    except (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"model: {config.architecture} cannot be built with encoder {config.encoder} and weights {config.weights}: "
            f"{_first_line(error)}"
        ) from error
    if config.train == "head":
        if not separable(model):
            raise InputError(
                f"model.train head: the decoder of {config.architecture} takes more than its encoder's features; choose "
                f"another architecture, or set model.train to all"
            )
        model = FrozenEncoder(model)
    return nn.Sequential(model, AdaptiveClassWeight(num_classes, positive=acw_positive)) if acw else model


def check_model(config: ModelConfig, sizes: Iterable[tuple[int, int]], in_channels: int = 3) -> None:
    """Refuse a model that cannot be built, or cannot take images of one of `sizes` (H, W); nothing is kept.

    Raises:
        InputError: as :func:`build_model`, or naming the size and the nearest sizes that fit.
    """
    _encoder(config)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; what they end in is said below
    # fetches encoder weights once, before any trial needs them
    model = build_model(config, num_classes=2, in_channels=in_channels).eval()
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
                f"cannot take it ({_first_line(error)}); {advice}"
            ) from error


def _architecture(name: str) -> type[nn.Module]:
    if name not in _ARCHITECTURES:
        raise InputError(f"model.architecture: unknown name {name!r}; the names are {', '.join(sorted(_ARCHITECTURES))}")
    return _ARCHITECTURES[name]


def _encoder(config: ModelConfig) -> None:
    if config.encoder.startswith("tu-"):
        return  # timm's own encoders: timm says what it lacks when the model is built
    names = sorted(encoders)
    if config.encoder not in names:
        close = difflib.get_close_matches(config.encoder, names, n=5) or names
        raise InputError(
            f"model.encoder: unknown name {config.encoder!r}; close to it are {', '.join(close)} "
            f"(timm's encoders are tu-NAME)"
        )
    if config.weights != "none" and config.weights not in encoders[config.encoder]["pretrained_settings"]:
        raise InputError(f"model.weights: SMP has no {config.weights} weights for encoder {config.encoder}; set it to none")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
