"""Volumes as samples: the slices of a volume are the samples, the patient is their group.

A reader finds the volumes and their labels, which are :class:`Case` objects; what is common to all formats is here:
intensities become 8 or 16 bits, a volume is decoded once for all of its slices, patients are split, classes are named.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Lock, Thread
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as pillow

from tune_seg.config import DataConfig
from tune_seg.data.cores import available_cores
from tune_seg.data.dataset import (
    IGNORE_INDEX,
    Image,
    ImageType,
    Mask,
    Sample,
    printable,
    problems_error,
)
from tune_seg.data.images.files import LabelledDataset, Scan, stamp
from tune_seg.data.images.pictures import Raw
from tune_seg.data.labels import Labels, declared
from tune_seg.data.splitting import divide
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError

IGNORE_LABEL = 255
BACKGROUND = "background"
READER_VERSION = 2
"""Goes up when the same files give other images, so that packs of the former ones are not taken for them."""

_SCALED = 1e-3
"""What a class number loses by a file's scale: SPM writes masks as 0 and 255 with a scale of 1/255."""

_VALUES_AHEAD = 2**27
"""How many intensities are decoded ahead at most; each takes some 10 bytes while it is, and one afterwards."""

Found = TypeVar("Found")


class Volume(NamedTuple):
    """A decoded volume.

    Arguments:
        values: intensities (S, H, W, C) of any type; uint8 where they are colours.
        colour: whether they are colours, which are left as they are.
        inverted: whether large values are dark.
    """

    values: npt.NDArray[Any]
    colour: bool = False
    inverted: bool = False


@dataclass(frozen=True, eq=False)
class Case(ABC):
    """One volume and its labels.

    Arguments:
        name: of the volume, without a slash, unique in the data set.
        patient: whose it is.
        image, mask: the file or folder of the volume, and that of its labels.
        shape: (S, H, W): how many slices there are, and the pixels of each.
        channels: of each slice.
        spacing: millimetres between two rows, and two columns; None where nothing says so.
    """

    name: str
    patient: str
    image: Path
    mask: Path
    shape: tuple[int, int, int]
    channels: int
    spacing: tuple[float, float] | None

    @property
    def slices(self) -> int:
        return self.shape[0]

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """All that it is read from."""

    @abstractmethod
    def volume(self) -> Volume:
        """The intensities.

        Raises:
            InputError: naming the file that cannot be read.
        """

    @abstractmethod
    def labels(self) -> Raw:
        """The raw values of the mask (S, H, W), slice by slice those of :meth:`volume`.

        Raises:
            InputError: naming the file that cannot be read or does not fit.
        """


class Slices(NamedTuple):
    """A volume ready to be taken apart: images (S, H, W, C), raw masks (S, H, W)."""

    images: Image
    masks: Raw


@dataclass
class _Entry:
    answer: Future[Slices]
    taken: int = 0


class VolumeCache:
    """A few volumes, each decoded once: by the first thread that asks, while the others wait for it, or ahead of them.

    A volume goes when all of its slices were taken, so that after packing none is left. A copy in another process starts
    empty.

    Arguments:
        ahead: how many are decoded ahead. Two more are kept: packing takes the slices in order.
    """

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self._volumes: OrderedDict[Path, _Entry] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["VolumeCache"], tuple[int]]:
        return VolumeCache, (self.ahead,)

    def __len__(self) -> int:
        return len(self._volumes)

    def get(self, key: Path, times: int, decode: Callable[[], Slices]) -> Slices:
        """What `decode` gives for `key`, or gave; it will be asked for so many `times`.

        Raises:
            InputError: as `decode` does, the first time and every other.
        """
        entry, is_new = self._enter(key)
        if is_new:
            _settle(entry.answer, decode)
        slices = entry.answer.result()
        with self._lock:
            entry.taken += 1
            if entry.taken == times and self._volumes.get(key) is entry:
                del self._volumes[key]
        return slices

    def expect(self, key: Path, decode: Callable[[], Slices]) -> None:
        """Start to decode what will soon be asked for, in a thread of its own."""
        entry, is_new = self._enter(key)
        if is_new:
            Thread(target=_settle, args=(entry.answer, decode), daemon=True).start()

    def _enter(self, key: Path) -> tuple[_Entry, bool]:
        """The entry of `key`, and whether the caller is to give its answer."""
        with self._lock:
            known = self._volumes.get(key)
            entry = _Entry(Future()) if known is None else known
            self._volumes[key] = entry
            self._volumes.move_to_end(key)
            while len(self._volumes) > self.ahead + 2:
                self._volumes.popitem(last=False)
        return entry, known is None


