"""The files that a study leaves beside its journal: `study.yaml` to run it again, and two tables to read."""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tune_seg._whole_file import whole_file
from tune_seg.config import METRICS, RECORDED, StudyConfig, parse
from tune_seg.config.keys import flatten
from tune_seg.errors import InputError
from tune_seg.metric_names import OBJECTIVES
from tune_seg.study.configurations import REPEATED, configuration_id, configurations
from tune_seg.study.confirmation import Answer
from tune_seg.study.files import ANOTHER_NAME
from tune_seg.study.growing import narrowed
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records

_PER_CLASS = ("class_recall", "class_precision", "class_iou")
"""Columns with a list of one number a class."""
_MIN_PAUSE = 5.0
"""Seconds between two writings of the results, at least."""
_MIN_PAUSE_FACTOR = 50
"""Wait at least this many times the last write's duration before writing again."""


def write_configurations(records: Iterable[Record], answer: Answer | None, path: Path) -> None:
    """Write a row for each configuration: its settings, how often it was trained, mean and sd of each metric.

    Where configurations were repeated (`repeats`), these are of the repeats, and a row says how it compares with plain
    cross entropy (`difference`, its interval `low` and `high`, `p`, `p_fresh`) and whether it is the one to take.

    Raises:
        InputError: the file cannot be written.
    """
    compared = {} if answer is None else {row.id: row for row in answer.verdict.table}
    rows = []
    for configuration in configurations(records):
        scores = {name: configuration.scores(name) for name in (*OBJECTIVES, *RECORDED)}
        row = compared.get(configuration.id)
        rows.append(
            {
                "configuration": configuration.id,
                "name": configuration.name,
                **{key: value for key, value in configuration.trials[0].params.items() if key not in REPEATED},
                "n": len(scores[OBJECTIVES[0]]),
                "repeats": len(configuration.repeats),
                **{name: float(np.mean(values)) if values else None for name, values in scores.items()},
                **{f"{name}/sd": float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in scores.items()},
                "recommended": answer is not None and answer.verdict.recommended == configuration.id,
                "difference": None if row is None else row.difference.mean,
                "low": None if row is None else row.difference.low,
                "high": None if row is None else row.difference.high,
                "p": None if row is None else row.p,
                "p_fresh": None if row is None else row.difference.p_fresh,
                "trials": [trial.number for trial in configuration.trials],
            }
        )
    try:
        _write_table(rows, path)
    except OSError as error:
        raise _unwritten(path, error) from error


def forget_weights(path: Path, trials: Collection[int]) -> None:
    """Have the table of the trials say of some, by their numbers, that their weights are not stored any more.

    Raises:
        OSError: it cannot be written.
    """
    table = pq.read_table(path)
    column = [
        None if number in trials else checkpoint
        for number, checkpoint in zip(table["trial"].to_pylist(), table["checkpoint"].to_pylist(), strict=True)
    ]
    _write(table.set_column(table.schema.get_field_index("checkpoint"), "checkpoint", pa.array(column, pa.string())), path)


