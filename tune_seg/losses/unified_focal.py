"""Unified focal loss."""

from functools import partial
from typing import Final, Literal

import torch
from torch import Tensor

from tune_seg.errors import InputError
from tune_seg.losses._base import SegmentationLoss, as_numbers, log1p, of_class
from tune_seg.losses._fused import fused_sum
from tune_seg.losses._overlap import Overlap, differentiate, measure, tversky_power
from tune_seg.losses.focal import above_zero

EPSILON: Final = 1e-7


class UnifiedFocalLoss(SegmentationLoss):
    """``weight * modified focal + (1 - weight) * modified focal Tversky``, for one common class among rare ones.

    Yeung et al. 2022, *Unified Focal loss*, arXiv 2102.04525. With y a pixel's true class, the
    asymmetric variant is

        modified focal:          -delta log p_y where y is rare, -(1 - delta) (1 - p_y)^gamma log p_y where it is the
                                 background; averaged over the valid pixels,
        modified focal Tversky:  (1 - T_c)^(1 - gamma) of a rare class, 1 - T_c of the background, averaged over the
                                 classes and over the images that have a valid pixel,

    with T_c = (TP + eps) / (TP + delta FN + (1 - delta) FP + eps), eps = 1e-7. So rare classes are spared the playing
    down of what is easy, and the background is not played up. The symmetric variant has (1 - p_y)^gamma and the exponent
    1 - gamma for every class.

    Where the paper and the authors' code differ: ``weight`` is the paper's lambda, the share of the focal part, which in
    the code is that of the Tversky part. For the symmetric variant the paper prints the exponents 1 - gamma (focal) and
    gamma (Tversky); here they are, as in the code and in both asymmetric parts, gamma and 1 - gamma. At the default
    gamma these are the same.

    Args:
        num_classes: C.
        weight: Share of the focal part, in [0, 1].
        delta: Cost of missing a rare class, in [0, 1]; 1 - delta is that of a false alarm.
        gamma: How much easy pixels and classes are played down, in [0, 1).
        background: The class that is not rare.
        variant: ``"asymmetric"`` or ``"symmetric"``.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        InputError: There is no class ``background``.

    Example:
        >>> loss = UnifiedFocalLoss(num_classes=3, delta=0.7)
        >>> loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))
        tensor(0.5651)
    """

    factor: Tensor
    focus: Tensor
    power: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        weight: float = 0.5,
        delta: float = 0.6,
        gamma: float = 0.5,
        background: int = 0,
        variant: Literal["asymmetric", "symmetric"] = "asymmetric",
        ignore_index: int = 255,
    ) -> None:
        super().__init__(num_classes, ignore_index=ignore_index)
        if background >= num_classes:
            raise InputError(
                f"loss 'unified_focal': background = {background} is not possible; allowed: a class, 0 to {num_classes - 1}"
            )
        self.weight = weight
        self.delta = delta
        asymmetric = variant == "asymmetric"
        common = [c == background for c in range(num_classes)]
        # The factor of log p_y, the exponent of 1 - p_y and that of 1 - T_c, per class.
        self._keep("factor", [1 - delta if is_common else delta for is_common in common])
        self._keep("focus", [0.0 if asymmetric and not is_common else gamma for is_common in common])
        self._keep("power", [1.0 if asymmetric and is_common else 1 - gamma for is_common in common])

    def _keep(self, name: str, per_class: list[float]) -> None:
        self.register_buffer(name, torch.tensor(per_class, dtype=torch.float64), persistent=False)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        index, valid = self.split_target(target)
        images = valid.any(dim=2).any(dim=1)
        loss = partial(
            self._value_and_gradient,
            per_pixel=self.weight / valid.sum().clamp_min(1).to(logits.dtype),
            per_class=(1 - self.weight) / self.num_classes / images.sum().clamp_min(1).to(logits.dtype),
        )
        return fused_sum(logits, index, valid, loss)

    def _value_and_gradient(
        self,
        logits: Tensor,
        index: Tensor,
        valid: Tensor,
        gradient: Tensor,
        *,
        per_pixel: Tensor,
        per_class: Tensor,
    ) -> Tensor:
        """The images' share of the loss, and its gradient. See `fused.ValueAndGradient`.

        Args:
            logits: (n, C, H, W).
            index: (n, 1, H, W).
            valid: (n, 1, H, W).
            gradient: (n, C, H, W), filled here.
            per_pixel: Weight of the focal part of each pixel.
            per_class: Weight of the Tversky part of each image and class.
        """
        p = logits.softmax(dim=1)
        p_top = p.amax(dim=1, keepdim=True)
        seen, missing = measure(p, index, valid, scratch=gradient)
        tversky, by = tversky_power(
            seen,
            alpha=self.delta,
            beta=1 - self.delta,
            smoothing=EPSILON,
            exponent=self.power.to(logits.dtype),
        )
        # log p_y = log p_top - (x_top - x_y), with p_top from 1 - p_y where y is the top class: accurate at both ends.
        behind = logits.amax(dim=1, keepdim=True) - logits.gather(1, index)
        is_top = as_numbers(behind == 0, logits.dtype)
        surprise = behind - torch.lerp(p_top, is_top, is_top).log() - log1p(-missing * is_top)
        base = above_zero(missing)
        exponent = of_class(self.focus.to(logits.dtype), index)
        factor = of_class(self.factor.to(logits.dtype), index) * base.pow(exponent) * valid * per_pixel
        focal = factor * surprise
        differentiate(
            gradient,
            p,
            index,
            valid,
            missing,
            Overlap(*(per_class * slope for slope in by)),
            by_missing=exponent * focal / base,
        )
        # d(-log p_y)/dx_j = p_j - P_j
        gradient.addcmul_(p, factor).scatter_add_(1, index, -factor)
        return focal.sum() + per_class * tversky.sum()
