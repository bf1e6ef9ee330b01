"""What the tests of the verdict have in common."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _little_garbage() -> Iterator[None]:
    """statsmodels collects garbage at every call, which takes a third of a second where torch and pandas are loaded."""
    gc.freeze()
    yield
    gc.unfreeze()
