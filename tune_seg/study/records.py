"""Every trial of a study, as the study directory keeps them.

One append-only file (Optuna's journal) is the truth about a study: which trials there are, with which values, how each
epoch went, and how each ended. The results table and MLflow are views of it. A trial that was running when the process
ended is simply still open in the journal; it is handed out again before any new one.
"""

import json
import math
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from tune_seg.config import StudyConfig, TrialConfig
from tune_seg.errors import InputError
from tune_seg.study.budget import most_repeats
from tune_seg.study.configurations import known_score
from tune_seg.study.confirmation import Confirmation
from tune_seg.study.deadline import Deadline, time_for
from tune_seg.study.files import JOURNAL
from tune_seg.study.images import write_images
from tune_seg.study.journal import JournalReader, StudyJournal
from tune_seg.study.marks import ASSIGNMENT, DUPLICATE, EXTRA, REPEAT
from tune_seg.study.pace import Pace
from tune_seg.study.record import Record, State
from tune_seg.study.samplers._optuna_private import open_trial, trial_id
from tune_seg.study.samplers.build import build_sampler, planned_points
from tune_seg.study.search_space.portfolio import portfolio_of
from tune_seg.study.search_space.space import Space
from tune_seg.training.result import EpochResult

_OPTUNA_STATES = {
    State.COMPLETED: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.DIVERGED: TrialState.FAIL,
}

_FOR_PEOPLE = ("recall", "accuracy", "temperature/calibration")
"""Scores that the journal names apart from the rest, for those who look at it with optuna-dashboard."""

_MAX_DUPLICATES = 100
"""After so many suggestions of what was tried before, one after the other, the space has no more."""

_MAX_FAILURES_WITHOUT_RESULT = 3
"""Failed trials after which a study ends in which none has finished an epoch."""

_RECENT = 20
"""Trials whose time tells what the next one will take."""

_MAX_HELD_BACK_PER_SLOT = 2
"""Trials per slot that may be open and held back: more would be chosen with too little known."""

_MAX_KNOWN_HELD_BACK_PER_SLOT = 16
"""The same for baselines and the points of a grid, of which those that begin alike follow each other."""


