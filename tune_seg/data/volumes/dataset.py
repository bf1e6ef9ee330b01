"""Volumes as samples: the slices of a volume are the samples, the patient is their group.

A reader finds the volumes with their labels as :class:`~tune_seg.data.volumes.case.Case` objects, and :func:`dataset_of`
makes a data set of them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.config import DataConfig
from tune_seg.data.cores import available_cores
from tune_seg.data.dataset import Image, ImageType, Mask, Sample, printable, problems_error, values_of
from tune_seg.data.images.files import LabelledDataset
from tune_seg.data.images.scan import stamp
from tune_seg.data.labels import Labels
from tune_seg.data.once import following
from tune_seg.data.splitting import divide, unlisted
from tune_seg.data.volumes.cache import Slices, VolumeCache, volumes_ahead
from tune_seg.data.volumes.case import Case
from tune_seg.data.volumes.intensities import levels
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.data.volumes.remarks import counted
from tune_seg.data.volumes.resampling import pixels, resampled
from tune_seg.data.volumes.scan import VolumeScan, asked_labels
from tune_seg.errors import InputError

READER_VERSION = 3
"""Raise it when the same files give other images, so that packs made before are not used for them."""


@dataclass(frozen=True)
class VolumeDataset(LabelledDataset):
    """The slices of volumes.

    Attributes:
        samples: the slices; `image` is that of their case, `part` the number of the slice.
        classes: the meaning of the raw values of the masks, or the scan that finds it.
        cases: by their image.
        options: how intensities become images.
        size: (H, W) that slices are cut to where `options.spacing` is given.
        cache: of the volumes in work.
        remarks: what was taken for granted, beside what the masks show.
    """

    cases: Mapping[Path, Case]
    options: VolumeOptions
    size: tuple[int, int]
    cache: VolumeCache = field(compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def channels(self) -> int:
        return next(iter(self.cases.values())).channels

    @property
    def notes(self) -> tuple[str, ...]:
        return (*super().notes, *self.remarks)

    @property
    def dtype(self) -> ImageType:
        return "uint16" if self.options.bits == 16 else "uint8"

    def shape(self, sample: Sample) -> tuple[int, int] | None:
        assert sample.image is not None
        case = self.cases[sample.image]
        if self.options.spacing is not None:
            return self.size
        return case.shape[1:] if case.spacing is None else pixels(case.shape[1:], case.spacing, None)

    def decoded_as(self, sample: Sample) -> Path | None:
        return sample.image

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        assert sample.image is not None and sample.part is not None
        case = self.cases[sample.image]
        for image in self._following.get(sample, ()):
            self.cache.expect(image, partial(self._decode, self.cases[image]))
        slices = self.cache.get(case.image, self._times[case.image], partial(self._decode, case))
        labels = self._labels()
        try:
            mask = labels.translate(slices.masks[sample.part])
        except InputError as error:
            raise InputError(printable(f"{case.mask}: {error}")) from None
        return resampled(slices.images[sample.part], mask, case.spacing, self.options.spacing, self.size)

    def classes_in(self, samples: Sequence[Sample]) -> list[frozenset[int]]:
        image = samples[0].image
        assert image is not None
        try:
            masks = self.cases[image].labels()
            return [self._translated(masks[sample.part]) for sample in samples if sample.part is not None]
        except (InputError, IndexError):
            return [frozenset()] * len(samples)

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
        """The number of slices of each volume."""
        return Counter(sample.image for sample in self.samples)

    @cached_property
    def _following(self) -> dict[Sample, tuple[Path, ...]]:
        return following(self.samples, lambda sample: sample.image or Path(), self.cache.ahead)

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
    root: Path,
    config: DataConfig,
    options: VolumeOptions,
    cases: Sequence[Case],
    named: Labels | VolumeScan | None = None,
    remarks: Sequence[str] = (),
) -> VolumeDataset:
    """The data set that `cases` make, split by patient.

    Args:
        root: the folder of the data set.
        config: its `classes` take precedence over `named`. Without either, each distinct value is a class, and 0 is the
            background; what 255 is, the masks tell.
        options: `data.options`.
        cases: all of them.
        named: the classes as the format names them.
        remarks: what was taken for granted about the folder.

    Raises:
        InputError: two volumes of one name, volumes of different channels, a name that `options.patient` does not fit, or
            as :func:`~tune_seg.data.splitting.divide`.
    """
    _reject_mixed(cases, options)
    masks = {case.mask: case for case in cases}
    classes = named if named is not None and config.classes is None else asked_labels(masks, config, root)
    kept: Sequence[Sequence[int]] = [range(case.slices) for case in cases]
    if options.foreground_only:
        labels = classes.labels() if isinstance(classes, VolumeScan) else classes
        kept = _foreground(cases, labels.ignored | {0})
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
        raise InputError(f"{root}: no slice has foreground; leave data.options.foreground_only out")
    divided = divide(samples, config.split, root)
    return VolumeDataset(
        divided,
        classes,
        {case.image: case for case in cases},
        options,
        config.size,
        VolumeCache(volumes_ahead(max(int(np.prod(case.shape)) * case.channels for case in cases), available_cores())),
        (*remarks, *unlisted(samples, divided), *counted(remark for case in cases for remark in case.remarks)),
    )


def _reject_mixed(cases: Sequence[Case], options: VolumeOptions) -> None:
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
        return [part for part, mask in enumerate(case.labels()) if not values_of(mask) <= background]

    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(slices, cases))


def _slices(array: npt.NDArray[Any]) -> str:
    slices, height, width = array.shape[:3]
    return f"{slices} slices of {width} x {height} pixels"
