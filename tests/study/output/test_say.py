"""What a log has while something takes long."""

import io
import re
import time

import pytest
from rich.console import Console

from tune_seg.study.output import heartbeat
from tune_seg.study.output.say import counting, waiting


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(heartbeat, "_EVERY", 0.05)
    return Console(file=io.StringIO(), record=True, width=160)


def lines_of(console: Console, least: int) -> list[str]:
    """What was printed, once there are so many lines."""
    deadline = time.monotonic() + 60
    while len(lines := console.export_text(clear=False).splitlines()) < least:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return lines


def test_what_is_waited_for_is_said_at_once_and_again(console: Console) -> None:
    with waiting(console, "Ray starts"):
        assert lines_of(console, 1)[0] == "Waiting: Ray starts"
        again = lines_of(console, 3)[1:]
    assert all(re.fullmatch(r"Waiting: Ray starts, 0:0\d:\d\d so far", line) for line in again)
    ended = lines_of(console, 3)
    time.sleep(0.2)
    assert lines_of(console, 3) == ended


def test_a_count_is_the_newest(console: Console) -> None:
    with counting(console, "Packing images", 12) as count:
        assert lines_of(console, 1) == ["Packing images: 0 of 12"]
        count(7, 13)
        newest = lines_of(console, len(lines_of(console, 1)) + 2)[-1]
    assert re.fullmatch(r"Packing images: 7 of 13, 0:0\d:\d\d so far", newest)


def test_a_terminal_shows_it_in_its_last_line_alone() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with waiting(console, "Ray starts"):
        pass
    assert isinstance(console.file, io.StringIO) and "Waiting: Ray starts" in console.file.getvalue()
    assert console.file.getvalue().endswith("\x1b[2K")  # erased
