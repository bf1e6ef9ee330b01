"""A quarter of an hour on a GPU, turned into figures: is everything right there, how fast is it, and the papers' tables.

    python scripts/bench/gpu.py --out DIR [--pack FILE] [--seconds 480] [--phases step,losses]
    python scripts/bench/gpu.py --device cpu --smoke          # a little of everything, to see that it runs

Phases, in this order, each a process of its own with a share of the time; what one does not use the later ones have:
correct, step, losses, share, papers, record (`gpu_phases/` has a file for each). `DIR/gpu.json` has each phase's status (ok,
out of time, failed, interrupted, running, not started), seconds, result and traceback; what a phase that runs has found by
then is there within some two seconds, and one that runs out of time keeps it. What is no finite number is null there.
`--phases` starts these alone and leaves the others' results in the file. The trainings in
`DIR/papers.parquet` and `DIR/record.parquet` are not run again when the script is. `DIR/gpu.log` has what the phases print.

The exit status is 0 if any phase has found something, though others failed; 1 if none has; 2 for wrong input; 130 after
Ctrl-C or SIGTERM, which end what is running, and print the table all the same.

The machine needs no network. It needs Python 3.12 with torch 2.11 and the torchvision that goes with it, timm, numpy, scipy,
pyarrow, Pillow, PyYAML, rich, safetensors, scikit-learn, hypothesis, pytest and pytest-xdist; no Ray, Optuna or MLflow. What
such machines mostly lack is carried as wheels, fetched where there is a network:

    pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --platform manylinux_2_17_x86_64 \\
        --platform manylinux2014_x86_64 -d wheels annotated-types==0.8.0 pydantic==2.14.3 pydantic-core==2.50.4 \\
        segmentation-models-pytorch==0.6.0 typing-extensions==4.16.0 typing-inspection==0.4.5

and put in place on the machine, from the top of the checkout; PACK is CamVid's, the one file that gpu_pack.py wrote:

    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target /tmp/site wheels/*.whl &&
        PYTHONUNBUFFERED=1 PYTHONPATH=/tmp/site python3 scripts/bench/gpu.py --out DIR --pack PACK --seconds 480
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

_ROOT: Final = Path(__file__).resolve().parents[2]
_PHASES: Final[Mapping[str, float]] = {
    "correct": 110,
    "step": 110,
    "losses": 40,
    "share": 80,
    "papers": 100,
    "record": 40,
}
"""The phases, most valuable first, and what each gets of 480 seconds."""
_AHEAD: Final = 4.0  # seconds before its limit at which a phase should have ended by itself
_GRACE: Final = 3.0  # between asking a phase to end and ending it
_POLL: Final = 0.1
_EVERY: Final = 2.0  # between two looks at what a running phase has found
_LOG_LINES: Final = 40
_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the phases; the exit status is in the docstring above."""
    arguments = _parser().parse_args(argv)
    out: Path = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    report = Report(out / "gpu.json", arguments.phases)
    with (
        _signals() as signals,
        tempfile.TemporaryDirectory(prefix="tune_seg-gpu-") as work,
        (out / "gpu.log").open("ab") as log,
    ):
        began = time.time()
        for index, phase in enumerate(arguments.phases):
            left = arguments.seconds - (time.time() - began)
            limit = left * _PHASES[phase] / sum(_PHASES[later] for later in arguments.phases[index:])
            if not signals:
                _run(phase, limit, arguments, report, Path(work), log, signals)
        print(f"\n{report.table()}", flush=True)
        return _INTERRUPTED if signals else report.status(arguments.phases)


