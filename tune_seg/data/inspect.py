"""A first look at a data set before anything is started: how it is read, what is in it, and what is wrong with it.

Of a large set some images are looked at, for a few seconds.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np

from tune_seg.config import Resize
from tune_seg.data.cores import available_cores
from tune_seg.data.dataset import SPLITS, TEST, Dataset, Sample, printable, spread, summarised
from tune_seg.data.labels import NotShown
from tune_seg.data.packing.counts import Counts, restored
from tune_seg.data.packing.decoding import Decoder
from tune_seg.data.packing.disk import free_bytes
from tune_seg.data.packing.file_format import Form
from tune_seg.data.packing.resizing import SAME_SHAPE, resize_notes
from tune_seg.data.splitting import group_of
from tune_seg.data.tiled import TiledDataset
from tune_seg.errors import InputError

_MOST: Final = 48
"""Images that train or validate that are looked at."""
_MOST_OF_TEST: Final = 12
"""Images that are held out of which is looked at whether they can be read."""
_MOST_FILES_OF_SLICES: Final = 4
"""Volumes of which slices are looked at: each must be read as a whole."""
_MOST_BYTES_COMPARED: Final = 2**28
"""Bytes of files of equal size that are read to find copies; all are compared when the images are packed."""
_SECONDS: Final = 6.0
"""After that long no further image is looked at."""
_WORDS: Final = {"train": "train", "val": "validate", TEST: "are held out"}


@dataclass
class Inspection:
    """What a look at a data set showed.

    Attributes:
        lines: what there is to say, for a person.
        problems: why a study with these data could not start; empty: nothing that was looked at speaks against it.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Look:
    """What was seen of a sample: its (H, W), the counts of its mask (256, 2), and the seconds to load and to pack it."""

    sample: Sample
    shape: tuple[int, int]
    counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    loading: float
    packing: float


def inspect(dataset: Dataset, test: Dataset | None, size: tuple[int, int], packs: Path) -> Inspection:
    """Look at a data set.

    Args:
        dataset: the images that train and validate.
        test: those that are held out.
        size: (H, W) of the packed images.
        packs: where they would be packed; it need not be there.
    """
    found = Inspection()
    whole = [*dataset.samples, *(test.samples if test is not None else ())]
    found.lines.append(f"{_word(dataset)}: {_sides(whole)}")
    found.lines += [f"note: {note}" for note in dataset.split_notes]
    copies: list[str] = []
    for sample, copy in _copies(whole):
        if TEST in (sample.split, copy.split):
            found.problems.append(f"{copy.image}: held out, and a copy of {sample.image}, which is not")
        else:
            copies.append(f"{copy.image}: a copy of {sample.image} on the other side of the split")
    found.lines += [f"note: {line}" for line in summarised(copies)]
    unmatched = _unmatched(whole, blank=dataset.blank)
    found.problems += unmatched.values()
    chosen = _chosen([sample for sample in dataset.samples if sample not in unmatched], _MOST)
    if not chosen:
        return _summed(found)
    held_out = _chosen([sample for sample in test.samples if sample not in unmatched], _MOST_OF_TEST) if test else ()
    some = dataset.of_some((*chosen, *held_out))
    names = _names(some, found, complete=len(chosen) == len(dataset.samples))
    if names is None:
        return _summed(found)
    form = Form(size, dataset.channels, dataset.dtype)
    looks, wrong = _looks(replace(some, samples=chosen), form)
    _, wrong_in_test = _looks(replace(some, samples=held_out), form)
    found.problems += [*wrong, *wrong_in_test]
    found.lines += [f"note: {note}" for note in (*some.notes, *dataset.notes_at(size), *resize_notes(dataset, size))]
    if looks:
        found.lines += _described(looks, dataset, names, size)
    found.lines.append(_effort(dataset, size, packs, looks))
    return _summed(found)


def _summed(found: Inspection) -> Inspection:
    found.lines = [printable(line) for line in found.lines]
    found.problems = [printable(line) for line in summarised(found.problems)]
    return found


