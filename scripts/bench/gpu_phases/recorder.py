"""A pytest plugin that writes to the file `TUNE_SEG_TESTS` what has passed, and what has failed of what, as it goes on."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_phases.common import write_atomically

_EVERY = 1.0  # seconds

_found: dict[str, Any] = {"passed": 0, "skipped": 0, "failed": []}
_written = [0.0]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A phase of a test has ended: its setup, itself, or its teardown."""
    if report.failed:
        _found["failed"].append({"test": report.nodeid, "when": report.when, "text": report.longreprtext})
    elif report.skipped:
        _found["skipped"] += 1
    elif report.when == "call":
        _found["passed"] += 1
    if report.failed or time.monotonic() - _written[0] > _EVERY:
        _write()


def pytest_sessionfinish() -> None:
    """All tests have run."""
    _write()


def _write() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers tell the process that steers them, where this runs as well
        write_atomically(Path(os.environ["TUNE_SEG_TESTS"]), json.dumps(_found))
        _written[0] = time.monotonic()
