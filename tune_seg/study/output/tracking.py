"""MLflow as a view of the study: a parent run for the study, a child run for each trial.

A separate process sends what the records hold and MLflow lacks: MLflow takes tens of milliseconds of a processor for a
trial, during which the process that steers the study would keep its workers waiting. What cannot be sent is sent later: at
the next result, at the end, or when the study is continued. The study never waits for it and never fails because of it.
"""

import atexit
import contextlib
import math
import os
import posixpath
import queue
import re
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_seg._child import Child
from tune_seg.config import RECORDED, LossKind, StudyConfig
from tune_seg.losses.catalogue import get_spec
from tune_seg.metric_names import OBJECTIVES
from tune_seg.study.configurations import configurations
from tune_seg.study.output.mlflow_answer import Conclusion, send_conclusion
from tune_seg.study.output.mlflow_store import connect, find_experiment, make_experiment
from tune_seg.study.output.mlflow_view import CONFIGURATION, SCHEDULE, STATE, link, offer_views
from tune_seg.study.output.words import name_with_settings
from tune_seg.study.record import Record, State, SummedHistory
from tune_seg.training.result import TEMPERATURE, EpochResult

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STATUS = {
    State.RUNNING: "RUNNING",
    State.COMPLETED: "FINISHED",
    State.PRUNED: "FINISHED",  # MLflow shows what was killed as a fault, and to be stopped early is none
    State.DIVERGED: "FAILED",
    State.FAILED: "FAILED",
}
_STATE_BEFORE = "tune_seg.state"
"""What the tag `state` was called up to version 0.2."""
_PAUSE = 5.0
_LONGEST_TAG = 500
_METRICS_A_BATCH = 800
"""MLflow takes a thousand metrics, params and tags together in one call."""
_DIGITS = 5
"""Significant digits of a metric: the columns of the UI have room for no more, and the results keep all."""


@dataclass(frozen=True)
class _Trial:
    """What MLflow is told of a trial; its times are milliseconds, and None where they were of another session."""

    number: int
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    state: State
    reason: str
    history: Sequence[EpochResult]
    began: int | None
    ended: int | None


@dataclass(frozen=True)
class _End:
    """How the study has ended, and the files that belong to its run."""

    status: str
    artifacts: Sequence[Path]


class Tracker:
    """Sends the records of one study to MLflow.

    Args:
        uri: a tracking server, or the default store of the study directory, :func:`default_uri`.
        directory: the study directory; its name names the experiment and the parent run.
        study_id: tells this study's runs from those of another study with its name.
        config: the study, from which the views of its runs follow.
        class_names: of the data, under which recalls and adaptive class weights are sent.

    Attributes:
        uri: as above.
        error: what could not be sent, once the study has ended; empty where all was.
        link: where a server shows the study, once it has ended; empty where none keeps it, or nothing was sent.
    """

    def __init__(
        self, uri: str, directory: Path, study_id: str, config: StudyConfig, *, class_names: Sequence[str] = ()
    ) -> None:
        self.uri = uri
        self.error = ""
        self.link = ""
        self._queue: queue.Queue[Record | _End] = queue.Queue()
        self._began: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        self._sender = _Sender(uri, directory, study_id, config, class_names)
        self._feeder = threading.Thread(target=self._feed, name="mlflow", daemon=True)

    def start(self, records: Iterable[Record]) -> None:
        """Begin to send; `records` are the trials of earlier sessions, of which MLflow may lack something."""
        self._child = Child(_serve, self._sender)
        atexit.register(self._child.kill)
        now = _now()
        for record in records:
            if record.state.ended:  # nobody has noted when; how long it took is known
                self._began[record.number], self._ended[record.number] = now - round(1000 * record.seconds), now
            self._tell(record)
        self._feeder.start()

    def update(self, record: Record) -> None:
        """A trial has changed. MLflow hears of it once an epoch is done or the trial has ended."""
        if record.state is not State.RUNNING:
            self._ended[record.number] = _now()
        elif not record.history:
            self._began[record.number] = _now()
        self._tell(record)

    def _tell(self, record: Record) -> None:
        if record.history or record.state is not State.RUNNING:
            self._queue.put(replace(record))

    def finish(self, *, interrupted: bool, artifacts: Iterable[Path], timeout: float = 60.0) -> None:
        """Send what is left and close the parent run; after `timeout` seconds the rest is left for the next session."""
        self._queue.put(_End("KILLED" if interrupted else "FINISHED", list(artifacts)))
        self._await(timeout)

    def conclude(self, conclusion: Conclusion, timeout: float = 120.0) -> None:
        """After :meth:`finish`, say what came out of the study; nothing is said where not all of its trials were sent."""
        if not self.error:
            with contextlib.suppress(OSError):  # the process has ended, which is found below
                self._child.connection.send(conclusion)
            self._await(timeout)

    def close(self) -> None:
        """End the process that sends, whatever it has left to send."""
        self._child.kill()
        atexit.unregister(self._child.kill)

    def _await(self, timeout: float) -> None:
        answer = self._child.connection
        try:
            self.error, self.link = answer.recv() if answer.poll(timeout) else (f"no answer within {timeout:g} s", "")
        except (EOFError, OSError):
            self.error = "the process that sends them has ended"

    def _feed(self) -> None:
        """Pass on what has changed; only the newest record of each trial, which holds all that came before."""
        end: _End | None = None
        while end is None:
            items = [self._queue.get()]
            while not self._queue.empty():
                items.append(self._queue.get())
            end = next((item for item in items if isinstance(item, _End)), None)
            newest = {item.number: item for item in items if isinstance(item, Record)}
            try:
                for record in newest.values():
                    times = self._began.get(record.number), self._ended.get(record.number)
                    self._child.connection.send(_told(record, *times))
                if end is not None:
                    self._child.connection.send(end)
            except OSError:
                return  # the process has ended; finish says so


