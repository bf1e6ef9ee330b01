"""The lists of a JSON file read member by member: as Python objects, COCO's annotations take gigabytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

_CHUNK = 2**22
_SPACE = " \t\r\n"
_AFTER_VALUE = tuple(_SPACE + ",:]}")
_DECODER = json.JSONDecoder()


class Member(NamedTuple):
    """A member of a list: the key of the list, the member, and the bytes of the file that hold it, from `start` to `stop`.

    Text beyond ASCII is as :func:`unescaped` takes it.
    """

    key: str
    value: Any
    start: int
    stop: int


def members(path: Path) -> Iterator[Member]:
    """The members of the lists in the object of a JSON file, in order; only one of them is in memory at a time.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no JSON object.
    """
    with path.open("rb") as file:
        text = _Text(file)
        text.take("{")
        while text.ahead() != "}":
            key = text.value()
            text.take(":")
            if text.ahead() == "[":
                text.take("[")
                while text.ahead() != "]":
                    start = text.place
                    value = text.value()
                    yield Member(key, value, start, text.place)
                    text.comma("]")
                text.take("]")
            else:
                text.value()
            text.comma("}")


def unescaped(text: str) -> str:
    """A string of a member as it was written."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8")


class _Text:
    """The part of a file that is still to be read, as a moving window.

    A byte beyond ASCII becomes one character, so that positions in the text are positions in the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._window, self._at, self._before, self._whole = "", 0, 0, False

    @property
    def place(self) -> int:
        """The number of bytes read so far."""
        return self._before + self._at

    def ahead(self) -> str:
        """The next character that is no space."""
        while True:
            while self._at < len(self._window):
                if self._window[self._at] not in _SPACE:
                    return self._window[self._at]
                self._at += 1
            if self._whole:
                raise ValueError(f"it ends after {self.place} bytes, within its lists")
            self._more()

    def take(self, expected: str) -> None:
        """Go past a character that must come next."""
        if self.ahead() != expected:
            raise ValueError(f"byte {self.place} is no {expected!r}")
        self._at += 1

    def comma(self, closing: str) -> None:
        """Go past a comma, unless the list or object is closed."""
        if self.ahead() != closing:
            self.take(",")

    def value(self) -> Any:
        """Go past a value, and return it."""
        self.ahead()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._window, self._at)
            except ValueError as error:  # it may go on beyond the window
                if self._whole:
                    raise ValueError(f"what follows byte {self.place} is no JSON, or it is cut off") from error
            else:
                if self._whole or self._window[end : end + 1] in _AFTER_VALUE:  # else a number may go on
                    self._at = end
                    return value
            self._more()

    def _more(self) -> None:
        rest = self._window[self._at :]
        read = self._file.read(max(_CHUNK, len(rest)))  # twice as much each time, for what is long
        self._before += self._at
        self._window, self._at, self._whole = rest + read.decode("ascii", "surrogateescape"), 0, not read
