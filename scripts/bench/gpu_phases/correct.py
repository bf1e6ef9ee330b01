"""Is it right on this device? The tests, and trainings that must agree: on two devices, recorded and not, and repeated."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch

from gpu_phases.common import ROOT, Result, Task, machine, recorded, scenes
from tune_seg.config import TrialConfig, parse
from tune_seg.training import Trainer
from tune_seg.training.step import Step

_TESTS: Final = (
    *("losses/test_losses", "losses/test_pixel_losses", "losses/test_region_losses"),
    *("test_metrics", "test_temperature", "test_layers"),
    *("training/test_trainer", "training/test_step", "training/test_frozen"),
    *("training/test_evaluation", "training/test_folds_and_channels", "data/loading/test_batches"),
)
_TESTS_SMOKE: Final = ("test_layers",)
_TESTS_SHARE: Final = 0.6
"""Of the phase's time, what the tests may take."""
_WORKERS: Final = 8  # that the tests are shared out to, each with a CUDA context of its own

_LOSS_TOLERANCE: Final = 1e-2  # relative, of an epoch's mean
_METRIC_TOLERANCE: Final = 5e-2
"""Two devices add in another order, and a training amplifies that: the tolerances are those of training/test_step.py."""
_METRICS: Final = ("accuracy", "recall", "miou", "mdice", "calibration", "s_rec")


def run(task: Task, result: Result) -> None:
    """Tests first; what then is compared takes seconds."""
    result.put(machine=machine(task.device))
    tests = _tests(task, result)
    pack = scenes(task, 32, 4, 2) if task.smoke else scenes(task, 96, 64, 16)
    device, cpu = torch.device(task.device), torch.device("cpu")

    float32 = _config(task, "Unet", precision="float32")
    result.put(comparisons=[], recorded=False)
    with result.attempt("CPU and device, float32") as what, _tf32(False):
        _compare(result, what, Trainer(float32, pack, cpu), Trainer(float32, pack, device))
    with result.attempt("CPU and device, TF32 as PyTorch has it") as what:
        _compare(result, what, Trainer(float32, pack, cpu), Trainer(float32, pack, device))
    with result.attempt("CUDA graph and plain step, float32") as what, _tf32(False):
        graph, plain = Trainer(float32, pack, device), Trainer(float32, pack, device)
        plain._step = Step(plain.model, plain.loss, plain.optimizer, plain._autocast)
        _compare(result, what, graph, plain)
        result.put(recorded=recorded(graph))
    for architecture in ("Unet",) if task.smoke else ("Unet", "DeepLabV3Plus"):
        with result.attempt(f"{architecture} twice, as trials train") as what:
            config = _config(task, architecture)
            _compare(result, what, Trainer(config, pack, device), Trainer(config, pack, device), exact=True)
    graph_said = "the step was recorded" if result.get("recorded") else "no step was recorded"
    result.put(summary=f"{tests}; {_agreement(result)}; {graph_said}")


def _config(task: Task, architecture: str, precision: str = "auto") -> TrialConfig:
    """A schedule, so that the active losses change, and adaptive class weights."""
    training = {
        "epochs": 1 if task.smoke else 4,
        "batch_size": 2 if task.smoke else 8,
        "optimizer": "adam",
        "precision": precision,
        "threads": 1 if task.smoke else None,
    }
    sections = {
        "model": {"architecture": architecture},
        "training": training,
        "loss": {"kind": "naive", "start": "wdice", "end": "focal"},
        "schedule": {"start": 0.25, "end": 0.75},
        "acw": True,
    }
    return parse(TrialConfig, sections)


@contextlib.contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _compare(result: Result, what: str, first: Trainer, second: Trainer, *, exact: bool = False) -> None:
    """Train both to their end and note by how much they differ at most."""
    losses, metrics = [], []
    while not first.done:
        one, other = first.epoch(), second.epoch()
        losses.append(abs(one.train_loss - other.train_loss) / abs(other.train_loss))
        metrics += [abs(one.score(name) - other.score(name)) for name in _METRICS]
    weights = [
        (mine.detach().cpu() - theirs.detach().cpu()).abs().max().item()
        for mine, theirs in zip(first.model.parameters(), second.model.parameters(), strict=True)
    ]
    differences = {"loss": max(losses), "metric": max(metrics), "weights": max(weights)}
    tolerances = (0.0, 0.0, 0.0) if exact else (_LOSS_TOLERANCE, _METRIC_TOLERANCE, math.inf)
    # asked of each, because the largest of numbers with a nan among them can be any
    within = all(
        all(difference <= tolerance for difference in found)
        for found, tolerance in zip((losses, metrics, weights), tolerances, strict=True)
    )
    result.add("comparisons", {"what": what, **differences, "tolerances": tolerances, "within": within})


def _agreement(result: Result) -> str:
    comparisons = result.get("comparisons")
    off = [
        f"{entry['what']} ({', '.join(f'{name} {entry[name]:.1e}' for name in ('loss', 'metric', 'weights'))})"
        for entry in comparisons
        if not entry["within"]
    ]
    return f"{len(comparisons) - len(off)} of {len(comparisons)} comparisons agree" + (
        f", not {', '.join(off)}" if off else ""
    )


def _tests(task: Task, result: Result) -> str:
    """Run the tests of this device in a process of their own, which a broken CUDA context cannot outlive."""
    names = _TESTS_SMOKE if task.smoke else _TESTS
    found = Path(task.work) / "tests.json"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "gpu_phases.recorder"]
    command += ["--rootdir", str(ROOT), "-k", task.device, *(str(ROOT / "tests" / f"{name}.py") for name in names)]
    if not task.smoke:
        command += ["-n", str(min(_WORKERS, os.cpu_count() or 1))]
    limit = time.time() + _TESTS_SHARE * task.left
    found.write_text(json.dumps({"passed": 0, "skipped": 0, "failures": 0, "failed": []}))
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TUNE_SEG_TESTS": str(found)})
    while process.poll() is None and time.time() < limit:
        time.sleep(0.2)
        result.put(tests=json.loads(found.read_text()))
    if process.poll() is None:
        _kill(process.pid)
        result.add("lacking", "tests that had not run when their time was over")
    elif process.returncode > 1:  # 0: all passed, 1: some failed, and they are in the file
        result.fail("pytest", f"status {process.returncode}, see the log: {command}")
    process.wait()
    result.put(tests=json.loads(found.read_text()))
    tests = result.get("tests")
    return f"{tests['passed']} tests passed, {tests['failures']} failed, {tests['skipped']} skipped"


def _kill(pid: int) -> None:
    """End a process and all that it has started: the workers of pytest-xdist would still use the device."""
    children = [child for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        _kill(int(child))
