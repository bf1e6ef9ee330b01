"""How a loss and its parameters describe themselves, without importing torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tune_seg.errors import InputError, did_you_mean


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that a loss takes: a number, a whole number, one of a few words, or a text.

    Attributes:
        name: The keyword under which ``build_loss`` takes it.
        description: One line for a help text.
        default: Its value where none is given; None stands for "off".
        lower: The smallest value allowed, None where there is no bound.
        upper: The largest value allowed, None where there is no bound.
        open: Whether ``lower`` itself is not allowed.
        below: Whether ``upper`` itself is not allowed.
        integer: Whether only whole numbers do.
        per_class: Whether a sequence with one number per class does as well.
        choices: The words allowed, or true and false; with these the value is no number.
        text: Whether the value is a text, of which the loss itself says what it takes; then it is no number.
    """

    name: str
    description: str
    default: float | str | None
    lower: float | None = None
    upper: float | None = None
    open: bool = False
    below: bool = False
    integer: bool = False
    per_class: bool = False
    choices: tuple[str | bool, ...] = ()
    text: bool = False

    @property
    def range(self) -> str:
        """The allowed values in short, as a table shows them: ``> 1``, ``[0, 1)``, ``hard | soft``."""
        if self.choices:
            return " | ".join(map(str, self.choices))
        if self.text:
            return "text"
        if self.lower is not None and self.upper is not None:
            return f"{'(' if self.open else '['}{self.lower:g}, {self.upper:g}{')' if self.below else ']'}"
        if self.lower is not None:
            return f"{'>' if self.open else '>='} {self.lower:g}"
        return "any" if self.upper is None else f"{'<' if self.below else '<='} {self.upper:g}"

    @property
    def allowed(self) -> str:
        """The allowed values in words, for a message or a help text."""
        if self.choices:
            return ", ".join(map(repr, self.choices))
        bounds = [f"{'>' if self.open else '>='} {self.lower:g}"] if self.lower is not None else []
        bounds += [f"{'<' if self.below else '<='} {self.upper:g}"] if self.upper is not None else []
        kind = "a text" if self.text else "a whole number" if self.integer else "a finite number"
        words = " and ".join([kind, *bounds])
        if self.per_class:
            words += ", or a list of such numbers, one for each class"
        return f"{words}, or None" if self.default is None else words

    def check(self, value: object, *, loss: str, num_classes: int | None = None) -> None:
        """Reject a value that the loss cannot use.

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
                raise InputError(
                    f"loss {loss!r}: {self.name} = {value!r} has {len(numbers)} values; give "
                    + ("at least one value" if num_classes is None else f"{num_classes} values, one for each class")
                )
        if not all(self._admits(number) for number in numbers):
            raise InputError(f"loss {loss!r}: {self.name} = {value!r} is not possible; allowed: {self.allowed}")

    def _admits(self, value: object) -> bool:
        if self.choices:
            # 1 equals True, but is no choice between true and false
            return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices)
        if self.text:
            return isinstance(value, str)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        if self.integer and not isinstance(value, int):
            return False
        above = self.lower is None or (value > self.lower if self.open else value >= self.lower)
        return above and (self.upper is None or (value < self.upper if self.below else value <= self.upper))


@dataclass(frozen=True, slots=True)
class LossSpec:
    """How a loss describes itself.

    Attributes:
        name: The name users write.
        implementation: The class, as ``"module:class"``; ``build_loss`` imports it when it is first needed.
        formula: The loss of one pixel (or one image) in one line; P is the one-hot truth, p the softmax output, y the
            true class, w the class weights.
        source: Paper and equation.
        family: ``pixel`` losses are means over pixels, ``region`` losses compare whole regions, ``calibration`` losses
            look at the outputs' calibration alone, and are meant as a term beside another loss.
        class_weights: Whether class weights are left unused, used where they are given, or needed. ``frequencies``: they
            stand for the frequencies of the classes, so that the inverse frequencies are needed, and no other weights.
        parameters: What the loss takes besides.
        proper: Whether it is a strictly proper scoring rule of a pixel's outputs: whether its expectation is smallest
            where the outputs are the true probabilities, whatever these are, and only there.
        max_classes: The largest number of classes, None where there is no bound.
        when: One short sentence: for whom or for what it is worth a trial; nothing where it is left out.
    """

    name: str
    implementation: str
    formula: str
    source: str
    family: Literal["pixel", "region", "calibration"] = "pixel"
    class_weights: Literal["unused", "optional", "required", "frequencies"] = "unused"
    parameters: tuple[Parameter, ...] = ()
    proper: bool = False
    max_classes: int | None = None
    when: str = ""

    def check(self, params: Mapping[str, object], *, num_classes: int | None = None) -> None:
        """Reject parameters that this loss does not have, or values that it cannot use.

        Args:
            params: Parameter name to value, as the user gave them; what is left out takes its default.
            num_classes: The number of classes, and the length that a list of values must have; None leaves both
                unchecked.

        Raises:
            InputError: A name is unknown, a value impossible, or the classes are too many; the message says what is
                allowed.
        """
        if num_classes is not None and self.max_classes is not None and num_classes > self.max_classes:
            raise InputError(
                f"loss {self.name!r}: num_classes = {num_classes} is not possible; it takes at most {self.max_classes}"
            )
        known = {parameter.name: parameter for parameter in self.parameters}
        for key, value in params.items():
            if key not in known:
                raise InputError(
                    f"loss {self.name!r}: unknown parameter {key!r} (value {value!r}){did_you_mean(key, known)}; its "
                    f"parameters: {', '.join(known) or 'none'}"
                )
            known[key].check(value, loss=self.name, num_classes=num_classes)
