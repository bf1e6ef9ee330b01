"""A model whose encoder is frozen: only its decoder and head learn."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.base import SegmentationModel
from torch import Tensor, nn

from tune_seg.models.split_model import SplitModel


class FrozenEncoder(nn.Module):
    """A model that learns on top of its encoder's features.

    The encoder's parameters take no gradient, its batch normalisation stays in evaluation mode, and no graph is kept of
    its pass.

    Args:
        model: the model; :func:`separable` must hold of it.

    Shape:
        images (N, channels, H, W), or the encoder's features of them -> logits (N, C, H, W)
    """

    def __init__(self, model: SegmentationModel | SplitModel) -> None:
        super().__init__()
        self.model = model
        model.encoder.requires_grad_(False)

    @property
    def encoder(self) -> nn.Module:
        return self.model.encoder

    def train(self, mode: bool = True) -> "FrozenEncoder":
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Tensor]:
        """The encoder's features of images (N, channels, H, W), each (N, C_i, H_i, W_i)."""
        if isinstance(self.model, SplitModel):
            return self.model.encode(images)
        self.model.check_input_shape(images)
        features: list[Tensor] = list(self.encoder(images))
        return features

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        features = self.features(inputs) if isinstance(inputs, Tensor) else list(inputs)
        if isinstance(self.model, SplitModel):
            return self.model.decode(features)
        logits: Tensor = self.model.segmentation_head(self.model.decoder(features))
        return logits

    def features_in_use(self, features: Sequence[Tensor]) -> list[bool]:
        """Which of the features of some images the logits depend on; of the others the decoder reads the shape at most."""
        training = self.training
        self.eval()
        with torch.enable_grad(), torch.inference_mode(False):
            leaves = [feature.detach().clone().requires_grad_() for feature in features]
            gradients = torch.autograd.grad(self(leaves).float().sum(), leaves, allow_unused=True)
        self.train(training)
        return [gradient is not None for gradient in gradients]


def separable(model: nn.Module) -> bool:
    """Whether the model is an encoder, a decoder of its features alone, and a head."""
    if isinstance(model, SplitModel):
        return True
    return isinstance(model, SegmentationModel) and type(model).forward is SegmentationModel.forward


def frozen_encoder(model: nn.Module) -> FrozenEncoder | None:
    """The part of `model` that :func:`~tune_seg.models.build_model` froze, if it did."""
    return next((module for module in model.modules() if isinstance(module, FrozenEncoder)), None)
