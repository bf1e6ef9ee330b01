"""What the readers made of a folder, against what is true of it, counted by NumPy alone."""

import re
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Literal

import numpy as np

from tests.support.random_folders.folder import Folder, draw_folder
from tests.support.random_folders.names import TOGETHER
from tests.support.random_folders.scenes import IGNORED, NOT_MEASURED
from tune_seg.config import DataConfig, parse
from tune_seg.data import Dataset, PackedData, pack, read, read_test
from tune_seg.data.dataset import IGNORE_INDEX
from tune_seg.data.packing.counts import together
from tune_seg.data.packing.origin import Origin
from tune_seg.data.packing.write import packed_origin
from tune_seg.errors import InputError

Kind = Literal["exact", "said", "refused", "wrong"]

_OF_LIBRARIES = (
    "PIL|Pillow|cannot identify|Traceback|pydantic|[Tt]iff(file|File|Page)|imagecodecs|<_io|object at 0x|Errno|"
    "unpack requires"
)
_SHARE = re.compile(r"([\d.e+-]+) % of the pixels")


@dataclass
class Verdict:
    """How a folder was read.

    Attributes:
        kind: `exact`: as it was drawn; `said`: otherwise, and the notes say in what; `refused`: with a message in plain
            words; `wrong`: anything else.
        why: the message, or what is wrong.
        folder: what was drawn.
    """

    kind: Kind
    why: str
    folder: Folder | None = None


def judged(seed: int, where: Path, seconds: float) -> Verdict:
    """The verdict on the folder of a seed.

    Args:
        seed: of the folder.
        where: an empty folder, to write in.
        seconds: after which reading hangs.
    """
    found: list[Verdict] = []
    folder = draw_folder(seed, where / "data")
    worker = Thread(target=lambda: found.append(verdict_on(folder, where / "packs")), daemon=True)
    worker.start()
    worker.join(seconds)
    verdict = found[0] if found else Verdict("wrong", f"hangs: nothing for {seconds:g} seconds")
    verdict.folder = folder
    return verdict


def verdict_on(folder: Folder, packs: Path) -> Verdict:
    """The verdict on a folder, which is packed below `packs`."""
    try:
        config = parse(DataConfig, {"root": folder.root, "size": folder.shape, **folder.fields}, prefix="data")
        dataset = read(config)
        path = pack(dataset, packs, folder.shape)
        origin = packed_origin(dataset, packs, folder.shape)
        assert origin is not None
        return _compared(folder, dataset, read_test(config), PackedData(path), origin)
    except InputError as error:
        return refusal(folder, str(error))
    except Exception:
        return Verdict("wrong", traceback.format_exc())


def refusal(folder: Folder, message: str) -> Verdict:
    """A refusal names a file, a folder or a key, in the words of this project."""
    files = {path.name for path in folder.root.rglob("*")} | {folder.root.name}
    if foreign := re.search(_OF_LIBRARIES, message):
        return Verdict("wrong", f"a library's words, {foreign[0]!r}: {message}")
    if "data." not in message and not any(name in message for name in files):
        return Verdict("wrong", f"names neither a file nor a key: {message}")
    return Verdict("refused", message)


@dataclass
class _Seen:
    """What was counted of the masks as they were read.

    Attributes:
        pairs: the pixels of each true class (-1: none, -2: not measured) that were read as each name (None: ignored).
        in_masks: the pixels of each class in the masks.
        hole_in_training: whether pixels of images that train were not measured.
        wrong: what nothing could excuse.
    """

    pairs: Counter[tuple[int, str | None]] = field(default_factory=Counter)
    in_masks: Counter[int] = field(default_factory=Counter)
    hole_in_training: bool = False
    wrong: list[str] = field(default_factory=list)


