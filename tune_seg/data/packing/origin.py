"""What is known of the files that a pack was made of: a small file beside it, named by a hash of where they come from.

Two data sets of equal content have one pack, and each a file of this kind of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tune_seg._whole_file import whole_file
from tune_seg.data.packing.counts import Counts

_PREFIX: Final = "source-"


@dataclass(frozen=True)
class Origin:
    """What is known of the files.

    Attributes:
        pack: the file name of the pack.
        notes: what was taken for granted about them (:attr:`tune_seg.data.Dataset.notes`), and to divide them.
        counts: of their masks, by subset (`train`, `val`, `test`, or the number of a fold).
        intensity_rule: how the numbers in the images became levels, so that a model sees other images alike
            (:attr:`tune_seg.data.Dataset.intensity_rule`).
    """

    pack: str
    notes: Sequence[str]
    counts: Mapping[str, Counts] = field(default_factory=dict)
    intensity_rule: Mapping[str, Any] | None = None


def origin_path(packs: Path, key: str) -> Path:
    """The file of the sources that have a hash, in the folder of the packs."""
    return packs / f"{_PREFIX}{key}.json"


def write_origin(path: Path, origin: Origin) -> None:
    """Write the file; it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(json.dumps(asdict(origin)), encoding="utf-8")


def read_origin(path: Path) -> Origin | None:
    """What a file says; None where there is none, or it is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        counts = {subset: Counts.read(each) for subset, each in values["counts"].items()}
        return Origin(**{**values, "counts": counts})
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def origins_of(pack: Path) -> list[Origin]:
    """What is known of the files that the content of a pack was made of, wherever it was found."""
    return list(origin_files(pack).values())


def origin_files(pack: Path) -> dict[Path, Origin]:
    """As :func:`origins_of`, by the file that says it."""
    known = ((path, read_origin(path)) for path in sorted(pack.parent.glob(f"{_PREFIX}*.json")))
    return {path: origin for path, origin in known if origin is not None and origin.pack == pack.name}
