"""A session of a study: run the trials that are left on Ray, and write down what came out."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from PIL.Image import Image
from rich.console import Console

from tune_seg.config import ConfirmConfig
from tune_seg.errors import InputError
from tune_seg.study.budget import repeats_of
from tune_seg.study.configuration import load_config
from tune_seg.study.confirmation import Answer, Confirmation
from tune_seg.study.contents import read_study
from tune_seg.study.deadline import Deadline
from tune_seg.study.elsewhere import Call, Elsewhere, reason
from tune_seg.study.files import CLASSES, CONFIGURATION, CONFIGURATIONS, PROFILE, RESULTS, STORE, TEXT_REPORT
from tune_seg.study.growing import grow_study, grown
from tune_seg.study.html.pictures import Examples, examples_or_why_none
from tune_seg.study.html.write import write_page
from tune_seg.study.kept_weights import begun_with, clear_weights
from tune_seg.study.output.class_warnings import warn_of_classes
from tune_seg.study.output.command_lines import called_in_commands, command
from tune_seg.study.output.disk import disk_line
from tune_seg.study.output.events import Events
from tune_seg.study.output.heartbeat import heartbeat
from tune_seg.study.output.live import LiveReport, Session
from tune_seg.study.output.markdown import write_markdown
from tune_seg.study.output.messages import (
    say_disk,
    say_failures,
    say_next,
    say_where,
    study_console,
    warn_of_frozen_encoders,
    warn_of_groups,
    warner,
)
from tune_seg.study.output.mlflow_answer import Data, conclusion
from tune_seg.study.output.mlflow_pictures import prediction_pictures
from tune_seg.study.output.mlflow_store import default_uri
from tune_seg.study.output.next_step import next_lines
from tune_seg.study.output.progress import Planned, StudyProgress
from tune_seg.study.output.report import Surroundings, final_report, training_cost
from tune_seg.study.output.results import ResultsFile, write_configurations, write_study
from tune_seg.study.output.say import say, waiting
from tune_seg.study.output.sentence import Cost
from tune_seg.study.output.standing import standing
from tune_seg.study.output.tracking import Tracker
from tune_seg.study.plan import Plan, plan_study
from tune_seg.study.prepare import Prepared, locked, prepared
from tune_seg.study.profiling import Profile
from tune_seg.study.ray_tune import cluster
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records
from tune_seg.study.reuse import Reuse, in_order_of_prefixes
from tune_seg.study.samplers.build import planned_points, sample_trials
from tune_seg.study.scoring import Scored, score_afterwards
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.trajectory import TrainingData

_SAMPLES = 128
"""Configurations drawn to see what the trials to come may have in common."""


class Outcome(Enum):
    """How a session of a study ended; the value is the command's exit status."""

    FINISHED = 0
    FAILED = 1  # some trials ended with an error
    INTERRUPTED = 130


@dataclass(frozen=True)
class More:
    """A session that searches no further and repeats the best configurations of a study.

    Attributes:
        kept: what the study has for `search.confirm`, whatever this session has.
        asked: what this session has set of the configuration, by dotted key.
        until: when no further round begins, by :func:`time.monotonic`; None: until all is decided or `max_seeds` is reached.
    """

    kept: ConfirmConfig
    asked: Mapping[str, Any]
    until: float | None = None


def run_study(
    plan: Plan,
    console: Console,
    *,
    profile_from: float | None = None,
    more: More | None = None,
    events: Events | None = None,
) -> Outcome:
    """Run the study, or what is left of it, and print its results.

    Ctrl-C (SIGINT) ends it early; what was computed is kept, and running it again continues it.

    Args:
        plan: the study.
        console: where to print.
        profile_from: when the command began, by :func:`time.perf_counter`; print where its time went, and write that to
            `profile.json`. None: do not.
        more: repeat the best configurations only. None: search, and repeat as far as `search.trials` allow.
        events: what happens is told there as well.

    Raises:
        InputError: the data, the model, the resources or the study directory are not what the study needs.
    """
    began = time.perf_counter() if profile_from is None else profile_from
    session_began = time.monotonic()
    if more is None and plan.comes_first:
        say(console, plan.comes_first)
    with locked(plan.directory):
        with prepared(plan, console, search=more is None) as ready:
            profile = Profile(ready.slots, began)
            outcome = _session(ready, console, profile, more, events, session_began)
        if profile_from is not None:
            profile.write(plan.directory / PROFILE)
            console.print(profile.table())
        return outcome