def _told(record: Record, began: int | None, ended: int | None) -> _Trial:
    name = f"{record.number:03d} {record.name}"
    history = record.history
    if not isinstance(history, SummedHistory):  # MLflow has no use for the counts of the images
        history = [replace(result, evaluation=replace(result.evaluation, images=None)) for result in history]
    return _Trial(record.number, name, _tags(record), record.params, record.state, record.reason, history, began, ended)


def _tags(record: Record) -> dict[str, str]:
    """What runs are grouped and filtered by, beside their params."""
    (configuration,) = configurations([record])
    families = dict.fromkeys(get_spec(term.loss).family for term in record.config.components)
    kind = record.config.loss.kind
    tags = {
        CONFIGURATION: f"{name_with_settings(configuration)} [{configuration.id}]",  # the repeats of one have this in common
        "repeat": _yes(record.repeat),
        "baseline": _yes(record.baseline),
        "loss family": "+".join(families),
        "scheduled": _yes(kind.scheduled or kind is LossKind.PROGRAM),
    }
    if kind.scheduled:
        start, end = record.config.schedule.fractions(kind)
        tags[SCHEDULE] = f"{kind.value} {start:.2f} to {end:.2f}"
    return tags


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _now() -> int:
    """The time in milliseconds, as MLflow takes it."""
    return time.time_ns() // 1_000_000