def _compared(folder: Folder, dataset: Dataset, test: Dataset | None, packed: PackedData, origin: Origin) -> Verdict:
    notes = " | ".join(origin.notes)
    seen = _looked_at(folder, dataset)
    differences = _other_counts(folder, seen, dataset.class_names, notes)
    if test is not None:
        held_out = replace(_looked_at(folder, test), in_masks=seen.in_masks)  # the shares that are said are without a test
        seen.wrong += held_out.wrong
        if test.class_names != dataset.class_names:
            seen.wrong.append(f"the classes of the test are {test.class_names}, not {dataset.class_names}")
        of_test = _other_counts(folder, held_out, dataset.class_names, notes)
        differences |= {f"test: {what}": is_said for what, is_said in of_test.items()}
    differences |= _left_out(folder, dataset, notes)
    differences |= _sides(folder, dataset, notes)
    counts = together(list(origin.counts.values()))
    read_counts = [sum(n for (_, name), n in seen.pairs.items() if name == each) for each in dataset.class_names]
    if list(counts.full) != read_counts or counts.ignored != sum(n for (_, name), n in seen.pairs.items() if name is None):
        seen.wrong.append(f"the pack counted {counts}, the masks hold {read_counts}")
    if {picture.classes.shape for picture in folder.pictures if picture.classes is not None} == {folder.shape}:
        in_pack = (packed.train_pixels + packed.val_pixels).tolist()
        if in_pack != read_counts:
            seen.wrong.append(f"the pack holds {in_pack}, the masks {read_counts}")
    wrong = [*seen.wrong, *(what for what, is_said in differences.items() if not is_said)]
    if wrong:
        return Verdict("wrong", "\n    ".join([*wrong, f"notes: {notes}"]))
    return Verdict("said" if differences else "exact", notes)


def _looked_at(folder: Folder, dataset: Dataset) -> _Seen:
    truth = {picture.image: picture for picture in folder.pictures}
    seen, names = _Seen(), dataset.class_names
    read_twice = [path for path, n in Counter(sample.image for sample in dataset.samples).items() if n > 1]
    seen.wrong += [f"{path} is read twice" for path in read_twice]
    for sample in dataset.samples:
        picture = None if sample.image is None else truth.get(sample.image)
        _, mask = dataset.load(sample)
        if picture is None or picture.classes is None:
            seen.wrong.append(f"{sample.image} is read, though it is damaged, or no image of this set")
        elif picture.classes.shape != mask.shape:
            seen.wrong.append(f"{sample.image} has the mask of another image, {sample.mask}")
        else:
            if picture.masks:
                seen.in_masks.update(picture.classes.ravel().tolist())
            true = np.where(picture.hole, NOT_MEASURED, picture.classes)
            seen.hole_in_training |= bool(picture.hole.any()) and (sample.split == "train" or sample.fold is not None)
            both, times = np.unique(np.stack([true.ravel(), mask.ravel()]), axis=1, return_counts=True)
            for (number, index), count in zip(both.T.tolist(), times.tolist(), strict=True):
                seen.pairs[number, None if index == IGNORE_INDEX else names[index]] += count
    return seen


