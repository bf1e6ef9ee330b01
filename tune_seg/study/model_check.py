"""The check of a study's models, in a process of its own: the process that steers the study need not load torch."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Thread

from tune_seg._child import Child, answer
from tune_seg.config import ModelConfig
from tune_seg.errors import InputError

Sizes = Mapping[ModelConfig, Sequence[tuple[int, int]]]
"""Models, each with the image sizes (H, W) that it must take."""


@contextmanager
def model_check(sizes: Sizes, in_channels: int = 3) -> Iterator["Future[list[str]]"]:
    """Begin to check every model; a check that is unfinished when the context is left is broken off.

    The result is what there is to say of them all, a sentence each, or raises InputError, both as
    :func:`tune_seg.models.check_model` does, the latter also because the check's process ended.
    """
    result: Future[list[str]] = Future()
    child = Child(_answer, sizes, in_channels)
    receiver = Thread(target=_receive, args=(child, result), name="model check", daemon=True)
    receiver.start()
    try:
        yield result
    finally:
        child.kill()
        receiver.join()


def _receive(child: Child, result: "Future[list[str]]") -> None:
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
    """What the process does: it sends the notes, or the error."""
    answer(connection, lambda: _check(sizes, in_channels))


def _check(sizes: Sizes, in_channels: int) -> list[str]:
    import torch

    from tune_seg.models import check_model

    # beside Ray's start there is no second core to be had: two threads wait for each other
    torch.set_num_threads(1)
    notes = [note for model, found in sizes.items() for note in check_model(model, found, in_channels)]
    return list(dict.fromkeys(notes))