def _settle(answer: Future[Slices], decode: Callable[[], Slices]) -> None:
    try:
        answer.set_result(decode())
    except BaseException as error:  # whoever waits must hear of it
        answer.set_exception(error)


@dataclass(frozen=True)
class VolumeDataset(LabelledDataset):
    """The slices of volumes.

    Arguments:
        samples: the slices; `image` is that of their case, `part` the number of the slice.
        classes: what the raw values of the masks mean, or the scan that finds out.
        cases: by their image.
        options: how intensities become images.
        size: (H, W) that slices are cut to where `options.spacing` is given.
        cache: of the volumes in work.
    """

    cases: Mapping[Path, Case]
    options: VolumeOptions
    size: tuple[int, int]
    cache: VolumeCache = field(compare=False)

    @property
    def channels(self) -> int:
        return next(iter(self.cases.values())).channels

    @property
    def dtype(self) -> ImageType:
        return "uint16" if self.options.bits == 16 else "uint8"

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        assert sample.image is not None and sample.part is not None
        case = self.cases[sample.image]
        for image in self._following.get(sample.id, ()):
            self.cache.expect(image, partial(self._decode, self.cases[image]))
        slices = self.cache.get(case.image, self._times[case.image], partial(self._decode, case))
        labels = self._labels()
        try:
            mask = labels.translate(slices.masks[sample.part])
        except InputError as error:
            raise InputError(printable(f"{case.mask}: {error}")) from None
        return _resampled(slices.images[sample.part], mask, case.spacing, self.options.spacing, self.size)

    def source(self) -> dict[str, Any]:
        return {
            "volumes": READER_VERSION,
            "options": self.options.model_dump(mode="json"),
            "size": self.size if self.options.spacing is not None else None,
            "labels": self.classes.describe(),
            "files": [stamp(file) for case in self.cases.values() for file in case.files],
            "samples": [(sample.id, sample.split, sample.group, sample.fold) for sample in self.samples],
        }

    @cached_property
    def _times(self) -> Counter[Path | None]:
        """How many slices of each volume there are."""
        return Counter(sample.image for sample in self.samples)

    @cached_property
    def _following(self) -> dict[str, tuple[Path, ...]]:
        """By the first slice of each volume, the volumes to come: whoever asks for it is likely to go through them all.

        They come in the order of packing.
        """
        first: dict[Path, str] = {}
        for sample in sorted(self.samples, key=lambda sample: sample.place):
            if sample.image is not None:
                first.setdefault(sample.image, sample.id)
        images = tuple(first)
        return {id: images[number : number + self.cache.ahead] for number, id in enumerate(first.values(), start=1)}

    def _decode(self, case: Case) -> Slices:
        volume, masks = case.volume(), case.labels()
        if volume.values.shape[:3] != masks.shape:
            raise InputError(
                f"{case.mask}: {_slices(masks)}, but {case.image.name} has {_slices(volume.values)}; each slice needs a mask"
            )
        try:
            return Slices(levels(volume, self.options), masks)
        except InputError as error:
            raise InputError(f"{case.image}: {error}") from None


def dataset_of(
    config: DataConfig, options: VolumeOptions, cases: Sequence[Case], named: Labels | None = None
) -> VolumeDataset:
    """The data set that `cases` make, split by patient.

    Arguments:
        config: `classes` go before `named`; where neither says what the values mean, each distinct value is a class, and
            0 is the background.
        options: `data.options`.
        cases: all of them.
        named: the classes as the format names them.

    Raises:
        InputError: two volumes of one name, volumes of different channels, a name that `options.patient` does not fit, or
            as :func:`~tune_seg.data.splitting.divide`.
    """
    assert config.root is not None
    _refuse_mixed(cases, options)
    masks = {case.mask: case for case in cases}
    if config.classes is not None:
        named = declared(config.classes, config.ignore_label, IGNORE_LABEL)
    ignored = IGNORE_LABEL if config.ignore_label is None else config.ignore_label
    classes = named or Scan(tuple(masks), ignored, config.root, distinct=partial(_distinct, masks), names={0: BACKGROUND})
    left_out = classes.ignored if isinstance(classes, Labels) else frozenset({ignored})
    kept = _foreground(cases, left_out | {0}) if options.foreground_only else [range(case.slices) for case in cases]
    samples = [
        Sample(
            f"{case.name}/{part:0{len(str(case.slices - 1))}d}",
            "train",
            case.image,
            case.mask,
            group=_patient(case, options),
            part=part,
        )
        for case, parts in zip(cases, kept, strict=True)
        for part in parts
    ]
    if not samples:
        raise InputError(f"{config.root}: no slice has foreground; leave data.options.foreground_only out")
    return VolumeDataset(
        divide(samples, config.split, config.root),
        classes,
        {case.image: case for case in cases},
        options,
        config.size,
        VolumeCache(volumes_ahead(max(int(np.prod(case.shape)) * case.channels for case in cases), available_cores())),
    )


