"""The architectures of this package by name, with the weights that are published for them; it needs no torch.

To add one, write a :class:`~tune_seg.models.split_model.SplitModel` in a file in `models` and add its name here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Architecture:
    """An architecture with an encoder of its own.

    Attributes:
        implementation: its class, as `module:class`, which takes `arguments`, the number of classes and that of channels.
        arguments: what the class takes first.
        weights: by the value of `model.weights`, the published weights by torchvision's name for them.
    """

    implementation: str
    arguments: tuple[str, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)


def _dilated(name: str, imagenet: str, coco: str) -> Architecture:
    weights = {"imagenet": f"{imagenet}.IMAGENET1K_V1", "coco": f"{coco}.DEFAULT"}
    return Architecture("tune_seg.models.dilated_resnet:DilatedResNet", (name,), weights)


OWN_ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        # of ImageNet's weights those that torchvision's models begin with by default, and Taubert's
        "fcn_resnet50": _dilated("fcn_resnet50", "ResNet50_Weights", "FCN_ResNet50_Weights"),
        "fcn_resnet101": _dilated("fcn_resnet101", "ResNet101_Weights", "FCN_ResNet101_Weights"),
        "deeplabv3_resnet50": _dilated("deeplabv3_resnet50", "ResNet50_Weights", "DeepLabV3_ResNet50_Weights"),
        "deeplabv3_resnet101": _dilated("deeplabv3_resnet101", "ResNet101_Weights", "DeepLabV3_ResNet101_Weights"),
        "vgg19_fcn": Architecture("tune_seg.models.vgg19_fcn:VGG19FCN", weights={"imagenet": "VGG19_Weights.IMAGENET1K_V1"}),
        "unet_2015": Architecture("tune_seg.models.unet_2015:UNet2015"),
    }
)
"""All architectures that are not of segmentation-models-pytorch (SMP). They have one encoder each, their own."""


def published_weights(architecture: str) -> tuple[str, ...]:
    """The values of `model.weights`, besides `none` and the path of a file, that an architecture can have.

    Example:
        >>> published_weights("vgg19_fcn"), published_weights("unet_2015"), published_weights("Unet")
        (('imagenet',), (), ('imagenet',))
    """
    own = OWN_ARCHITECTURES.get(architecture)
    return ("imagenet",) if own is None else tuple(own.weights)
