"""MLflow's UI of a study: a server of its own for a store that is a file, or the link to the server that keeps the study."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from tune_seg.errors import InputError
from tune_seg.study.configuration import load_config
from tune_seg.study.files import CONFIGURATION, DATABASE
from tune_seg.study.output.mlflow_store import connect, default_uri, find_experiment
from tune_seg.study.output.mlflow_view import link, offer_views

_HOST: Final = "127.0.0.1"
_NAME: Final = "tune-seg.localhost"
"""Another name of this machine, under which MLflow's UI leaves its assistant closed.

In a fresh browser that opens by itself over the columns on the right, but only at `localhost` and `127.0.0.1`. Browsers take
every name that ends in `.localhost` for this machine without asking anybody, but for Safari, which asks the system.
"""
_LONGEST_START: Final = 180.0
"""Seconds: where other programs keep the machine busy it takes long to import MLflow."""
_TO_END: Final = 10.0
"""Seconds that the server is given to end."""


class StudyUi:
    """Where MLflow shows a study.

    Args:
        directory: of the study.

    Attributes:
        uri: of the store.
        experiment: the id of the study's experiment.

    Raises:
        InputError: MLflow has nothing of the study yet, or the store does not answer.
    """

    def __init__(self, directory: Path) -> None:
        config = load_config(directory / CONFIGURATION)
        self.uri = config.mlflow_uri or default_uri(directory)
        if self.uri == default_uri(directory) and not (directory / DATABASE).is_file():
            raise InputError(f"{directory / DATABASE} is not there yet: MLflow has it when the first epoch is done")
        try:
            client = connect(self.uri, directory)
            found = find_experiment(client, self.uri, directory)
            if found is not None:
                offer_views(client, found, config)
        except Exception as error:  # of MLflow, of its database, of the network
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"MLflow's store {self.uri} cannot be read ({type(error).__name__}: {reason})") from None
        if found is None:
            raise InputError(f"MLflow's store {self.uri} has no experiment {directory.name}; run the study first")
        self.experiment = found

    @property
    def served(self) -> bool:
        """Whether a server keeps the study, so that none needs to be started."""
        return self.uri.startswith(("http://", "https://"))

    def link(self, server: str) -> str:
        """Where `server` shows the trials of the study, best first."""
        return link(server, self.experiment)


def usable_port(wanted: int) -> int:
    """`wanted`, or a free port where another program has that one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was in use a moment ago is free
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InputError(f"there is no free port on {_HOST}")


@contextmanager
def serving(uri: str, port: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """MLflow's server of a store, which only this machine reaches, as long as the context lasts: its address and process.

    Raises:
        InputError: it does not start, or does not answer in time.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
    # what MLflow would start beside it are helpers for language models
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    name = _name()
    environment["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(f"{host}:{port}" for host in (name, _HOST, "localhost"))
    environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://{name}:{port}"
    with TemporaryFile() as log:
        # Ctrl-C reaches every process of the terminal, but the server is for this one to end, with all that it has started
        process = subprocess.Popen(
            [*command, "--backend-store-uri", uri],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            _wait_until_it_answers(process, port, log)
            yield f"http://{name}:{port}", process
        finally:
            _end(process)


def _name() -> str:
    """The name by which a browser of this machine finds it."""
    if sys.platform == "darwin":
        try:
            socket.getaddrinfo(_NAME, None)
        except OSError:
            return _HOST
    return _NAME


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int, log: Any) -> None:
    deadline = time.monotonic() + _LONGEST_START
    while not _answers(port):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()[-5:]
            what = (
                f"does not start on port {port}"
                if ended
                else f"has not answered on port {port} for {_LONGEST_START:.0f} seconds; the machine may be busy: try again"
            )
            raise InputError("\n".join([f"MLflow's server {what}{'; it says:' if said else ''}", *said]))
        time.sleep(0.2)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=10)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server and the processes that it has started, which are a group of their own."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, way)
            process.wait(_TO_END)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