def write_study(config: StudyConfig, path: Path) -> None:
    """Write all that is needed to run the study again; the file is itself a configuration for the search command."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def check_same_study(config: StudyConfig, path: Path) -> None:
    """Raise an error if the study that `path` describes has another configuration.

    What does not change a trial's result may differ: the number of trials, the hours and the portfolio, how many run at once
    and where, the tracking server, the published table (`paper`), and where the data (equal in content) lie. The space may
    have grown (:mod:`tune_seg.study.growing`).

    Raises:
        InputError: naming every key that differs.
    """
    if not path.exists():
        return
    try:
        described = parse(StudyConfig, yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, InputError) as error:
        raise InputError(f"{path} cannot be read ({error}); correct it, or give the study {ANOTHER_NAME}") from None
    before, now = _identity(described), _identity(config)
    # known once the data are packed and the machines asked
    unknown = {"data.content": None, "data.test_content": None, "training.device": "auto"}
    open_yet = {key for key, value in unknown.items() if now[key] == value}
    if before.get("data.test_content") is None:  # it was run without its test split, which says nothing about its trials
        open_yet.add("data.test_content")
    # a study of before the contents of files were noted has none; another file is another `model.weights`
    open_yet |= {key for key in before.keys() ^ now.keys() if key.startswith("files.")}
    different = [key for key in {**before, **now} if before.get(key) != now.get(key) and key not in open_yet]
    lost = narrowed(described, config)
    if "data.content" in different or "data.test_content" in different:  # which are hashes: say why, where that is known
        before, now = ({**keys, **_data_keys(of)} for keys, of in ((before, described), (now, config)))
        different += [key for key in _data_keys(config) if before.get(key) != now[key]]
    if different or lost:
        changed = [f"{_called(key)}: {before.get(key)} in the study, {now.get(key)} now" for key in different]
        lines = "\n".join(f"  {line}" for line in [*changed, *lost])
        raise InputError(
            f"{path.parent} holds a study with a different configuration:\n{lines}\n"
            f"Give the new study {ANOTHER_NAME}, or put the keys back to continue this one."
        )


def _called(key: str) -> str:
    return f"the content of {key.removeprefix('files.')}" if key.startswith("files.") else key


class ResultsFile:
    """`results.parquet`: one row a trial, written anew in a thread when a trial has ended, but at most every few seconds.

    A row holds the number, state, loss and varied keys, the metrics of the last epoch, those of the scaled logits where
    the trial ran to its end, how many epochs it has and how many of them were taken over from the checkpoint store, the
    seconds that the others took, the file of the weights that it ended with, and why the trial failed.
    """

    def __init__(self, records: Records, path: Path) -> None:
        self._records = records
        self._path = path
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="results")
        self._writing: Future[None] | None = None
        self._next = 0.0

    def update(self, record: Record) -> None:
        """A trial has changed. Where the table cannot be written, :meth:`write` says so at the end."""
        if record.state is State.RUNNING or time.monotonic() < self._next:
            return
        if self._writing is not None and not self._writing.done():
            return
        self._writing = self._writer.submit(self._write)

    def write(self) -> None:
        """Write all trials as they are now.

        Raises:
            InputError: the file cannot be written.
        """
        try:
            self._writer.submit(self._write).result()
        except OSError as error:
            raise _unwritten(self._path, error) from error

    def _write(self) -> None:
        started = time.monotonic()
        rows = [_row(record) for _, record in sorted(list(self._records.trials.items()))]
        _write_table(rows, self._path)
        self._next = time.monotonic() + max(_MIN_PAUSE, _MIN_PAUSE_FACTOR * (time.monotonic() - started))


def _unwritten(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be written ({error.strerror or error}); make space on its disk, or let it be written, and run the "
        f"command again: the trials are kept"
    )


def _write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    names = dict.fromkeys(name for row in rows for name in row)
    _write(pa.table({name: _column([row.get(name) for row in rows]) for name in names}), path)


def _write(table: pa.Table, path: Path) -> None:
    with whole_file(path) as partial:
        pq.write_table(table, partial)


def _row(record: Record) -> dict[str, Any]:
    last = record.last
    return {
        "trial": record.number,
        "state": record.state.value,
        "configuration": configuration_id(record),
        "repeat": record.repeat,
        **record.params,
        **{name: record.score(name) for name in (*METRICS, *RECORDED)},
        **{name: None if last is None else last.evaluation.per_class.get(name) for name in _PER_CLASS},
        "acw_weight": None if last is None else last.acw_weight,
        **({} if last is None else {**last.evaluation.scaled_metrics, **last.evaluation.fitted}),
        "epochs": len(record.history),
        "epochs_replayed": record.replayed,
        "seconds": record.seconds,
        "checkpoint": record.checkpoint,
        "error": record.error,
    }


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a choice between values of different types
        return pa.array([None if value is None else json.dumps(value) for value in values])


def _identity(config: StudyConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json", exclude={"compute", "mlflow_uri", "data", "search", "space", "paper"})
    search = config.search.model_dump(mode="json", exclude={"trials", "hours", "portfolio", "confirm"})
    data = config.data
    return flatten({**values, "search": search, "data": {"content": data.content, "test_content": data.test_content}})


def _data_keys(config: StudyConfig) -> dict[str, Any]:
    """What of the configuration the content of the data depends on."""
    return flatten({"data": config.data.model_dump(mode="json", exclude={"root", "content", "test_content"})})