class Report:
    """`gpu.json`: by phase its status, seconds, limit, result and traceback.

    Args:
        path: the file; phases in it that are not asked for stay as they are.
        phases: those that are asked for.
    """

    def __init__(self, path: Path, phases: Sequence[str]) -> None:
        self._path = path
        found: dict[str, Any] = json.loads(path.read_text())["phases"] if path.is_file() else {}
        self._phases = {phase: found.get(phase, {"status": "not started"}) for phase in _PHASES}
        for phase in phases:
            self.put(phase, status="not started")

    def put(self, phase: str, **entry: Any) -> None:
        """What is known of a phase now."""
        self._phases[phase] = entry
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_text(json.dumps({"phases": self._phases}, indent=1))
        os.replace(partial, self._path)

    def line(self, phase: str) -> str:
        """A phase in one line."""
        entry = self._phases[phase]
        spent = f", {entry['seconds']:.1f} of {entry['limit']:.0f} s" if "seconds" in entry else ""
        return f"{phase}: {entry['status']}{spent}: {self._finding(entry)}"

    def table(self) -> str:
        """All phases, for people."""
        rows = [
            f"| {phase} | {entry['status']} | {entry.get('seconds', 0.0):.1f} | {self._finding(entry)} |"
            for phase, entry in self._phases.items()
        ]
        return "\n".join(["| phase | status | seconds | found |", "| --- | --- | --- | --- |", *rows])

    def status(self, phases: Sequence[str]) -> int:
        """The exit status, where nothing interrupted the run."""
        return 0 if any(self._phases[phase].get("result") for phase in phases) else 1

    def _finding(self, entry: Mapping[str, Any]) -> str:
        result = entry.get("result", {})
        found = [result["summary"]] if "summary" in result else []
        if entry.get("traceback"):
            found.append(entry["traceback"].strip().splitlines()[-1])
        if "lacking" in result:
            found.append(f"not done: {len(result['lacking'])}")
        if "failed" in result:
            found.append(f"failed: {', '.join(failure['name'] for failure in result['failed'])}")
        return "; ".join(found)


def _run(
    phase: str,
    limit: float,
    arguments: argparse.Namespace,
    report: Report,
    work: Path,
    log: BinaryIO,
    signals: Collection[int],
) -> None:
    """Run a phase, end it at its limit or after a signal, and report what it has found by then."""
    began = time.time()
    task = {
        "phase": phase,
        "device": arguments.device,
        "deadline": began + limit - _AHEAD,
        "smoke": arguments.smoke,
        "out": str(arguments.out.absolute()),
        "work": str(work),
        "pack": None if arguments.pack is None else str(arguments.pack.absolute()),
        "configurations": None if arguments.configurations is None else str(arguments.configurations.absolute()),
        "seeds": arguments.seeds,
    }
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(_ROOT), str(Path(__file__).parent)])
    log.write(f"\n--- {phase}\n".encode())
    log.flush()
    start = log.tell()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpu_phases", json.dumps(task)],
        cwd=_ROOT,
        # asked through NVML whether there is a GPU, PyTorch does not begin to use it: processes are forked afterwards
        env={**os.environ, "PYTHONPATH": path, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    file, looked = work / f"{phase}.json", 0.0
    while not (ended := _ended(process)) and time.time() < began + limit and not signals:
        if time.time() - looked > _EVERY:
            looked = time.time()
            report.put(phase, status="running", seconds=looked - began, limit=limit, result=_found(file))
        time.sleep(_POLL)
    returned = _end(process)
    result = _found(file)
    traceback = result.pop("traceback", None)
    if not ended:
        status = "interrupted" if signals else "out of time"
    elif returned == 0:
        status = "out of time" if "lacking" in result else "ok"
    else:
        status = "failed"
        traceback = traceback or f"status {returned}; the log ends with\n{_tail(Path(log.name), start)}"
    seconds = time.time() - began
    report.put(phase, status=status, seconds=seconds, limit=limit, result=result, traceback=traceback)
    for text in result.get("printed", {}).values():
        print(f"\n{text}")
    print(report.line(phase), flush=True)


def _found(file: Path) -> dict[str, Any]:
    """What a phase has found so far."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended. It is left to be waited for, so that its group keeps its number."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> int:
    """End the process and all that it has started, and return its status."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    asked = time.time()
    while not _ended(process) and time.time() < asked + _GRACE:
        time.sleep(_POLL)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return "\n".join(file.read().decode(errors="replace").splitlines()[-_LOG_LINES:])


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of the signals to end that have come: an exception could come while a process is being started."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _phases(text: str) -> list[str]:
    asked = text.split(",")
    unknown = [phase for phase in asked if phase not in _PHASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no phase {', '.join(unknown)}; the phases are {', '.join(_PHASES)}")
    return [phase for phase in _PHASES if phase in asked]


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no file {text}")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure tune_seg on a GPU, phase by phase.")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), metavar="DIR", help="where the results are kept")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=480.0, help="for all phases together (default: 480)")
    parser.add_argument("--phases", type=_phases, default=list(_PHASES), metavar="A,B", help="only these (default: all)")
    parser.add_argument("--pack", type=_file, metavar="FILE", help="what gpu_pack.py wrote (default: generated scenes)")
    parser.add_argument("--smoke", action="store_true", help="a little of everything, to see that it runs")
    parser.add_argument("--configurations", type=_file, metavar="YAML", help="what record trains (default: record.yaml)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="of each of them (default: 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
