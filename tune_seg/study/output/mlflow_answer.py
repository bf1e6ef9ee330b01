"""What MLflow is told of a study as a whole, on its parent run: the verdict, the data, what was run, and the models."""

import contextlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from PIL.Image import Image

from tune_seg._package import PACKAGE
from tune_seg.config import StudyConfig
from tune_seg.inference.model_file import read_description
from tune_seg.study.configurations import Configuration, configurations, mean_score
from tune_seg.study.confirmation import Answer, plain_of
from tune_seg.study.exporting import PLAIN, WINNER
from tune_seg.study.output.answer import columns_beside
from tune_seg.study.output.markdown import escaped
from tune_seg.study.output.report import ranked
from tune_seg.study.output.sentence import Cost, called, interval, verdict_text
from tune_seg.study.output.words import cell, labels, settings_of
from tune_seg.study.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECOMMENDED: Final = "recommended"
"""What the configuration to take is called in MLflow: its metrics, the tag of its trials, its model."""
_VERDICT: Final = "verdict"
"""What the names of the metrics begin with: it comes after those that are compared, in the UI, which sorts them."""
_NAMES: Final = {WINNER: RECOMMENDED, PLAIN: PLAIN}
"""What the models of a study are called in MLflow."""
_NOTE: Final = "mlflow.note.content"
"""The tag that the UI shows as the description."""
_ROWS: Final = 10
"""Configurations in the description."""
_EXAMPLE: Final = 32
"""Pixels of the sides of the image that is a model's example: a larger one would be a large text."""
_REPORTS: Final = ("report.html", "report.md")
"""Files of the study's folder that are logged where there are such."""
_PICTURES: Final = "predictions"
"""The folder of the run's files that has the pictures."""
_LONGEST_DIGEST: Final = 36
"""Characters that MLflow has room for."""
_LOADER: Final = "tune_seg.inference.mlflow_loader"
"""The module that loads a model; it imports torch."""
_SECRET: Final = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class Data:
    """The data of a study.

    Attributes:
        name: what people call it.
        content: the hash of what was packed.
        source: the folder, or the format where the images are generated.
        profile: numbers about it, by name.
    """

    name: str
    content: str
    source: str
    profile: Mapping[str, Any]


@dataclass(frozen=True)
class Conclusion:
    """What a session of a study ends with.

    Attributes:
        note: the description, Markdown.
        metrics: of the configuration to take and of plain cross entropy, as `verdict/recommended/recall` and
            `verdict/ce/recall`.
        tags: their settings, the command, the versions.
        recommended: the trials of the configuration to take.
        data: what they were trained on.
        files: that belong to the run.
        models: the files of the models, by their names in the study.
        pictures: what two models predict of some images, by the name of the file.
    """

    note: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    recommended: frozenset[int] = frozenset()
    data: Data | None = None
    files: Sequence[Path] = ()
    models: Mapping[str, Path] = field(default_factory=dict)
    pictures: Mapping[str, Image] = field(default_factory=dict)


