"""Images a second of the training loop, as a ratio to a bare loop over one batch that is already in place.

    PYTHONPATH=. python scripts/bench/step.py [--data ROOT] [--size H W] [--threads 1 2] [--device cuda]
    PYTHONPATH=. python scripts/bench/step.py --layouts --architecture Unet     # channels last against contiguous

The bare loop has the same model, memory format, loss and optimizer, and nothing else: no data, no augmentation, no
learning-rate schedule, no mean of the losses. The two take turns, epoch by epoch; the ratio is the median over the pairs.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import IGNORE_INDEX, PackedData, pack, read
from tune_seg.training import Trainer


class BareLoop:
    """The same training steps on one random batch of `size` (H, W)."""

    def __init__(self, config: TrialConfig, data: PackedData, device: torch.device, layout: torch.memory_format) -> None:
        trainer = Trainer(config, data, device)
        self.model, self.optimizer, self.loss = trainer.model, trainer.optimizer, trainer.loss
        self.model.to(memory_format=layout)  # type: ignore[call-overload]
        batch = min(config.training.batch_size, len(data.train))
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(batch, 3, *data.size, generator=generator)
        self.images = images.to(device=device, memory_format=layout)
        target = torch.randint(data.num_classes, (batch, *data.size), generator=generator)
        self.target = target.masked_fill_(torch.rand(target.shape, generator=generator) < 0.05, IGNORE_INDEX).to(device)
        self.device = device

    def seconds(self, steps: int) -> float:
        """The wall time of `steps` training steps."""
        self.model.train()
        _wait(self.device)
        started = time.perf_counter()
        for _ in range(steps):
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
                logits: Tensor = self.model(self.images)
            loss = self.loss(logits, self.target, 0)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        _wait(self.device)
        return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def compare(config: TrialConfig, data: PackedData, device: torch.device, repeats: int) -> None:
    """Print images a second of both loops, the ratio, and the share of its time that the loop spends on batches."""
    ours = Trainer(config, data, device)
    bare = BareLoop(config, data, device, torch.channels_last)
    images = ours.steps * min(config.training.batch_size, len(data.train))
    ratios, speeds, shares = [], [], []
    for repeat in range(repeats + 1):
        result = ours.epoch()
        seconds = result.seconds.train
        bare_seconds = bare.seconds(ours.steps)
        if repeat:  # the first of each warms up
            ratios.append(bare_seconds / seconds)
            speeds.append((images / seconds, images / bare_seconds))
            shares.append(result.seconds.data / seconds)
    own_speed, bare_speed = (statistics.median(column) for column in zip(*speeds, strict=True))
    print(
        f"| {config.model.architecture} | {_where(config, device)} | {own_speed:.1f} | {bare_speed:.1f} | "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) | {statistics.median(shares):.3f} |",
        flush=True,
    )


def compare_layouts(config: TrialConfig, data: PackedData, device: torch.device, repeats: int) -> None:
    """Print how much longer a step takes with contiguous tensors than with channels last."""
    loops = [BareLoop(config, data, device, layout) for layout in (torch.channels_last, torch.contiguous_format)]
    times = [[loop.seconds(2) for loop in loops] for _ in range(repeats + 1)][1:]
    ratio = statistics.median(contiguous / last for last, contiguous in times)
    print(f"| {config.model.architecture} | {config.model.encoder} | {_where(config, device)} | {ratio:.2f} |", flush=True)


def _where(config: TrialConfig, device: torch.device) -> str:
    return f"CPU, threads: {config.training.threads}" if device.type == "cpu" else torch.cuda.get_device_name(device)


def main() -> None:
    """Print a table: a row for each architecture and number of threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a data set; generated street scenes by default")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 96))
    parser.add_argument("--images", type=int, default=32, help="images an epoch")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--architecture", nargs="+", default=["Unet", "DeepLabV3Plus"])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--loss", default="ce")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--layouts", action="store_true", help="compare memory formats instead")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    source = {"root": arguments.data} if arguments.data else {"format": "synthetic"}
    config = parse(DataConfig, {**source, "size": arguments.size, "max_train": arguments.images, "max_val": 1})
    if arguments.layouts:
        print("| architecture | encoder | where | contiguous / channels last |\n| --- | --- | --- | --- |")
    else:
        print("| architecture | where | images a second | bare loop | ratio (range) | batches' share |")
        print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as directory:
        data = PackedData(pack(read(config), directory, config.size))
        for architecture in arguments.architecture:
            for threads in arguments.threads if device.type == "cpu" else [1]:
                sections = {
                    "model": {"architecture": architecture, "encoder": arguments.encoder},
                    "training": {
                        "epochs": arguments.repeats + 1,
                        "batch_size": arguments.batch_size,
                        "threads": threads,
                    },
                    "loss": {"end": arguments.loss},
                }
                run = compare_layouts if arguments.layouts else compare
                run(parse(TrialConfig, sections), data, device, arguments.repeats)


if __name__ == "__main__":
    main()