def _other_counts(folder: Folder, seen: _Seen, names: tuple[str, ...], notes: str) -> dict[str, bool]:
    """The pixels that are read as something else than they are, and whether that is said."""
    encoding, found = folder.encoding, {}
    taken = "all are taken as they are" in notes  # masks that seem inverted
    of_name: dict[str, set[int]] = defaultdict(set)
    for (number, name), count in seen.pairs.items():
        if name is not None:
            of_name[name].add(number)
        if number == NOT_MEASURED:
            found[f"{count} pixels that were not measured are read as {name or 'ignored'}"] = (
                name is None
                # else a study says how many pixels are ignored on each side, as it does in any case
                and ("nodata or nan: they are ignored" in notes or not seen.hole_in_training)
            )
        elif number == IGNORED:
            if name is not None:
                what = f"{count} pixels of no class are read as {name}"
                found[what] = "255 is a class" in notes and encoding.ignored == 255 and _right_share(seen, IGNORED, notes)
        elif name is None:
            white = encoding.values[number] == 255
            what = f"{count} pixels of class {number} are ignored"
            found[what] = "255 is taken for ignored" in notes and white and _right_share(seen, number, notes)
        elif folder.names is not None and name != folder.names[number]:
            # of a class that no mask has at all, a study warns before it starts
            unseen = all(name != folder.names[number] for _, name in seen.pairs)
            found[f"{count} pixels of {folder.names[number]} are read as {name}"] = unseen or taken
        elif folder.names is None and encoding.are_numbers and name != f"class {encoding.values[number]}":
            found[f"{count} pixels of the value {encoding.values[number]} are read as {name}"] = False
    if folder.names is not None and (other := set(names) - set(folder.names.values())):
        found[f"classes {', '.join(sorted(other))}, which nobody named"] = "255 is a class" in notes
    found |= {f"{name} is of the classes {numbers}": taken for name, numbers in of_name.items() if len(numbers) > 1}
    ignored = sum(n for (number, name), n in seen.pairs.items() if number == IGNORED and name is None)
    if ignored and not encoding.are_colours:
        word = f"{encoding.ignored} is ignored" if folder.ignored_is_said else "255 is taken for ignored"
        word = "negative numbers and nan in the masks are ignored" if encoding.container == "tifint" else word
        if word not in notes or not _right_share(seen, IGNORED, notes):
            found[f"{ignored} pixels are ignored"] = False
    return found


def _right_share(seen: _Seen, number: int, notes: str) -> bool:
    """Whether a note has the share of the pixels of a class, in all masks."""
    share = 100 * seen.in_masks[number] / max(seen.in_masks.total(), 1)
    return any(abs(float(said) - share) <= 0.01 * share + 0.001 for said in _SHARE.findall(notes))


def _left_out(folder: Folder, dataset: Dataset, notes: str) -> dict[str, bool]:
    """Files that are not read, and whether that is said with their number."""
    read_images = {sample.image for sample in dataset.samples}
    found: dict[str, bool] = {}
    lost = [picture for picture in folder.pictures if picture.image not in read_images]
    for side in sorted({str(picture.side) for picture in lost}):
        count = sum(str(picture.side) == side for picture in lost)
        if side == "test" and (folder.fields.get("split") or re.search(rf"\b{count} images .*of test are not used", notes)):
            continue
        said = (
            rf"\b({count}|{count + len(folder.strays)}) of \d+ image files are in none of the lists"
            if side == "neither"
            else rf"left out: .*\({count}\)"
        )
        found[f"{count} images of {side} are left out"] = re.search(said, notes) is not None
    if folder.orphans:
        found[f"{len(folder.orphans)} masks without an image are left out"] = re.search(r"left out", notes) is not None
    published = folder.choices["layout"] in ("voc", "segnet")  # whose folders are known, so that nothing else counts
    visible = [path for path in folder.strays if path.parent.name in ("overlays", "data") and path.name[0] != "."]
    unlisted = "lists" in folder.choices and folder.choices["layout"] in TOGETHER  # counted with those of no list
    if visible and not published and not unlisted:
        said = rf"left out: .*\({len(visible)}\)"
        found[f"{len(visible)} pictures that are neither are left out"] = re.search(said, notes) is not None
    return found


def _sides(folder: Folder, dataset: Dataset, notes: str) -> dict[str, bool]:
    """What is on another side than it was put, and groups on both sides, and whether that is said."""
    truth = {picture.image: picture for picture in folder.pictures}
    sides: dict[str, set[str]] = defaultdict(set)
    found: dict[str, bool] = {}
    for sample in dataset.samples:
        picture = None if sample.image is None else truth.get(sample.image)
        if picture is None:
            continue
        if picture.side not in (None, sample.split):
            found[f"{picture.image} is on the side {sample.split} rather than {picture.side}"] = False
        if picture.group:
            sides[picture.group].add(sample.subset)
    torn = sorted(group for group, on in sides.items() if len(on) > 1)
    if torn and len(sides) > 1 and len(dataset.samples) >= 2 * len(sides):  # of fewer nobody can tell
        found[f"groups on both sides: {', '.join(torn)}"] = (
            "video, image or patient" in notes or "videos, images or" in notes
        )
    return found
