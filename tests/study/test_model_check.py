"""The check of a study's models in a process of its own."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tune_seg.config import ModelConfig
from tune_seg.errors import InputError
from tune_seg.study.model_check import model_check

SIZES = {ModelConfig(): [(64, 64)]}


def children() -> set[int]:
    """The processes that this one has started and that it has not yet waited for."""
    tasks = (Path("/proc") / str(os.getpid()) / "task").iterdir()
    found: set[int] = set()
    for task in tasks:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found.update(map(int, (task / "children").read_text().split()))
    return found


def test_models_that_can_be_trained_are_checked_without_a_word_and_the_process_ends() -> None:
    before = children()
    with model_check(SIZES) as check:
        checked = check.result(120)
    assert (checked.notes, checked.largest.weights // 10**6) == ([], 57)
    assert children() == before


def test_what_is_wrong_with_a_model_is_raised_here() -> None:
    with model_check({ModelConfig(encoder="resnet19"): [(64, 64)]}) as check, pytest.raises(InputError, match="resnet19"):
        check.result(120)


def test_a_check_that_is_left_unfinished_is_broken_off() -> None:
    before = children()
    with pytest.raises(KeyError), model_check(SIZES) as check:
        raise KeyError
    assert isinstance(check.exception(), InputError)  # of a check that goes on until its end: None
    assert children() == before


def test_a_process_that_dies_is_said_in_a_sentence() -> None:
    before = children()
    with model_check(SIZES) as check:
        for process in children() - before:
            os.kill(process, signal.SIGKILL)
        with pytest.raises(InputError, match="the process that checks the study's models ended before its time"):
            check.result(120)
