"""Images a second of the training step, beside a bare eager loop and the limit that the memory's bandwidth sets."""

import statistics
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import torch
from step import BareLoop

from gpu_phases.common import Result, Task, copy_bandwidth, data, machine, recorded, table, wait
from tune_seg.config import TrialConfig, parse
from tune_seg.data import Dataset, PackedData, Sample, pack
from tune_seg.data.dataset import Image, Mask
from tune_seg.metrics import SegmentationMetrics
from tune_seg.training import Trainer

_COUNTED_BANDWIDTH: Final = 3.35e12
_COUNTED: Final = {
    ("Unet", 96): 52_500,
    ("Unet", 224): 13_300,
    ("Unet", 512): 2_700,
    ("DeepLabV3Plus", 96): 66_700,
    ("DeepLabV3Plus", 224): 17_500,
    ("DeepLabV3Plus", 512): 3_600,
}
"""Images a second that a step can train at most with that bandwidth, by the bytes that it must move."""
_CLASSES: Final = 11
_COMPILING: Final = 30.0  # seconds that the first case is thought to take, compiled


@dataclass(frozen=True)
class Case:
    """A model, the height and width of the images, and how many make a batch."""

    architecture: str
    size: int
    batch: int

    @property
    def config(self) -> TrialConfig:
        """Plain cross entropy and SGD, without an end."""
        training = {"epochs": 10**4, "batch_size": self.batch, "threads": 1}
        return parse(TrialConfig, {"model": {"architecture": self.architecture}, "training": training})

    def __str__(self) -> str:
        return f"{self.architecture}, {self.size} x {self.size}, batch {self.batch}"

    def limit(self, bandwidth: float) -> float | None:
        """Images a second that the bandwidth allows, where the bytes of a step were counted."""
        counted = _COUNTED.get((self.architecture, self.size))
        return None if counted is None else counted * bandwidth / _COUNTED_BANDWIDTH


@dataclass(frozen=True)
class RandomImages(Dataset):
    """Random pixels and labels: what a step costs does not depend on them."""

    size: int

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(f"class {number}" for number in range(_CLASSES))

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        generator, shape = np.random.default_rng(int(sample.id)), (self.size, self.size)
        image = generator.integers(256, size=(*shape, 3), dtype=np.uint8)
        return image, generator.integers(_CLASSES, size=shape, dtype=np.uint8)

    def source(self) -> dict[str, Any]:
        return {"random": [self.size, len(self.samples)]}


@dataclass(frozen=True)
class Turns:
    """Images a second of our loop and of the bare one, turn by turn; whether ours was recorded as a CUDA graph."""

    ours: list[float]
    bare: list[float]
    recorded: bool

    @property
    def ratio(self) -> float:
        """The median of those of neighbouring turns."""
        return statistics.median(mine / its for mine, its in zip(self.ours, self.bare, strict=True))


def run(task: Task, result: Result) -> None:
    """All cases eagerly first, then where an epoch's time goes, then as many compiled as there is time for."""
    bandwidth = copy_bandwidth(task)
    result.put(machine=machine(task.device), bandwidth=bandwidth)
    sizes, batch_sizes, images = ((32,), (2,), 4) if task.smoke else ((224, 96, 512), (8, 32), 256)
    packs = {size: _random_pack(task, size, images) for size in sizes}
    cases = [Case(architecture, *rest) for *rest, architecture in product(sizes, batch_sizes, ("Unet", "DeepLabV3Plus"))]
    device, seconds = torch.device(task.device), 0.2 if task.smoke else 1.5
    rows: dict[Case, dict[str, Any]] = {}
    for case in cases:
        with result.attempt(str(case)):
            rows[case] = {**vars(case), **_eager(_turns(case, packs[case.size], device, seconds), case.limit(bandwidth))}
            result.put(steps=list(rows.values()), summary=_summary(rows.values()))
    epochs: list[dict[str, Any]] = []
    with result.attempt("where an epoch's time goes"):
        for epoch in _epochs(task, device):
            epochs.append(epoch)
            result.put(epochs=epochs)
    result.show("step", _printed(bandwidth, list(rows.values()), epochs))
    longest = _COMPILING
    for case in list(rows)[:1] if task.smoke else list(rows):
        if not task.smoke and task.left < longest:
            result.add("lacking", f"{case}, compiled")
            continue
        started = time.perf_counter()
        with result.attempt(f"{case}, compiled"):
            rows[case] |= _compiled(_turns(case, packs[case.size], device, seconds, _backend(task)), rows[case]["ours"])
            result.put(steps=list(rows.values()))
            result.show("step", _printed(bandwidth, list(rows.values()), epochs))
        longest = time.perf_counter() - started


def _eager(turns: Turns, limit: float | None) -> dict[str, Any]:
    return {
        "eager": statistics.median(turns.bare),
        "ours": statistics.median(turns.ours),
        "ours/eager": turns.ratio,
        "ours/limit": None if limit is None else statistics.median(turns.ours) / limit,
        "recorded": turns.recorded,
    }


