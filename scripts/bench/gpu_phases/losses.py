"""What each loss costs: beside cross entropy as `losses.py` measures it, and as it runs in a recorded step."""

import statistics
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import losses as bench
import torch
from torch import Tensor

from gpu_phases.common import Result, Task, copy_bandwidth, machine, table, wait
from tune_seg.losses import LOSSES, build_loss

_LARGE: Final = (32, 12, 512, 512)
"""Logits of 403 MB, beside those of `losses.py`, whose 10 MB a GPU's cache holds."""
_SMOKE: Final = ("ce", "dual_focal", "dice")
_REPLAYS: Final = 20


@dataclass(frozen=True)
class Timed:
    """A pass, forward and backward: its seconds, and why it could not be recorded, if so."""

    seconds: float
    not_recorded: str | None


def run(task: Task, result: Result) -> None:
    """One loss after another."""
    device = torch.device(task.device)
    bandwidth = copy_bandwidth(task)
    result.put(machine=machine(task.device), bandwidth=bandwidth)
    shapes = {"small": (1, 12, 32, 32)} if task.smoke else {"small": bench.SHAPE, "large": _LARGE}
    rows: list[dict[str, Any]] = []
    for name in _SMOKE if task.smoke else LOSSES:
        if task.left < 0:
            result.add("lacking", name)
            continue
        with result.attempt(name):
            rows.append(_row(name, shapes, device, bandwidth, repeats=3 if task.smoke else 15))
            result.put(losses=rows)
            result.show("losses", _printed(rows, list(shapes)))
    not_recorded = [row["loss"] for row in rows if row["small"]["not recorded"]]
    slow = [row["loss"] for row in rows if row["eager ratio"] > row["aim"]]
    result.put(
        summary=f"{len(rows) - len(slow)} of {len(rows)} within their aim"
        + (f"; not recorded: {', '.join(not_recorded)}" if not_recorded and device.type == "cuda" else "")
    )


def _row(
    name: str, shapes: dict[str, tuple[int, int, int, int]], device: torch.device, bandwidth: float, repeats: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"loss": name, "aim": bench.aim(name), "deviation": bench.deviation(name, device)}
    for label, shape in shapes.items():
        classes = LOSSES[name].max_classes or shape[1]
        logits, target = _batch(classes, device, shape)
        own = build_loss(
            name, num_classes=classes, class_weights=torch.linspace(0.2, 1.8, classes), ignore_index=bench.IGNORE
        ).to(device)
        if label == "small":
            row["eager ratio"] = bench.ratios({"own": own}, logits, target, repeats)["own"]
        base, timed = _base(classes, device, shape), _timed(own, logits, target)
        row[label] = {
            "shape": list(logits.shape),
            "ms": 1e3 * timed.seconds,
            "ratio": timed.seconds / base.seconds,
            "passes": timed.seconds / (2 * logits.nbytes / bandwidth),
            "memory": bench.peak_memory(own, logits, target),
            "not recorded": timed.not_recorded,
        }
    return row


_batch = cache(bench.batch)  # drawing the large one takes a second


@cache
def _base(classes: int, device: torch.device, shape: tuple[int, int, int, int]) -> Timed:
    """Of cross entropy."""
    return _timed(bench.cross_entropy, *_batch(classes, device, shape))


def _timed(loss: bench.Loss, logits: Tensor, target: Tensor) -> Timed:
    """A pass as a replay of a CUDA graph; where none can be recorded, and on a CPU, as it is called."""
    if logits.device.type == "cpu":
        not_recorded = "a CPU"
    elif getattr(loss, "waits_for_device", False):
        not_recorded = "it waits for the device"
    else:
        try:
            return Timed(_replayed(loss, logits, target), None)
        except RuntimeError as error:
            not_recorded = str(error.__context__ or error).partition("\n")[0]  # as in `CapturedStep`
    return Timed(statistics.median(bench.seconds(loss, logits, target) for _ in range(5)), not_recorded)


def _replayed(loss: bench.Loss, logits: Tensor, target: Tensor) -> float:
    leaf = logits.detach().requires_grad_()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            leaf.grad = None
            loss(leaf, target).backward()
    torch.cuda.current_stream().wait_stream(stream)
    leaf.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, stream=stream):
        loss(leaf, target).backward()
    times = []
    for _ in range(5):
        wait(logits.device)
        started = time.perf_counter()
        for _ in range(_REPLAYS):
            graph.replay()
        wait(logits.device)
        times.append((time.perf_counter() - started) / _REPLAYS)
    return statistics.median(times)


def _printed(rows: list[dict[str, Any]], labels: list[str]) -> str:
    header = ["loss", "deviation", "aim", "ratio, called"]
    for label in labels:
        header += [f"{label}: ms, recorded", "/ cross entropy", "/ one read and write", "memory"]
    lines = []
    for row in rows:
        cells = [f"`{row['loss']}`", f"{row['deviation']:.0e}", f"{row['aim']:g}", f"{row['eager ratio']:.2f}"]
        for label in labels:
            found = row[label]
            star = "*" if found["not recorded"] else ""
            cells += [
                f"{found['ms']:.3f}{star}",
                f"{found['ratio']:.2f}",
                f"{found['passes']:.1f}",
                f"{found['memory']:.1f}",
            ]
        lines.append(cells)
    return f"{table(header, lines)}\n* called: it could not be recorded"
