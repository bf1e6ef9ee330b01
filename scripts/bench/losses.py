"""What each loss costs beside `F.cross_entropy`, and how well it agrees with its formula: a table in Markdown.

    PYTHONPATH=. python scripts/bench/losses.py [--threads 1 2] [--repeats 15] [--device cpu] [--only NAME ...]

Forward and backward for logits (4, 12, 224, 224) in float32, or two classes for the losses that take no more. Each loss is
timed in turn with cross entropy, and with another library's version where there is one: a ratio is the median of the
ratios of neighbouring runs, so that a machine that slows down slows down both. Peak memory is what one forward and
backward pass adds to the process (on a GPU: to the allocator), in units of the logits' size. The deviation is the largest
relative one in float32 from the float64 reference of the tests, over batches near to and far from the boundary: random ones,
sure ones, right and wrong, and logits that are all large.

MONAI is compared with where it is installed: `pip install --no-deps monai`.
"""

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support import loss_cases
from tune_seg.losses import LOSSES, build_loss

SHAPE = (4, 12, 224, 224)
IGNORE = 255
Loss = Callable[[Tensor, Tensor], Tensor]
BATCHES = ((0.1, 0, 0), (1, 0, 0), (2, 0, 0), (8, 0, 0), (0.5, 6, 0), (0.5, 9, 0), (0.5, -8, 0), (2, 0, 1000))
"""Of the deviations: the spread of the logits, what is added to the true class's, and what to all of them."""


def aim(name: str) -> float:
    """What the project wants a loss to cost at most."""
    if name in ("ce_max_pool", "lovasz_softmax"):
        return 6.0
    return 2.5 if name == "dual_focal" or LOSSES[name].family != "pixel" else 1.5


def libraries(name: str) -> dict[str, Loss]:
    """The same loss, or the nearest there is, as other libraries' documentation builds it."""
    import segmentation_models_pytorch as smp
    import torchvision

    found: dict[str, Loss] = {}
    match name:
        case "focal":
            found["SMP"] = smp.losses.FocalLoss(mode="multiclass", ignore_index=IGNORE)
        case "dice":
            found["SMP"] = smp.losses.DiceLoss(mode="multiclass", ignore_index=IGNORE)
        case "focal_tversky":
            found["SMP"] = smp.losses.TverskyLoss(mode="multiclass", ignore_index=IGNORE, alpha=0.3, beta=0.7, gamma=0.75)
        case "tversky":
            found["SMP"] = smp.losses.TverskyLoss(mode="multiclass", ignore_index=IGNORE, alpha=0.3, beta=0.7)
        case "lovasz_softmax":
            found["SMP"] = smp.losses.LovaszLoss(mode="multiclass", ignore_index=IGNORE)
        case "jaccard_metric":
            found["SMP"] = smp.losses.JaccardLoss(mode="multiclass")
        case "sigmoid_focal":
            found["torchvision"] = lambda logits, target: torchvision.ops.sigmoid_focal_loss(
                logits[:, 1] - logits[:, 0], target.to(logits.dtype), reduction="mean"
            )
    try:
        from monai import losses as monai
    except ImportError:
        return found
    one_hot = {"to_onehot_y": True, "softmax": True}
    match name:
        case "focal":
            found["MONAI"] = _with_channel(monai.FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0))
        case "dice":
            found["MONAI"] = _with_channel(monai.DiceLoss(squared_pred=True, **one_hot))
        case "tversky":
            found["MONAI"] = _with_channel(monai.TverskyLoss(**one_hot))
        case "nacl":
            found["MONAI"] = monai.NACLLoss(classes=SHAPE[1], dim=2)
    return found


def _with_channel(loss: nn.Module) -> Loss:
    return lambda logits, target: loss(logits, target.unsqueeze(1))


def batch(classes: int, device: torch.device, shape: tuple[int, int, int, int] = SHAPE) -> tuple[Tensor, Tensor]:
    """Logits that lean towards the target, as in the middle of a training; no pixel is ignored, as not all can."""
    generator = torch.Generator().manual_seed(0)
    images, _, *size = shape
    target = torch.randint(0, classes, (images, *size), generator=generator)
    logits = 2 * torch.randn(images, classes, *size, generator=generator)
    logits.scatter_add_(1, target.unsqueeze(1), torch.full((images, 1, *size), 2.0))
    return logits.to(device), target.to(device)