def conclusion(
    config: StudyConfig,
    directory: Path,
    records: Sequence[Record],
    answer: Answer | None,
    *,
    cost: Cost,
    data: Data | None = None,
    models: Mapping[str, Path] | None = None,
    pictures: Mapping[str, Image] | None = None,
) -> Conclusion:
    """What MLflow is told at the end of a session.

    Args:
        config: the study.
        directory: of the study.
        records: its trials.
        answer: what its repeats say; None: there are too few, and nothing is recommended.
        cost: of a training.
        data: of the study.
        models: the files of its models, by their names.
        pictures: of what they predict, by the name of the file.
    """
    order = [each for each in ranked(configurations(records), config.objectives[0]) if each.completed]
    several = len(config.objectives) > 1  # then nothing is recommended: which one to take is the user's to say
    taken = None if answer is None or several else answer.contenders[answer.verdict.recommended]
    plain = plain_of(order, answer)
    shown = {name: each for name, each in ((RECOMMENDED, taken), (PLAIN, plain)) if each is not None}
    metrics = {
        f"{_VERDICT}/{name}/{metric}": float(f"{mean_score(each, metric):.5g}")
        for name, each in shown.items()
        for metric in dict.fromkeys((*config.objectives, *columns_beside(config.objectives)))
    }
    return Conclusion(
        _note(config, order, answer, taken, cost),
        {name: value for name, value in metrics.items() if math.isfinite(value)},
        {
            "mlflow.source.name": Path(sys.argv[0]).name,  # of which the UI shows what follows the last /
            "command": command_line(),
            "mlflow.source.type": "LOCAL",
            "tune_seg.version": version("tune-seg"),
            **{f"{RECOMMENDED}/{key}": str(value) for key, value in (_settings(taken) if taken else {}).items()},
        },
        frozenset(trial.number for trial in taken.trials) if taken else frozenset(),
        data,
        [directory / name for name in _REPORTS if (directory / name).is_file()],
        {_NAMES[name]: path for name, path in (models or {}).items()},
        pictures or {},
    )


def _settings(configuration: Configuration) -> dict[str, Any]:
    params = {**configuration.config.loss_params, **configuration.assignment}
    return {key: cell(value) if isinstance(value, float) else value for key, value in params.items()}


def _note(
    config: StudyConfig, order: Sequence[Configuration], answer: Answer | None, taken: Configuration | None, cost: Cost
) -> str:
    """The verdict and the best configurations, Markdown."""
    if not order:
        return "No trial has run to its end yet."
    if answer is None:
        said = "Not decided: no configuration was trained again with other seeds yet. The best of single runs:"
    else:
        said = verdict_text(answer, config.objectives, config.search.confirm.margin, cost).plain.replace("Verdict: ", "", 1)
        said = f"**Verdict:** {escaped(said)}"
    if taken is not None and (settings := settings_of(taken)):
        said += escaped(f" Settings of {taken.name}: {settings}.")
    return "\n".join([said, "", *_table(config, order[:_ROWS], answer, taken)])


def _table(
    config: StudyConfig, order: Sequence[Configuration], answer: Answer | None, taken: Configuration | None
) -> Iterator[str]:
    objective, beside = config.objectives[0], columns_beside(config.objectives)
    rows = {} if answer is None else {row.id: row.difference for row in answer.verdict.table}
    names = {**labels(order), **(called(answer) if answer is not None else {})}
    titles = ["configuration", "n", objective, *(["minus ce"] if rows else []), *beside]
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for each in order:
        name = escaped(names[each.id])
        marked = f"**{name}** (take this one)" if taken is not None and each.id == taken.id else name
        cells = [marked, str(len(each.scores(objective))), cell(mean_score(each, objective))]
        if rows:
            found = rows.get(each.id)
            cells.append("" if found is None else f"{found.mean:+.4f} {interval(found)}".strip())
        yield f"| {' | '.join([*cells, *(cell(mean_score(each, name)) for name in beside)])} |"


def command_line() -> str:
    """How this process was started, without the passwords of addresses."""
    own = Path(sys.argv[0]).name == "tune-seg"
    words = ["tune-seg", *sys.argv[1:]] if own else [Path(sys.executable).name, *sys.orig_argv[1:]]
    return _SECRET.sub("***@", shlex.join(words))


