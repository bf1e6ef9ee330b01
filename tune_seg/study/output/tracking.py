"""MLflow as a view of the study: a parent run for the study, a child run for each trial.

A separate process sends what the records hold and MLflow lacks: MLflow takes tens of milliseconds of a processor for a
trial, during which the process that steers the study would keep its workers waiting. What cannot be sent is sent later: at
the next result, at the end, or when the study is continued. The study never waits for it and never fails because of it.
"""

import atexit
import logging
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
from tune_seg.config import RECORDED
from tune_seg.metric_names import OBJECTIVES
from tune_seg.study.configurations import configuration_id
from tune_seg.study.files import DATABASE
from tune_seg.study.record import Record, State, SummedHistory, sortable
from tune_seg.training.result import EpochResult

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STATUS = {
    State.RUNNING: "RUNNING",
    State.COMPLETED: "FINISHED",
    State.PRUNED: "KILLED",
    State.DIVERGED: "FAILED",
    State.FAILED: "FAILED",
}
_PAUSE = 5.0
_LONGEST_TAG = 500
_METRICS_A_BATCH = 800
"""MLflow takes a thousand metrics, params and tags together in one call."""


@dataclass(frozen=True)
class _Trial:
    """What MLflow is told of a trial."""

    number: int
    name: str
    configuration: str
    repeat: bool
    params: Mapping[str, Any]
    state: State
    reason: str
    history: Sequence[EpochResult]


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
        objective: the metric that makes an epoch the best of its trial.
        class_names: of the data, under which the adaptive class weights are sent.
    """

    def __init__(self, uri: str, directory: Path, study_id: str, objective: str, *, class_names: Sequence[str] = ()) -> None:
        self.uri = uri
        self.error = ""
        self._queue: queue.Queue[Record | _End] = queue.Queue()
        self._sender = _Sender(uri, directory, study_id, objective, _metric_names("acw", class_names))
        self._feeder = threading.Thread(target=self._feed, name="mlflow", daemon=True)

    def start(self, records: Iterable[Record]) -> None:
        """Begin to send; `records` are the trials of earlier sessions, of which MLflow may lack something."""
        self._child = Child(_serve, self._sender)
        atexit.register(self._child.kill)
        for record in records:
            self.update(record)
        self._feeder.start()

    def update(self, record: Record) -> None:
        """A trial has changed. MLflow hears of it once an epoch is done or the trial has ended."""
        if record.history or record.state is not State.RUNNING:
            self._queue.put(replace(record))

    def finish(self, *, interrupted: bool, artifacts: Iterable[Path], timeout: float = 60.0) -> None:
        """Send what is left and close the parent run; after `timeout` seconds the rest is left for the next session."""
        self._queue.put(_End("KILLED" if interrupted else "FINISHED", list(artifacts)))
        try:
            answer = self._child.connection
            self.error = answer.recv() if answer.poll(timeout) else f"no answer within {timeout:g} s"
        except (EOFError, OSError):
            self.error = "the process that sends them has ended"
        finally:
            self._child.kill()
            atexit.unregister(self._child.kill)

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
                    self._child.connection.send(_told(record))
                if end is not None:
                    self._child.connection.send(end)
            except OSError:
                return  # the process has ended; finish says so


def _told(record: Record) -> _Trial:
    name = f"{record.number:03d} {record.name}"
    history = record.history
    if not isinstance(history, SummedHistory):  # MLflow has no use for the counts of the images
        history = [replace(result, evaluation=replace(result.evaluation, images=None)) for result in history]
    return _Trial(
        record.number, name, configuration_id(record), record.repeat, record.params, record.state, record.reason, history
    )


def _serve(connection: Connection, sender: "_Sender") -> None:
    """What the other process does until the study ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it means the study, which then says how it has ended
    os.nice(19)  # the training has priority: Ray's workers have 15
    try:
        sender.run(connection)
        connection.send(sender.error)
    except (EOFError, OSError):
        return  # the study has ended without a word


