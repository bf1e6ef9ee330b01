"""The check of a study's models, in a process of its own: the process that steers the study need not load torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import TYPE_CHECKING

from tune_seg._child import Child, answer
from tune_seg.config import ModelConfig
from tune_seg.errors import InputError

if TYPE_CHECKING:
    from tune_seg.models.size import ModelSize

Sizes = Mapping[ModelConfig, Sequence[tuple[int, int]]]
"""Models, each with the image sizes (H, W) that it must take."""


@dataclass(frozen=True)
class CheckedModels:
    """What a check finds out.

    Attributes:
        notes: what there is to say of the models, a sentence each.
        largest: the size of the largest of them.
    """

    notes: Sequence[str]
    largest: "ModelSize"


@contextmanager
def model_check(sizes: Sizes, in_channels: int = 3) -> Iterator["Future[CheckedModels]"]:
    """Begin to check every model; a check that is unfinished when the context is left is broken off.

    The result raises InputError as :func:`tune_seg.models.check_model` does, and where the check's process ended.
    """
    result: Future[CheckedModels] = Future()
    child = Child(_answer, sizes, in_channels)
    receiver = Thread(target=_receive, args=(child, result), name="model check", daemon=True)
    receiver.start()
    try:
        yield result
    finally:
        child.kill()
        receiver.join()


def _receive(child: Child, result: "Future[CheckedModels]") -> None:
    try:
        answer = child.connection.recv()
    except (EOFError, OSError):
        answer = InputError(
            "model: the process that checks the study's models ended before its time, most likely for lack of memory; "
            "free memory, or choose smaller models or images (model.encoder, data.size)"
        )
    if isinstance(answer, Exception):
        result.set_exception(answer)
    else:
        result.set_result(answer)
    child.wait()


def _answer(connection: Connection, sizes: Sizes, in_channels: int) -> None:
    """What the process does: it sends what it finds, or the error."""
    answer(connection, lambda: _check(sizes, in_channels))


def _check(sizes: Sizes, in_channels: int) -> CheckedModels:
    import torch

    from tune_seg.models import check_model

    # beside Ray's start there is no second core to be had: two threads wait for each other
    torch.set_num_threads(1)
    notes = [note for model, found in sizes.items() for note in check_model(model, found, in_channels)]
    return CheckedModels(list(dict.fromkeys(notes)), largest_model(sizes, in_channels))


def largest_model(models: Iterable[ModelConfig], in_channels: int) -> "ModelSize":
    """The size of the largest of some models, for two classes: a last layer for more is no more than a few kilobytes."""
    from tune_seg.models.size import model_size

    return max((model_size(model, 2, in_channels) for model in models), key=lambda size: size.weights)
