"""What is known of the files that a pack was made of: a small file beside it, named by a hash of where they come from.

Two data sets of equal content have one pack, and each a file of this kind of its own.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True)
class Origin:
    """What is known of the files.

    Attributes:
        pack: the file name of the pack.
        notes: what was taken for granted about them (:attr:`tune_seg.data.Dataset.notes`).
    """

    pack: str
    notes: Sequence[str]


def write_origin(path: Path, origin: Origin) -> None:
    """Write the file; it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{uuid4().hex}.partial")
    partial.write_text(json.dumps(asdict(origin)), encoding="utf-8")
    os.replace(partial, path)


def read_origin(path: Path) -> Origin | None:
    """What a file says; None where there is none, or it is damaged."""
    try:
        return Origin(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
