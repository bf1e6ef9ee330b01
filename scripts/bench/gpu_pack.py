"""CamVid as it travels to a machine without a network: packed at 224 x 224 with Hossain's three folds, in one .xz file.

    PYTHONPATH=. python scripts/bench/gpu_pack.py CAMVID DIR      # prints the file's path and sizes; some minutes

The differences between horizontal neighbours, compressed by LZMA, without loss: the very bytes of the pack come out again.
The file is called like the pack, whose name is the identity of its content.
"""

import argparse
import lzma
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tune_seg.config import DataConfig, parse
from tune_seg.config.keys import set_key
from tune_seg.data import PackedData, pack, read
from tune_seg.data.packing.file_format import open_pack
from tune_seg.errors import InputError
from tune_seg.study.presets import presets

SUFFIX: Final = ".xz"
_FILTERS: Final[list[dict[str, Any]]] = [
    {"id": lzma.FILTER_DELTA, "dist": 3},  # the same colour of the pixel to the left
    {"id": lzma.FILTER_LZMA2, "preset": 6},
]


def preset(name: str, dataset: str, root: Path) -> dict[str, Any]:
    """The configuration of a published table on one of its data sets, whose files are at `root`."""
    values: dict[str, Any] = yaml.safe_load(presets()[name].read_text())
    datasets: Mapping[str, Mapping[str, Any]] = values.pop("datasets")
    for key, value in {**datasets[dataset], "data.root": str(root)}.items():
        set_key(values, key, value)
    return values


def compress(path: Path, directory: Path) -> Path:
    """Write the pack at `path`, compressed, into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / (path.name + SUFFIX)
    with path.open("rb") as source, lzma.open(target, "wb", filters=_FILTERS) as sink:
        shutil.copyfileobj(source, sink, 2**20)
    return target


def restore(path: Path, directory: Path) -> Path:
    """The pack that :func:`compress` wrote to `path`, in `directory`; one that is there already is taken as it is.

    Raises:
        InputError: the file cannot be read, is damaged, or holds another content than its name says.
    """
    target = directory / path.name.removesuffix(SUFFIX)
    if target.is_file():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f".{target.name}.partial"
    try:
        with lzma.open(path, "rb") as source, partial.open("wb") as sink:
            shutil.copyfileobj(source, sink, 2**20)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{path}: no compressed pack ({error}); write it again with gpu_pack.py") from error
    _, summary, batches = open_pack(partial)
    if summary.content_id != target.stem or any(rows.undamaged() is None for rows in batches):
        raise InputError(f"{path}: its content is not {target.stem}; write it again with gpu_pack.py")
    os.replace(partial, target)
    return target


def main() -> int:
    """Pack, compress, and compare what comes out again; the exit status: 0, 2 for wrong input."""
    parser = argparse.ArgumentParser(description="Pack CamVid for gpu.py.")
    parser.add_argument("root", type=Path, metavar="CAMVID")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the compressed pack is written")
    arguments = parser.parse_args()
    try:
        config = parse(DataConfig, preset("hossain_table3", "Cityscape", arguments.root)["data"])
        with tempfile.TemporaryDirectory() as directory:
            path = pack(read(config), Path(directory) / "packed", config.size)
            target = compress(path, arguments.directory)
            started = time.perf_counter()
            restored = restore(target, Path(directory) / "restored")
            seconds = time.perf_counter() - started
            if restored.read_bytes() != path.read_bytes():
                raise InputError(f"{target}: it does not give the pack back")
            data = PackedData(restored)
            folds = ", ".join(
                f"{len(data.of_fold(fold).train)} + {len(data.of_fold(fold).val)}" for fold in range(data.folds)
            )
            print(f"{len(data)} images of {config.size[0]} x {config.size[1]}, training and validation by fold: {folds}")
            small, whole = target.stat().st_size / 1e6, path.stat().st_size / 1e6
            print(f"{target}: {small:.1f} MB for {whole:.1f}, restored in {seconds:.1f} s")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
