"""The one exception for input that a user can put right."""

from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user gave is wrong; the message names the file, key or value, and says what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


def first_line(error: Exception) -> str:
    """What an exception of some library says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about `word`, which is none of `known`: the one that it is close to, or nothing."""
    from difflib import get_close_matches  # only on the way to an error

    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
