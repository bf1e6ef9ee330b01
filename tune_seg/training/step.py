"""One training step: forward, loss, backward, optimizer; on a GPU recorded once and replayed."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from threading import Lock, get_ident
from typing import Final

import torch
from torch import Tensor, nn

from tune_seg.training.loss_program import LossProgram

Inputs = Tensor | list[Tensor]
"""What the model takes: images, or the features of a frozen encoder."""

_WARM_UP: Final = 3
_one_recording: Final = Lock()
"""Held while a step is recorded: PyTorch records one graph at a time in a process, and waits for the device before."""

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Step:
    """A training step.

    Attributes:
        model: inputs to logits (N, C, H, W).
        loss: the weighted losses.
        optimizer: `initial_lr` of each of its groups is what a step's factor multiplies.
        autocast: makes the context that the model computes in.
    """

    model: nn.Module
    loss: LossProgram
    optimizer: torch.optim.Optimizer
    autocast: Callable[[], AbstractContextManager[None]]

    def __call__(self, inputs: Inputs, target: Tensor, iteration: int, lr_factor: float) -> Tensor:
        """Train on a batch and return the loss, a scalar without a graph, which the next step may overwrite.

        Args:
            inputs: the batch.
            target: (N, H, W).
            iteration: from 0, for the weights of the losses.
            lr_factor: what the learning rates at the start are multiplied with.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * lr_factor
        return self._run(inputs, target, self.loss.active(iteration))

    def forget(self) -> None:
        """Drop what is kept of the steps before, when model or optimizer are set to another state."""

    def _run(self, inputs: Inputs, target: Tensor, weights: dict[int, float] | dict[int, Tensor]) -> Tensor:
        # entered and left here, so that no cast of a weight that autocast keeps is older than this step, or its recording
        with self.autocast():
            logits = self.model(inputs)
        loss = self.loss.weighted(logits, target, weights)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


@dataclass(frozen=True)
class _Recording:
    """A recorded step, and the tensors that a replay reads from and writes to."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    target: Tensor
    loss: Tensor


@dataclass(eq=False)  # only the `__init__` that this makes calls `__post_init__`
class CapturedStep(Step):
    """A step on a GPU: recorded as a CUDA graph after three runs with the same active losses and shapes.

    A replay launches all kernels of a step at once, where Python would launch them one by one. Learning rates and the
    weights of the losses are tensors on the device, so that they may change from step to step. Only one graph is kept,
    and only until the losses or the shapes change, because each holds the memory of a whole step. While a loss is active
    that waits for the device, every step runs as in :class:`Step`; likewise where recording failed with the same losses,
    of which there is a warning.

    The optimizer must be capturable.
    """

    def __post_init__(self) -> None:
        device = next(self.model.parameters()).device
        self._rates = [torch.zeros((), device=device) for _ in self.optimizer.param_groups]
        self._weights = torch.zeros(len(self.loss.losses), device=device)
        self._stream = _side_stream(get_ident())
        self._recording: _Recording | None = None
        self._seen: object = None  # the kind of the last steps, and how many in a row
        self._times = 0
        self._unrecordable: set[tuple[int, ...]] = set()

    def forget(self) -> None:
        if self._recording is not None:
            self._recording = None
            self.optimizer.zero_grad(set_to_none=True)  # the gradients lie in the graph's memory
        self._seen = None

    def __call__(self, inputs: Inputs, target: Tensor, iteration: int, lr_factor: float) -> Tensor:
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate.fill_(group["initial_lr"] * lr_factor)
        active = self.loss.active(iteration)
        for index, weight in active.items():
            self._weights[index].fill_(weight)
        kind = (tuple(active), tuple(tensor.shape for tensor in (*_listed(inputs), target)))
        if kind != self._seen:
            self.forget()  # its memory is free before the steps that come take their own
            self._seen, self._times = kind, 0
        self._times += 1
        if self._recording is None and self._times > _WARM_UP and self._recordable(active):
            self._record(inputs, target, active)
        if self._recording is not None:
            for static, tensor in zip(self._recording.inputs, _listed(inputs), strict=True):
                static.copy_(tensor)
            self._recording.target.copy_(target)
            self._recording.graph.replay()
            return self._recording.loss
        # A graph cannot be recorded on the default stream, and a parameter's gradient is added up where it was first.
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = self._run(inputs, target, {index: self._weights[index] for index in active})
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _recordable(self, active: Mapping[int, float]) -> bool:
        return tuple(active) not in self._unrecordable and not self.loss.waits(active)

    def _record(self, inputs: Inputs, target: Tensor, active: Mapping[int, float]) -> None:
        """Record a step, which does not run it, where that is possible."""
        static_inputs, static_target = [tensor.clone() for tensor in _listed(inputs)], target.clone()
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads, which may write states to the disk or train, go on meanwhile. The current stream is put back
            # here, because where a recording fails, `graph` (torch 2.11) does not.
            with (
                _one_recording,
                torch.cuda.stream(torch.cuda.current_stream()),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                loss = self._run(
                    static_inputs if isinstance(inputs, list) else static_inputs[0],
                    static_target,
                    {index: self._weights[index] for index in active},
                )
        except RuntimeError as error:
            cause = error.__context__ or error  # that the recording could not be ended comes after what broke it
            _logger.warning("the training step cannot be recorded as a CUDA graph, and runs without (%s)", cause)
            self.optimizer.zero_grad(set_to_none=True)
            self._unrecordable.add(tuple(active))
        else:
            self._recording = _Recording(graph, static_inputs, static_target, loss)


@cache
def _side_stream(thread: int) -> torch.cuda.Stream:
    """The stream of every training in a thread: what one of them frees on it, only that stream can use again.

    No two threads share one: what one of them asks for on it would become part of what the other records.
    """
    return torch.cuda.Stream()


def _listed(inputs: Inputs) -> list[Tensor]:
    return [inputs] if isinstance(inputs, Tensor) else inputs
