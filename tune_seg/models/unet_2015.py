"""The U-Net of Ronneberger, Fischer and Brox (2015) in its own layout, one of the three models of Hossain section IV.

It is not SMP's `Unet`, whose encoder is a network that classified images and whose decoder interpolates and normalises.
Five levels of 64, 128, 256, 512 and 1024 channels have two 3 x 3 convolutions each; 2 x 2 max pooling leads down, 2 x 2
up-convolutions lead up, where each is joined with a copy of its level of the contracting path. Dropout ends the last two
levels of that path. No ReLU follows an up-convolution, as in the paper's figure 1; the network that its authors released has
one there. Weights start with the paper's variance of 2 / N for N inputs to a neuron. Nothing is normalised.

Two things differ from the paper: the convolutions are padded, so that the logits have the size of the images, where the
paper's lose 92 pixels on each side; and pooling rounds sizes up, so that images of any size are taken. What is cropped
before two maps are joined is thus the up-convolution's last row or column, not the copy.
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_seg.models.split_model import SplitModel

_CHANNELS: Final = (64, 128, 256, 512, 1024)


class UNet2015(SplitModel):
    """The U-Net of 2015 with padded convolutions.

    Args:
        num_classes: C.
        in_channels: of the images.
    """

    class_layers = ("head.",)

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.contracting = _ContractingPath(in_channels)
        upwards = list(zip(_CHANNELS[:0:-1], _CHANNELS[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(below, level, kernel_size=2, stride=2) for below, level in upwards)
        self.expanding = nn.ModuleList(_convolutions(below, level) for below, level in upwards)
        self.head = nn.Conv2d(_CHANNELS[0], num_classes, kernel_size=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
                # the kernels of an up-convolution do not overlap: each of its outputs has one pixel for its input
                area = math.prod(layer.kernel_size) if isinstance(layer, nn.Conv2d) else 1
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.in_channels * area)))
                nn.init.zeros_(layer.bias)

    @property
    def encoder(self) -> nn.Module:
        return self.contracting

    def encode(self, images: Tensor) -> list[Tensor]:
        return list(self.contracting(images))

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        *copies, x = features
        for up, convolutions, copy in zip(self.up, self.expanding, reversed(copies), strict=True):
            height, width = copy.shape[-2:]
            x = convolutions(torch.cat([copy, up(x)[..., :height, :width]], dim=1))
        logits: Tensor = self.head(x)
        return logits


class _ContractingPath(nn.Module):
    """Images to the outputs of the five levels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for number, channels in enumerate(_CHANNELS):
            dropout = [nn.Dropout()] if number >= len(_CHANNELS) - 2 else []
            self.levels.append(_convolutions(in_channels, channels, *dropout))
            in_channels = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs: list[Tensor] = []
        for level in self.levels:
            x = level(F.max_pool2d(x, 2, ceil_mode=True) if outputs else x)
            outputs.append(x)
        return outputs


def _convolutions(in_channels: int, channels: int, *last: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        *last,
    )
