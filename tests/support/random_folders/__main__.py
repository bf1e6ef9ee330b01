"""Reads folders drawn at random, and says where that went wrong. The exit status is 1 where it did.

python -m tests.support.random_folders --seeds 1000 --first 0
"""

import argparse
import os
import re
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.random_folders.verdict import Verdict, judged


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.random_folders", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many folders")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    parser.add_argument("--seconds", type=float, default=120.0, help="after which reading one of them hangs")
    parser.add_argument("--keep", type=Path, help="an empty folder in which they are kept")
    parser.add_argument("--refusals", action="store_true", help="show the refusals of folders without a fault, by kind")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    counts: Counter[str] = Counter()
    refusals: dict[str, list[str]] = {}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        with TemporaryDirectory() as temporary:
            where = arguments.keep / str(seed) if arguments.keep else Path(temporary)
            verdict = judged(seed, where, arguments.seconds)
        counts[verdict.kind] += 1
        if verdict.kind == "wrong":
            print(_described(seed, verdict), flush=True)
        elif verdict.kind == "refused" and verdict.folder is not None and "fault" not in verdict.folder.choices:
            why = verdict.why.replace(str(where), "")
            refusals.setdefault(re.sub(r"\d+|'[^']*'|\S*/\S*", "", why)[:60], []).append(_described(seed, verdict))
    if arguments.refusals:
        for found in sorted(refusals.values(), key=len, reverse=True):
            print(f"{len(found)} folders without a fault are refused like {found[0][:1500]}")
    shown = ", ".join(f"{counts[kind]} {kind}" for kind in ("exact", "said", "refused", "wrong"))
    print(f"{counts.total()} folders from seed {arguments.first}: {shown}", flush=True)
    return 1 if counts["wrong"] else 0


def _described(seed: int, verdict: Verdict) -> str:
    folder = verdict.folder
    said = "" if folder is None else f"{folder.choices} {folder.fields}"
    return f"seed {seed}: {verdict.kind}\n    {said}\n    {verdict.why}"


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a thread that hangs would keep the process
