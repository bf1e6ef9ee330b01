"""A file that appears whole or not at all, whatever ends the writing of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives the path of a hidden file beside `path`, with its endings, that takes its place once it is written.

    Where the writing fails or is interrupted, it goes, and a file that was there before stays.

    Args:
        path: of the file, which is replaced; its folder is made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid4().hex}.partial{''.join(path.suffixes[-2:])}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
