"""Which samples train, which validate and which are held out: as published, by lists, by a seeded fraction, or by folds.

The samples of a group, such as a patient, a volume or a city, all train, all validate, or are all held out. A sample without
a group is one by itself.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from unicodedata import normalize

from tune_seg.config import SplitConfig
from tune_seg.data.dataset import SPLITS, TEST, Sample, SplitName, problems_error
from tune_seg.data.groups import ALONE
from tune_seg.errors import InputError

VAL_FRACTION = 0.2
_FLAGS = ("-1", "0", "1")  # of VOC's lists, whether a class is in an image


def divide(samples: Sequence[Sample], split: SplitConfig, root: Path) -> tuple[Sample, ...]:
    """The samples that are used, each with its split or its fold.

    The first of these that applies decides what trains and what validates: `split`; the published split; the lists train.txt
    and val.txt in `root`; a random fraction of 0.2. What `split.test` holds out is in none of it, nor any of its groups.

    Args:
        samples: all of them, each with its published split; `train` for all where none was published.
        split: the list files, the fraction, or the number of folds. A line of a list is the id of a sample, the name of its
            file, a group, or the volume of a slice; samples in no list are left out. Random splits depend on the seed and
            the names of the groups alone; what is held out is taken out before.
        root: the folder of the data set, to which the paths of the lists are relative.

    Raises:
        InputError: a list does not fit, two samples have one id, there are too few groups, there is no published test split,
            or a sample or a group that is held out trains or validates.

    Example:
        >>> slices = [Sample(f"{case}/{n}", "train", group=case) for case in ("a", "b", "c") for n in range(2)]
        >>> [sample.id for sample in divide(slices, SplitConfig(val_fraction=0.3), Path()) if sample.split == "val"]
        ['c/0', 'c/1']
        >>> divided = divide(slices, SplitConfig(val_fraction=0.3, test=0.3), Path())
        >>> [(sample.id, sample.split) for sample in divided if sample.split != "train"]
        [('c/0', 'val'), ('c/1', 'val'), ('b/0', 'test'), ('b/1', 'test')]
    """
    published = not split.given and any(sample.split == "val" for sample in samples)
    if not published:  # of published splits nothing is mixed; a list that names what is in two of them is refused below
        _reject_equal_ids(samples)
    lists = None if published else _lists(split, root)
    held_out = _held_out(samples, split, root, listed=lists is not None)
    pool: Sequence[Sample]
    if published:
        _reject_published(held_out)
        pool = [sample for sample in samples if sample.split != TEST]
    elif lists is not None:
        pool = _by_lists(samples, lists, held_out)
    else:
        taken = set(held_out)
        pool = [sample for sample in samples if sample not in taken]
    if isinstance(split.test, float):
        pool, held_out = _drawn_apart(pool, split.test, split.seed)
        pool, held_out = ([replace(sample, drawn_from=(sample.split, TEST)) for sample in some] for some in (pool, held_out))
    at_random = not published and lists is None
    if held_out and (not pool or (not at_random and {sample.split for sample in pool} != set(SPLITS))):
        raise InputError("data.split.test: so much is held out that nothing is left to train or to validate with")
    divided = _at_random(pool, split) if at_random else pool
    if at_random and isinstance(split.test, float):  # each could as well be on any side
        sides = (*divided[0].drawn_from, TEST)
        divided, held_out = ([replace(sample, drawn_from=sides) for sample in some] for some in (divided, held_out))
    used = (*divided, *(replace(sample, split=TEST) for sample in held_out))
    _reject_groups_on_both_sides(used)
    return used


def unlisted(samples: Sequence[Sample], divided: Sequence[Sample]) -> tuple[str, ...]:
    """What to say of the images that lists left out.

    Args:
        samples: what :func:`divide` was given.
        divided: what it returned.
    """
    kept = {sample.id for sample in divided}
    files, left = (
        len({sample.image or sample.mask for sample in some})
        for some in (samples, [sample for sample in samples if sample.split != TEST and sample.id not in kept])
    )
    return (f"{left} of {files} image files are in none of the lists of the split, and are left out.",) if left else ()


def text(path: Path) -> str:
    """The content of a text file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not text in UTF-8; save it in this encoding, which editors offer where they save"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read as text ({error.strerror or error})") from error


def _lists(split: SplitConfig, root: Path) -> dict[SplitName, Path] | None:
    """The lists of what trains and what validates; None where that is drawn."""
    if split.train is not None and split.val is not None:
        return {"train": root / split.train.expanduser(), "val": root / split.val.expanduser()}
    if split.folds is not None or split.val_fraction is not None:
        return None
    lists: dict[SplitName, Path] = {name: root / f"{name}.txt" for name in SPLITS}
    there = [path for path in lists.values() if path.is_file()]
    if len(there) == 1:
        raise InputError(f"{there[0]} is the only list; a split by lists needs both train.txt and val.txt in {root}")
    return lists if there else None


