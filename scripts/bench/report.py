"""What the report of a large study costs: trials with drawn scores, the time to write the page, its size, and how long
Chromium takes to open it.

    PYTHONPATH=. python scripts/bench/report.py [--trials 2000] [--epochs 30] [--keep DIR]
"""

import argparse
import math
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.support.browser import CHROMIUM, browser
from tests.support.epoch_results import image_counts, result
from tune_seg.config import DataConfig, StudyConfig, parse
from tune_seg.data import PackedData, pack, read
from tune_seg.study.confirmation import Confirmation
from tune_seg.study.files import CONFIGURATION, PACKS
from tune_seg.study.html.write import write_report
from tune_seg.study.output.results import write_study
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space
from tune_seg.training.result import ScaledScores

REPEATS = 30


def main() -> None:
    options = argparse.ArgumentParser(description="What the report of a large study costs.")
    options.add_argument("--trials", type=int, default=2000)
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--keep", type=Path, help="a folder for the study, which stays")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = arguments.keep or Path(folder)
        directory = make_study(studies, arguments.trials, arguments.epochs)
        started = time.perf_counter()
        file = write_report(directory)
        print(
            f"{arguments.trials} trials of {arguments.epochs} epochs: written in {time.perf_counter() - started:.1f} s, "
            f"{file.stat().st_size / 1e6:.1f} MB"
        )
        if CHROMIUM is not None:
            with browser() as page:
                times = [page.open(file, 1280) for _ in range(3)]
                print(f"opened by Chromium in {min(times):.1f} to {max(times):.1f} s; errors: {page.problems}")


def make_study(studies: Path, trials: int, epochs: int) -> Path:
    """The folder of a study whose scores were drawn."""
    directory = studies / "large"
    directory.mkdir(parents=True)
    data = DataConfig(format="synthetic", size=(48, 48), max_train=8, max_val=5)
    packed = PackedData(pack(read(data), studies / PACKS, data.size))
    values: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "search_spaces/loss_schedule.yaml").read_text())
    values["data"] = {**data.model_dump(mode="json"), "content": packed.content_id}
    values["training"]["epochs"] = epochs
    values["space"]["training.lr"] = {"float": [1e-4, 1e-2], "log": True}
    values["search"] = {"sampler": "random", "trials": trials + REPEATS, "early_stopping": {"kind": "none"}}
    config = parse(StudyConfig, values)
    write_study(config, directory / CONFIGURATION)
    records = Records(directory, config, Space(config), confirmation=Confirmation(config, directory, packed, REPEATS, 1))
    generator = random.Random(0)
    while (record := records.ask()) is not None:
        train(records, record, epochs, packed.num_classes, generator)
    return directory


def train(records: Records, record: Record, epochs: int, classes: int, generator: random.Random) -> None:
    """Give a trial drawn results; half of the search is stopped early."""
    pruned = not record.repeat and not record.baseline and generator.random() < 0.5
    end = generator.randint(1, epochs // 2) if pruned else epochs
    best = 0.5 + 0.1 * record.config.acw + 0.1 * math.sin(len(record.name)) + generator.gauss(0, 0.03)
    weights = [1 + generator.gauss(0, 0.05) for _ in range(classes)] if record.config.acw else None
    for epoch in range(1, end + 1):
        score = best * (1 - math.exp(-5 * epoch / epochs))
        scaled = {"temperature": ScaledScores({"s_rec": score + 0.05, "s_acc": score, "calibration": 0.9}, 1.3)}
        images = image_counts(5, classes, seed=record.number) if epoch == epochs else None
        recall = [max(0.0, score - 0.05 * number) for number in range(classes)]
        epoch_result = result(
            epoch,
            score,
            class_recall=recall,
            scaled=scaled,
            images=images,
            acw_weight=weights,
            weights={"start": 1 - epoch / epochs, "end": epoch / epochs} if "loss.start" in record.assignment else None,
        )
        records.add(record.number, epoch_result)
    records.close(record.number, State.PRUNED if pruned else State.COMPLETED)


if __name__ == "__main__":
    main()
