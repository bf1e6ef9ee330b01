"""The figures of published tables, for :mod:`tune_seg.compare`: a YAML file a table, as the paper prints it."""

from collections.abc import Mapping
from functools import cache
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from tune_seg._package import PACKAGE
from tune_seg.config import METRICS
from tune_seg.errors import InputError

_FOLDER = PACKAGE / "study" / "papers"

Runs = tuple[tuple[float, ...], ...]
"""A row's figures: for every run that is printed, or once for their mean, a value for every metric."""


class Variants(BaseModel):
    """What a table varies besides its rows: a key of the configuration, and the paper's name for each of its values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    names: dict[str, str]


class PaperTable(BaseModel):
    """A published table.

    Attributes:
        paper, table, what: which it is, and what its figures are of.
        metrics: its columns, by their names in this project.
        order: the metric by which rows are ranked where nothing else is asked for.
        percent: whether the figures are per cent.
        formats: its data sets, and for each the formats (`data.format`) in which that is read.
        variants: what it varies besides the rows.
        beside: rows of a study that the paper does not print, with the printed row that each is compared with.
        unranked: rows that are not ranked, and why.
        doubts: what may be wrong with the figures, or with their transcription.
        figures: the runs, by data set, variant and row.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: str
    table: str
    what: str
    metrics: tuple[str, ...]
    order: str
    percent: bool
    formats: dict[str, tuple[str, ...]]
    variants: Variants
    beside: dict[str, str] = {}
    unranked: dict[str, str] = {}
    doubts: tuple[str, ...] = ()
    figures: dict[str, dict[str, dict[str, Runs]]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not {*self.metrics} <= {*METRICS} or self.order not in self.metrics:
            raise ValueError(f"metrics are of {', '.join(METRICS)}, and order is one of them")
        if self.figures.keys() != self.formats.keys():
            raise ValueError("formats names the data sets of figures")
        for variants in self.figures.values():
            if not variants.keys() <= self.variants.names.keys():
                raise ValueError(f"variants names {', '.join(self.variants.names)}; the figures have {', '.join(variants)}")
            if any(len(run) != len(self.metrics) for rows in variants.values() for runs in rows.values() for run in runs):
                raise ValueError(f"a run has a value for each of {', '.join(self.metrics)}")
        return self

    def printed(self, row: str) -> str:
        """The paper's name of the row that the study's `row` is compared with."""
        return self.beside.get(row, row)

    def values(self, dataset: str, variant: str, row: str, metric: str) -> list[float]:
        """The figures of a cell as fractions, one for each run that is printed; empty where the paper has no such row."""
        column, scale = self.metrics.index(metric), 100.0 if self.percent else 1.0
        return [run[column] / scale for run in self.figures[dataset][variant].get(self.printed(row), ())]


@cache
def names() -> tuple[str, ...]:
    """The tables that there are."""
    return tuple(path.stem for path in sorted(_FOLDER.glob("*.yaml")))


def load_table(name: str) -> PaperTable:
    """The table `name`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in names():
        raise InputError(f"paper: no table {name!r}; the tables are {', '.join(names())}")
    values: Mapping[str, object] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return PaperTable.model_validate(values)