def _serve(connection: Connection, sender: "_Sender") -> None:
    """What the other process does until the study ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it means the study, which then says how it has ended
    os.nice(19)  # the training has priority: Ray's workers have 15
    try:
        sender.run(connection)
        connection.send((sender.error, sender.link))
        sender.conclude(connection.recv())
        connection.send((sender.error, sender.link))
    except (EOFError, OSError):
        return  # the study has ended without a word


class _Sender:
    """Sends trials to MLflow, in a separate process."""

    def __init__(self, uri: str, directory: Path, study_id: str, config: StudyConfig, class_names: Sequence[str]) -> None:
        self.error = ""
        self._uri = uri
        self._directory = directory
        self._study_id = study_id
        self._config = config
        self._recalls = _metric_names("recall", class_names)
        self._class_weights = _metric_names("weight/acw", class_names)
        self._pending: dict[int, _Trial] = {}
        self._sent: dict[int, _Run] = {}
        self._parent = ""
        self._experiment = ""

    def run(self, trials: Connection) -> None:
        """Send what comes from `trials` until an end comes.

        Raises:
            EOFError: the study has ended without one.
        """
        client: MlflowClient | None = None
        end: _End | None = None
        while end is None:
            end = self._collect(trials)
            try:
                client = client or self._connect()
                for number in sorted(self._pending):
                    self._send(client, self._pending[number])
                    del self._pending[number]
                if end is not None:
                    self._close(client, end)
                self.error = ""
            except Exception as error:  # whatever goes wrong with a view must not end the study
                self.error = _reason(error)
                if end is None:
                    time.sleep(_PAUSE)

    def conclude(self, conclusion: Conclusion) -> None:
        """Say what came out of the study."""
        try:
            children = {number: child.run_id for number, child in self._sent.items()}
            send_conclusion(connect(self._uri, self._directory), self._uri, self._parent, children, conclusion)
        except Exception as error:  # as above
            self.error = _reason(error)

    def _collect(self, trials: Connection) -> _End | None:
        """Wait for a change, then take all there are; the newest state of a trial holds all the older ones."""
        while True:
            item = trials.recv()
            if isinstance(item, _End):
                return item
            self._pending[item.number] = item
            if not trials.poll():
                return None

    @property
    def link(self) -> str:
        """Where a server shows the study; empty where none keeps it, or it has not answered."""
        return link(self._uri, self._experiment) if self._experiment and self._uri.startswith("http") else ""

    def _connect(self) -> "MlflowClient":
        client = connect(self._uri, self._directory)
        found = find_experiment(client, self._uri, self._directory)
        self._experiment = found or make_experiment(client, self._uri, self._directory)
        offer_views(client, self._experiment, self._config)
        self._find_runs(client)
        if not self._parent:
            tags = {"tune_seg.study": self._study_id}
            name = self._directory.name
            self._parent = client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        client.update_run(self._parent, status="RUNNING")
        return client

    def _find_runs(self, client: "MlflowClient") -> None:
        token = None
        while True:
            page = client.search_runs(
                [self._experiment], f"tags.`tune_seg.study` = '{self._study_id}'", max_results=1000, page_token=token
            )
            for run in page:
                number = run.data.tags.get("tune_seg.trial")
                if number is None:
                    self._parent = run.info.run_id
                else:
                    state = run.data.tags.get(STATE) or run.data.tags.get(_STATE_BEFORE, "")
                    self._sent[int(number)] = _Run(run.info.run_id, state=state)
            token = page.token
            if not token:
                return

    def _send(self, client: "MlflowClient", trial: _Trial) -> None:
        from mlflow.entities import Metric, Param, RunTag

        child = self._sent.get(trial.number)
        if child is None:
            labels = {
                "mlflow.parentRunId": self._parent,
                "tune_seg.study": self._study_id,
                "tune_seg.trial": str(trial.number),
                **{name: value[:_LONGEST_TAG] for name, value in trial.tags.items()},
            }
            run = client.create_run(self._experiment, start_time=trial.began, tags=labels, run_name=trial.name)
            child = self._sent[trial.number] = _Run(run.info.run_id, epochs=0)
        if child.state == trial.state and trial.state.ended:
            return  # an earlier session has sent it whole
        if child.epochs is None:
            child.epochs = max((point.step for point in client.get_metric_history(child.run_id, "train_loss")), default=0)
        params = [] if child.state else [Param(key, _rounded(value)) for key, value in trial.params.items()]
        now = _now()
        metrics: list[Metric] = []
        history = list(trial.history)
        for result in history[child.epochs :]:
            more = [Metric(name, value, now, result.epoch) for name, value in self._metrics(result).items()]
            if metrics and len(metrics) + len(more) > _METRICS_A_BATCH:
                client.log_batch(child.run_id, metrics=metrics, params=params)
                metrics, params, child.epochs = [], [], result.epoch - 1
            metrics += more
        tags = []
        if child.state != trial.state:
            tags.append(RunTag(STATE, trial.state.value))
            if trial.reason:
                tags.append(RunTag("error", trial.reason[:_LONGEST_TAG]))
        client.log_batch(child.run_id, metrics=metrics, params=params, tags=tags)
        child.epochs = max(child.epochs, len(history))
        if trial.state is not State.RUNNING:
            client.set_terminated(child.run_id, _STATUS[trial.state], trial.ended)
        elif child.state:
            client.update_run(child.run_id, status=_STATUS[trial.state])  # it has begun again
        child.state = trial.state

    def _metrics(self, result: EpochResult) -> dict[str, float]:
        """All that a run records of an epoch, by the names that MLflow has them under.

        What trials are compared by has its plain name, as in the results. The rest has names that come last in the UI, which
        sorts them. What is not known, nan, is left out: the UI could neither sort nor draw it.
        """
        evaluation = result.evaluation
        scores = {name: result.find(name) for name in (*OBJECTIVES, *RECORDED)}
        fitted = {name: value for name, value in evaluation.fitted.items() if not isinstance(value, tuple)}
        values = {
            **{name: score for name, score in scores.items() if score is not None},
            **dict(zip(self._recalls, evaluation.per_class.get("class_recall", ()), strict=False)),
            "lr": result.lr,
            "train_loss": result.train_loss,
            **{_last(name): value for name, value in {**evaluation.scaled_metrics, **fitted}.items()},
            **{f"weight/{name}": weight for name, weight in result.weights.items()},
            **dict(zip(self._class_weights, result.acw_weight or (), strict=False)),
        }
        return {name: float(f"{value:.{_DIGITS}g}") for name, value in values.items() if math.isfinite(value)}

    def _close(self, client: "MlflowClient", end: _End) -> None:
        for child in self._sent.values():
            if child.state in ("", State.RUNNING):  # interrupted: it runs again when the study is continued
                client.set_terminated(child.run_id, "KILLED")
        for path in end.artifacts:
            client.log_artifact(self._parent, str(path))
        client.set_terminated(self._parent, end.status)


@dataclass
class _Run:
    """What MLflow has of a trial: its run, how many epochs (None: not looked up yet), and how it ended."""

    run_id: str
    epochs: int | None = None
    state: str = ""


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def _last(name: str) -> str:
    """The name of a metric of scaled logits: those that are compared with one temperature alone keep theirs."""
    return name if name.startswith(f"{TEMPERATURE}/") else f"variant/{name}"


def _rounded(value: Any) -> str:
    """A param as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _metric_names(group: str, names: Iterable[str]) -> list[str]:
    """`group/NAME` for each name, with what MLflow does not allow replaced by `_`, and all different."""
    allowed = []
    for name in names:
        plain = re.sub(r"[^\w.\- /]", "_", name)
        if not plain or posixpath.normpath(f"{group}/{plain}") != f"{group}/{plain}":  # MLflow takes it for a path
            plain = re.sub(r"[./]", "_", plain) or "_"
        allowed.append(f"{group}/{plain}")
    return [f"{name}_{index}" if allowed.count(name) > 1 else name for index, name in enumerate(allowed)]
