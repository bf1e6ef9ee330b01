"""`python -m tune_seg`: the same as `tune-seg`."""

import sys

from tune_seg.cli import main

if __name__ == "__main__":
    sys.exit(main())