def _sides(samples: Sequence[Sample]) -> str:
    if any(sample.fold is not None for sample in samples):
        folds = sorted({sample.fold for sample in samples if sample.fold is not None})
        sizes = [sum(sample.fold == fold for sample in samples) for fold in folds]
        parts = [f"{len(sizes)} folds of {', '.join(map(str, sizes))}"]
        if rest := sum(sample.fold is None and sample.split != TEST for sample in samples):
            parts.append(f"{rest} train in every fold")
    else:
        parts = [f"{sum(s.split == side for s in samples)} {_WORDS[side]}" for side in SPLITS]
    if held_out := sum(sample.split == TEST for sample in samples):
        parts.append(f"{held_out} {_WORDS[TEST]}")
    drawn = any(sample.drawn_from for sample in samples)
    groups = {sample.group for sample in samples if sample.group}
    how = "drawn by data.split.seed" if drawn else "as published or listed"
    return f"{', '.join(parts)}; {how}" + (f", in {len(groups)} groups" if groups else "")


def _word(dataset: Dataset) -> str:
    return "tiles" if isinstance(dataset, TiledDataset) else "images"


def _unmatched(samples: Sequence[Sample], *, blank: bool) -> dict[Sample, str]:
    bare = [] if blank else [s for s in samples if s.mask is None and s.image is not None]
    without_mask = {s: f"{s.image}: an image without a mask" for s in bare}
    without_image = {s: f"{s.mask}: a mask without an image" for s in samples if s.image is None and s.mask is not None}
    return without_mask | without_image


