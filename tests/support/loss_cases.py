"""Every loss of the catalogue with the parameters it is tested with, its reference, and the properties it has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tests.support import reference_pixels, reference_regions
from tune_seg.losses import LOSSES, build_loss

IGNORE = 255


@dataclass(frozen=True)
class Case:
    """A loss with parameters.

    Attributes:
        name: As in the catalogue.
        params: What `build_loss` is given.
        parts: What the loss is a mean over, so that a batch's loss is the weighted mean of its parts'; None: the batch
            counts as a whole.
        shift: Whether adding a constant to all logits changes nothing.
        smooth: Whether the loss has a derivative where logits tie.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    parts: Literal["pixels", "weights", "images"] | None = "pixels"
    shift: bool = True
    smooth: bool = True

    @property
    def max_classes(self) -> int | None:
        return LOSSES[self.name].max_classes

    def classes(self, wanted: int) -> int:
        """As many classes as the loss takes."""
        return wanted if self.max_classes is None else min(wanted, self.max_classes)

    def __str__(self) -> str:
        return self.name + "".join(f" {key}={value}" for key, value in self.params.items())


# Per-class parameters have four values: tests with another number of classes cut or repeat them.
CASES = (
    Case("ce"),
    Case("wce", parts="weights"),
    Case("focal"),
    Case("focal", {"gamma": 0.5, "alpha": [0.5, 1.0, 0.25, 2.0]}),
    Case("dual_focal"),
    Case("dual_focal_2021"),
    Case("dual_focal_2021", {"alpha": 0.5, "beta": 2.0, "gamma": 0.7, "rho": 1.25}),
    Case("dual_ce"),
    Case("sigmoid_ce"),
    Case("sigmoid_focal"),
    Case("sigmoid_focal", {"gamma": 0.5, "alpha": 0.75}),
    Case("ce_max_pool", parts=None),
    Case("ce_max_pool", {"p": 2.0, "m": 0.4}, parts=None),
    Case("poly1"),
    Case("logit_adjusted_ce"),
    Case("recall_ce", parts=None, smooth=False),
    Case("margin_ls"),
    Case("margin_ls", {"margin": 1.0, "penalty": 0.3}, smooth=False),
    Case("nacl", shift=False, smooth=False),
    Case("nacl", {"radius": 2}, shift=False, smooth=False),
    Case("tao_dual_focal", smooth=False),
    Case("tao_dual_focal", {"gamma": 0.5}, smooth=False),
    Case("dice", parts="images"),
    Case("wdice", parts="images"),
    Case("tversky", parts="images"),
    Case("tversky", {"alpha": 1.4, "beta": [0.2, 0.9, 1.0, 0.5]}, parts="images"),
    Case("focal_tversky", parts="images"),
    Case("unified_focal", parts=None),
    Case("unified_focal", {"variant": "symmetric", "gamma": 0.3, "weight": 0.2}, parts=None),
    Case("lovasz_softmax", parts=None, smooth=False),
    Case("jaccard_metric", parts=None),
    Case("jaccard_metric", {"smoothing": 0.1}, parts=None, smooth=False),
    Case("ml1_ace", parts="images", smooth=False),
    Case("ml1_ace", {"bins": 7, "binning": "soft"}, parts="images", smooth=False),
)


def weights_for(classes: int) -> list[float]:
    return [0.25 + 0.5 * c for c in range(classes)]


def params_for(case: Case, classes: int) -> dict[str, Any]:
    """The case's parameters, those per class with one value for each class."""
    return {
        key: [value[c % len(value)] for c in range(classes)] if isinstance(value, list) else value
        for key, value in case.params.items()
    }


def build(case: Case | str, classes: int, **params: Any) -> nn.Module:
    if isinstance(case, str):
        case = Case(case, params)
    return build_loss(
        case.name,
        num_classes=classes,
        class_weights=torch.tensor(weights_for(classes), dtype=torch.float64),
        ignore_index=IGNORE,
        **params_for(case, classes),
    )


def reference(case: Case, logits: Any, target: Any) -> float:
    """The loss of float64 logits and int64 labels in numpy."""
    classes = logits.shape[1]
    module = reference_pixels if LOSSES[case.name].family == "pixel" else reference_regions
    function: Callable[..., float] = getattr(module, case.name)
    return function(logits, target, IGNORE, weights_for(classes), **params_for(case, classes))


def random_batch(
    seed: int, *, classes: int = 4, spread: float = 2.0, images: int = 2, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Logits and a target in which some pixels are ignored; as few classes as may occur, not all do."""
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(images, classes, 4, 3, generator=generator) * spread).to(dtype)
    target = torch.randint(0, classes, (images, 4, 3), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORE
    target[:, 0, 0] = 0
    return logits, target


def value_and_gradient(loss: nn.Module, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def pixel(logits: Sequence[float], true_class: int) -> tuple[Tensor, Tensor]:
    """A batch of one pixel."""
    return torch.tensor(logits).view(1, -1, 1, 1), torch.tensor([[[true_class]]])


def numpy64(tensor: Tensor) -> Any:
    return tensor.detach().cpu().double().numpy()
