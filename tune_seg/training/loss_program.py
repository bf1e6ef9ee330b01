"""The loss of a trial: a sum of losses whose weights move over the training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tune_seg.config import Component, LossConfig, TrialConfig
from tune_seg.data.packing.packed import TrainingPixels
from tune_seg.losses import build_loss, class_weights
from tune_seg.losses._weighting import scaled
from tune_seg.losses.catalogue import get_spec
from tune_seg.training.class_weights import class_weight_sum, relative_class_weights, weighting


@dataclass(frozen=True)
class Term:
    """One loss of a program: a name, the loss, and its weight at every iteration."""

    name: str
    loss: nn.Module
    weight: Callable[[float], float]


class LossProgram(nn.Module):
    """A weighted sum of losses, whose weights depend on the iteration.

    Args:
        terms: the losses with their names and weights.

    Shape:
        logits (N, C, H, W), target (N, H, W) -> scalar

    Example:
        >>> dice, ce = build_loss("dice", num_classes=3), build_loss("ce", num_classes=3)
        >>> program = LossProgram([Term("start", dice, lambda i: 1 - i / 100), Term("end", ce, lambda i: i / 100)])
        >>> program(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64), iteration=50)
        tensor(0.7657)
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(term.loss for term in terms)
        self._curves = {term.name: term.weight for term in terms}

    def weights(self, iteration: int) -> dict[str, float]:
        """The weight of every loss at `iteration` (from 0), by its name."""
        return {name: curve(iteration) for name, curve in self._curves.items()}

    def forward(self, logits: Tensor, target: Tensor, iteration: int) -> Tensor:
        """The weighted sum at `iteration`; a loss whose weight is 0 is not computed.

        Where all weights are 0, so are the sum and its gradient.
        """
        return self.weighted(logits, target, self.active(iteration))

    def active(self, iteration: int) -> dict[int, float]:
        """The weights at `iteration` that are not 0, by the number of the loss."""
        return {number: weight for number, weight in enumerate(self.weights(iteration).values()) if weight != 0.0}

    def waits(self, numbers: Iterable[int]) -> bool:
        """Whether one of the losses of these numbers reads back from a GPU while it is computed."""
        return any(getattr(self.losses[number], "waits_for_device", False) for number in numbers)

    def weighted(self, logits: Tensor, target: Tensor, weights: Mapping[int, float] | Mapping[int, Tensor]) -> Tensor:
        """The sum of the losses that `weights` gives a weight, by their numbers."""
        terms = [weight * self.losses[number](logits, target) for number, weight in weights.items()]
        if not terms:
            return (logits * 0.0).sum()
        return torch.stack(terms).sum() if len(terms) > 1 else terms[0]


def build_program(config: TrialConfig, data: TrainingPixels, iterations: int) -> LossProgram:
    """The loss of a trial (Taubert section 4, where it has the kind naive or alternating).

    Args:
        config: the trial.
        data: how the training pixels divide among the classes, for the class-weighted losses.
        iterations: how many iterations the training has in all.

    Raises:
        InputError: a loss cannot be built, or class weights are given of other classes than there are.
    """
    components = sorted(config.components, key=lambda component: component.order)
    return LossProgram([_term(component, config.loss, data, iterations) for component in components])


def loss_class_weights(loss: str, config: LossConfig, data: TrainingPixels) -> Tensor | None:
    """The class weights (C,) that a loss is built with; None for one that has no use for them.

    Raises:
        InputError: they are given of other classes than there are.
    """
    use = get_spec(loss).class_weights
    if use == "unused":
        return None
    if use == "frequencies":
        return class_weights(torch.as_tensor(data.frequencies))
    how = weighting(config)
    return scaled(torch.as_tensor(relative_class_weights(how, data)), class_weight_sum(how, len(data.class_names)))


def _term(component: Component, config: LossConfig, data: TrainingPixels, iterations: int) -> Term:
    weights = loss_class_weights(component.loss, config, data)
    loss = build_loss(component.loss, num_classes=len(data.class_names), class_weights=weights, **component.params)
    return Term(component.name, loss, component.weight(iterations))
