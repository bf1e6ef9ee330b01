"""Which samples train and which validate: as published, by lists, by a seeded fraction, or by folds.

The samples of a group, such as a patient, a volume or a city, all train or all validate. A sample without a group is one by
itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from tune_seg.config import SplitConfig
from tune_seg.data.dataset import SPLITS, Sample, SplitName, problems_error
from tune_seg.errors import InputError

VAL_FRACTION = 0.2


def divide(samples: Sequence[Sample], split: SplitConfig, root: Path) -> tuple[Sample, ...]:
    """The samples that are used, each with its split or its fold.

    The first of these that applies decides: `split`; the published split; the lists train.txt and val.txt in `root`; a
    random fraction of 0.2.

    Args:
        samples: all of them, each with its published split; `train` for all where none was published.
        split: the list files, the fraction, or the number of folds. A line of a list is the id of a sample, the name of its
            file, a group, or the volume of a slice; samples in no list are left out. Random splits
            depend on the seed and the names of the groups alone.
        root: the folder of the data set, to which the paths of the lists are relative.

    Raises:
        InputError: a list does not fit, two samples have one id, or there are too few groups.

    Example:
        >>> slices = [Sample(f"{case}/{n}", "train", group=case) for case in ("a", "b", "c") for n in range(2)]
        >>> [sample.id for sample in divide(slices, SplitConfig(val_fraction=0.3), Path()) if sample.split == "val"]
        ['c/0', 'c/1']
    """
    published = any(sample.split == "val" for sample in samples)
    if published and not split.given:
        _reject_groups_on_both_sides(samples)
        return tuple(samples)
    _reject_equal_ids(samples)
    if split.train is not None and split.val is not None:
        return _by_lists(samples, {"train": root / split.train.expanduser(), "val": root / split.val.expanduser()})
    if split.folds is not None:
        return _by_folds(samples, split.folds, split.val_fraction, split.seed)
    if split.val_fraction is not None:
        return _by_fraction(samples, split.val_fraction, split.seed)
    lists: dict[SplitName, Path] = {name: root / f"{name}.txt" for name in SPLITS}
    there = [path for path in lists.values() if path.is_file()]
    if len(there) == 1:
        raise InputError(f"{there[0]} is the only list; a split by lists needs both train.txt and val.txt in {root}")
    return _by_lists(samples, lists) if there else _by_fraction(samples, VAL_FRACTION, split.seed)


def text(path: Path) -> str:
    """The content of a text file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error


def _by_lists(samples: Sequence[Sample], lists: Mapping[SplitName, Path]) -> tuple[Sample, ...]:
    named: dict[str, list[Sample]] = {}
    files: dict[str, list[Sample]] = {}  # whose names may tell more than the id does, as in Cityscapes
    for sample in samples:
        for name in {sample.id, sample.group, *_whole(sample)} - {""}:
            named.setdefault(name, []).append(sample)
        for path in (sample.image, sample.mask):
            if path is not None:
                files.setdefault(path.name, []).append(sample)
    split: dict[str, SplitName] = {}
    problems: list[str] = []
    for side, path in lists.items():
        entries = [line.strip() for line in text(path).splitlines() if line.strip()]
        if not entries:
            problems.append(f"{path}: the list is empty; it needs one name a line")
        for entry in entries:
            file = Path(entry)
            names = (entry, entry.removesuffix(file.suffix), file.name, file.stem)
            found = next((named[name] for name in names if name in named), files.get(file.name, []))
            if not found:
                problems.append(f"{path}: {entry} is neither an image nor a mask")
            for other in {split.setdefault(sample.id, side) for sample in found} - {side}:
                problems.append(f"{path}: {entry} is in the list of {other} too")
    if problems:
        raise problems_error("the lists of the split do not fit the files:", problems)
    used = [replace(sample, split=split[sample.id]) for sample in samples if sample.id in split]
    _reject_groups_on_both_sides(used)
    return _in_order(used)


def _whole(sample: Sample) -> set[str]:
    """The names of the volume of a slice, which may differ from that of its patient."""
    if sample.part is None or sample.image is None:
        return set()
    return {sample.id.rpartition("/")[0], sample.image.name}


def _by_fraction(samples: Sequence[Sample], fraction: float, seed: int) -> tuple[Sample, ...]:
    groups = _shuffled_groups(samples, seed)
    if len(groups) < 2:
        first = samples[0]
        what = f"the samples of {first.group}" if first.group else "one sample"
        raise InputError(f"{first.image or first.mask}: {what} cannot both train and validate; add more")
    val = set(groups[: min(max(round(len(groups) * fraction), 1), len(groups) - 1)])
    return _in_order(replace(sample, split="val" if _group(sample) in val else "train") for sample in samples)


def _by_folds(samples: Sequence[Sample], folds: int, fraction: float | None, seed: int) -> tuple[Sample, ...]:
    groups = _shuffled_groups(samples, seed)
    if len(groups) < folds:
        what = "samples" if groups == [sample.id for sample in samples] else "groups (such as patients, volumes or cities)"
        raise InputError(f"data.split.folds: {folds} folds of {len(groups)} {what}; each fold needs one of its own")
    if fraction is None:
        fold = {group: place * folds // len(groups) for place, group in enumerate(groups)}
    else:
        each = min(max(round(len(groups) * fraction), 1), len(groups) // folds)
        fold = {group: place // each for place, group in enumerate(groups[: each * folds])}
    return _in_order(
        replace(sample, fold=number, split="val" if number == 0 else "train")
        for sample in samples
        for number in [fold.get(_group(sample))]
    )


def _group(sample: Sample) -> str:
    return sample.group or sample.id


def _shuffled_groups(samples: Sequence[Sample], seed: int) -> list[str]:
    """The groups in random order. Each draws its own place, so that a group added later moves at most one other across."""
    return sorted({_group(sample) for sample in samples}, key=lambda group: _drawn(group, seed))


def _drawn(group: str, seed: int) -> bytes:
    return blake2b(f"{seed}/{group}".encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _in_order(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The training samples first, each side by id."""
    return tuple(sorted(samples, key=lambda sample: (SPLITS.index(sample.split), sample.id)))


def _reject_equal_ids(samples: Sequence[Sample]) -> None:
    """Published splits may use a name twice, which is ambiguous once they are mixed."""
    seen: dict[str, Sample] = {}
    twice = [
        f"{seen[sample.id].image} and {sample.image}"
        for sample in samples
        if seen.setdefault(sample.id, sample) is not sample
    ]
    if twice:
        raise problems_error("data.split divides all samples anew, but two of them have one name:", twice)


def _reject_groups_on_both_sides(samples: Sequence[Sample]) -> None:
    sides: dict[str, set[SplitName]] = {}
    for sample in samples:
        if sample.group:
            sides.setdefault(sample.group, set()).add(sample.split)
    both = [group for group, found in sides.items() if len(found) > 1]
    if both:
        raise problems_error(
            "samples of one group, such as a patient, a volume or a city, train and validate, which makes validation too "
            "good:",
            both,
        )