class _Sender:
    """Sends trials to MLflow, in a separate process."""

    def __init__(self, uri: str, directory: Path, study_id: str, objective: str, class_metrics: Sequence[str]) -> None:
        self.error = ""
        self._uri = uri
        self._directory = directory
        self._study_id = study_id
        self._objective = objective
        self._class_metrics = class_metrics
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
                self.error = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
                if end is None:
                    time.sleep(_PAUSE)

    def _collect(self, trials: Connection) -> _End | None:
        """Wait for a change, then take all there are; the newest state of a trial holds all the older ones."""
        while True:
            item = trials.recv()
            if isinstance(item, _End):
                return item
            self._pending[item.number] = item
            if not trials.poll():
                return None

    def _connect(self) -> "MlflowClient":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        local = self._uri == default_uri(self._directory)
        if local:
            _make_database(self._directory / DATABASE)
        client = MlflowClient(self._uri)
        name = self._directory.name
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            self._experiment = experiment.experiment_id
        else:
            artifacts = (self._directory / "artifacts").as_uri() if local else None
            self._experiment = client.create_experiment(name, artifact_location=artifacts)
        self._find_runs(client)
        if not self._parent:
            tags = {"tune_seg.study": self._study_id}
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
                    self._sent[int(number)] = _Run(run.info.run_id, state=run.data.tags.get("tune_seg.state", ""))
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
                "configuration": trial.configuration,  # by which the UI groups the repeats
                "tune_seg.repeat": str(trial.repeat).lower(),
            }
            run = client.create_run(self._experiment, tags=labels, run_name=trial.name)
            child = self._sent[trial.number] = _Run(run.info.run_id, epochs=0)
        if child.state == trial.state and trial.state.ended:
            return  # an earlier session has sent it whole
        if child.epochs is None:
            child.epochs = max((point.step for point in client.get_metric_history(child.run_id, "train_loss")), default=0)
        params = [] if child.state else [Param(key, str(value)) for key, value in trial.params.items()]
        now = time.time_ns() // 1_000_000

        def metrics_of(values: Mapping[str, float], step: int, prefix: str = "") -> list[Metric]:
            return [Metric(prefix + name, value, now, step) for name, value in values.items()]

        metrics: list[Metric] = []
        history = list(trial.history)
        for result in history[child.epochs :]:
            step = result.epoch
            more = metrics_of(_tracked(result, self._class_metrics), step)
            if metrics and len(metrics) + len(more) > _METRICS_A_BATCH:
                client.log_batch(child.run_id, metrics=metrics, params=params)
                metrics, params, child.epochs = [], [], step - 1
            metrics += more
        tags = []
        if child.state != trial.state:
            tags = [RunTag("tune_seg.state", trial.state.value), RunTag("tune_seg.error", trial.reason[:_LONGEST_TAG])]
            if trial.state.ended and history:
                best = max(history, key=lambda result: sortable(result.score(self._objective)))
                for which, result in (("best", best), ("last", history[-1])):
                    metrics += metrics_of(_scores(result), 0, prefix=f"{which}/")
        client.log_batch(child.run_id, metrics=metrics, params=params, tags=tags)
        child.epochs = max(child.epochs, len(history))
        if trial.state is not State.RUNNING:
            client.set_terminated(child.run_id, _STATUS[trial.state])
        elif child.state:
            client.update_run(child.run_id, status=_STATUS[trial.state])  # it has begun again
        child.state = trial.state

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


def _scores(result: EpochResult) -> dict[str, float]:
    """The scores of an epoch that are recorded beside their history as `best/NAME` and `last/NAME`."""
    scores = {name: result.find(name) for name in (*OBJECTIVES, *RECORDED)}
    return {name: score for name, score in scores.items() if score is not None}


def _tracked(result: EpochResult, class_metrics: Iterable[str]) -> dict[str, float]:
    """All that a run records of an epoch with its history, by the names that MLflow has them under."""
    end_weight = result.weights.get("end")
    fitted = result.evaluation.fitted.items()
    return {
        **_scores(result),
        "lr": result.lr,
        **({} if end_weight is None else {"end_weight": end_weight}),
        "train_loss": result.train_loss,
        **result.evaluation.scaled_metrics,
        **{name: value for name, value in fitted if not isinstance(value, tuple)},  # a metric is one number
        **{f"weight/{name}": weight for name, weight in result.weights.items()},
        **dict(zip(class_metrics, result.acw_weight or (), strict=False)),
    }


def _metric_names(group: str, names: Iterable[str]) -> list[str]:
    """`group/NAME` for each name, with what MLflow does not allow replaced by `_`, and all different."""
    allowed = []
    for name in names:
        plain = re.sub(r"[^\w.\- /]", "_", name)
        if not plain or posixpath.normpath(f"{group}/{plain}") != f"{group}/{plain}":  # MLflow takes it for a path
            plain = re.sub(r"[./]", "_", plain) or "_"
        allowed.append(f"{group}/{plain}")
    return [f"{name}_{index}" if allowed.count(name) > 1 else name for index, name in enumerate(allowed)]


def _make_database(path: Path) -> None:
    """Make the database of the default store where it is missing.

    MLflow makes its tables one after the other, and cannot use a file that has only some of them. They are therefore made
    under another name: should this process be killed meanwhile, the next session begins anew.
    """
    if path.exists():
        return
    from mlflow import MlflowClient

    partial = path.with_suffix(".partial")
    for left in path.parent.glob(f"{partial.name}*"):  # SQLite's own journal too
        left.unlink()
    MlflowClient(f"sqlite:///{partial.absolute()}").search_experiments(max_results=1)
    os.replace(partial, path)


def default_uri(directory: Path) -> str:
    """The SQLite store of a study directory."""
    return f"sqlite:///{directory.absolute() / DATABASE}"
