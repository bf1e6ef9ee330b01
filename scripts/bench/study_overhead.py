"""What a study costs beside its trials: wall time of the search command / (the trials' own seconds / slots).

    python scripts/bench/study_overhead.py SLOTS [arguments of the search command] --studies DIR --study NAME

The trials' own seconds are those of training and evaluation in `results.parquet`. The command runs in a process of its
own, so that imports, Ray's start and its end count. DIR/NAME must not exist yet.
"""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq


def main() -> None:
    slots, arguments = int(sys.argv[1]), sys.argv[2:]
    directory = Path(arguments[arguments.index("--studies") + 1]) / arguments[arguments.index("--study") + 1]
    if directory.exists():
        sys.exit(f"{directory} exists: a continued study would be measured only in part")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tune_seg.search", *arguments], check=True)
    wall = time.perf_counter() - started
    rows = pq.read_table(directory / "results.parquet", columns=["epochs", "seconds"]).to_pylist()
    own = sum(row["seconds"] for row in rows) / slots
    print(f"trials {len(rows)}, epochs {sum(row['epochs'] for row in rows)}")
    print(f"wall {wall:.1f} s, the trials' own time / {slots} slots {own:.1f} s, ratio {wall / own:.3f}")


if __name__ == "__main__":
    main()
