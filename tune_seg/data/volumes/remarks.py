"""What was taken for granted about single volumes, put together for all of a data set."""

from collections.abc import Iterable
from typing import NamedTuple

_EXAMPLES = 3


class Remark(NamedTuple):
    """What was taken for granted about a volume.

    Args:
        what: the sentence, the same for all volumes that it holds for.
        example: the volume, with what is its own in it, such as a number.
    """

    what: str
    example: str


def counted(remarks: Iterable[Remark]) -> tuple[str, ...]:
    """One line for each thing that was taken for granted, with how often and a few examples."""
    examples: dict[str, list[str]] = {}
    for what, example in remarks:
        examples.setdefault(what, []).append(example)
    return tuple(
        f"{what}: {', '.join(shown[:_EXAMPLES])}" + (f" and {len(shown) - _EXAMPLES} more" if len(shown) > _EXAMPLES else "")
        for what, shown in examples.items()
    )
