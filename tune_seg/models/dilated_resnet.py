"""Torchvision's FCN and DeepLabV3 on a dilated ResNet, the two models of Taubert section 3.

The ResNet's last two stages are dilated instead of strided, so that its features have an eighth of the images' height and
width; the logits are interpolated to the size of the images. Names and shapes are those of torchvision's models, so that
their files fit, except that there is no auxiliary classifier: torchvision builds none unless asked to, and Taubert's code
trains the main output alone, with COCO weights too, whose file has one.

With `train: head` the batch normalisation of the ResNet keeps its statistics. Taubert's code trains the head alone, too, but
lets them follow the batches.
"""

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import segmentation

from tune_seg.models.split_model import SplitModel

_MODELS: Final = {
    "fcn_resnet50": segmentation.fcn_resnet50,
    "fcn_resnet101": segmentation.fcn_resnet101,
    "deeplabv3_resnet50": segmentation.deeplabv3_resnet50,
    "deeplabv3_resnet101": segmentation.deeplabv3_resnet101,
}


class DilatedResNet(SplitModel):
    """A dilated ResNet with the head of FCN or of DeepLabV3.

    Args:
        architecture: torchvision's name of the model.
        num_classes: C.
        in_channels: of the images.
    """

    class_layers = ("classifier.4.",)

    def __init__(self, architecture: str, num_classes: int, in_channels: int) -> None:
        super().__init__()
        model = _MODELS[architecture](weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=False)
        self.backbone: nn.Module = model.backbone
        self.classifier: nn.Module = model.classifier
        if in_channels != 3:
            self.backbone.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.backbone.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does

    @property
    def encoder(self) -> nn.Module:
        return self.backbone

    def encode(self, images: Tensor) -> list[Tensor]:
        return [images, self.backbone(images)["out"]]  # of the images only the size is needed

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        images, last = features
        return F.interpolate(self.classifier(last), size=images.shape[-2:], mode="bilinear", align_corners=False)
