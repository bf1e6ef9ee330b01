"""Where MLflow keeps a study: a file in the study's folder, which can be moved with it, or a store of the user's own."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tune_seg.study.files import DATABASE

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS: Final = "artifacts"
"""The folder of the files that the runs have, unless a server keeps them."""
_DEFAULT: Final = "0"
"""MLflow's own experiment, which every store begins with and a study has no use for."""
_LOCATIONS: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)
"""Where MLflow's database has the places of files, by table and column; each is a whole path."""


def default_uri(directory: Path) -> str:
    """The SQLite store of a study directory."""
    return f"sqlite:///{directory.absolute() / DATABASE}"


def connect(uri: str, directory: Path) -> "MlflowClient":
    """A client of the store of a study, which is made where it is the study's own and missing."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if uri == default_uri(directory):
        _make_database(directory / DATABASE)
    return MlflowClient(uri)


def find_experiment(client: "MlflowClient", uri: str, directory: Path) -> str | None:
    """The id of the experiment of a study, called as its folder; None where there is none yet.

    In the study's own store it is found also where the folder was renamed or moved since, and then corrected.
    """
    name = directory.name
    experiment = client.get_experiment_by_name(name)
    if uri != default_uri(directory):
        return None if experiment is None else experiment.experiment_id
    active = client.search_experiments()
    if name != "Default" and any(each.experiment_id == _DEFAULT for each in active):
        client.delete_experiment(_DEFAULT)
    own = [each for each in active if each.experiment_id != _DEFAULT]
    if experiment is None and len(own) == 1:
        (experiment,) = own
        client.rename_experiment(experiment.experiment_id, name)
    if experiment is None:
        return None
    before, now = experiment.artifact_location.rstrip("/"), (directory / ARTIFACTS).absolute().as_uri()
    if experiment.experiment_id != _DEFAULT and before != now:
        _relocate(directory / DATABASE, before, now)
    return str(experiment.experiment_id)


def make_experiment(client: "MlflowClient", uri: str, directory: Path) -> str:
    """Make the experiment of a study; its id."""
    local = uri == default_uri(directory)
    location = (directory / ARTIFACTS).absolute().as_uri() if local else None
    return str(client.create_experiment(directory.name, artifact_location=location))


def _relocate(database: Path, before: str, now: str) -> None:
    """Say of every file below the folder `before` that it is below `now`. MLflow has no call for that."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        for table, column in _LOCATIONS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )


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
