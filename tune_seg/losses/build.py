"""The one door through which losses are built."""

import operator
from collections.abc import Mapping, Sequence
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from tune_seg.errors import InputError
from tune_seg.losses._weighting import check_class_weights
from tune_seg.losses.catalogue import LOSSES, get_spec
from tune_seg.losses.own import load


def build_loss(
    name: str,
    *,
    num_classes: SupportsIndex,
    class_weights: Tensor | Sequence[float] | None = None,
    ignore_index: int = 255,
    **params: object,
) -> nn.Module:
    """Build a loss by its name.

    The module's ``forward(logits, target)`` takes logits of shape (N, C, H, W), any floating type, and an int64 target
    of shape (N, H, W) whose values lie in [0, C) or equal ``ignore_index``, and returns a scalar in float32 (float64
    for float64 logits). Another target value is the caller's error: torch raises on a CPU, and on a GPU it may stop the
    process. Logits must be finite, at ignored pixels too: an infinite one makes the gradient nan. Pixels labelled
    ``ignore_index`` count nowhere; where all are ignored, and for an empty batch, the loss and its gradient are 0. The
    class weights are a buffer of the module: move it with ``.to(device)`` as any other.

    The losses that compute their gradient with their value, most of them, can be differentiated once: ``create_graph``
    raises an error. They hand out the gradient that they keep: do not change it in place and then go through the graph
    again. In a program of ``torch.compile`` they are called as they are, so that ``fullgraph=True`` is not possible.

    Args:
        name: One of ``tune_seg.losses.LOSSES``, which also describes each loss's parameters, or a loss of your own: the
            name of an entry point, or its path ``package.module:ClassOrFactory``.
        num_classes: C, at least 1.
        class_weights: One finite, non-negative weight per class, shape (C,). The losses that do not weight classes
            leave them unused, so that a study can pass the same ones to every loss.
        ignore_index: The label of pixels without a truth.
        **params: The loss's own parameters, for instance ``gamma`` of ``focal``.

    Raises:
        InputError: Unknown name or parameter, an impossible value, class weights that are missing or wrong, or a loss of
            your own that cannot be imported or is no module.

    Example:
        >>> loss = build_loss("wce", num_classes=3, class_weights=[0.5, 1.0, 1.5])
        >>> logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
        >>> loss(logits, torch.zeros(1, 4, 4, dtype=torch.int64)).backward()
    """
    spec = get_spec(name)
    try:
        classes = operator.index(num_classes)  # of NumPy's integers too
    except TypeError:
        classes = 0
    if isinstance(num_classes, bool) or classes < 1:
        raise InputError(f"loss {name!r}: num_classes = {num_classes!r} is not possible; allowed: a whole number >= 1")
    spec.check(params, num_classes=classes)
    if class_weights is not None:
        class_weights = check_class_weights(class_weights, classes)
    elif spec.class_weights in ("required", "frequencies"):
        raise InputError(
            f"loss {name!r}: class_weights = None is not possible; give {classes} non-negative numbers, "
            "for instance tune_seg.losses.class_weights(pixel counts)"
        )
    weights = {} if spec.class_weights == "unused" else {"class_weights": class_weights}
    loss = load(name, spec.implementation)(classes, ignore_index=ignore_index, **weights, **params)
    if not isinstance(loss, nn.Module):
        raise InputError(f"loss {name!r}: {spec.implementation} returned {loss!r}; expected a torch.nn.Module")
    if name not in LOSSES:
        loss = _ZeroWithoutPixels(loss, ignore_index)
    return loss


class _ZeroWithoutPixels(nn.Module):
    """A loss of the user's own; 0 for a batch without a valid pixel, of which torch's own losses make nan.

    Whether there is one has to be known before: the gradient of a value that is nan is nan, whatever it is multiplied with.
    """

    waits_for_device = True

    def __init__(self, loss: nn.Module, ignore_index: int) -> None:
        super().__init__()
        self.loss = loss
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if not (target != self.ignore_index).any():
            return (logits * 0.0).sum()
        value: Tensor = self.loss(logits, target)
        return value


def check_loss(
    name: str,
    *,
    num_classes: int,
    class_weights: Tensor | Sequence[float] | None = None,
    ignore_index: int = 255,
    **params: object,
) -> None:
    """Build a loss and run it once, on small random logits with some ignored pixels. The arguments are `build_loss`'s.

    A loss of the user's own is wrong at once, then, and not in every trial of a study.

    Raises:
        InputError: It cannot be built or run, or its result is no finite scalar with a finite gradient; the message says
            what came of it.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, num_classes, 8, 8, generator=generator).requires_grad_()
    target = torch.randint(num_classes, (2, 8, 8), generator=generator)
    target[:, 0] = ignore_index
    run = _once(name, params, logits)
    try:
        loss = build_loss(name, num_classes=num_classes, class_weights=class_weights, ignore_index=ignore_index, **params)
        value = loss(logits, target)
        if isinstance(value, Tensor) and value.requires_grad and value.ndim == 0:
            value.backward()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{run} raised {type(error).__name__}: {error}") from error
    if not isinstance(value, Tensor) or value.ndim != 0:
        raise InputError(
            f"{run} returned {f'a tensor of shape {tuple(value.shape)}' if isinstance(value, Tensor) else repr(value)}; "
            "expected a scalar tensor"
        )
    if not bool(torch.isfinite(value)):
        raise InputError(f"{run} returned {value.item()}; expected a finite number")
    if logits.grad is None:
        raise InputError(f"{run} returned {value.item()} without a gradient; expected one that depends on the logits")
    if not bool(torch.isfinite(logits.grad).all()):
        raise InputError(f"{run} returned {value.item()} with a gradient that is not finite everywhere")


def _once(name: str, params: Mapping[str, object], logits: Tensor) -> str:
    """How a message about the only call of a loss begins."""
    given = "".join(f"{key} = {value!r}, " for key, value in params.items())
    return f"loss {name!r}: run once with {given}logits of shape {tuple(logits.shape)}, it"
