"""What was freed is used again."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tune_seg.training.memory import available_memory

CODE = """
import resource, torch
from tune_seg.training.memory import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(2**24) for _ in range(4)]  # of 64 MiB: up to 32, glibc learns to keep them by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(6)))  # something small may take a place, once
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries keep what they like")
def test_a_large_tensor_takes_the_memory_of_the_one_before() -> None:
    answer = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 1000  # of 65,536 pages, which they all are where glibc is left alone


def test_a_system_that_does_not_say_how_much_memory_is_free_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> NoReturn:
        raise ValueError("unrecognized configuration name")  # as on macOS

    assert available_memory() > 0
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "")
    monkeypatch.setattr(os, "sysconf", unknown)
    assert available_memory() == 0