def send_conclusion(client: "MlflowClient", uri: str, run: str, children: Mapping[int, str], found: Conclusion) -> None:
    """Tell MLflow, with what earlier sessions have said put right.

    Args:
        client: of the store.
        uri: of the store.
        run: the parent run of the study.
        children: the runs of the trials, by number.
        found: what to tell.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, RunTag

    info = client.get_run(run).info
    now = max(info.end_time or 0, info.start_time)
    commit = _commit()
    tags = {_NOTE: found.note, **found.tags, **({"mlflow.source.git.commit": commit} if commit else {})}
    metrics = [Metric(name, value, now, 0) for name, value in found.metrics.items()]
    client.log_batch(run, metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()])
    for name in client.get_run(run).data.tags:
        if name.startswith(f"{RECOMMENDED}/") and name not in tags:
            client.delete_tag(run, name)
    client.set_experiment_tag(info.experiment_id, _NOTE, found.note)
    wanted = {children[number] for number in found.recommended if number in children}
    of_this = f"tags.`mlflow.parentRunId` = '{run}' AND tags.`{RECOMMENDED}` = 'yes'"
    tagged = {each.info.run_id for each in client.search_runs([info.experiment_id], of_this)}
    for child in wanted - tagged:
        client.set_tag(child, RECOMMENDED, "yes")
    for child in tagged - wanted:
        client.delete_tag(child, RECOMMENDED)
    if found.data is not None:
        source, profile = json.dumps({"uri": found.data.source}), json.dumps(found.data.profile)
        dataset = Dataset(found.data.name, found.data.content[:_LONGEST_DIGEST], "local", source, profile=profile)
        client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    for path in found.files:
        client.log_artifact(run, str(path))
    for name, picture in found.pictures.items():
        client.log_image(run, picture, f"{_PICTURES}/{name}")
    for name, path in found.models.items():
        _log_model(client, uri, run, name, path)


def _log_model(client: "MlflowClient", uri: str, run: str, name: str, path: Path) -> None:
    """Log a model where MLflow does not have it, in place of the one that it has by this name."""
    import mlflow
    from mlflow.entities import LoggedModelStatus
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    digest = blake2b(path.read_bytes(), digest_size=16).hexdigest()
    experiment = client.get_run(run).info.experiment_id
    known = [each for each in client.search_logged_models([experiment], f"name = '{name}'") if each.source_run_id == run]
    if any(each.tags.get("tune_seg.digest") == digest and each.status == LoggedModelStatus.READY for each in known):
        return
    description = read_description(path)
    dtype = np.dtype(description.dtype)
    images, probabilities = (-1, -1, -1, description.channels), (-1, len(description.classes), -1, -1)
    signature = ModelSignature(
        Schema([TensorSpec(dtype, images)]), Schema([TensorSpec(np.dtype(np.float32), probabilities)])
    )
    mlflow.set_tracking_uri(uri)
    with warnings.catch_warnings(action="ignore"), mlflow.start_run(run_id=run):  # they would be printed into the report
        logged = mlflow.pyfunc.log_model(
            name=name,
            loader_module=_LOADER,
            data_path=str(path),
            signature=signature,
            input_example=np.zeros((1, _EXAMPLE, _EXAMPLE, description.channels), dtype),
            pip_requirements=[f"tune-seg=={version('tune-seg')}"],  # else MLflow would load the model to see what it needs
            tags={"tune_seg.digest": digest, "trained as": description.study},
        )
    _share(client.get_logged_model(logged.model_id).artifact_location, path)
    for each in known:
        client.delete_logged_model(each.model_id)
        if (folder := _folder(each.artifact_location)) is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _share(location: str, path: Path) -> None:
    """Have the file of a model on the disk once, where its copy for MLflow is on the same one."""
    folder = _folder(location)
    copies = [] if folder is None else list(folder.rglob(path.name))
    for copy in copies:
        partial = copy.with_suffix(".partial")
        with contextlib.suppress(OSError):  # another disk, or a file system without links: then there are two
            os.link(path, partial)
            os.replace(partial, copy)


def _folder(location: str) -> Path | None:
    """The folder of a location; None where it is elsewhere."""
    parts = urlsplit(location)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _commit() -> str:
    """The git commit of the checkout that runs; empty where the package was installed otherwise."""
    command = ["git", "-C", str(PACKAGE), "log", "-1", "--format=%H", "--", "__init__.py"]
    head = ["git", "-C", str(PACKAGE), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        tracked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        if tracked:  # and not merely ignored in somebody's repository
            return subprocess.run(head, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return ""
