"""Any architecture and encoder of segmentation-models-pytorch (SMP), by the names that its documentation uses."""

import difflib

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.encoders import encoders
from torch import nn

from tune_seg.architectures import OWN_ARCHITECTURES
from tune_seg.config import ModelConfig
from tune_seg.errors import InputError, did_you_mean, first_line

_ARCHITECTURES = {architecture.__name__: architecture for architecture in smp.MODEL_ARCHITECTURES_MAPPING.values()}


def build_smp(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    """SMP's model with logits (N, C, H, W) for images (N, in_channels, H, W); weights from a file are not loaded.

    Raises:
        InputError: an unknown name, an encoder that the architecture cannot use, weights that do not exist for the
            encoder or cannot be downloaded.
    """
    architecture = _architecture(config.architecture)
    try:
        model: nn.Module = architecture(
            encoder_name=config.encoder,
            encoder_weights="imagenet" if config.weights == "imagenet" else None,
            in_channels=in_channels,
            classes=num_classes,
        )
    except OSError as error:
        raise InputError(
            f"model.weights {config.weights}: the weights of {config.encoder} are not on this machine and could not be "
            f"downloaded ({first_line(error)}); connect it to the internet once, copy the cache of a machine that has "
            f"them (HF_HOME), or set model.weights to none"
        ) from error
    except (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"model: {config.architecture} cannot be built with encoder {config.encoder} and weights {config.weights}: "
            f"{first_line(error)}"
        ) from error
    return model


def check_encoder(config: ModelConfig) -> None:
    """Check that SMP has the encoder, and the weights that are asked for.

    Raises:
        InputError: it does not; the message names similar encoders.
    """
    if config.encoder.startswith("tu-"):
        return  # timm's own encoders: timm says what it lacks when the model is built
    names = sorted(encoders)
    if config.encoder not in names:
        close = difflib.get_close_matches(config.encoder, names, n=5) or names
        raise InputError(
            f"model.encoder: unknown name {config.encoder!r}; close to it are {', '.join(close)} "
            f"(timm's encoders are tu-NAME)"
        )
    if config.weights == "imagenet" and "imagenet" not in encoders[config.encoder]["pretrained_settings"]:
        raise InputError(f"model.weights: SMP has no imagenet weights for encoder {config.encoder}; set it to none")


def _architecture(name: str) -> type[nn.Module]:
    if name not in _ARCHITECTURES:
        names = sorted((*_ARCHITECTURES, *OWN_ARCHITECTURES))
        raise InputError(
            f"model.architecture: unknown name {name!r}{did_you_mean(name, names)}; the names are {', '.join(names)}"
        )
    return _ARCHITECTURES[name]