def _compiled(turns: Turns, ours: float) -> dict[str, Any]:
    compiled = statistics.median(turns.ours)
    return {
        "compiled": compiled,
        "compiled/eager": turns.ratio,
        "compiled/ours": compiled / ours,
        "compiled, recorded": turns.recorded,
    }


def _random_pack(task: Task, size: int, images: int) -> PackedData:
    samples = [Sample(f"{number:04d}", "train") for number in range(images)]
    dataset = RandomImages((*samples, Sample("9999", "val")), size)
    return PackedData(pack(dataset, task.work, (size, size)))


def _backend(task: Task) -> str:
    """The C++ that inductor writes for a CPU takes a minute to compile, and says nothing about a GPU."""
    return "eager" if task.smoke else "inductor"


def _turns(case: Case, pack: PackedData, device: torch.device, seconds: float, compiler: str | None = None) -> Turns:
    """Let our loop and the bare one take turns for so long."""
    ours, bare = Trainer(case.config, pack, device), BareLoop(case.config, pack, device, torch.channels_last)
    if compiler is not None:
        torch.compiler.reset()  # each case is compiled for its own shapes
        ours.model.compile(backend=compiler, dynamic=False)
    images = ours.steps * case.batch
    for _ in range(2):  # enough to record the step
        _seconds(ours)
    bare.seconds(ours.steps)
    pairs: list[tuple[float, float]] = []
    started = time.perf_counter()
    while len(pairs) < 3 or time.perf_counter() - started < seconds:
        pairs.append((images / _seconds(ours), images / bare.seconds(ours.steps)))
    return Turns([mine for mine, _ in pairs], [its for _, its in pairs], recorded(ours))


def _seconds(trainer: Trainer) -> float:
    """Of an epoch of training alone; again and again the first one."""
    started = time.perf_counter()
    trainer._train().item()
    return time.perf_counter() - started


def _epochs(task: Task, device: torch.device) -> Iterator[dict[str, Any]]:
    """Where an epoch's time goes, of the data set that was carried along."""
    packed = data(task)
    for architecture in ("Unet",) if task.smoke else ("Unet", "DeepLabV3Plus"):
        trainer = Trainer(Case(architecture, packed.size[0], 4 if task.smoke else 8).config, packed, device)
        for _ in range(2):
            trainer.epoch()
        epoch = trainer.epoch()
        started = time.perf_counter()
        trainer.evaluate(final=True)
        scaled = time.perf_counter() - started
        yield {
            "architecture": architecture,
            "size": packed.size,
            "images": [len(trainer.data.train), len(trainer.data.val)],
            "steps": epoch.seconds.train,
            "of it, batches on the host": epoch.seconds.data,
            "evaluation": epoch.seconds.eval,
            "of it, reading the metrics": _reading(packed, device),
            "evaluation with temperatures": scaled,
        }


def _reading(packed: PackedData, device: torch.device) -> float:
    """Seconds of the metrics' `compute` alone, the median of five."""
    metrics = SegmentationMetrics(packed.num_classes)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, packed.num_classes, *packed.size, generator=generator)
    target = torch.randint(packed.num_classes, (4, *packed.size), generator=generator)
    metrics.update(logits.to(device), target.to(device))
    times = []
    for _ in range(5):
        wait(device)
        started = time.perf_counter()
        metrics.compute()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _summary(rows: Collection[dict[str, Any]]) -> str:
    ratios = [row["ours/eager"] for row in rows]
    shares = [row["ours/limit"] for row in rows if row["ours/limit"] is not None]
    limit = f", {min(shares):.2f} to {max(shares):.2f} of the bandwidth limit" if shares else ""
    return f"ours / eager {min(ratios):.2f} to {max(ratios):.2f}{limit}"


def _printed(bandwidth: float, rows: Sequence[dict[str, Any]], epochs: Sequence[dict[str, Any]]) -> str:
    columns = {
        "eager": 0,
        "ours": 0,
        "ours/eager": 2,
        "ours/limit": 2,
        "compiled": 0,
        "compiled/eager": 2,
        "compiled/ours": 2,
    }
    steps = [
        [row["architecture"], str(row["size"]), str(row["batch"]), *(_cell(row.get(key), n) for key, n in columns.items())]
        for row in rows
    ]
    parts = [key for key in (epochs[0] if epochs else {}) if key not in ("architecture", "size", "images")]
    shares = [
        [epoch["architecture"], " + ".join(map(str, epoch["images"])), *(_cell(1e3 * epoch[part], 1) for part in parts)]
        for epoch in epochs
    ]
    return "\n\n".join(
        [
            f"copies move {bandwidth / 1e12:.3f} TB/s",
            table(["images a second", "size", "batch", *columns], steps),
            table(["an epoch, in ms", "images", *parts], shares),
        ]
    )


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
