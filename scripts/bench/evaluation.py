"""What the temperature adds to an epoch's evaluation, and how long the one after the last epoch takes; one thread.

    PYTHONPATH=. python scripts/bench/evaluation.py [--data CAMVID] [--epochs N]

Without the temperature is the same pass over the validation images with `SegmentationMetrics` alone. The two take turns;
seconds are medians over the turns, in processor time, and the ratio is the median over the pairs.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tune_seg.config import DataConfig, TrialConfig, parse
from tune_seg.data import PackedData, batches, pack, read
from tune_seg.metrics import SegmentationMetrics
from tune_seg.training import Trainer
from tune_seg.training.evaluation import halves

_TURNS = 9


@torch.inference_mode()
def metrics_alone(trainer: Trainer) -> None:
    """The metrics of an epoch's evaluation, with no temperature."""
    data, config = trainer.data, trainer.config
    trainer.model.eval()
    metrics = SegmentationMetrics(data.num_classes)
    for half in halves(data.val_groups):
        for images, target in batches(
            data.val,
            batch_size=config.training.batch_size,
            augmentation=config.augmentation,
            epoch=0,
            seed=0,
            indices=half,
            device=trainer.device,
            train=False,
        ):
            metrics.update(trainer.model(images), target)
    metrics.compute()


def seconds(function: Callable[[], object]) -> float:
    """The processor time of a call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def measure(name: str, data: DataConfig, directory: Path, epochs: int) -> None:
    """Print a row of the table."""
    packed = PackedData(pack(read(data), directory, data.size))
    training = {"epochs": epochs, "batch_size": 8, "threads": 1, "precision": "float32"}
    config = parse(TrialConfig, {"model": {"encoder": "resnet18", "weights": "none"}, "training": training})
    trainer = Trainer(config, packed, torch.device("cpu"))
    while not trainer.done:
        trainer.epoch()
    turns = []
    for turn in range(_TURNS + 1):
        alone = seconds(lambda: metrics_alone(trainer))
        with_temperature = seconds(lambda: trainer.evaluate(final=False))
        final = seconds(lambda: trainer.evaluate(final=True))
        if turn:  # the first warms up
            turns.append((alone, with_temperature, final, with_temperature / alone))
    ratios = [ratio for *_, ratio in turns]
    alone, with_temperature, final, ratio = (statistics.median(column) for column in zip(*turns, strict=True))
    print(
        f"| {name}, {len(packed.val)} images | {alone:.2f} s | {with_temperature:.2f} s | "
        f"{ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}) | {final:.2f} s |",
        flush=True,
    )


def main() -> None:
    """Measure the data sets that there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of CamVid; without it, generated scenes alone")
    parser.add_argument("--epochs", type=int, default=3, help="for how many the model is trained before")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sets = {"generated scenes, 64 x 96": DataConfig(format="synthetic", size=(64, 96))}
    if arguments.data is not None:
        camvid = {"format": "camvid", "root": str(arguments.data), "size": [96, 96], "max_train": 64}
        sets["CamVid, 96 x 96"] = parse(DataConfig, camvid)
    print("| data | metrics alone | with a temperature | ratio (range) | after the last epoch |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        for name, data in sets.items():
            measure(name, data, Path(directory), arguments.epochs)


if __name__ == "__main__":
    main()