def confirm_study(
    directory: Path,
    overrides: Mapping[str, Any],
    hours: float | None = None,
    console: Console | None = None,
    events: Events | None = None,
) -> Outcome:
    """Train the best configurations of a study and plain cross entropy with more seeds, until they are told apart.

    Args:
        directory: of the study, whose search need not have ended.
        overrides: of its configuration, by dotted key: `search.confirm.max_seeds` and its like, or `compute.max_concurrent`.
        hours: after so many no further seed begins.
        console: where to print; the standard output.
        events: what happens is told there as well.

    Raises:
        InputError: as :func:`run_study`.
    """
    config = load_config(directory / CONFIGURATION, overrides=overrides)
    kept = load_config(directory / CONFIGURATION).search.confirm
    until = None if hours is None else time.monotonic() + 3600 * hours
    console, more = console or study_console(), More(kept, overrides, until)
    with waiting(console, "the images are listed"):
        plan = plan_study(config, directory)
    return run_study(plan, console, more=more, events=events)


def _session(
    ready: Prepared, console: Console, profile: Profile, more: More | None, events: Events | None, began: float
) -> Outcome:
    config, directory, packed = ready.config, ready.directory, ready.packed
    if more is None:  # what is said to `tune-seg confirm` is for that session alone
        if grow_study(directory, ready.space):
            say(console, "The search space has grown: the study goes on with the trials that it has.")
        write_study(config, directory / CONFIGURATION)
        grown(directory)
    data = TrainingData.of(packed)
    confirmation = _confirmation(ready, more)
    searches, space = more is None, ready.space
    deadline = Deadline.of(config, space, began) if searches else None
    points = _points(ready, data)
    records = Records(directory, config, space, points, confirmation, search=searches, deadline=deadline)
    uri = config.mlflow_uri or default_uri(directory)
    tracker = Tracker(uri, directory, records.study_id, config, class_names=packed.class_names)
    progress = StudyProgress(config, ready.slots, lambda: _planned(records, confirmation), data)
    report = LiveReport(console, _shown(ready, records, confirmation, profile), progress)
    written = ResultsFile(records, directory / RESULTS)
    before = list(records.trials.values())
    progress.begin(before)
    tracker.start(before)
    records.observers += [lambda record: progress.update(record, time.monotonic()), report.update]
    records.observers += [tracker.update, written.update]
    signs = [report.heartbeat]
    if events is not None:
        events.started(directory, config, _planned(records, confirmation), ready.slots)
        records.observers.append(events.trial)
        signs.append(lambda: events.progress(progress, time.monotonic(), profile.seconds))
    warn_of_classes(console, packed, ready.counts)
    warn_of_groups(console, packed)
    warn_of_frozen_encoders(console, ready.space)
    with closing(tracker):
        try:
            with report, heartbeat(signs):
                _run_trials(ready, records, confirmation, data, profile, warner(console), report.ending)
        finally:
            profile.trials_over()
            outcome = _outcome(records)
            try:
                written.write()
                answer = confirmation.answer(list(records.trials.values()))
                write_configurations(records.trials.values(), answer, directory / CONFIGURATIONS)
            finally:
                with waiting(console, "Ray and MLflow end"):
                    _end(ready, tracker, outcome, profile)
        ended = _Ended(ready, records, answer, outcome is Outcome.FINISHED, more)
        scored = _concluded(ended, console, tracker)
    if events is not None:
        events.answer(answer, config, ended.cost)
    say_where(console, directory, tracker, finished=ended.finished)
    say_disk(console, config, directory)
    say_failures(console, records)
    if records.out_of_time:
        say(
            console,
            f"Time: no further trial would have ended within {config.search.hours:g} hours. The same command goes on for as "
            "many again.",
        )
    if ended.finished:
        opened = scored.test is not None
        say_next(console, next_lines(config, directory, ended.found, answer, ended.cost, asked=ended.asked, opened=opened))
    return outcome


@dataclass(frozen=True)
class _Ended:
    """A session whose trials are over."""

    ready: Prepared
    records: Records
    answer: Answer | None
    finished: bool
    more: More | None

    @property
    def found(self) -> list[Record]:
        return list(self.records.trials.values())

    @property
    def cost(self) -> Cost:
        return training_cost(self.found, self.ready.slots)

    @property
    def asked(self) -> Mapping[str, Any]:
        """What `tune-seg confirm` has set for this session alone."""
        return {} if self.more is None else self.more.asked


