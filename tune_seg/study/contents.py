"""What the folder of a study holds, read once: all that its report and its figures are made of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tune_seg.config import StudyConfig
from tune_seg.data import PackedData, PackedTest
from tune_seg.data.packing.file_format import SUFFIX
from tune_seg.errors import InputError
from tune_seg.image_counts import ImageCounts
from tune_seg.study.configuration import load_config
from tune_seg.study.configurations import Configuration, configurations
from tune_seg.study.confirmation import Answer, Confirmation, plain_of
from tune_seg.study.files import CONFIGURATION, PACKS
from tune_seg.study.images import read_images
from tune_seg.study.output.report import ranked
from tune_seg.study.output.sentence import PLAIN
from tune_seg.study.output.words import labels
from tune_seg.study.record import Record
from tune_seg.study.records import JournalContents, read_records
from tune_seg.study.scoring import Scored, scored_before

_SHOWN = 3
"""Configurations that figures show beside plain cross entropy where nothing was repeated to be sure."""


@dataclass(frozen=True)
class StudyContents:
    """A study as its folder has it.

    Attributes:
        directory: the folder.
        config: the study.
        trials: what its journal holds.
        answer: what the repeats say; None where there are too few, or the packed data are gone.
        packed: the packed data; None where they are gone.
        scored: what was scored after the decision, but for the models.
        missing: what of the folder cannot be read and is left out, a sentence each.
        asked: what `tune-seg confirm` has set for one session, by dotted key.
        slots: how many trainings run at once; None where that is not known.
    """

    directory: Path
    config: StudyConfig
    trials: JournalContents
    answer: Answer | None
    packed: PackedData | None
    scored: Scored
    missing: Sequence[str]
    asked: Mapping[str, Any]
    slots: int | None

    @property
    def records(self) -> Sequence[Record]:
        """The trials, by number."""
        return self.trials.records

    @property
    def objective(self) -> str:
        """The first objective, which the verdict is about."""
        return self.config.objectives[0]

    @cached_property
    def ranked(self) -> Sequence[Configuration]:
        """All configurations, in the order of the report."""
        return ranked(configurations(self.records), self.objective)

    @cached_property
    def completed(self) -> Sequence[Configuration]:
        """Those of which a trial ran to its end."""
        return [each for each in self.ranked if each.completed]

    @cached_property
    def plain(self) -> Configuration | None:
        """Plain cross entropy; None where it never ran to its end."""
        return plain_of(self.completed, self.answer)

    @cached_property
    def taken(self) -> Configuration | None:
        """The configuration to take: of the verdict, or without one the best so far.

        None where nothing ran to its end, and with several objectives, of which none decides.
        """
        if len(self.config.objectives) > 1:
            return None
        if self.answer is not None:
            return self.answer.contenders[self.answer.verdict.recommended]
        return self.completed[0] if self.completed else None

    @cached_property
    def pair(self) -> Sequence[Configuration]:
        """Plain cross entropy and the one to take; with several objectives the best by the first one in its place."""
        taken = self.taken
        if taken is None:
            return self.shown[:2]
        return [each for each in self.shown if each is self.plain or each.id == taken.id]

    @cached_property
    def shown(self) -> Sequence[Configuration]:
        """Those that figures compare: plain cross entropy, then the finalists, or where there are none the best few."""
        found = self.completed[:_SHOWN] if self.answer is None else list(self.answer.contenders.values())
        found = sorted(found, key=self.completed.index if self.answer is None else self._place)
        others = [each for each in found if self.plain is None or each.id != self.plain.id]
        return [*([] if self.plain is None else [self.plain]), *others]

    def _place(self, configuration: Configuration) -> int:
        return [each.id for each in self.ranked].index(configuration.id)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What each configuration that ran to its end is called, by id."""
        named = dict(labels([*self.completed, *(each for each in self.shown if each not in self.completed)]))
        return named if self.plain is None else {**named, self.plain.id: PLAIN}

    def images(self, configuration: Configuration) -> Iterator[ImageCounts]:
        """The counts of the validation images of each of its trainings, as far as they are there."""
        found = (read_images(self.directory, trial.number) for trial in configuration.scored)
        return (counts for counts in found if counts is not None)

    @cached_property
    def class_names(self) -> Sequence[str]:
        """By class index; numbers where the packed data, which have the names, are gone."""
        if self.packed is not None:
            return self.packed.class_names
        of_classes = (each.last.evaluation.per_class.get("class_recall", ()) for each in self.records if each.last)
        return [f"class {number}" for number in range(len(next(of_classes, ())))]

    @cached_property
    def shares(self) -> Sequence[float] | None:
        """The share of each class in the training pixels; None where the packed data are gone."""
        return None if self.packed is None else [float(share) for share in self.packed.frequencies]

    @cached_property
    def absent(self) -> Sequence[str]:
        """The classes that no validation image has."""
        if self.packed is None:
            return []
        folds = [self.packed.of_fold(fold) for fold in range(self.packed.folds)] or [self.packed]
        counts = zip(self.class_names, *(fold.val_pixels.tolist() for fold in folds), strict=True)
        return [name for name, *pixels in counts if not any(pixels)]


def read_study(directory: Path, asked: Mapping[str, Any] | None = None, slots: int | None = None) -> StudyContents:
    """Read a study, which may be running; nothing is changed.

    Args:
        directory: of the study.
        asked: what `tune-seg confirm` has set for one session, by dotted key of the configuration.
        slots: how many trainings run at once; None: what the configuration says.

    Raises:
        InputError: there is no study, no trial has begun, or a file is damaged.
    """
    config = load_config(directory / CONFIGURATION, overrides=asked)
    trials = read_records(directory, config)
    if not trials.records:
        raise InputError(f"{directory}: no trial has begun; run the study first")
    packs, missing = directory.parent / PACKS, []
    answer, packed, scored = None, None, Scored()
    try:
        packed = PackedData(packs / f"{config.data.content}{SUFFIX}")
    except InputError as error:
        missing.append(
            f"The packed data cannot be read ({error}): the verdict, which needs their groups, cannot be drawn again, and "
            "no images are shown. The table configurations.parquet still says what the verdict was."
        )
    if packed is not None:
        answer = Confirmation(config, directory, packed, None, 1).answer(trials.records)
    if answer is not None and packed is not None:
        scored = scored_before(answer, config, packed, None, directory)
        if config.data.test_content is not None:
            try:
                test = PackedTest(packs / f"{config.data.test_content}{SUFFIX}")
                scored = scored_before(answer, config, packed, test, directory)
            except InputError as error:
                missing.append(f"What the test split says cannot be read: {error}.")
    slots = config.compute.max_concurrent if slots is None else slots
    return StudyContents(directory, config, trials, answer, packed, scored, missing, asked or {}, slots)
