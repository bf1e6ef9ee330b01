"""Spaces, and records of trials that nobody trains."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.epoch_results import result
from tune_seg.config import StudyConfig, parse
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space

SPACE: dict[str, Any] = {
    "loss.end": {"choice": ["ce", "focal"]},
    "loss.gamma": {"float": [0.5, 5.0], "when": {"loss.end": ["focal"]}},
    "augmentation.resize": {"choice": [[0.5, 2.0], [1.0, 1.0]]},
    "training.momentum": {"float": [0.5, 0.9]},  # so that nothing is drawn twice
}


def space(parameters: dict[str, Any], **values: Any) -> Space:
    return Space(parse(StudyConfig, {"space": parameters, **values}))


def open_records(directory: Path, **values: Any) -> Records:
    search = {"sampler": "random", "trials": 4, **values.pop("search", {})}
    config = parse(StudyConfig, {"space": SPACE, "training": {"epochs": 3}, "search": search, **values})
    return Records(directory, config, Space(config))


def run_to_the_end(records: Records, record: Record, score: float) -> None:
    for epoch in range(1, 4):
        records.add(record.number, result(epoch, score + epoch / 100))
    records.close(record.number, State.COMPLETED)


def asked(records: Records) -> Record:
    record = records.ask()
    assert record is not None
    return record


@contextmanager
def room_for(path: Path, size: int) -> Iterator[None]:
    """While the context lasts, files cannot grow beyond what `path` has and `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