def _concluded(ended: _Ended, console: Console, tracker: Tracker) -> Scored:
    """Score what was decided, and tell it in the terminal, in two files and to MLflow."""
    ready, answer, found = ended.ready, ended.answer, ended.found
    config, directory = ready.config, ready.directory
    scored = Scored()
    with Elsewhere() as elsewhere:
        if answer is not None and ended.finished:
            with waiting(console, "the answer is scored and its models are stored"):
                scored = _scored(ended, answer, elsewhere)
        surroundings = _surroundings(ready, scored)
        final_report(console, config, found, answer, surroundings)
        images = _write_reports(ended, surroundings, console, elsewhere)
    pictures = _pictures(images, console)
    with waiting(console, "MLflow gets the answer"):
        data, models = _data(ready), scored.models
        told = conclusion(config, directory, found, answer, cost=ended.cost, data=data, models=models, pictures=pictures)
        tracker.conclude(told)
    return scored


def _planned(records: Records, confirmation: Confirmation) -> Planned:
    search, repeats = records.expected
    return Planned(search, repeats, more=confirmation.budget is None)


def _shown(ready: Prepared, records: Records, confirmation: Confirmation, profile: Profile) -> Session:
    """What the screen tells of the session."""
    config, packed, objective = ready.config, ready.packed, ready.config.objectives[0]

    def stands() -> str:
        ended = [record for record in list(records.trials.values()) if record.state.ended]
        return standing(ended, confirmation.answer(ended), objective)

    images = "generated images" if config.data.root is None else f"images of {config.data.root.name}"
    height, width = packed.size
    title = (
        f"{ready.directory.name}: {len(packed.train)} + {len(packed.val)} {images}, {height} x {width}, "
        f"{len(packed.class_names)} classes"
    )
    return Session(title, objective, lambda: profile.seconds, stands, lambda: disk_line(ready.directory, ready.store))


def _write_reports(ended: _Ended, surroundings: Surroundings, console: Console, call: Call) -> Examples | None:
    """Write the report as text and, where a trial has run to its end, as a page, and say where that is.

    Returns:
        The images of the page; None where it shows none.
    """
    directory, config, found = ended.ready.directory, ended.ready.config, ended.found
    try:
        write_markdown(directory / TEXT_REPORT, config, found, ended.answer, surroundings, finished=ended.finished)
        if any(record.state is State.COMPLETED for record in found):
            with waiting(console, "the report is written"):
                study = read_study(directory, ended.asked, ended.ready.slots)
                images = examples_or_why_none(study, call)
                path = write_page(study, images)
            say(console, f"Report: {path}")
            return images if isinstance(images, Examples) else None
    except Exception as error:  # whatever it is, the study has an answer, which has been printed
        again = f"{command()} report {called_in_commands(directory)}"
        say(console, f"Warning: the report was not written ({reason(error)}); {again} tries it again")
    return None


def _pictures(images: Examples | None, console: Console) -> Mapping[str, Image]:
    """What MLflow shows of the images of the report, by the name of the file."""
    try:
        return {} if images is None else prediction_pictures(images)
    except Exception as error:  # whatever it is, the study has an answer, and a report
        say(console, f"Warning: MLflow gets no pictures of predictions ({reason(error)})")
        return {}


def _data(ready: Prepared) -> Data:
    """What MLflow is told of the data."""
    data, packed = ready.config.data, ready.packed
    source = str(data.root or data.format)
    profile = {
        "format": data.format,
        "training images": len(packed.train),
        "validation images": len(packed.val),
        "size": list(data.size),
        "classes": list(packed.class_names),
    }
    return Data(Path(source).name, packed.content_id, source, profile)


def _scored(ended: _Ended, answer: Answer, call: Call) -> Scored:
    ready, more = ended.ready, ended.more
    # a session that asks for fewer seeds than the study may have does not open the test split by that
    max_seeds = max(ready.config.search.confirm.max_seeds, 0 if more is None else more.kept.max_seeds)
    study = ended.records.study_id
    return score_afterwards(answer, ready.config, ready.packed, ready.test, ready.directory, study, max_seeds, call)


