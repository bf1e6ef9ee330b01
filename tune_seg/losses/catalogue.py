"""What each loss is called, needs and accepts, without importing torch.

The command line checks a configuration against this page before it loads anything heavy. To add a loss, write its file
beside this one and add its :class:`LossSpec` to ``LOSSES``; nothing else has to know about it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tune_seg.errors import InputError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that a loss takes.

    Attributes:
        name: The keyword under which ``build_loss`` takes it.
        description: One line for a help text.
        default: Its value where none is given; None stands for "off".
        lower: The smallest value allowed, None where there is no bound.
        upper: The largest value allowed, None where there is no bound.
        per_class: Whether a sequence with one number per class does as well.
    """

    name: str
    description: str
    default: float | None
    lower: float | None = None
    upper: float | None = None
    per_class: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words, for a message or a help text."""
        bounds = [f">= {self.lower:g}"] if self.lower is not None else []
        bounds += [f"<= {self.upper:g}"] if self.upper is not None else []
        words = " and ".join(["a finite number", *bounds])
        if self.per_class:
            words += ", or a list of such numbers, one for each class"
        return f"{words}, or None" if self.default is None else words

    def check(self, value: object, *, loss: str, num_classes: int | None = None) -> None:
        """Refuse a value that the loss cannot use.

        Args:
            value: What the user gave.
            loss: Name of the loss, for the message.
            num_classes: Length that a list of values must have; None leaves its length unchecked.

        Raises:
            InputError: The value has the wrong type, the wrong length or lies outside the bounds.
        """
        if value is None and self.default is None:
            return
        # Tensors and arrays, recognised by their method because this module must not import torch.
        plain: object = value.tolist() if hasattr(value, "tolist") else value
        numbers: Sequence[object] = [plain]
        if self.per_class and isinstance(plain, list | tuple):
            numbers = plain
            if not numbers or (num_classes is not None and len(numbers) != num_classes):
                expected = "at least one value" if num_classes is None else f"{num_classes} values, one for each class"
                raise InputError(f"loss {loss!r}: {self.name} = {value!r} has {len(numbers)} values; give {expected}")
        if not all(self._admits(number) for number in numbers):
            raise InputError(f"loss {loss!r}: {self.name} = {value!r} is not possible; allowed: {self.allowed}")

    def _admits(self, number: object) -> bool:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            return False
        return (self.lower is None or number >= self.lower) and (self.upper is None or number <= self.upper)


@dataclass(frozen=True, slots=True)
class LossSpec:
    """How a loss describes itself.

    Attributes:
        name: The name users write.
        implementation: The class, as ``"module:class"``; ``build_loss`` imports it when it is first needed.
        formula: The loss of one pixel (or one image) in one line; P is the one-hot truth, p the softmax output.
        source: Paper and equation.
        needs_class_weights: Whether the loss cannot be built without class weights.
        parameters: What the loss takes besides.
    """

    name: str
    implementation: str
    formula: str
    source: str
    needs_class_weights: bool = False
    parameters: tuple[Parameter, ...] = ()

    def check(self, params: Mapping[str, object], *, num_classes: int | None = None) -> None:
        """Refuse parameters that this loss does not have, or values that it cannot use.

        Args:
            params: Parameter name to value, as the user gave them; what is left out takes its default.
            num_classes: Length that a list of values must have; None leaves its length unchecked.

        Raises:
            InputError: A name is unknown or a value impossible; the message says what is allowed.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for key, value in params.items():
            if key not in known:
                allowed = ", ".join(known) or "none"
                raise InputError(
                    f"loss {self.name!r}: unknown parameter {key!r} (value {value!r}); its parameters: {allowed}"
                )
            known[key].check(value, loss=self.name, num_classes=num_classes)


_SPECS = (
    LossSpec(
        name="ce",
        implementation="tune_seg.losses.cross_entropy:CrossEntropyLoss",
        formula="-sum_c P_c log p_c",
        source="Hossain eq. (3); Taubert eq. (1) with all weights 1",
    ),
    LossSpec(
        name="wce",
        implementation="tune_seg.losses.cross_entropy:CrossEntropyLoss",
        formula="-sum_c w_c P_c log p_c, divided by the sum of the pixels' weights",
        source="Hossain eq. (4); Taubert eq. (1)",
        needs_class_weights=True,
    ),
    LossSpec(
        name="focal",
        implementation="tune_seg.losses.focal:FocalLoss",
        formula="-alpha_y (1 - p_y)^gamma log p_y",
        source="Hossain eq. (6); Taubert eq. (3)",
        parameters=(
            Parameter("gamma", "how much well-classified pixels are played down; 0 gives ce", default=2.0, lower=0.0),
            Parameter("alpha", "factor on the loss, for all or per class", default=None, lower=0.0, per_class=True),
        ),
    ),
    LossSpec(
        name="dual_focal",
        implementation="tune_seg.losses.dual_focal:DualFocalLoss",
        formula="-sum_c log(1 - (P_c - p_c)^2)",
        source="Hossain eq. (7)",
    ),
    LossSpec(
        name="dice",
        implementation="tune_seg.losses.dice:DiceLoss",
        formula="1 - 2 (sum_c sum_x P p + s) / (sum_c sum_x (P^2 + p^2) + s + eps), s = 1, eps = 1e-5",
        source="Taubert eq. (2) with all weights 1",
    ),
    LossSpec(
        name="wdice",
        implementation="tune_seg.losses.dice:DiceLoss",
        formula="1 - 2 (sum_c w_c sum_x P p + s) / (sum_c w_c sum_x (P^2 + p^2) + s + eps), s = 1, eps = 1e-5",
        source="Taubert eq. (2)",
        needs_class_weights=True,
    ),
)

LOSSES: Mapping[str, LossSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every loss by its name."""


def get_spec(name: str) -> LossSpec:
    """The description of a loss.

    Args:
        name: One of ``LOSSES``.

    Raises:
        InputError: There is no such loss; the message lists those there are.

    Example:
        >>> [parameter.name for parameter in get_spec("focal").parameters]
        ['gamma', 'alpha']
    """
    if name not in LOSSES:
        raise InputError(f"unknown loss {name!r}; the losses: {', '.join(LOSSES)}")
    return LOSSES[name]
