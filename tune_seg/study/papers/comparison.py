"""A study's rows against those of a published table: means, ranks and the rank correlation of the two orders."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import yaml

from tune_seg.config import ROW, StudyConfig, parse
from tune_seg.config.keys import flatten
from tune_seg.errors import InputError
from tune_seg.study.files import CONFIGURATION, RESULTS
from tune_seg.study.papers.tables import PaperTable

_EXACT = 8
"""Rows up to which p is counted over all orders; the usual approximation is poor there."""


@dataclass(frozen=True)
class FinishedStudy:
    """What a study has left in its directory: its configuration, and for each trial a mapping of columns to values."""

    directory: Path
    config: StudyConfig
    trials: Sequence[Mapping[str, Any]]

    def value(self, trial: Mapping[str, Any], key: str) -> str:
        """The value of `key` in `trial`, which may be the same in all of them."""
        value = trial.get(key)
        return str(flatten(self.config.model_dump(mode="json"))[key] if value is None else value)

    def values(self, key: str) -> list[str]:
        """The different values of `key`."""
        return list(dict.fromkeys(self.value(trial, key) for trial in self.trials))


@dataclass(frozen=True)
class ComparedRow:
    """A row of the study and that of the paper.

    Attributes:
        name: of the row, in the study.
        runs: how many of its trials are completed.
        planned: how many trials it has when the study is finished; None where that depends on the sampler, or where the
            study has fewer trials than its grid has points.
        paper: by metric, the paper's figures as fractions, one for every run that is printed; empty where it has no such
            row.
        here: by metric, those of the study, one for every run.
    """

    name: str
    runs: int
    planned: int | None
    paper: Mapping[str, Sequence[float]]
    here: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation.

    Attributes:
        rho: the correlation; nan where one side is all equal.
        n: of how many pairs.
        p: two-sided.
        exact: whether p is counted over all orders.
    """

    rho: float
    n: int
    p: float
    exact: bool


def load_study(directory: Path) -> FinishedStudy:
    """The study in `directory`, finished or not.

    Raises:
        InputError: there is none, it has no rows, or none of its trials has ended yet.
    """
    described, results = directory / CONFIGURATION, directory / RESULTS
    if not described.is_file():
        raise InputError(
            f"{directory} holds no study (no {CONFIGURATION}); give the name of one in --studies DIR, or its folder"
        )
    try:
        config = parse(StudyConfig, yaml.safe_load(described.read_text()))
    except (yaml.YAMLError, InputError) as error:
        raise InputError(f"{described} cannot be read: {error}") from None
    if not config.rows:
        raise InputError(
            f"{described}: the study has no rows; tune-seg compare is for the presets of published tables. To see "
            f"this study's report, run its search command again"
        )
    if not results.is_file():
        raise InputError(f"{results} is not there yet: it is written when the first trial has ended")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        trials = pq.read_table(results).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{results} cannot be read: {error}") from None
    if not trials:
        raise InputError(f"{results} has no trial yet: the study ended before the first one began")
    return FinishedStudy(directory, config, trials)


def compared(study: FinishedStudy, table: PaperTable, dataset: str, here: str, paper: str) -> list[ComparedRow]:
    """The study's rows in the paper's order, then those that the paper lacks.

    What was trained to be sure of an answer is left out: the best rows would have more runs than the others.

    Args:
        study: the study.
        table: the published table.
        dataset: which of its data sets.
        here: the study's value of the key that the table varies.
        paper: the table's.
    """
    key = table.variants.key
    planned = _planned(study, key)
    printed = list(table.figures[dataset][paper])
    rows = []
    for name in sorted(study.config.rows, key=lambda name: _place(table.printed(name), printed)):
        ended = [
            trial
            for trial in study.trials
            if trial[ROW] == name
            and trial["state"] == "completed"
            and not trial["repeat"]
            and study.value(trial, key) == here
        ]
        rows.append(
            ComparedRow(
                name,
                len(ended),
                None if planned is None else planned[name, here],
                {metric: table.values(dataset, paper, name, metric) for metric in table.metrics},
                {metric: [float(trial[metric]) for trial in ended] for metric in table.metrics},
            )
        )
    return rows


def _place(name: str, printed: Sequence[str]) -> int:
    return printed.index(name) if name in printed else len(printed)


def _planned(study: FinishedStudy, key: str) -> Counter[tuple[str, str]] | None:
    """How many trials each row has for each value of `key`, where that is known beforehand."""
    from tune_seg.study.search_space.space import Space

    search = study.config.search
    points = Space(study.config).enumerate() if search.sampler == "grid" else []
    if not points or len(points) > search.trials:
        return None
    return Counter((point[ROW], study.value(point, key)) for point in points)


def ranked(rows: Sequence[ComparedRow], table: PaperTable, metric: str) -> dict[str, tuple[float, float]]:
    """By row, its rank by `metric` in the paper and in the study, 1 for the largest; equal ones share the mean of theirs.

    Rows that the table leaves unranked, and those without a mean on either side, are left out.
    """
    from scipy.stats import rankdata

    both = [row for row in rows if row.name not in table.unranked and _defined(row.paper[metric], row.here[metric])]
    paper = rankdata([-statistics.fmean(row.paper[metric]) for row in both])
    here = rankdata([-statistics.fmean(row.here[metric]) for row in both])
    return {row.name: (float(first), float(second)) for row, first, second in zip(both, paper, here, strict=True)}


def _defined(*sides: Sequence[float]) -> bool:
    return all(len(values) > 0 and math.isfinite(statistics.fmean(values)) for values in sides)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
    """Spearman's rank correlation of two orders of the same things.

    Of at most eight things, p is the share of all orders that correlate at least as much; of more, that of the t
    distribution.
    """
    import numpy as np
    from scipy.stats import rankdata, spearmanr

    n = len(first)
    if n < 2 or len(set(first)) == 1 or len(set(second)) == 1:
        return RankCorrelation(math.nan, n, math.nan, exact=True)
    if n > _EXACT:
        found = spearmanr(first, second)
        return RankCorrelation(float(found.statistic), n, float(found.pvalue), exact=False)
    x, y = (ranks - ranks.mean() for ranks in map(rankdata, (first, second)))
    products = np.array(list(permutations(y))) @ x
    p = np.mean(np.abs(products) >= abs(x @ y) - 1e-9)
    return RankCorrelation(float(x @ y / math.sqrt((x @ x) * (y @ y))), n, float(p), exact=True)
