"""MLflow as a view of the study: a parent run for the study, a child run for each trial.

A thread of its own sends what the records hold and MLflow lacks. What it cannot send it sends later: at the next
result, at the end, or when the study is continued. The study never waits for it and never fails for it.
"""

import dataclasses
import logging
import os
import posixpath
import queue
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_seg.config import CALIBRATION_ERRORS, METRICS
from tune_seg.records import Record, State
from tune_seg.results import scaled

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SCORES = (*METRICS, *CALIBRATION_ERRORS)

TRACKED = (*_SCORES, "lr", "end_weight", "train_loss")
"""The metrics that a run carries with their history; `best/NAME` and `last/NAME` stand beside the scores."""

_STATUS = {
    State.RUNNING: "RUNNING",
    State.COMPLETED: "FINISHED",
    State.PRUNED: "KILLED",
    State.DIVERGED: "FAILED",
    State.FAILED: "FAILED",
}
_PAUSE = 5.0
_LONGEST_TAG = 500
_STOP = object()


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
        self._directory = directory
        self._study_id = study_id
        self._objective = objective
        self._class_metrics = _metric_names("acw", class_names)
        self._final: tuple[str, list[Path]] = ("FINISHED", [])
        self._queue: queue.Queue[Any] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._pending: dict[int, Record] = {}
        self._sent: dict[int, _Child] = {}
        self._parent = ""
        self._experiment = ""

    def start(self, records: Iterable[Record]) -> None:
        """Begin to send; `records` are the trials of earlier sessions, of which MLflow may lack something."""
        for record in records:
            self.update(record)
        self._thread.start()

    def update(self, record: Record) -> None:
        """A trial has changed. MLflow hears of it once an epoch is done or the trial has ended."""
        if record.history or record.state is not State.RUNNING:
            self._queue.put(dataclasses.replace(record))

    def finish(self, *, interrupted: bool, artifacts: Iterable[Path], timeout: float = 60.0) -> None:
        """Send what is left and close the parent run; after `timeout` seconds the rest is left for the next session."""
        self._final = ("KILLED" if interrupted else "FINISHED", list(artifacts))
        self._queue.put(_STOP)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self.error = self.error or f"no answer within {timeout:g} s"

    def _run(self) -> None:
        client: MlflowClient | None = None
        stopping = False
        while not stopping:
            stopping = self._collect()
            try:
                client = client or self._connect()
                for number in sorted(self._pending):
                    self._send(client, self._pending[number])
                    del self._pending[number]
                if stopping:
                    self._close(client)
                self.error = ""
            except Exception as error:  # whatever goes wrong with a view must not end the study
                self.error = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
                if not stopping:
                    time.sleep(_PAUSE)

    def _collect(self) -> bool:
        """Wait for a change, then take all there are; the newest state of a trial holds all the older ones."""
        items = [self._queue.get()]
        while True:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        for item in items:
            if item is not _STOP:
                self._pending[item.number] = item
        return any(item is _STOP for item in items)

    def _connect(self) -> "MlflowClient":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        client = MlflowClient(self.uri)
        name = self._directory.name
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            self._experiment = experiment.experiment_id
        else:
            local = self.uri == default_uri(self._directory)
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
                    self._sent[int(number)] = _Child(run.info.run_id, state=run.data.tags.get("tune_seg.state", ""))
            token = page.token
            if not token:
                return

    def _send(self, client: "MlflowClient", record: Record) -> None:
        from mlflow.entities import Metric, Param, RunTag

        child = self._sent.get(record.number)
        if child is None:
            labels = {
                "mlflow.parentRunId": self._parent,
                "tune_seg.study": self._study_id,
                "tune_seg.trial": str(record.number),
            }
            name = f"{record.number:03d} {record.config.loss_name}"
            run = client.create_run(self._experiment, tags=labels, run_name=name)
            child = self._sent[record.number] = _Child(run.info.run_id, epochs=0)
        if not child.state:
            client.log_batch(child.run_id, params=[Param(key, str(value)) for key, value in record.params.items()])
        if child.state == record.state and record.state.ended:
            return  # an earlier session has sent it whole
        if child.epochs is None:
            child.epochs = max((point.step for point in client.get_metric_history(child.run_id, "train_loss")), default=0)
        now = time.time_ns() // 1_000_000

        def metrics_of(result: Mapping[str, Any], names: Iterable[str], step: int, prefix: str = "") -> list[Metric]:
            # a journal of an earlier version lacks some
            return [Metric(prefix + name, float(result[name]), now, step) for name in names if name in result]

        for epoch in record.history[child.epochs :]:
            step = int(epoch["epoch"])
            single = [name for name, value in scaled(epoch).items() if not isinstance(value, list)]
            named = {f"weight/{name}": weight for name, weight in epoch.get("weights", {}).items()}
            named |= zip(self._class_metrics, epoch.get("acw_weight", ()), strict=False)
            metrics = metrics_of(epoch, (*TRACKED, *single), step) + metrics_of(named, named, step)
            client.log_batch(child.run_id, metrics=metrics)
            child.epochs = step
        if child.state == record.state:
            return
        metrics = []
        if record.state.ended:
            for which, result in (("best", record.best(self._objective)), ("last", record.last)):
                metrics += metrics_of(result, _SCORES, 0, prefix=f"{which}/")
        tags = [RunTag("tune_seg.state", record.state.value), RunTag("tune_seg.error", record.reason[:_LONGEST_TAG])]
        client.log_batch(child.run_id, metrics=metrics, tags=tags)
        status = _STATUS[record.state]
        if record.state is State.RUNNING:
            client.update_run(child.run_id, status=status)
        else:
            client.set_terminated(child.run_id, status)
        child.state = record.state

    def _close(self, client: "MlflowClient") -> None:
        status, artifacts = self._final
        for child in self._sent.values():
            if child.state in ("", State.RUNNING):  # interrupted: it runs again when the study is continued
                client.set_terminated(child.run_id, "KILLED")
        for path in artifacts:
            client.log_artifact(self._parent, str(path))
        client.set_terminated(self._parent, status)


@dataclasses.dataclass
class _Child:
    """What MLflow has of a trial: its run, how many epochs (None: not looked up yet), and how it ended."""

    run_id: str
    epochs: int | None = None
    state: str = ""


def _metric_names(group: str, names: Iterable[str]) -> list[str]:
    """`group/NAME` for each name, with what MLflow does not allow replaced by `_`, and all different."""
    allowed = []
    for name in names:
        plain = re.sub(r"[^\w.\- /]", "_", name)
        if not plain or posixpath.normpath(f"{group}/{plain}") != f"{group}/{plain}":  # MLflow takes it for a path
            plain = re.sub(r"[./]", "_", plain) or "_"
        allowed.append(f"{group}/{plain}")
    return [f"{name}_{index}" if allowed.count(name) > 1 else name for index, name in enumerate(allowed)]


def default_uri(directory: Path) -> str:
    """The SQLite store of a study directory."""
    return f"sqlite:///{directory.absolute() / 'mlflow.db'}"
