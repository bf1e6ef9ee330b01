"""The views of a study's runs that MLflow's UI offers by name, and the link that opens the first of them.

MLflow shows an experiment in its mode for language models at first, and of its runs neither metrics nor params. A link may
name a view that the experiment brings along as a tag: its columns, what it is sorted by, and how runs are grouped. The UI
writes such tags itself where somebody shares a view. Of versions before 3.17 the tag has no name, which they ignore.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tune_seg.config import StudyConfig
from tune_seg.study.output.answer import columns_beside

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAG: Final = "mlflow.sharedViewState."
_TRIALS: Final = "tune_seg.trials"
_CONFIGURATIONS: Final = "tune_seg.configurations"
CONFIGURATION: Final = "configuration"
"""The tag of a run that the repeats of a configuration have in common."""
SCHEDULE: Final = "schedule"
"""The tag of a run that says when its losses change over."""
STATE: Final = "state"
"""The tag of a run that says how its trial has ended."""
_IN_NAME: Final = ("row", "loss.kind", "loss.start", "loss.end", "acw", "schedule.start", "schedule.end", "loss.gamma")
"""Varied keys that other columns show."""
_NAME, _CREATED, _DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
"""What the UI calls the columns that every table has."""
_WIDTHS: Final = {"params.`acw`": 60, f"tags.`{SCHEDULE}`": 150, "params.`loss.gamma`": 85, f"tags.`{STATE}`": 95}
_WIDE = 400
"""Pixels of the column of names where these are of configurations."""
_LETTER, _MARGIN = 6, 14
"""Pixels of a letter, and of what surrounds a text."""
_MOST_VARIED = 6
"""Columns of other keys that vary: MLflow takes 5,000 characters in a tag, and a program of losses may have dozens."""
_LEAST, _MOST = 70, 152
"""Pixels of a metric's column: a number of five digits needs the one, `temperature/calibration` the other. In a window of
1280 all that decides is then seen at once."""


def link(server: str, experiment: str) -> str:
    """The address at which the UI of `server` shows the trials of an experiment, best first."""
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={_TRIALS}"


def offer_views(client: "MlflowClient", experiment: str, config: StudyConfig) -> None:
    """Have the UI offer the views of a study: every trial, and the means of its configurations."""
    for key, value in view_tags(config).items():
        client.set_experiment_tag(experiment, key, value)


def view_tags(config: StudyConfig) -> dict[str, str]:
    """The tags of an experiment that hold the views of a study."""
    trials = _state(config)
    means = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": CONFIGURATION}]}
    widths = {**trials["columnWidths"], _NAME: _WIDE}  # for the settings of a configuration
    return {
        f"{_TAG}{_TRIALS}": _tag("trials", trials),
        f"{_TAG}{_CONFIGURATIONS}": _tag("means over seeds", {**trials, "columnWidths": widths, "groupBy": means}),
    }


def _state(config: StudyConfig) -> dict[str, Any]:
    """What the UI keeps of a view, as far as it is not what every view begins with."""
    objective, *_ = config.objectives
    metrics = [f"metrics.`{name}`" for name in (objective, *columns_beside(config.objectives))]
    varied = [f"params.`{key}`" for key in config.space if key not in _IN_NAME][:_MOST_VARIED]
    columns = [*metrics, "params.`loss.gamma`", f"tags.`{SCHEDULE}`", "params.`acw`", *varied, f"tags.`{STATE}`"]
    return {
        "searchFilter": "",
        "orderByKey": metrics[0],
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "selectedColumns": columns,
        "columnOrder": [_NAME, *columns, _CREATED, _DURATION],
        "columnWidths": {_NAME: 210, _CREATED: 42, **{column: _width(column) for column in columns}},
    }


def _width(column: str) -> int:
    """As wide as its title, within limits."""
    title = column.partition("`")[2]
    return _WIDTHS.get(column, max(_LEAST, min(_MOST, _LETTER * len(title) + _MARGIN)))


def _tag(name: str, state: Mapping[str, Any]) -> str:
    # 3.17 reads `state`, and shows `name` in its menu of views; earlier versions read the keys of the state itself
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state), **state})