class Records:
    """The trials of one study directory, handed out by :meth:`ask` and closed by :meth:`close`.

    Safe to use from several threads.

    Args:
        directory: the study directory; its `trials.journal` is made where it is missing.
        config: the study.
        space: its search space.
        points: what is not left to the sampler, in the order in which it is to be tried; by default
            :func:`tune_seg.study.samplers.build.planned_points`.
        confirmation: which configurations are repeated once the search has ended; None: none is.
        search: whether the search goes on where it has not ended yet.
        deadline: until when trials may run; None: as long as it takes.

    Attributes:
        out_of_time: whether trials were left out because they would not have ended in time.
    """

    def __init__(
        self,
        directory: Path,
        config: StudyConfig,
        space: Space,
        points: Sequence[Mapping[str, Any]] | None = None,
        confirmation: Confirmation | None = None,
        *,
        search: bool = True,
        deadline: Deadline | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.config = config
        self._space = space
        self._confirmation = confirmation
        self._deadline = deadline
        self.out_of_time = False
        self._path = directory / JOURNAL
        self._journal = StudyJournal(self._path)
        self._storage = JournalStorage(self._journal)
        # a directory that is renamed keeps its study
        name = next(iter(optuna.get_all_study_names(self._storage)), directory.name)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=name,
            directions=["maximize"] * len(config.objectives),
            load_if_exists=True,
        )
        if self._study.metric_names is None:
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                self._study.set_metric_names(list(config.objectives))  # for those who look at it with optuna-dashboard
        if "id" not in self._study.user_attrs:
            self._study.set_user_attr("id", uuid.uuid4().hex)
        existing = self._study.get_trials(deepcopy=False)
        # a fresh seed a session: a continued random search must not draw the same values again
        self._study.sampler = build_sampler(config.search, space, session=len(existing))
        self.observers: list[Callable[[Record], None]] = []
        self.trials: dict[int, Record] = {}
        self.sampler_seconds = 0.0
        """How long those who called :meth:`ask` have waited, for the sampler or the journal."""
        self._handles: dict[int, optuna.trial.Trial] = {}
        self._ready: list[Record] = []  # open, and not handed out in this session
        self._failed: set[int] = set()
        self._left_open: set[int] = set()  # trials that were begun or chosen, and for which there is no time
        self._waiting = sum(trial.state is TrialState.WAITING for trial in existing)
        self._asked = sum(_is_of_the_search(trial) for trial in existing)
        self._known: set[str] = set()  # the assignments of the search
        self._decided = False  # whether more repeats would add nothing
        self._numbered = 0  # the trials so far
        self._duplicates = 0  # that the sampler has suggested one after the other
        self._used_up: set[int] = set()  # the places in `points` beside which the sampler draws nothing new any more
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._pace = Pace()
        self._slots = 1
        for trial in existing:
            self._load(trial)
        self._hopeful = any(record.history for record in self.trials.values())
        self._points = planned_points(config, space) if points is None else points
        # what was good elsewhere and has not been tried yet; a grid has its own points
        good = () if config.search.sampler == "grid" else portfolio_of(space).assignments
        self._portfolio = [each for each in good if not any(_has(record, each) for record in self.trials.values())]
        # the grid sampler runs each point once: those that neither a trial nor a baseline to come has are left
        self._left = {_key(point): point for point in self._points} if config.search.sampler == "grid" else None
        self.searched = (
            config.search.trials - (0 if confirmation is None else confirmation.budget or 0) if search else self._asked
        )
        """How many trials the search has when it is finished; fewer where the space has no more."""
        if self._left is not None:
            for taken in (*(record.assignment for record in self.trials.values()), *config.baselines):
                self._left.pop(_key(taken), None)
            self._end_with_the_grid(self._left)

    @property
    def target(self) -> int:
        """How many trials the study has when it is finished, as far as that is known."""
        # one that was broken off waits again and is in both
        records = list({record.number: record for record in (*list(self.trials.values()), *self._ready)}.values())
        if self._confirmation is None or self._decided:
            return self.searched + sum(record.repeat for record in records)
        return self.searched + self._confirmation.planned(records)

    @property
    def expected(self) -> tuple[int, int]:
        """How many trials the search will have, and how many repeats: no more than there is time for."""
        search, repeats = self.searched, self.target - self.searched
        cost = self._whole_trial
        if self._deadline is None or not cost:
            return search, repeats
        now, begun = time.monotonic(), len(self.trials)
        of_search = self._slots * max(0.0, self._deadline.search - now) / cost
        of_repeats = self._slots * max(0.0, self._deadline.end - max(now, self._deadline.search)) / cost
        known = sum(record.repeat for record in list(self.trials.values()))
        return min(search, begun - known + int(of_search)), min(repeats, known + int(of_repeats))

    @property
    def to_sample(self) -> int:
        """How many trials the search has yet to ask for."""
        return max(0, self.searched - self._asked)

    @property
    def finished(self) -> bool:
        """Whether every trial has ended that the study needs."""
        return (
            self._asked >= self.searched
            and all(record.state.ended for record in self._of_this_session)
            and not self._round()
        )

    @property
    def study_id(self) -> str:
        """An identifier of this study that no other has, for views of it kept elsewhere."""
        return str(self._study.user_attrs["id"])

    @property
    def planned(self) -> list[TrialConfig]:
        """What is still to be handed out and known: baselines and a portfolio that leave nothing open, the points of a
        grid."""
        baselines = [point for point in self.config.baselines[self._asked : self.searched] if self._space.is_complete(point)]
        listed = [*(self._left or {}).values(), *(each for each in self._portfolio if self._space.is_complete(each))]
        points = islice(listed, max(0, self.to_sample - self._baselines_to_come))
        return [self.config.trial(point) for point in (*baselines, *points)]

    def needs_weights(self, record: Record) -> bool:
        """Whether the answer is about a trial: it is then trained for its weights, though its results may be stored."""
        return record.repeat or (self._confirmation is not None and self._confirmation.is_grid_of_repeats)

    @property
    def handed_out_all(self) -> bool:
        """Whether :meth:`ask` has no trial any more, neither now nor later."""
        with self._changed:
            if self._hopeless:
                return True
            if self._ready or self._asked < self.searched:
                return False
            if self._confirmation is None or self._confirmation.budget == 0:
                return True
            return not self._running and not self._round()

    @contextmanager
    def asking_ahead(self, slots: int) -> Iterator[None]:
        """While the context lasts, a thread asks the sampler for trials before one of the `slots` has to wait for it.

        What it has asked for and nobody has started stays open in the journal, and is handed out when the study goes on.
        The sampler knows nothing yet of the trials that run meanwhile, so no more is asked ahead than it takes for slots
        that become free together to wait at most a hundredth of a trial's time: for long trials none, and for one slot
        none ever.

        Raises:
            InputError: the journal could not be written meanwhile, and :meth:`ask` has not said so.
        """
        self._slots, stop = slots, threading.Event()
        thread = threading.Thread(target=self._ask_ahead, args=(stop,), name="sampler", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            with self._changed:
                self._changed.notify()
            thread.join()
            self._slots = 1
        self._raise_error()

    def ask(self, may_start: Callable[[Record], bool] | None = None) -> Record | None:
        """The next trial to run: one that is open already, else a new one; None when none may start now.

        Also None once several trials have failed and none has finished an epoch: all others would probably fail for the same
        reason.

        Args:
            may_start: holds back the trials for which it is false. Where it holds back all that are open, the sampler is
                asked for others, until there are twice as many as slots; of baselines and of a grid, sixteen times as many.

        Raises:
            InputError: the journal cannot be written, or could not be when a trial was closed.
        """
        started = time.perf_counter()
        with self._changed:
            self._raise_error()
            try:
                record = None if self._hopeless else self._next(may_start)
            except OSError as error:
                self._error = error
                self._raise_error()
                raise
            if record is not None:
                self.trials[record.number] = record
                self._pace.begin(record.number)
                self._changed.notify()
        self.sampler_seconds += time.perf_counter() - started
        if record is not None:
            self._notify(record)
        return record

    def add(self, number: int, result: EpochResult, checkpoint: str | None = None) -> Record:
        """Add the result of an epoch; a trial that began again after a failure replaces what it had.

        Args:
            number: of the trial.
            result: of the epoch.
            checkpoint: the file of the weights that the training ended with, after its last epoch.
        """
        record = self.trials[number]
        record.state = State.RUNNING
        record.history = [*record.history[: result.epoch - 1], result]
        record.checkpoint = checkpoint
        self._hopeful = True
        self._notify(record)
        return record

    def close(self, number: int, state: State, error: str = "") -> Record:
        """End a trial. A failed one stays open in the journal, so that continuing the study runs it again.

        Where the journal cannot be written, the next :meth:`ask` says so: Tune would take an error here for one of the
        trial. The trial then counts as running, unless the journal has what came out of it. A trial that has ended stays
        as it is.
        """
        record = self.trials[number]
        with self._changed:
            if number not in self._handles:
                return record
            trial = self._handles[number]
            try:
                if record.last is not None and record.last.evaluation.images is not None:
                    write_images(self._path.parent, number, record.last.evaluation.images)
                trial.set_user_attr("outcome", _outcome(record, state, error))
            except OSError as problem:
                self._error = problem
                return record
            record.state, record.error = state, error
            if state is State.FAILED:
                self._failed.add(number)
            try:
                if state.ended:
                    del self._handles[number]
                    self._tell(trial, record)
                self._journal.sync()
            except OSError as problem:  # continuing the study tells Optuna
                self._error = problem
            self._pace.end(number)
            self._changed.notify()
            stored = self._storage.get_trial(trial_id(trial)).user_attrs["outcome"]["history"]
        self._notify(record)
        if state.ended:
            record.history = stored
        return record

    def _tell(self, trial: optuna.trial.Trial, record: Record) -> None:
        for name, value in _for_people(record).items():
            trial.set_user_attr(name, value)
        if len(self.config.objectives) == 1:
            told = self._storage.get_trial(trial_id(trial)).intermediate_values
            for result in record.history:
                scores = self._scores(result)
                if scores and result.epoch not in told:  # by a process that ended before it had told all
                    trial.report(scores[0], step=result.epoch)
        values = self._values(record)
        failed = record.state is State.COMPLETED and values is None
        self._study.tell(trial, values, state=TrialState.FAIL if failed else _OPTUNA_STATES[record.state])

    def _values(self, record: Record) -> list[float] | None:
        """What the sampler is told of a trial that ran to its end; None of another, and where an objective is unknown."""
        return self._scores(record.history[-1]) if record.state is State.COMPLETED else None

    def _scores(self, result: EpochResult) -> list[float] | None:
        """The objectives, none of which is nan: Optuna rejects that. None where one is unknown."""
        known = [known_score(name, result.score(name)) for name in self.config.objectives]
        scores = [score for score in known if score is not None]
        return scores if len(scores) == len(known) else None

    def _raise_error(self) -> None:
        """Raise what has kept the study from going on, if anything has."""
        if isinstance(self._error, OSError):
            path = self._error.filename or self._path
            raise InputError(
                f"{path} cannot be written ({self._error.strerror or self._error}); make space on its disk and run the same "
                f"command again: what the file has is kept, and the study goes on from there"
            ) from self._error
        if self._error is not None:
            raise self._error

    @property
    def _baselines_to_come(self) -> int:
        return max(0, len(self.config.baselines) - self._asked)

    def _end_with_the_grid(self, left: Mapping[str, Mapping[str, Any]]) -> None:
        self.searched = min(self.searched, self._asked + self._baselines_to_come + len(left))

    @property
    def _hopeless(self) -> bool:
        return len(self._failed) >= _MAX_FAILURES_WITHOUT_RESULT and not self._hopeful

    def _ask_ahead(self, stop: threading.Event) -> None:
        while True:
            with self._changed:  # which whoever stops this thread takes after setting `stop`: no notification is lost
                if stop.is_set():
                    return
                remaining = 0 if self._hopeless or self._error else self.to_sample
                if len(self._ready) >= self._pace.ahead(self._slots, remaining) or self._search_is_over():
                    self._changed.wait()
                    continue
                try:
                    if (record := self._new()) is not None:
                        self._ready.append(record)
                except BaseException as error:
                    self._error = error  # for whoever asks next
                    return
            time.sleep(0.001)  # for whoever waits to ask or to close a trial

    def _next(self, may_start: Callable[[Record], bool] | None) -> Record | None:
        # all are looked at: what one of them has in common with a running trial is to be known while that can be stored
        self._leave_what_is_too_late()
        free = [record for record in self._ready if may_start is None or may_start(record)]
        if free:
            self._ready.remove(free[0])
            return free[0]
        while self._asked < self.searched and len(self._ready) < self._most_ready:
            if self._search_is_over():
                break
            record = self._new()
            if record is None:
                continue
            if may_start is None or may_start(record):
                return record
            self._ready.append(record)
        if self._asked >= self.searched and not self._ready and not self._running:
            self._ready += [self._repeat(assignment) for assignment in self._round()]
            if self._ready:
                return self._next(may_start)
        return None

    def _leave_what_is_too_late(self) -> None:
        """Trials of the search that nobody has started stay open in the journal, for the next session, once it is too
        late."""
        if any(not record.repeat for record in self._ready) and self._search_is_over():
            self.out_of_time = True
            self._left_open |= {record.number for record in self._ready if not record.repeat}
            self._ready = [record for record in self._ready if record.repeat]

    @property
    def _running(self) -> bool:
        """Whether a trial has yet to end in this session."""
        return any(record.state is State.RUNNING for record in self._of_this_session)

    @property
    def _of_this_session(self) -> list[Record]:
        return [record for record in list(self.trials.values()) if record.number not in self._left_open]

    def _round(self) -> Sequence[Mapping[str, Any]]:
        """The repeats that are needed next, once every trial has ended; none after one that has failed."""
        if self._confirmation is None or any(record.state is State.FAILED for record in self.trials.values()):
            return ()
        known, at_most = list(self.trials.values()), None
        if self._deadline is not None and (cost := self._whole_trial):
            at_most = self._slots * max(0, int((self._deadline.end - time.monotonic()) / cost))
        found = self._confirmation.next_round(known, at_most)
        if not found and at_most is not None and self._confirmation.next_round(known):
            self.out_of_time = True
        self._decided = not found
        return found

    def _search_is_over(self) -> bool:
        """Whether another trial of the search would not end in time; the search then has those that it has."""
        if self._deadline is None:
            return False
        cost, until = self._whole_trial, self._deadline.search
        if cost and until < self._deadline.end:  # the repeats need no more than they can be
            most = math.ceil(most_repeats(self.config.search.confirm) / self._slots)
            until = max(until, self._deadline.end - most * cost)
        if time_for(cost, until):
            return False
        self.out_of_time = self.out_of_time or self._asked < self.searched
        self.searched = min(self.searched, self._asked)
        return True

    @property
    def _whole_trial(self) -> float:
        """How many seconds a trial takes that computes all of its epochs; 0 as long as none has ended."""
        ended = [each for each in list(self.trials.values()) if each.state is State.COMPLETED and not each.replayed]
        return max((each.seconds for each in ended[-_RECENT:]), default=0.0)

    @property
    def _most_ready(self) -> int:
        known = self._left is not None or self._asked < len(self.config.baselines)
        return (_MAX_KNOWN_HELD_BACK_PER_SLOT if known else _MAX_HELD_BACK_PER_SLOT) * self._slots

    def _new(self) -> Record | None:
        """The next trial of the search; None where the sampler has drawn what it had drawn before."""
        started = time.perf_counter()
        fixed = self._fixed(self._asked)
        if fixed and not self._waiting:
            self._study.enqueue_trial(self._space.stored(fixed))
        trial = self._study.ask()
        self._waiting = max(0, self._waiting - 1)
        record = self._adopt(trial)
        if _key(record.assignment) in self._known and not record.baseline:
            self._drop(record)
            return None
        self._asked += 1
        self._duplicates = 0
        self._known.add(_key(record.assignment))
        if self._left is not None and self._left.pop(_key(record.assignment), None) is not None and record.baseline:
            self._end_with_the_grid(self._left)  # what the sampler has added to a baseline was a point of the grid
        self._pace.asked(time.perf_counter() - started)
        return record

    def _drop(self, record: Record) -> None:
        """Leave out a trial of the search that is the same as one before it: it would tell nothing new.

        The sampler gets the score of the one before where that has ended, so that it draws something else. Where nothing
        else comes, the next of the points takes its turn, and after the last of them the search ends.
        """
        trial = self._handles.pop(record.number)
        self._numbered -= 1
        trial.set_user_attr(DUPLICATE, True)
        before = next(other for other in (*self.trials.values(), *self._ready) if other.assignment == record.assignment)
        values = self._values(before)
        self._study.tell(trial, values, state=TrialState.FAIL if values is None else TrialState.COMPLETE)
        self._duplicates += 1
        if self._duplicates >= _MAX_DUPLICATES:
            self._duplicates = 0
            self._used_up.add(self._turn(self._asked))
            if len(self._used_up) == len(self._points):
                self.searched = self._asked

    def _repeat(self, assignment: Mapping[str, Any]) -> Record:
        """A trial that repeats a configuration; the sampler takes no part in it."""
        trial = self._study.ask()
        assert self._confirmation is not None
        extra = self._confirmation.budget is None
        trial.set_user_attr(REPEAT, True)
        if extra:
            trial.set_user_attr(EXTRA, True)
        trial.set_user_attr(ASSIGNMENT, dict(assignment))
        record = Record(self._number(), assignment, self.config.trial(assignment), repeat=True, extra=extra)
        self._handles[record.number] = trial
        return record

    def _fixed(self, number: int) -> Mapping[str, Any]:
        """What is not left to the sampler: a baseline first, then the portfolio, with the points of the grid in turn."""
        baselines = self.config.baselines
        if number < len(baselines):
            return baselines[number]
        if self._left is not None:
            return next(iter(self._left.values()))
        point = self._points[self._turn(number)]
        return {**point, **self._portfolio.pop(0)} if self._portfolio else point

    def _turn(self, number: int) -> int:
        """Which of the points a trial takes: each in turn, without those that are used up."""
        turns = ((number - len(self.config.baselines) + step) % len(self._points) for step in range(len(self._points)))
        return next(turn for turn in turns if turn not in self._used_up)

    def _adopt(self, trial: optuna.trial.Trial) -> Record:
        assignment = self._space.sample(trial)
        number = self._number()
        try:
            config = self.config.trial(assignment)
        except InputError:  # or every later session would take it up again
            trial.set_user_attr(DUPLICATE, True)
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        record = Record(number, assignment, config, number < len(self.config.baselines))
        trial.set_user_attr(ASSIGNMENT, assignment)
        self._handles[number] = trial
        return record

    def _number(self) -> int:
        """The number of the next trial; those that were left out have none."""
        self._numbered += 1
        return self._numbered - 1

    def _load(self, frozen: FrozenTrial) -> None:
        """Take over a trial of an earlier session; a waiting one was never handed out, and the next ask returns it."""
        if frozen.state is TrialState.WAITING or DUPLICATE in frozen.user_attrs:
            return
        if ASSIGNMENT in frozen.user_attrs:
            number = self._number()
            self.trials[number] = record = _record(number, frozen, self.config)
            if not record.repeat:
                self._known.add(_key(record.assignment))
            if not frozen.state.is_finished():
                self._handles[number] = open_trial(self._study, frozen)
        else:  # the process ended between Optuna's ask and the first suggestion
            record = self._adopt(open_trial(self._study, frozen))
            self.trials[record.number] = record
        if not frozen.state.is_finished():
            self._finish_or_reopen(record)

    def _finish_or_reopen(self, record: Record) -> None:
        if record.state.ended:  # the process ended after the outcome was written and before Optuna was told
            self.close(record.number, record.state)
        else:
            record.history, record.state, record.error, record.checkpoint = (), State.RUNNING, "", None
            self._ready.append(record)

    def _notify(self, record: Record) -> None:
        for observer in self.observers:
            observer(record)


@dataclass(frozen=True)
class JournalContents:
    """What the journal of a study holds.

    Attributes:
        records: the trials, by number.
        sampled: what Optuna knows of each of them.
        duplicates: how many suggestions were left out, as the same had been tried before.
    """

    records: Sequence[Record]
    sampled: Sequence[FrozenTrial]
    duplicates: int


def read_records(directory: Path, config: StudyConfig) -> JournalContents:
    """The trials of a study that another process may be running; nothing is changed.

    Raises:
        InputError: there is no journal, or another version of tune_seg has written it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = directory / JOURNAL
    try:
        study = optuna.load_study(study_name=None, storage=JournalStorage(JournalReader(path)))  # the one study in it
        existing = study.get_trials(deepcopy=False)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); run the study first") from None
    begun = [trial for trial in existing if _is_begun(trial)]
    records = [_record(number, trial, config) for number, trial in enumerate(begun)]
    return JournalContents(records, begun, sum(DUPLICATE in trial.user_attrs for trial in existing))


def _is_begun(trial: FrozenTrial) -> bool:
    """Whether it is a trial of the study, of which it is known what it trains."""
    return DUPLICATE not in trial.user_attrs and ASSIGNMENT in trial.user_attrs


def _record(number: int, frozen: FrozenTrial, config: StudyConfig) -> Record:
    """A trial as the journal has it."""
    assignment = frozen.user_attrs[ASSIGNMENT]
    outcome = frozen.user_attrs.get("outcome", {"state": State.RUNNING, "history": (), "error": ""})
    return Record(
        number,
        assignment,
        config.trial(assignment),
        number < len(config.baselines),
        State(outcome["state"]),
        outcome["history"],
        outcome["error"],
        outcome.get("checkpoint"),
        repeat=REPEAT in frozen.user_attrs,
        extra=EXTRA in frozen.user_attrs,
    )


def _outcome(record: Record, state: State, error: str) -> dict[str, Any]:
    """What the journal holds of a trial that has ended; the counts of its images have a file of their own."""
    history = [replace(result, evaluation=replace(result.evaluation, images=None)).to_json() for result in record.history]
    return {"state": state.value, "history": history, "error": error, "checkpoint": record.checkpoint}


def _for_people(record: Record) -> dict[str, str | float]:
    """What optuna-dashboard shows and draws of a trial beside its parameters: `outcome` is one long line there."""
    scores = {name: record.score(name) for name in _FOR_PEOPLE}
    known = {name: float(f"{score:.5g}") for name, score in scores.items() if score is not None and math.isfinite(score)}
    return {"loss": record.name, **known}


def _is_of_the_search(trial: FrozenTrial) -> bool:
    return trial.state is not TrialState.WAITING and not {REPEAT, DUPLICATE} & trial.user_attrs.keys()


def _has(record: Record, values: Mapping[str, Any]) -> bool:
    """Whether a trial of the search has these values."""
    return not record.repeat and all(record.assignment.get(key) == value for key, value in values.items())


def _key(assignment: Mapping[str, Any]) -> str:
    return json.dumps(assignment, sort_keys=True)
