"""How many bytes a model takes, without the memory for it."""

from dataclasses import dataclass
from typing import Final

from tune_seg.config import ModelConfig

_BYTES_A_TENSOR: Final = 350
"""What a file says of each tensor beside its numbers, by measurement."""


@dataclass(frozen=True)
class ModelSize:
    """The size of a model in bytes.

    Attributes:
        weights: of a file of its weights: parameters and buffers.
        trained: of the parameters that take a gradient, which an optimizer keeps numbers for.
    """

    weights: int
    trained: int


def model_size(config: ModelConfig, num_classes: int, in_channels: int = 3) -> ModelSize:
    """The size of a model; nothing is downloaded or computed.

    Args:
        config: the model; what it begins with does not matter.
        num_classes: how many classes it tells apart.
        in_channels: of the images.

    Raises:
        InputError: as :func:`tune_seg.models.build_model`.

    Example:
        >>> model_size(ModelConfig(architecture="Unet", encoder="resnet18"), num_classes=11).weights // 10**6
        57
    """
    import torch  # here: a process without it takes the sizes from one that has it

    from tune_seg.models.build import build_model

    with torch.device("meta"):
        model = build_model(config.model_copy(update={"weights": "none"}), num_classes, in_channels=in_channels)
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    return ModelSize(sum(value.nbytes + _BYTES_A_TENSOR for value in model.state_dict().values()), trained)
