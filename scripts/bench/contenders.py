"""The two systems that `study.py` and `time_to_best.py` compare: how each is run, and the options that both scripts have."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_INTERRUPTED = 130

# Of this checkout, whatever is installed; and neither side reports its use to the makers of Ray.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}


def parser(description: str) -> argparse.ArgumentParser:
    """The options that both scripts have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--data", type=Path, required=True, metavar="ROOT", help="CamVid: train, trainannot, val, valannot")
    options.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for logs and results")
    options.add_argument("--epochs", type=int, default=10, help="of a trial that runs to its end")
    options.add_argument("--size", type=int, nargs=2, default=[96, 96], metavar=("H", "W"))
    options.add_argument("--max-train", type=int, default=64, metavar="N", help="training images")
    options.add_argument("--max-val", type=int, default=101, metavar="N", help="validation images")
    options.add_argument("--slots", type=int, default=2, help="trials at once, a core each")
    options.add_argument("--naive-first", action="store_true", help="run the other system before ours")
    return options


def begin(options: argparse.Namespace) -> list[str]:
    """Make the folder `options.out`, which must not exist yet; the names of the two systems in the order to run them."""
    options.out = options.out.absolute()
    options.out.mkdir(parents=True)
    return ["naive", "ours"] if options.naive_first else ["ours", "naive"]


def run_ours(options: argparse.Namespace, arguments: Sequence[str | Path], budget: float | None = None) -> float:
    """Run the search command, interrupted as by Ctrl-C after `budget` seconds; the wall time in seconds."""
    command = [sys.executable, "-m", "tune_seg.search", *arguments, "--studies", options.out, "--study", "ours"]
    return _run("ours", command, options.out, budget)


def run_naive(options: argparse.Namespace, arguments: Sequence[str | Path]) -> float:
    """Run `naive_ray_tune.py` with the same data, sizes, epochs and slots; the wall time in seconds."""
    script = Path(__file__).with_name("naive_ray_tune.py")
    command = [sys.executable, script, "--data", options.data.absolute(), "--out", options.out / "naive", *arguments]
    command += ["--size", *map(str, options.size), "--slots", str(options.slots), "--epochs", str(options.epochs)]
    command += ["--max-train", str(options.max_train), "--max-val", str(options.max_val)]
    return _run("naive", command, options.out, None)


def _run(name: str, command: Sequence[str | Path], out: Path, budget: float | None) -> float:
    # a shell that starts this script in the background makes it, and what it starts, deaf to SIGINT
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = out / f"{name}.log"
    print(f"{name}: running, output in {log}", flush=True)
    started = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=_ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT)
        try:
            status = process.wait(budget)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            status = process.wait()
    if status not in ((0,) if budget is None else (0, _INTERRUPTED)):
        sys.exit(f"{name} ended with status {status}; see {log}")
    return time.perf_counter() - started