def _copies(samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Files of equal content in two subsets, as far as their content can be compared in little time."""
    sizes: dict[int, dict[Path, Sample]] = {}
    for sample in samples:
        if sample.image is not None and sample.part is None and sample.image.is_file():
            sizes.setdefault(sample.image.stat().st_size, {})[sample.image] = sample
    found: list[tuple[Sample, Sample]] = []
    left = _MOST_BYTES_COMPARED
    for size, alike in sizes.items():
        if len({sample.subset for sample in alike.values()}) < 2 or size * len(alike) > left:
            continue
        left -= size * len(alike)
        first: dict[bytes, Sample] = {}
        for path, sample in alike.items():
            other = first.setdefault(blake2b(path.read_bytes()).digest(), sample)
            if other.subset != sample.subset:
                found.append((other, sample))
    return found


def _chosen(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """Some of all sides, spread evenly; of volumes a few."""
    chosen = spread(samples, most)
    files = list(dict.fromkeys(sample.image for sample in chosen if sample.part is not None))
    kept = set(spread(files, _MOST_FILES_OF_SLICES))
    return tuple(sample for sample in chosen if sample.part is None or sample.image in kept)


def _names(some: Dataset, found: Inspection, *, complete: bool) -> tuple[str, ...] | None:
    """The classes of the images that are looked at; None where these do not show them."""
    try:
        return some.find_classes(lambda done: None)
    except InputError as error:
        if complete or not isinstance(error, NotShown):
            found.problems += str(error).splitlines()
        else:
            found.lines.append(f"classes: those masks that were looked at do not show them ({error})")
        return None


def _looks(some: Dataset, form: Form) -> tuple[list[_Look], list[str]]:
    """What was seen, and what is wrong with single images."""
    decoder = Decoder(some, form)

    def look(sample: Sample) -> _Look | InputError:
        began = time.perf_counter()
        try:
            image, mask = some.load(sample)
            loaded = time.perf_counter()
            row, _ = decoder.row(sample, image, mask)
        except InputError as error:
            return error
        counts = restored(row.counts)
        assert counts is not None
        shape = (image.shape[0], image.shape[1])
        return _Look(sample, shape, counts, loaded - began, time.perf_counter() - loaded)

    pool = ThreadPoolExecutor(available_cores())
    try:
        futures = [pool.submit(look, sample) for sample in some.samples]
        wait(futures[:1])
        done, _ = wait(futures, timeout=_SECONDS)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    answers = [future.result() for future in futures if future in done]
    wrong = [line for answer in answers if isinstance(answer, InputError) for line in str(answer).splitlines()]
    return [answer for answer in answers if isinstance(answer, _Look)], list(dict.fromkeys(wrong))


def _described(looks: Sequence[_Look], dataset: Dataset, names: tuple[str, ...], size: tuple[int, int]) -> list[str]:
    of = len(dataset.samples)
    counts = Counts.of(sum((look.counts for look in looks), start=np.zeros((2**8, 2), np.int64)), len(names))
    pixels = max(sum(counts.full), 1)
    shares = sorted(zip(names, counts.full, counts.lost, strict=True), key=lambda each: -each[1])
    seen = [
        f"{name} {100.0 * full / pixels:.3g} %" + (f" ({100.0 * lost:.3g} % of it lost)" if lost > 0.0 else "")
        for name, full, lost in shares
        if full
    ]
    absent = [name for name, full, _ in shares if not full]
    lines = [
        f"looked at {len(looks)} of {of} {_word(dataset)}",
        _sizes(looks, dataset.resize, size),
        f"classes: {', '.join(seen) or 'none'}",
        f"ignored pixels: {100.0 * counts.ignored_share:.3g} %",
    ]
    if absent:
        lines.append(f"not in {'any mask' if len(looks) == of else 'these masks'}: {', '.join(absent)}")
    lines += _one_sided(looks, names) if len(looks) == of else []
    gone = [name for name, full, kept in zip(names, counts.full, counts.kept, strict=True) if full and not kept]
    if gone:
        lines.append(
            f"no pixel is left at data.size of: {', '.join(gone)}; set a larger one, such as "
            f"--set data.size=[{2 * size[0]},{2 * size[1]}]"
        )
    return lines


def _one_sided(looks: Sequence[_Look], names: Sequence[str]) -> list[str]:
    """Which classes cannot both train and validate, where all images were looked at."""
    lines: list[str] = []
    for index, name in enumerate(names):
        having = [look.sample for look in looks if look.counts[index, 0]]
        groups = {group_of(sample) for sample in having}
        drawn = any(sample.drawn_from for sample in having)
        if drawn and len(groups) == 1:
            lines.append(
                f"{name}: in one image or group alone, so it cannot both train and validate; add images that have it"
            )
        elif having and not drawn and len(sides := {sample.split for sample in having}) == 1:
            lines.append(
                f"{name}: only {'trains' if sides == {'train'} else 'validates'}; add images that have it, or divide whole "
                "groups anew with --set data.split.val_fraction=0.2"
            )
    return summarised(lines)


def _sizes(looks: Sequence[_Look], resize: Resize, size: tuple[int, int]) -> str:
    shapes = sorted({look.shape for look in looks}, key=lambda shape: shape[0] * shape[1])
    (low_height, low_width), (height, width) = shapes[0], shapes[-1]
    between = f"{low_width} x {low_height}" + ("" if len(shapes) == 1 else f" to {width} x {height}")
    ratios = [(size[1] / shape[1]) / (size[0] / shape[0]) for shape in shapes]
    stretch = max(max(ratio, 1.0 / ratio) for ratio in ratios)
    is_said = resize == "stretch" and stretch > 1.0 + SAME_SHAPE
    said = f", whose ratio of width to height is up to {100.0 * (stretch - 1.0):.0f} % another" if is_said else ""
    return f"sizes: {between} pixels (width x height); data.size makes {size[1]} x {size[0]} of them{said}"


def _effort(dataset: Dataset, size: tuple[int, int], packs: Path, looks: Sequence[_Look]) -> str:
    needed = len(dataset.samples) * Form(size, dataset.channels, dataset.dtype).row_bytes
    free = free_bytes(packs)
    about = f"about {max(_seconds(dataset, looks), 1.0):.0f} s on {available_cores()} cores, " if looks else ""
    short = "; it will be compressed" if needed > free / 2 else ""
    return f"packing, once: {about}{needed / 2**20:.0f} MiB in {packs} ({free / 2**30:.1f} GiB free{short})"


def _seconds(dataset: Dataset, looks: Sequence[_Look]) -> float:
    """How long packing takes: a volume, or an image that is cut into tiles, is decoded once."""
    loading: dict[object, float] = {}
    for look in looks:
        key = dataset.decoded_as(look.sample)
        loading[key] = max(look.loading, loading.get(key, 0.0))
    decoded = len({dataset.decoded_as(sample) for sample in dataset.samples})
    packing = float(np.mean([look.packing for look in looks]))
    return (float(np.mean(list(loading.values()))) * decoded + packing * len(dataset.samples)) / available_cores()
