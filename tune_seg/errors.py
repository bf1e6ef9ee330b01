"""The one exception for input that a user can correct, and what helps to say what is wrong."""

from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user gave is wrong; the message names the file, key or value, and says what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


def first_line(error: Exception) -> str:
    """What an exception of some library says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The one of `known` that is spelled most like `name`, to be put behind it in a message; empty where none is close.

    Example:
        >>> did_you_mean("focl", ["ce", "focal", "dice"])
        ' (did you mean focal?)'
        >>> did_you_mean("banana", ["ce", "focal", "dice"])
        ''
    """
    from difflib import get_close_matches  # only on the way to an error

    spelled = {each.casefold(): each for each in known}
    nearest = get_close_matches(name.casefold(), spelled, n=1)
    return f" (did you mean {spelled[nearest[0]]}?)" if nearest else ""