def _held_out(samples: Sequence[Sample], split: SplitConfig, root: Path, *, listed: bool) -> list[Sample]:
    """What a list or the published split holds out; nothing where it is drawn, or where none is."""
    if isinstance(split.test, Path):
        return _named(samples, root / split.test.expanduser())
    if split.test != "published":
        return []
    published = [sample for sample in samples if sample.split == TEST]
    list_of_test = root / f"{TEST}.txt"
    if not published and listed and list_of_test.is_file():
        published = _named(samples, list_of_test)
    if not published:
        raise InputError(
            f"data.split.test: published, but {root} has no published test images with labels; give a share to hold out "
            "(--set data.split.test=0.2), name a list of images (--set data.split.test=LIST), or hold out none "
            "(--set data.split.test=null)"
        )
    return published


def _named(samples: Sequence[Sample], path: Path) -> list[Sample]:
    """The samples that a list names."""
    find = _by_name(samples)
    problems: list[str] = []
    found: dict[Sample, None] = {}  # in order, each once
    for entry in _entries(path, problems):
        named = find(entry)
        if isinstance(named, str):
            problems.append(f"{path}: {entry} {named}")
        else:
            found.update(dict.fromkeys(named))
    if problems:
        raise problems_error("the list of what is held out does not fit the files:", problems)
    return list(found)


def _entries(path: Path, problems: list[str]) -> list[str]:
    entries = [line.strip() for line in text(path).splitlines() if line.strip()]
    if not entries:
        problems.append(f"{path}: the list is empty; it needs one name a line")
    return entries


def _by_name(samples: Sequence[Sample]) -> Callable[[str], list[Sample] | str]:
    """What finds the samples of a line of a list, or says what is wrong with the line."""
    named: dict[str, list[Sample]] = {}
    files: dict[str, dict[Path, list[Sample]]] = {}  # whose names may tell more than the id does, as in Cityscapes
    for sample in samples:
        for name in {sample.id, sample.group, *_whole(sample)} - {""}:
            named.setdefault(name, []).append(sample)
        for path in (sample.image, sample.mask):
            if path is not None:
                for name in dict.fromkeys((path.name, path.stem)):
                    files.setdefault(name, {}).setdefault(path, []).append(sample)

    def of_text(entry: str) -> list[Sample] | str | None:
        for text in (entry, normalize("NFC", entry), normalize("NFD", entry)):
            file = Path(text.replace("\\", "/"))
            ends = ("/".join(file.parts[first:]) for first in range(len(file.parts)))  # the whole path, then less of it
            names = (text, *chain.from_iterable((end, end.removesuffix(file.suffix)) for end in ends))
            if (name := next((name for name in names if name in named), None)) is not None:
                return named[name]
            there = _nearest(file, files.get(file.name, {}))
            found = list(dict.fromkeys(sample for path in there for sample in files[file.name][path]))
            if len({sample.image for sample in found}) > 1:
                return f"may be {found[0].id} or {found[-1].id}; write these instead"
            if found:
                return found
        return None

    def is_column(text: str) -> bool:
        return text in _FLAGS or of_text(text) is not None

    def find(entry: str) -> list[Sample] | str:
        found = of_text(entry)
        if found is None and len(columns := entry.split(None, 1)) == 2:  # or else blanks in the name of one file
            first, rest = columns
            if is_column(rest) or all(is_column(column) for column in rest.split()):
                found = of_text(first)
        return "is neither an image nor a mask" if found is None else found

    return find


