"""The one exception for input that a user can put right."""


class InputError(ValueError):
    """Something that the user gave is wrong; the message names the file, key or value, and says what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


def first_line(error: Exception) -> str:
    """What an exception of some library says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