def volumes_ahead(values: int, cores: int) -> int:
    """How many volumes are decoded beside the one in work: so many that no core idles, if they fit into memory.

    Arguments:
        values: the intensities of the largest volume.
        cores: of the machine.
    """
    return min(cores - 1, max(1, _VALUES_AHEAD // values))


def levels(volume: Volume, options: VolumeOptions) -> Image:
    """The intensities as uint8 or uint16 (S, H, W, C): `low` is 0, `high` is 255 or 65535, in between to the nearest level.

    Where large values are dark it is the other way round. `low` and `high` are the window, or percentiles of the volume's
    finite values, a channel at a time; where both are one value, its smallest and its largest. What is not a number becomes
    0. Colours stay what they are.

    Raises:
        InputError: not one value is finite.
    """
    top = 2**options.bits - 1
    images: Image = np.empty(volume.values.shape, np.uint16 if options.bits == 16 else np.uint8)
    if volume.colour:
        images[:] = volume.values
        images *= top // 255
        return images
    for channel in range(volume.values.shape[-1]):
        values = volume.values[..., channel]
        low, high = options.window or _range(values, options.percentiles)
        for part, plane in enumerate(values):
            scaled = np.clip((plane.astype(np.float64) - low) / (high - low), 0.0, 1.0)
            seen = 1.0 - scaled if volume.inverted else scaled
            images[part, ..., channel] = np.rint(np.nan_to_num(seen) * top)
    return images


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turns whatever a library raises over a damaged file into an InputError that names the file."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise InputError(printable(f"{path}: cannot be read as {what} ({reason}); is it damaged or truncated?")) from error


def whole_numbers(values: npt.NDArray[Any], path: Path) -> Raw:
    """The raw values of a mask as uint8, or as uint16 where they need it.

    Raises:
        InputError: they are no class numbers.
    """
    rounded = np.rint(values) if values.dtype.kind == "f" else values
    low, high = rounded.min(), rounded.max()
    if not 0 <= low <= high < 2**16:  # nor is it where one is not a number
        raise InputError(f"{path}: values from {low:g} to {high:g}; a mask holds class numbers, 0 to 65535")
    apart = np.abs(values - rounded) > _SCALED
    if apart.any():
        raise InputError(
            f"{path}: the value {values[apart][0]:g} is no class number; a mask holds whole numbers, so resample it to "
            "the nearest label"
        )
    return rounded.astype(np.uint8 if high < 2**8 else np.uint16)


def stem(path: Path) -> str:
    """The name of a file without its extension; `.nii.gz` is one."""
    return path.name.removesuffix(".gz").rpartition(".")[0] if path.name.endswith(".nii.gz") else path.stem


def by_name(files: Iterable[Path]) -> dict[str, Path]:
    """The files of a folder by name without extension.

    Raises:
        InputError: two of them have one.
    """
    named: dict[str, Path] = {}
    for path in files:
        other = named.setdefault(stem(path), path)
        if other is not path:
            raise InputError(f"{path} and {other.name} have one name, so it is not clear which to read; take one elsewhere")
    return named


def visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files, such as those that macOS leaves in archives."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def collected(answers: Sequence[Found | str], where: Path) -> list[Found]:
    """The answers, unless some are problems.

    Raises:
        InputError: one line for each problem.
    """
    problems = [answer for answer in answers if isinstance(answer, str)]
    if problems:
        raise problems_error(f"{where}: the volumes cannot be used ({len(problems)} problems):", problems)
    return [answer for answer in answers if not isinstance(answer, str)]


def _refuse_mixed(cases: Sequence[Case], options: VolumeOptions) -> None:
    first = cases[0]
    names: dict[str, Case] = {}
    problems: list[str] = []
    for case in cases:
        other = names.setdefault(case.name, case)
        if printable(case.name) != case.name:
            problems.append(f"{case.image}: the name is not UTF-8; rename it")
        if other is not case:
            problems.append(f"{case.image} and {other.image} have one name; rename one of them")
        if case.channels != first.channels:
            problems.append(
                f"{case.image}: {case.channels} channels, but {first.image.name} has {first.channels}; all volumes of a "
                "data set have the same"
            )
        if case.spacing is None and options.spacing is not None:
            problems.append(f"{case.image}: no pixel spacing is stated, so leave data.options.spacing out")
    if problems:
        raise problems_error(f"the volumes cannot be used together ({len(problems)} problems):", problems)


def _patient(case: Case, options: VolumeOptions) -> str:
    if options.patient is None:
        return case.patient
    match = re.search(options.patient, case.name)
    patient = match and match[1 if match.re.groups else 0]
    if not patient:
        raise InputError(f"data.options.patient: {options.patient!r} finds no patient in the volume's name {case.name!r}")
    return patient


def _foreground(cases: Sequence[Case], background: frozenset[int]) -> list[list[int]]:
    """The slices of each case that have a value besides `background`."""

    def slices(case: Case) -> list[int]:
        return [part for part, mask in enumerate(case.labels()) if not set(np.unique(mask).tolist()) <= background]

    with ThreadPoolExecutor() as pool:
        return list(pool.map(slices, cases))


def _distinct(cases: Mapping[Path, Case], mask: Path) -> set[int] | InputError:
    try:
        return set(np.unique(cases[mask].labels()).tolist())
    except InputError as error:
        return error


def _range(values: npt.NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise InputError("not one value is a finite number; is it damaged?")
    # np.percentile would need all values as float64: the differences of 16-bit ones overflow
    places = np.divide(percentiles, 100.0) * (finite.size - 1)
    below = places.astype(np.intp)
    above = np.minimum(below + 1, finite.size - 1)
    finite.partition(np.unique([below, above]))
    low, high = (finite[below] + (places - below) * (finite[above].astype(np.float64) - finite[below])).tolist()
    if low == high:  # as in a volume that is nearly everywhere empty
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if low < high else (low, low + 1.0)


def _resampled(
    image: Image, mask: Mask, spacing: tuple[float, float] | None, wanted: float | None, size: tuple[int, int]
) -> tuple[Image, Mask]:
    """A slice (H, W, C) and its mask with pixels of `wanted` mm, cut or filled up to `size`; or with square ones."""
    if spacing is None:
        return image, mask
    pixel = wanted or min(spacing)
    height, width = (max(round(length * mm / pixel), 1) for length, mm in zip(mask.shape, spacing, strict=True))
    if (height, width) != mask.shape:
        planes = [
            pillow.fromarray(np.ascontiguousarray(plane, np.float32)).resize((width, height), pillow.Resampling.BILINEAR)
            for plane in np.moveaxis(image, -1, 0)
        ]
        image = np.rint(np.stack([np.asarray(plane) for plane in planes], axis=-1)).astype(image.dtype)
        mask = np.asarray(pillow.fromarray(np.ascontiguousarray(mask)).resize((width, height), pillow.Resampling.NEAREST))
    if wanted is None:
        return image, mask
    return _centred(image, size, 0), _centred(mask, size, IGNORE_INDEX)


def _centred(array: npt.NDArray[Any], size: tuple[int, int], filling: int) -> npt.NDArray[Any]:
    """The middle of an image or a mask, `size` large; `filling` where it is smaller."""
    centred = np.full((*size, *array.shape[2:]), filling, array.dtype)
    to, taken = [], []
    for length, there in zip(size, array.shape[:2], strict=True):
        both = min(length, there)
        to.append(slice((length - both) // 2, (length - both) // 2 + both))
        taken.append(slice((there - both) // 2, (there - both) // 2 + both))
    centred[tuple(to)] = array[tuple(taken)]
    return centred


def _slices(array: npt.NDArray[Any]) -> str:
    slices, height, width = array.shape[:3]
    return f"{slices} slices of {width} x {height} pixels"
