"""What only Linux and macOS have: locks on files. Elsewhere the import says so."""

from tune_seg.errors import InputError

try:
    import fcntl as fcntl
except ImportError:
    raise InputError(
        "this part of tune_seg needs Linux or macOS, because it locks files by fcntl; on Windows use WSL 2 "
        "(the Windows Subsystem for Linux)"
    ) from None