def _surroundings(ready: Prepared, scored: Scored) -> Surroundings:
    packed = ready.packed
    folds = [packed.of_fold(fold) for fold in range(packed.folds)] or [packed]
    counts = zip(packed.class_names, *(fold.val_pixels.tolist() for fold in folds), strict=True)
    absent = [name for name, *pixels in counts if not any(pixels)]
    return Surroundings(packed.class_names, absent, ready.slots, scored)


def _confirmation(ready: Prepared, more: More | None) -> Confirmation:
    """What makes the study sure of its answer."""
    budget = repeats_of(ready.config, ready.space) if more is None else None
    until = None if more is None else more.until
    keeps = 0 if more is None else more.kept.finalists  # a session that compares fewer removes nothing of the study's
    return Confirmation(ready.config, ready.directory, ready.packed, budget, ready.slots, until, keeps)


def _points(ready: Prepared, data: TrainingData) -> list[dict[str, Any]]:
    """What is not left to the sampler; points of a grid that begin alike follow each other where that saves something."""
    config = ready.config
    points = planned_points(config, ready.space)
    if config.search.sampler == "grid" and ready.compute.store_gb:
        return in_order_of_prefixes(points, config.trial, data)
    return points


def _run_trials(
    ready: Prepared,
    records: Records,
    confirmation: Confirmation,
    data: TrainingData,
    profile: Profile,
    warn: Callable[[str], None],
    ending: Callable[[], None],
) -> None:
    # here, because Ray Tune takes a second to load, which `prepared` hides behind the packing
    from tune_seg.study.ray_tune.fit import Steering, fit
    from tune_seg.study.ray_tune.searcher import StudyScheduler, StudySearcher
    from tune_seg.study.ray_tune.step_times import StepTimes
    from tune_seg.study.ray_tune.trainable import SegmentationTrial

    with _reuse_store(ready, records, confirmation, data) as (store, reuse):
        location = None if store is None else store.location
        searcher = StudySearcher(records, ready.packed.path, location, reuse, warn)
        steering = Steering(searcher, StudyScheduler(records, data), ending, [StepTimes(profile, records)])
        with records.asking_ahead(ready.slots):
            fit(SegmentationTrial, steering, ready.compute, ready.directory)
    for problem in () if store is None else store.problems:
        warn(problem)


@contextmanager
def _reuse_store(
    ready: Prepared, records: Records, confirmation: Confirmation, data: TrainingData
) -> Iterator[tuple[CheckpointStore | None, Reuse | None]]:
    """The checkpoint store, kept within its budget and free of weights that the study does not need, and what the trials
    have in common; None where none are kept.
    """
    config, store = ready.config, ready.store
    if store is None:
        yield None, None
        return
    begun: Collection[str] = ()
    try:
        begun = begun_with(ready.directory)
    except InputError as error:
        store.problems.append(f"weights that other studies begin with are removed where space is short: {error}")
    store.keep([*map(Path, config.files), *(ready.directory.parent / STORE / name for name in begun)])
    drawn: Iterable[Mapping[str, Any]]
    drawn = () if config.search.sampler == "grid" else sample_trials(config, ready.space, _SAMPLES)
    reuse = Reuse(data, records.planned, map(config.trial, drawn), store)

    seen = -1

    def clear() -> None:
        nonlocal seen
        trials = list(records.trials.values())
        ended = sum(trial.state.ended for trial in trials)
        if ended == seen:  # to find out whose weights are needed takes a moment where there are many
            return
        seen = ended
        clear_weights(trials, confirmation.needed(trials), ready.directory, store)

    with store.within(config.compute.store_gb * 1e9, reuse.uses, clear):
        yield store, reuse


def _outcome(records: Records) -> Outcome:
    states = {record.state for record in records.trials.values()}
    if State.FAILED in states and State.RUNNING not in states:
        return Outcome.FAILED
    return Outcome.FINISHED if records.finished else Outcome.INTERRUPTED


def _end(ready: Prepared, tracker: Tracker, outcome: Outcome, profile: Profile) -> None:
    """End Ray and MLflow's process at once: either may take a second or two."""
    # Ray ends in this thread: what Tune leaves behind must not be cleared away in one thread while Ray ends in another
    with ThreadPoolExecutor(1) as other:
        artifacts = [ready.directory / name for name in (CONFIGURATION, RESULTS, CONFIGURATIONS, CLASSES)]
        sent = other.submit(tracker.finish, interrupted=outcome is not Outcome.FINISHED, artifacts=artifacts)
        cluster.stop()
        with profile.tracking():
            sent.result()
