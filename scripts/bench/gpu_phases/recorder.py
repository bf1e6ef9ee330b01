"""A pytest plugin that writes to the file `TUNE_SEG_TESTS` what has passed, and what has failed of what, as it goes on."""

import json
import os
import time
from pathlib import Path
from typing import Any, Final

import pytest

from gpu_phases.common import write_atomically

_EVERY: Final = 1.0  # seconds
_FAILURES: Final = 50
_TEXT: Final = 2000  # the last characters of a failure's text; the log has it whole


def pytest_configure(config: pytest.Config) -> None:
    """Listen where all reports come together, not in the workers of pytest-xdist, which load this file as well."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Listener(Path(os.environ["TUNE_SEG_TESTS"])))


class _Listener:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Any] = {"passed": 0, "skipped": 0, "failures": 0, "failed": []}
        self._written = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test has ended: its setup, itself, or its teardown."""
        if report.failed:
            self._found["failures"] += 1
            if len(self._found["failed"]) < _FAILURES:
                text = report.longreprtext[-_TEXT:]
                self._found["failed"].append({"test": report.nodeid, "when": report.when, "text": text})
        elif report.skipped:
            self._found["skipped"] += 1
        elif report.when == "call":
            self._found["passed"] += 1
        if time.monotonic() - self._written > _EVERY:
            self._write()

    def pytest_sessionfinish(self) -> None:
        """All tests have run."""
        self._write()

    def _write(self) -> None:
        write_atomically(self._path, json.dumps(self._found))
        self._written = time.monotonic()
