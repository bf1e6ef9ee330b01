"""Packing: images a second and peak memory, beside a plain loop over the same files, or beside another state of the package.

    PYTHONPATH=. python scripts/bench/packing.py ../shared/camvid [--times 10] [--size 224 224]
    PYTHONPATH=. python scripts/bench/packing.py [../shared/camvid] --against CHECKOUT [--repeats 5]

The data set is that of the folder, in CamVid's layout, with every file linked under N names. The plain loop opens,
converts and resizes an image and its mask with Pillow, one after the other, and keeps nothing. Each runs in a process of its
own, the plain one before and after; the packing a second time on the data as they are, to see whether its memory grows with
the set, and a third time with its images compressed. The files are read once beforehand, so that all find them in memory.

Against another checkout both pack the same folder, stretched, in turns; without a folder 400 drawn scenes of 512 x 384
pixels in `images` and `masks`. What counts on a busy machine are the medians and the time of the processor.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tune_seg.config import DataConfig
from tune_seg.data import SyntheticDataset, pack, read

FOLDERS = ("train", "trainannot", "val", "valannot")


def repeated(root: Path, times: int, into: Path) -> None:
    """Link every file of `root` under `times` names."""
    for folder in FOLDERS:
        (into / folder).mkdir(parents=True)
        for file in sorted((root / folder).iterdir()):
            file.read_bytes()
            for number in range(times):
                (into / folder / f"{number}_{file.name}").symlink_to(file.resolve())


def plain(root: Path, size: tuple[int, int]) -> None:
    for split in ("train", "val"):
        for file in sorted((root / split).iterdir()):
            with Image.open(file) as image:
                np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))
            with Image.open(root / f"{split}annot" / file.name) as mask:
                np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST))


def measure(what: str, root: Path, size: tuple[int, int]) -> None:
    """Do it in this process, and print the seconds, those of the processor, and the peak memory in MiB."""
    started = time.perf_counter()
    if what == "plain":
        plain(root, size)
    else:
        if what == "compressed":
            from tune_seg.data.packing import write  # here, because another state may have it elsewhere

            write._MAX_SHARE_OF_FREE_DISK = 0.0
        with tempfile.TemporaryDirectory() as directory:
            how = {"resize": "stretch"} if "resize" in DataConfig.model_fields else {}
            pack(read(DataConfig(root=root, size=size, **how)), directory, size)
    seconds = time.perf_counter() - started
    processor = sum(os.times()[:4])
    # not ru_maxrss, which a child takes over from its parent
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(seconds, processor, peak / 1024)


def measured(what: str, root: Path, size: tuple[int, int], checkout: Path) -> list[float]:
    """What :func:`measure` prints in a process of its own, with the package of a checkout."""
    command = [sys.executable, __file__, str(root), "--measure", what, "--size", *map(str, size)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=checkout)
    return [float(number) for number in answer.stdout.split()]


def drawn(into: Path, count: int = 400, size: tuple[int, int] = (384, 512)) -> Path:
    """Write the generated scenes as PNG files."""
    dataset = SyntheticDataset.generate(size, 0)
    for folder in ("images", "masks"):
        (into / folder).mkdir(parents=True)
    for number in range(count):
        image, mask = dataset.load(replace(dataset.samples[0], id=str(number)))
        for folder, array in (("images", image), ("masks", mask)):
            Image.fromarray(array).save(into / folder / f"{number:03}.png")
    return into


def compare(root: Path, size: tuple[int, int], other: Path, repeats: int) -> None:
    """Pack in turns with this checkout and another one, and print the medians."""
    images = sum(path.suffix == ".png" for path in root.rglob("*")) // 2
    checkouts = {"this state": Path.cwd(), "the other": other.resolve()}
    found: dict[str, list[list[float]]] = {name: [] for name in checkouts}
    for _ in range(repeats):
        for name, checkout in checkouts.items():
            found[name].append(measured("packed", root, size, checkout))
    print("| what | images | seconds | of the processor (range) | images/s | images/s of the processor | peak MiB |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        seconds, processor, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        low, high = min(run[1] for run in runs), max(run[1] for run in runs)
        rates = f"{images / seconds:.0f} | {images / processor:.0f}"
        print(f"| {name} | {images} | {seconds:.1f} | {processor:.1f} ({low:.1f} to {high:.1f}) | {rates} | {peak:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--measure", choices=["plain", "packed", "compressed"], help=argparse.SUPPRESS)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="a checkout of another state")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each state")
    arguments = parser.parse_args()
    height, width = arguments.size
    if arguments.measure:
        measure(arguments.measure, arguments.root, (height, width))
        return
    with tempfile.TemporaryDirectory() as directory:
        if arguments.against:
            root = arguments.root.resolve() if arguments.root else drawn(Path(directory, "drawn"))
            compare(root, (height, width), arguments.against, arguments.repeats)
            return
        if arguments.root is None:
            parser.error("name the folder of the data set")
        many, once = Path(directory, "many"), Path(directory, "once")
        repeated(arguments.root, arguments.times, many)
        repeated(arguments.root, 1, once)
        print(f"{height} x {width}, {os.cpu_count()} cores\n")
        print("| what | images | seconds | images/s | peak MiB |\n|---|---|---|---|---|")
        for what, root in (("plain", many), ("packed", many), ("packed", once), ("compressed", many), ("plain", many)):
            images = sum(len(list((root / split).iterdir())) for split in ("train", "val"))
            seconds, _, peak = measured(what, root, (height, width), Path.cwd())
            print(f"| {what} | {images} | {seconds:.1f} | {images / seconds:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
