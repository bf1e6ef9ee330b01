"""The check of a study's models, in a process of its own: the process that steers the study need not load torch."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from tune_seg.config import ModelConfig

Sizes = Mapping[ModelConfig, Sequence[tuple[int, int]]]
"""Models, each with the image sizes (H, W) that it must take."""


@contextmanager
def model_check(sizes: Sizes) -> Iterator["Future[None]"]:
    """Begin to check every model; the result raises InputError as :func:`tune_seg.models.check_model` does."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as checker:
        check = checker.submit(_check, sizes)
        checker.shutdown(wait=False)  # the process ends with the check, not with the study
        yield check


def _check(sizes: Sizes) -> None:
    import torch

    from tune_seg.models import check_model

    # beside Ray's start there is no second core to be had: two threads wait for each other
    torch.set_num_threads(1)
    for model, found in sizes.items():
        check_model(model, found)
