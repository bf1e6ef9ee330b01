"""The check of a study's models in a process of its own."""

from multiprocessing import active_children
from signal import SIGTERM
from time import monotonic, sleep

import pytest

from tune_seg.config import ModelConfig
from tune_seg.errors import InputError
from tune_seg.study.model_check import model_check

SIZES = {ModelConfig(): [(64, 64)]}


def test_a_check_that_is_left_unfinished_is_broken_off() -> None:
    before = set(active_children())
    with pytest.raises(KeyError), model_check(SIZES) as check:
        raise KeyError
    assert isinstance(check.exception(), InputError)  # of a check that goes on until its end: None
    for child in set(active_children()) - before:
        # the pool's own thread waits for the child too: whichever of the two is second learns the exit code a moment later
        deadline = monotonic() + 60
        while child.exitcode is None and monotonic() < deadline:
            sleep(0.05)
        assert child.exitcode == -SIGTERM


def test_a_process_that_dies_is_said_in_a_sentence() -> None:
    before = set(active_children())
    with model_check(SIZES) as check:
        for process in set(active_children()) - before:
            process.kill()
        with pytest.raises(InputError, match="the process that checks the study's models ended before its time"):
            check.result()
