"""Packing: images a second and peak memory, beside a plain loop over the same files.

    PYTHONPATH=. python scripts/bench/packing.py ../shared/camvid [--times 10] [--size 224 224]

The data set is that of the folder, in CamVid's layout, with every file linked under N names. The plain loop opens,
converts and resizes an image and its mask with Pillow, one after the other, and keeps nothing. Each runs in a process of its
own, the plain one before and after; the packing a second time on the data as they are, to see whether its memory grows with
the set, and a third time with its images compressed. The files are read once beforehand, so that all find them in memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tune_seg.config import DataConfig
from tune_seg.data import pack, read
from tune_seg.data.packing import write

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
    """Do it in this process, and print the seconds and the peak memory in MiB."""
    started = time.perf_counter()
    if what == "plain":
        plain(root, size)
    else:
        if what == "compressed":
            write._MAX_SHARE_OF_FREE_DISK = 0.0
        with tempfile.TemporaryDirectory() as directory:
            pack(read(DataConfig(root=root, format="camvid", size=size)), directory, size)
    seconds = time.perf_counter() - started
    # not ru_maxrss, which a child takes over from its parent
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(seconds, peak / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--measure", choices=["plain", "packed", "compressed"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    height, width = arguments.size
    if arguments.measure:
        measure(arguments.measure, arguments.root, (height, width))
        return
    with tempfile.TemporaryDirectory() as directory:
        many, once = Path(directory, "many"), Path(directory, "once")
        repeated(arguments.root, arguments.times, many)
        repeated(arguments.root, 1, once)
        print(f"{height} x {width}, {os.cpu_count()} cores\n")
        print("| what | images | seconds | images/s | peak MiB |\n|---|---|---|---|---|")
        for what, root in (("plain", many), ("packed", many), ("packed", once), ("compressed", many), ("plain", many)):
            images = sum(len(list((root / split).iterdir())) for split in ("train", "val"))
            command = [sys.executable, __file__, str(root), "--measure", what, "--size", str(height), str(width)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, peak = map(float, answer.stdout.split())
            print(f"| {what} | {images} | {seconds:.1f} | {images / seconds:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
