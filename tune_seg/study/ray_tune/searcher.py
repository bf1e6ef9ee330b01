"""Between Ray Tune and the records: Tune asks here for configurations, reports results, and is told whom to stop."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune_seg.config import EarlyStoppingConfig
from tune_seg.study.early_stopping import Course, EarlyStopping, settles
from tune_seg.study.ray_tune._ray_private import NotSaved, leave_out_state
from tune_seg.study.ray_tune.trainable import REPORT, StepReport
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records
from tune_seg.study.reuse import Reuse
from tune_seg.training.result import EpochResult
from tune_seg.training.trajectory import TrainingData, trajectory_keys

_LOST: Final = (
    "its worker process was lost, again after two more tries, often for lack of memory: lower compute.max_concurrent "
    "(--max-concurrent) or training.batch_size"
)
"""Why a trial failed of which Ray reports nothing."""


class StudySearcher(NotSaved, Searcher):
    """Hands the trials of `records` to Tune and writes down how they go.

    Args:
        records: the study's trials.
        pack: the file of the packed data.
        store: where the trials' checkpoints are kept; None: nowhere.
        reuse: what the trials have in common; None where nothing is kept.
        warn: told what went wrong with the store, a line at a time.
    """

    def __init__(
        self, records: Records, pack: Path, store: str | None, reuse: Reuse | None, warn: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._records = records
        self._pack = pack
        self._store = store
        self._reuse = reuse
        self._warn = warn
        self._numbers: dict[str, int] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True  # the records know what is maximised

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        record = self._records.ask(None if self._reuse is None else self._reuse.may_start)
        if record is None:
            finished: Any = Searcher.FINISHED  # a string, where the base class declares a dictionary
            return finished if self._records.handed_out_all else None
        self._numbers[trial_id] = record.number
        uses: dict[int, float] = {}
        if self._reuse is not None:
            uses = self._reuse.start(record, remaining=self._records.to_sample)
        return {
            "number": record.number,
            # as text, because Tune copies, flattens and describes every value of a configuration
            "trial": json.dumps(record.config.model_dump(mode="json")),
            "pack": str(self._pack),
            "store": self._store,
            "uses": list(uses.items()),
            "weights": self._records.needs_weights(record),
            "path": [os.path.abspath(entry) for entry in sys.path],
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._take(self._numbers[trial_id], result[REPORT])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self._numbers[trial_id]
        report: StepReport | None = None if error or not result else result[REPORT]
        if report is None:
            self._records.close(number, State.FAILED, _LOST)
        else:
            self._take(number, report)
            state = State.FAILED if report.error else _outcome(self._records.trials[number])
            self._records.close(number, state, report.error)
        if self._reuse is not None:
            self._reuse.end(number)

    def _take(self, number: int, report: StepReport) -> None:
        """Write down what a step reports: the result of an epoch, or of all that were stored."""
        for problem in report.problems:
            self._warn(problem)
        if report.progress is None:
            return
        *earlier, last = report.results
        for result in earlier:
            self._records.add(number, result)
        self._records.add(number, last, report.progress.checkpoint)
        if self._reuse is not None:
            self._reuse.progress(number, done=last.epoch, stored=report.progress.stored, writing=report.progress.writing)


class _NewestFirst(FIFOScheduler):
    """Gives a worker that has become free to the trial that came for it.

    Tune's own choice is the oldest trial that waits, found by going through all trials of the study. While workers start,
    that is one whose own worker is on its way: Tune stops that worker, starts another for the newest trial, and so on, so
    that with short trials the slots never fill.
    """

    def __init__(self) -> None:
        super().__init__()
        self._newest: Trial | None = None

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._newest = trial
        leave_out_state(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        if self._newest is not None and self._newest.status == Trial.PENDING:
            return self._newest
        return None  # Tune goes on with those that wait in turn


class StudyScheduler(NotSaved, _NewestFirst):
    """Stops the trials that early stopping gives up.

    Args:
        records: the study's trials; the scores of an earlier session count at once.
        data: what the trials are trained on.
    """

    def __init__(self, records: Records, data: TrainingData) -> None:
        super().__init__()
        self._records = records
        self._data = data
        config = records.config
        self._objective = config.objectives[0]
        # Optuna knows no pruned trial in a search with several objectives: there every trial runs to its end
        rule = config.search.early_stopping if len(config.objectives) == 1 else EarlyStoppingConfig(kind="none")
        self._rule = EarlyStopping(rule, config.training.epochs)
        self._courses: dict[int, Course] = {}
        for record in records.trials.values() if rule.kind != "none" else ():  # reading them takes time
            self._stops(record, record.history)
            self._courses.pop(record.number, None)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        report: StepReport = result[REPORT]
        record = self._records.trials[trial.config["number"]]
        stop = self._stops(record, report.results)  # a trial that has failed reports none, and ends by itself
        return str(TrialScheduler.STOP if stop and not (record.baseline or record.repeat) else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        # Tune asks for no decision on the results that end a trial, and replayed epochs can be among them
        number = trial.config["number"]
        report: StepReport | None = result.get(REPORT)
        if report is not None:
            self._stops(self._records.trials[number], report.results)
        self._courses.pop(number, None)

    def _stops(self, record: Record, results: Sequence[EpochResult]) -> bool:
        """Take note of the results of epochs, in their order; whether one of them says that the trial should stop."""
        judged = [result for result in results if self._rule.judges(result.epoch)]
        # A list, not a generator: `any` must not skip a result, because each call also records it.
        return any([self._judge(record, result) for result in judged])

    def _judge(self, record: Record, result: EpochResult) -> bool:
        return self._rule.stops(self._course(record), result.epoch, result.score(self._objective))

    def _course(self, record: Record) -> Course:
        if record.number not in self._courses:
            keys = trajectory_keys(record.config, self._data)
            self._courses[record.number] = Course(keys, settles(record.config), record.config.fold)
        return self._courses[record.number]


def _outcome(record: Record) -> State:
    last = record.history[-1]
    if last.diverged:
        return State.DIVERGED
    return State.COMPLETED if last.epoch >= record.config.training.epochs else State.PRUNED
