"""FCN-8s of Long, Shelhamer and Darrell (2015) on VGG-19, one of the three models of Hossain section IV.

VGG-19's first two fully connected layers are convolutions; their scores are upsampled by 2, added to scores of the fourth
pooling, upsampled by 2, added to scores of the third, and upsampled by 8. As in the paper, score layers start at 0, the two
inner upsamplings learn and start as bilinear interpolation, the last one is bilinear interpolation, and dropout follows
each of the former fully connected layers. The skips are not scaled: the paper's are not, whose networks are trained in
stages; the authors' own network for training at once, as is done here, scales them by 0.01 and 0.0001 (`voc-fcn8s-atonce`).

The paper's network takes images of any size because it pads them by 100 pixels on each side, for the 7 x 7 convolution, and
crops what comes out. Here that convolution is padded instead, by 3, so that maps of one scale lie upon one another: at
224 x 224 that computes less than a third of the pixels, and it differs only near the border. Pooling rounds sizes up, as
the paper's framework does, and what is larger by that is cropped.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_seg.models.split_model import SplitModel

_STAGES: Final = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""The channels and the number of convolutions between two poolings: VGG's configuration E."""
_HIDDEN: Final = 4096


class VGG19FCN(SplitModel):
    """FCN-8s on VGG-19, without batch normalisation.

    Args:
        num_classes: C.
        in_channels: of the images.
    """

    class_layers = ("score_", "upscore_")

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = _Features(in_channels)
        self.fc6 = nn.Conv2d(_STAGES[4][0], _HIDDEN, kernel_size=7, padding=3)
        self.fc7 = nn.Conv2d(_HIDDEN, _HIDDEN, kernel_size=1)
        self.dropout = nn.Dropout()
        self.score_fc7 = nn.Conv2d(_HIDDEN, num_classes, kernel_size=1)
        self.score_pool4 = nn.Conv2d(_STAGES[3][0], num_classes, kernel_size=1)
        self.score_pool3 = nn.Conv2d(_STAGES[2][0], num_classes, kernel_size=1)
        self.upscore_fc7 = _upsampling_by_2(num_classes)
        self.upscore_pool4 = _upsampling_by_2(num_classes)
        for layer in (*self.features, self.fc6, self.fc7):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's VGG
                _set_to_zero(layer.bias)
        for layer in (self.score_fc7, self.score_pool4, self.score_pool3):
            _set_to_zero(layer.weight)
            _set_to_zero(layer.bias)

    @property
    def encoder(self) -> nn.Module:
        return self.features

    def encode(self, images: Tensor) -> list[Tensor]:
        return [images, *self.features(images)]  # of the images only the size is needed

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        images, pool3, pool4, pool5 = features
        x = self.dropout(F.relu(self.fc6(pool5)))
        x = self.dropout(F.relu(self.fc7(x)))
        x = _cropped(self.upscore_fc7(self.score_fc7(x)), pool4) + self.score_pool4(pool4)
        x = _cropped(self.upscore_pool4(x), pool3) + self.score_pool3(pool3)
        x = F.interpolate(x, scale_factor=8, mode="bilinear", align_corners=False)
        return _cropped(x, images)

    @staticmethod
    def from_classifier(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """VGG-19's fully connected layers as convolutions, under the names that torchvision gives them."""
        if "classifier.6.weight" not in state:
            return state
        convolutions = {
            "fc6.weight": state["classifier.0.weight"].unflatten(1, (_STAGES[4][0], 7, 7)),
            "fc6.bias": state["classifier.0.bias"],
            "fc7.weight": state["classifier.3.weight"][:, :, None, None],
            "fc7.bias": state["classifier.3.bias"],
        }
        return {name: value for name, value in state.items() if not name.startswith("classifier.")} | convolutions


class _Features(nn.Sequential):
    """VGG-19's convolutions, numbered as in torchvision: images to the outputs of the last three poolings."""

    def __init__(self, in_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels, convolutions in _STAGES:
            for _ in range(convolutions):
                layers += [nn.Conv2d(in_channels, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
                in_channels = channels
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        super().__init__(*layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        pooled = []
        for layer in self:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(x)
        return pooled[2:]


def _upsampling_by_2(channels: int) -> nn.ConvTranspose2d:
    """A transposed convolution that starts as bilinear interpolation of each channel."""
    layer = nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1, bias=False)
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[:, :, None, None] * torch.outer(line, line))
    return layer


def _set_to_zero(parameter: Tensor | None) -> None:
    if parameter is not None:
        nn.init.zeros_(parameter)


def _cropped(x: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return x[..., :height, :width]