def seconds(loss: Loss, logits: Tensor, target: Tensor) -> float:
    """One forward and backward pass."""
    leaf = logits.detach().requires_grad_()
    _wait(logits.device)
    started = time.perf_counter()
    loss(leaf, target).backward()
    _wait(logits.device)
    return time.perf_counter() - started


def ratios(losses: dict[str, Loss], logits: Tensor, target: Tensor, repeats: int) -> dict[str, float]:
    """For each loss the median of its time over that of the cross entropy run just before it."""
    for loss in (cross_entropy, *losses.values()):
        for _ in range(2):
            seconds(loss, logits, target)
    found: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(repeats):
        for name, loss in losses.items():
            base = seconds(cross_entropy, logits, target)
            found[name].append(seconds(loss, logits, target) / base)
    return {name: statistics.median(values) for name, values in found.items()}


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """What everything is measured against."""
    return F.cross_entropy(logits, target, ignore_index=IGNORE)


def peak_memory(loss: Loss, logits: Tensor, target: Tensor) -> float:
    """What a pass adds at its peak, the gradient included, in units of the logits' size."""
    size = logits.numel() * logits.element_size()
    leaf = logits.detach().requires_grad_()
    if logits.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        loss(leaf, target).backward()
        return (torch.cuda.max_memory_allocated() - before) / size
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    loss(leaf, target).backward()
    return (_status("VmHWM") - before) / size


def _status(key: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def deviation(name: str, device: torch.device) -> float:
    """The largest relative deviation from the float64 reference."""
    case = loss_cases.Case(name)
    classes = case.classes(12)
    worst = 0.0
    for seed, (spread, sure, level) in enumerate(BATCHES):
        logits, target = loss_cases.random_batch(seed, classes=classes, spread=spread, images=8)
        towards = target.where(target != IGNORE, 0).unsqueeze(1)
        logits = logits.scatter_add(1, towards, torch.full((8, 1, 4, 3), float(sure))) + level
        value = loss_cases.build(case, classes).to(device)(logits.to(device), target.to(device)).item()
        expected = loss_cases.reference(case, loss_cases.numpy64(logits), target.numpy())
        if expected:  # 0 where the loss is satisfied, as recall_ce is with a batch without a mistake
            worst = max(worst, abs(value - expected) / abs(expected))
    return worst


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", default=list(LOSSES), choices=list(LOSSES))
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    threads = arguments.threads if device.type == "cpu" else [1]
    columns = [f"{count} thread{'s' if count > 1 else ''}" for count in threads] if device.type == "cpu" else ["GPU"]
    base = batch(SHAPE[1], device)
    for count, column in zip(threads, columns, strict=True):
        torch.set_num_threads(count)
        times = [seconds(cross_entropy, *base) for _ in range(arguments.repeats + 2)][2:]
        print(f"cross entropy, {column}: {1e3 * statistics.median(times):.1f} ms (smallest {1e3 * min(times):.1f})")
    print(f"cross entropy, peak memory: {peak_memory(cross_entropy, *base):.1f} times the logits\n")
    print(f"| loss | deviation | aim | {' | '.join(columns)} | peak memory | other library: {', '.join(columns)}; memory |")
    print(f"| --- | --- | --- | {' | '.join('---' for _ in columns)} | --- | --- |")
    for name in arguments.only:
        classes = LOSSES[name].max_classes or SHAPE[1]
        logits, target = batch(classes, device)
        weights = torch.linspace(0.2, 1.8, classes)
        own = build_loss(name, num_classes=classes, class_weights=weights, ignore_index=IGNORE).to(device)
        others = libraries(name)
        timed = []
        for count in threads:
            torch.set_num_threads(count)
            timed.append(ratios({"own": own, **others}, logits, target, arguments.repeats))
        beside = [
            f"{library} {', '.join(f'{found[library]:.2f}' for found in timed)}; {peak_memory(loss, logits, target):.1f}"
            for library, loss in others.items()
        ]
        cells = [
            f"`{name}`",
            f"{deviation(name, device):.0e}",
            f"{aim(name):g}",
            *(f"{found['own']:.2f}" for found in timed),
            f"{peak_memory(own, logits, target):.1f}",
            " - ".join(beside),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