def _nearest(entry: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of the paths that share most of their last folders with that of an entry."""
    folders = entry.parts[-2::-1]
    shared: dict[Path, int] = {}
    for path in paths:
        alike = [mine == its for mine, its in zip(folders, path.parts[-2::-1], strict=False)]
        shared[path] = alike.index(False) if False in alike else len(alike)
    most = max(shared.values(), default=0)
    return [path for path, parts in shared.items() if parts == most]


def _by_lists(samples: Sequence[Sample], lists: Mapping[SplitName, Path], held_out: Sequence[Sample]) -> tuple[Sample, ...]:
    find = _by_name(samples)
    split: dict[str, SplitName] = {sample.id: TEST for sample in held_out}
    problems: list[str] = []
    for side, path in lists.items():
        for entry in _entries(path, problems):
            found = find(entry)
            if isinstance(found, str):
                problems.append(f"{path}: {entry} {found}")
                continue
            for other in {split.setdefault(sample.id, side) for sample in found} - {side}:
                also = "is held out by data.split.test" if other == TEST else f"is in the list of {other} too"
                problems.append(f"{path}: {entry} {also}")
    if problems:
        raise problems_error("the lists of the split do not fit the files:", problems)
    used = [replace(sample, split=split[sample.id]) for sample in samples if sample.id in split]
    return _in_order(sample for sample in used if sample.split != TEST)


def _whole(sample: Sample) -> set[str]:
    """The names of the volume of a slice, which may differ from that of its patient."""
    if sample.part is None or sample.image is None:
        return set()
    return {sample.id.rpartition("/")[0], sample.image.name}


def _drawn_apart(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """The samples without those of some groups, a `share` of all, and the samples of these."""
    # another draw than that of the validation images, which stay nearly the same
    groups = sorted({group_of(sample) for sample in samples}, key=lambda group: place_in_draw(f"{TEST}/{group}", seed))
    drawn = set(groups[: max(round(len(groups) * share), 1)])
    return [s for s in samples if group_of(s) not in drawn], [s for s in samples if group_of(s) in drawn]


def _at_random(samples: Sequence[Sample], split: SplitConfig) -> tuple[Sample, ...]:
    if split.folds is not None:
        return _by_folds(samples, split.folds, split.val_fraction, split.seed)
    return _by_fraction(samples, VAL_FRACTION if split.val_fraction is None else split.val_fraction, split.seed)


def _by_fraction(samples: Sequence[Sample], fraction: float, seed: int) -> tuple[Sample, ...]:
    groups = _shuffled_groups(samples, seed)
    if len(groups) < 2:
        first = samples[0]
        what = f"the samples of {first.group}" if first.group else "one sample"
        raise InputError(f"{first.image or first.mask}: {what} cannot both train and validate; add more")
    val = set(groups[: min(max(round(len(groups) * fraction), 1), len(groups) - 1)])
    return _in_order(
        replace(sample, split="val" if group_of(sample) in val else "train", drawn_from=SPLITS) for sample in samples
    )


def _by_folds(samples: Sequence[Sample], folds: int, fraction: float | None, seed: int) -> tuple[Sample, ...]:
    groups = _shuffled_groups(samples, seed)
    if len(groups) < folds:
        what = "samples" if groups == [sample.id for sample in samples] else "groups (such as patients, volumes or cities)"
        alone = any(sample.group and sample.part is None for sample in samples)
        raise InputError(
            f"data.split.folds: {folds} folds of {len(groups)} {what}; each fold needs one of its own"
            + f". Where the format has the option, --set {shlex.quote(ALONE)} takes every image by itself" * alone
        )
    if fraction is None:
        fold = {group: place * folds // len(groups) for place, group in enumerate(groups)}
    else:
        each = min(max(round(len(groups) * fraction), 1), len(groups) // folds)
        fold = {group: place // each for place, group in enumerate(groups[: each * folds])}
    rest = ("train",) if len(fold) < len(groups) else ()
    return _in_order(
        replace(sample, fold=number, split="val" if number == 0 else "train", drawn_from=(*map(str, range(folds)), *rest))
        for sample in samples
        for number in [fold.get(group_of(sample))]
    )


def group_of(sample: Sample) -> str:
    """What stays on one side with it: its group, or the sample alone."""
    return sample.group or sample.id


def _shuffled_groups(samples: Sequence[Sample], seed: int) -> list[str]:
    """The groups in random order. Each draws its own place, so that a group added later moves at most one other across."""
    return sorted({group_of(sample) for sample in samples}, key=lambda group: place_in_draw(group, seed))


def place_in_draw(group: str, seed: int) -> bytes:
    """The place of a group in the random order."""
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


def _reject_published(held_out: Sequence[Sample]) -> None:
    """What a list holds out may not be what trains or validates in the published split."""
    both = [sample.id for sample in held_out if sample.split != TEST]
    if both:
        raise problems_error(
            "data.split.test: these images train or validate in the published split; take them out of the list, or divide "
            "the others anew with data.split.val_fraction or data.split.folds:",
            both,
        )


def _reject_groups_on_both_sides(samples: Sequence[Sample]) -> None:
    sides: dict[str, set[SplitName]] = {}
    for sample in samples:
        if sample.group:
            sides.setdefault(sample.group, set()).add(sample.split)
    what = "samples of one group, such as a patient, a volume or a city,"
    for both, message in (
        (
            set(SPLITS),
            f"{what} train and validate, which makes validation too good; --set data.split.val_fraction=0.2 divides whole "
            "groups anew:",
        ),
        ({TEST}, f"{what} are held out, and others of it train or validate, which makes the test too good:"),
    ):
        groups = [group for group, found in sides.items() if len(found) > 1 and found >= both]
        if groups:
            raise problems_error(message, groups)
