"""The check of a study's models, in a process of its own: the process that steers the study need not load torch."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context

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
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as checker:
        before = set(active_children())
        check = checker.submit(_check, sizes, in_channels)
        processes = set(active_children()) - before
        check.add_done_callback(partial(_hand_on, result))
        checker.shutdown(wait=False)  # the process ends with the check, not with the study
        try:
            yield result
        finally:
            if not check.done():
                for process in processes:
                    process.terminate()


def _hand_on(result: "Future[list[str]]", check: "Future[list[str]]") -> None:
    error = check.exception()
    if isinstance(error, BrokenProcessPool):
        error = InputError(
            "model: the process that checks the study's models ended before its time, most likely for want of memory; "
            "free memory, or choose smaller models or images (model.encoder, data.size)"
        )
    if error is None:
        result.set_result(check.result())
    else:
        result.set_exception(error)


def _check(sizes: Sizes, in_channels: int) -> list[str]:
    import torch

    from tune_seg.models import check_model

    # beside Ray's start there is no second core to be had: two threads wait for each other
    torch.set_num_threads(1)
    notes = [note for model, found in sizes.items() for note in check_model(model, found, in_channels)]
    return list(dict.fromkeys(notes))
