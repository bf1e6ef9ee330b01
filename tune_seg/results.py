"""The two files that a study leaves beside its journal: `study.yaml` to run it again, `results.parquet` to read it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tune_seg.config import METRICS, StudyConfig, flatten, parse
from tune_seg.errors import InputError
from tune_seg.records import Record


def write_study(config: StudyConfig, path: Path) -> None:
    """Write all that is needed to run the study again; the file is itself a configuration for the search command."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    _replace(path, text.encode())


def check_same_study(config: StudyConfig, path: Path) -> None:
    """Refuse to continue the study that `path` describes with another configuration.

    What does not change a trial's result may differ: the number of trials, how many run at once and where, the tracking
    server, and where the data (equal in content) lie.

    Raises:
        InputError: naming every key that differs.
    """
    if not path.exists():
        return
    before = _identity(parse(StudyConfig, yaml.safe_load(path.read_text())))
    now = _identity(config)
    open_yet = {key for key in ("data.content", "device") if now[key] is None}  # known once the data are packed
    different = [key for key in {**before, **now} if before.get(key) != now.get(key) and key not in open_yet]
    if different:
        lines = "\n".join(f"  {key}: {before.get(key)} in the study, {now.get(key)} now" for key in different)
        raise InputError(
            f"{path.parent} holds a study with a different configuration:\n{lines}\n"
            f"Give the new study a name of its own with --study NAME, or put the keys back to continue this one."
        )


def write_results(records: Iterable[Record], path: Path) -> None:
    """Write one row a trial: number, state, loss and varied keys, metrics of the last epoch, epochs trained, seconds."""
    rows = [_row(record) for record in sorted(records, key=lambda record: record.number)]
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: _column([row.get(name) for row in rows]) for name in names})
    partial = path.with_suffix(".partial")
    pq.write_table(table, partial)
    os.replace(partial, path)


def _row(record: Record) -> dict[str, Any]:
    return {
        "trial": record.number,
        "state": record.state.value,
        **record.params,
        **{name: record.last.get(name) for name in METRICS},
        "class_recall": record.last.get("class_recall"),
        "epochs": len(record.history),
        "seconds": record.seconds,
        "error": record.error,
    }


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a choice between values of different types
        return pa.array([None if value is None else json.dumps(value) for value in values])


def _identity(config: StudyConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json", exclude={"compute", "mlflow_uri", "data", "search"})
    search = config.search.model_dump(mode="json", exclude={"trials"})
    identity = flatten({**values, "search": search, "data": {"content": config.data.content}})
    gpus = config.compute.gpus_per_trial
    return {**identity, "device": None if gpus is None else "cuda" if gpus else "cpu"}


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
