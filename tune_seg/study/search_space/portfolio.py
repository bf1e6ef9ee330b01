"""Assignments that were good elsewhere, which a study tries after its baselines and before the sampler chooses.

A portfolio is a list of assignments, each `{key: value}` as a baseline is: in a file, what won in another study, in the
configuration, or by the name of a file in `search_spaces/portfolios`, which has none yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tune_seg.config import StudyConfig
from tune_seg.errors import InputError, did_you_mean
from tune_seg.study.presets import portfolios
from tune_seg.study.search_space.space import Space
from tune_seg.study.search_space.varied_key import VariedKey

Assignment = Mapping[str, Any]

NONE: Final = "none"
"""No portfolio."""


@dataclass(frozen=True)
class Portfolio:
    """The assignments of a portfolio, as far as a space has them.

    Attributes:
        assignments: what is tried; a key that varies and is not in it is left to the sampler.
        left_out: why each of the others is not.
    """

    assignments: Sequence[Assignment] = ()
    left_out: Sequence[str] = ()


def resolved_portfolio(config: StudyConfig) -> StudyConfig:
    """`config` with the assignments themselves in place of the name or the file of a portfolio.

    Raises:
        InputError: there is no such portfolio or file, or it is no list of assignments.
    """
    named = config.search.portfolio
    if not isinstance(named, str):
        return config
    search = config.search.model_copy(update={"portfolio": _read(named)})
    return config.model_copy(update={"search": search})


def _read(named: str) -> tuple[dict[str, Any], ...]:
    if named == NONE:
        return ()
    known, path = portfolios(), Path(named).expanduser()
    if not path.is_file():
        if named not in known:
            hint = did_you_mean(named, known) or f"; allowed: {', '.join([*known, NONE])}, or the path of a file"
            raise InputError(f"search.portfolio: {named!r} is neither a portfolio nor a file{hint}")
        path = known[named]
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"search.portfolio: {path} cannot be read: {error}") from None
    if not isinstance(listed, list) or not all(isinstance(each, dict) and each for each in listed):
        raise InputError(f"search.portfolio: {path} must be a list of {{key: value}}, as baselines is")
    return tuple(listed)


def portfolio_of(space: Space) -> Portfolio:
    """What the configured portfolio has for a space.

    Raises:
        InputError: as :func:`resolved_portfolio`.
    """
    listed = resolved_portfolio(space.config).search.portfolio
    found, left_out = [], []
    for assignment in () if listed is None or isinstance(listed, str) else listed:
        try:
            fitting = _fitting(assignment, space)
        except _Unfit as why:
            left_out.append(f"{_text(assignment)}: {why}")
            continue
        if fitting and fitting not in found:
            found.append(fitting)
    return Portfolio(found, left_out)


class _Unfit(Exception):
    """Why an assignment is not of a space."""


def _fitting(assignment: Assignment, space: Space) -> dict[str, Any]:
    """The varied keys of an assignment, if all of it can be had in a space."""
    varied_keys = {varied.key for varied in space.varied}
    for key, value in assignment.items():
        if key not in varied_keys and space.defaults.get(key) != value:
            raise _Unfit(f"{key} does not vary and is {space.defaults.get(key)}")
    opened = dict[str, Any]()

    def choose(varied: VariedKey, values: Mapping[str, Any]) -> Any:
        if varied.key in assignment:
            if unknown := sorted(varied.bounded_by & varied_keys - assignment.keys()):
                raise _Unfit(f"it says {varied.key} and leaves {unknown[0]} open, on which its range depends")
            if not varied.allows(assignment[varied.key], values):
                raise _Unfit(f"{varied.key} cannot be {assignment[varied.key]}")
            opened[varied.key] = assignment[varied.key]
            return assignment[varied.key]
        return varied.first(values)  # the sampler chooses it

    try:
        walked = space.walk(choose)
        space.config.trial(walked)
    except InputError as error:
        raise _Unfit(str(error)) from None
    if unused := sorted(varied_keys & assignment.keys() - opened.keys()):
        raise _Unfit(f"{unused[0]} does not vary there")
    return opened


def _text(assignment: Assignment) -> str:
    return ", ".join(f"{key} {value}" for key, value in assignment.items())
