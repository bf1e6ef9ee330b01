"""The section `model`: an architecture, its encoder and its first weights."""

from pathlib import Path
from typing import Literal, Self

from pydantic import field_validator, model_validator

from tune_seg.architectures import published_weights
from tune_seg.config.base import Section

# Hossain's with encoder resnet18, built in MATLAB. SMP's has an output stride of 16 with atrous rates 12, 24, 36, which Chen
# et al. (2018) pair with a stride of 8; with 16 they have 6, 12, 18. The paper gives neither.
_SAME_ARCHITECTURES = {"deeplabv3plus": "DeepLabV3Plus"}


class ModelConfig(Section):
    """The model, its first weights, and which part of it learns."""

    architecture: str = "Unet"
    """A name of segmentation-models-pytorch such as `Unet` or `DeepLabV3Plus`, or one of the papers' [models](models.md)."""

    encoder: str = "resnet18"
    """The encoder, by its name in segmentation-models-pytorch; `tu-NAME` for timm's. The papers' models have their own."""

    weights: Literal["none", "imagenet", "coco"] | Path = "none"
    """Initial weights. `imagenet` (of the encoder) or `coco` (of the model) are downloaded once; a path names a file of
    weights; `none` starts at random. Set `imagenet` for real images."""

    train: Literal["all", "head"] = "all"
    """`head` keeps the encoder as it is and trains the rest, which is faster."""

    @field_validator("architecture")
    @classmethod
    def _one_name(cls, architecture: str) -> str:
        return _SAME_ARCHITECTURES.get(architecture, architecture)

    @field_validator("weights", mode="before")
    @classmethod
    def _no_address(cls, weights: object) -> object:
        if isinstance(weights, str) and "://" in weights:
            raise ValueError(f"{weights!r} is an address; copy the file to a local path first and name that")
        return weights

    @field_validator("weights")
    @classmethod
    def _absolute(cls, weights: str | Path) -> str | Path:
        return weights.expanduser().absolute() if isinstance(weights, Path) else weights

    @model_validator(mode="after")
    def _published(self) -> Self:
        published = published_weights(self.architecture)
        if isinstance(self.weights, str) and self.weights not in ("none", *published):
            raise ValueError(
                f"model.weights {self.weights}: there are none for {self.architecture}; allowed are "
                f"{', '.join(('none', *published))} and the path of a file of weights"
            )
        return self
