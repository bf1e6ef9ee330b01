"""Beginning a study with what won in another one."""

from pathlib import Path
from typing import Any, Final

from tune_seg.config import StudyConfig
from tune_seg.config.keys import flatten
from tune_seg.errors import InputError
from tune_seg.study.configuration import load_config
from tune_seg.study.configurations import Configuration, configurations, pareto_front
from tune_seg.study.files import CONFIGURATION
from tune_seg.study.output.report import ranked
from tune_seg.study.records import read_records
from tune_seg.study.search_space.space import Space

_BEST: Final = 8
"""How many of its configurations are tried."""


def like_study(config: StudyConfig, directory: Path) -> StudyConfig:
    """`config` with the best configurations of another study for its portfolio.

    Those that were repeated with new seeds come first, as in the report. Of each what varies in the new study is taken, also
    where it did not vary in the other; what the new study cannot have is left out when the portfolio is read.

    Args:
        config: the study that begins.
        directory: of the other one, which may have other data, another model and another objective.

    Raises:
        InputError: no trial of it has run to its end, it cannot be read, or the new study is a grid.
    """
    if config.search.sampler == "grid":
        raise InputError("search.sampler grid tries all that there is, so nothing of another study can come first")
    other = load_config(directory / CONFIGURATION)
    found = ranked(configurations(read_records(directory, other).records), other.objectives[0])
    best = [each for each in found if each.completed]
    if len(other.objectives) > 1:  # those that nothing beats come first
        front = {each.id for each in pareto_front(best, other.objectives)}
        best.sort(key=lambda each: each.id not in front)
    best = best[:_BEST]
    if not best:
        raise InputError(f"{directory}: no trial of that study has run to its end, so nothing won there yet; run it first")
    space = Space(config)
    portfolio = tuple(_assignment(each, space) for each in best)
    return config.model_copy(update={"search": config.search.model_copy(update={"portfolio": portfolio})})


def _assignment(configuration: Configuration, space: Space) -> dict[str, Any]:
    """What a configuration has for the keys that vary in `space`, as far as it says something of them."""
    values = {**flatten(configuration.config.model_dump(mode="json")), **configuration.assignment}
    return space.known(values)
