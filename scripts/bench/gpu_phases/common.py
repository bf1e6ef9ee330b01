"""What the phases share: what each is told, where its result goes, its data, and how a GPU is timed.

Nothing here imports torch at the top: the phases that only start and watch other processes do without it.
"""

import json
import math
import os
import platform
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gpu_pack import restore

from tune_seg.config import DataConfig, parse
from tune_seg.data import PackedData, pack, read

if TYPE_CHECKING:
    import torch

    from tune_seg.training import Trainer

ROOT: Final = Path(__file__).resolve().parents[3]
_COPIED: Final = 2 * 2**30  # far more than any cache of a GPU holds
_COPIED_SMOKE: Final = 2**26
_FAILURES: Final = 50
_TEXT: Final = 2000  # the last characters of a failure's text; the log has it whole


@dataclass(frozen=True)
class Task:
    """What a phase is told; a text in JSON on the way to its process.

    Attributes:
        phase: its name.
        device: `cuda` or `cpu`.
        deadline: by :func:`time.time`, when it should have ended; a little later it is killed.
        smoke: whether to do a little of everything instead of measuring.
        out: the folder of what is kept.
        work: a folder that lasts as long as `gpu.py` runs.
        pack: a file of `gpu_pack.py`; None: scenes are generated.
        configurations: what `record` trains; None: the list that comes with it.
        seeds: with how many seeds.
    """

    phase: str
    device: str
    deadline: float
    smoke: bool
    out: str
    work: str
    pack: str | None
    configurations: str | None
    seeds: int

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.time()


class Result:
    """What a phase has found so far, on the disk after every call: a phase that is killed keeps what it had.

    Four keys are for `gpu.py`: `summary`, a line; `printed`, tables to print, by their names; `lacking`, what there was no
    time for; and `failed`, the `name` and the `traceback` of what failed while the phase went on.
    """

    def __init__(self, task: Task) -> None:
        self._path = result_path(Path(task.work), task.phase)
        self._values: dict[str, Any] = {}

    def put(self, **values: Any) -> None:
        """Set values; on the disk infinity and nan are null, which JSON has no numbers for."""
        self._values |= values
        write_atomically(self._path, json.dumps(_finite(self._values), allow_nan=False))

    def add(self, name: str, entry: Any) -> None:
        """Append to a list."""
        self.put(**{name: [*self._values.get(name, []), entry]})

    def show(self, name: str, table: str) -> None:
        """Set the table of that name, to be printed when the phase has ended."""
        self.put(printed={**self._values.get("printed", {}), name: table})

    def fail(self, name: str, text: str) -> None:
        """Take note of a failure, if it is one of the first fifty."""
        if len(self._values.get("failed", [])) < _FAILURES:
            self.add("failed", {"name": name, "traceback": text[-_TEXT:]})

    @contextmanager
    def attempt(self, name: str) -> Iterator[str]:
        """Take note if what is done inside fails, and go on behind it: there may be no second time on a GPU."""
        try:
            yield name
        except Exception:
            traceback.print_exc()
            self.fail(name, traceback.format_exc())

    def get(self, name: str, default: Any = None) -> Any:
        """What was put or added."""
        return self._values.get(name, default)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def result_path(work: Path, phase: str) -> Path:
    """Where the process of a phase leaves its result."""
    return work / f"{phase}.json"


def write_atomically(path: Path, text: str) -> None:
    """Put `text` in the place of the file, at once and whole."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def data(task: Task) -> PackedData:
    """The data set that was carried along, else scenes: 224 x 224, in a smoke run a few of 32 x 32."""
    if task.pack is not None:
        return PackedData(restore(Path(task.pack), Path(task.work)))
    return scenes(task, 32, 4, 2) if task.smoke else scenes(task, 224, 96, 48)


def scenes(task: Task, size: int, train: int, val: int) -> PackedData:
    """Generated scenes."""
    section = {"format": "synthetic", "size": (size, size), "max_train": train, "max_val": val}
    config = parse(DataConfig, section)
    return PackedData(pack(read(config), task.work, config.size))


def earlier(task: Task, phase: str) -> dict[str, Any]:
    """What another phase found, in this run or in one before it into the same folder; empty if nothing."""
    path = Path(task.out) / "gpu.json"
    found: dict[str, Any] = json.loads(path.read_text())["phases"].get(phase, {}).get("result", {}) if path.is_file() else {}
    return found


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "gpu_bytes": torch.cuda.get_device_properties(0).total_memory if device == "cuda" else None,
    }


def wait(device: "torch.device") -> None:
    """Until the device has done what it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def recorded(trainer: "Trainer") -> bool:
    """Whether the training runs as a CUDA graph."""
    from tune_seg.training.step import CapturedStep

    step = trainer._step
    return isinstance(step, CapturedStep) and step._recording is not None


def copy_bandwidth(task: Task) -> float:
    """Bytes a second, read and written ones together, of the best of ten copies on the device."""
    import torch

    device = torch.device(task.device)
    source = torch.empty(_COPIED_SMOKE if task.smoke else _COPIED, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(10):
        wait(device)
        started = time.perf_counter()
        target.copy_(source)
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))
