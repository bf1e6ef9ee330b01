"""The base of this package's own models: an encoder, and a part that sees an image only through its features."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn


class SplitModel(nn.Module, ABC):
    """A model that takes images of any size and any number of channels, split so that its encoder can be frozen.

    Attributes:
        class_layers: prefixes of the entries of its state whose shapes depend on the number of classes.

    Shape:
        images (N, channels, H, W) -> logits (N, C, H, W)
    """

    class_layers: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """The part that is frozen when only the head learns."""

    @abstractmethod
    def encode(self, images: Tensor) -> list[Tensor]:
        """The encoder's features of images (N, channels, H, W), each (N, C_i, H_i, W_i)."""

    @abstractmethod
    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """The logits (N, C, H, W) of images, from their features."""

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    @staticmethod
    def from_classifier(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A state under this model's names where it is that of the network which classified images for its encoder."""
        return state
