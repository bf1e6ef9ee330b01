"""What a study does with its trials. No result of a trial depends on what is here but through the packed data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tune_seg.config.base import AboveZero, Fraction, Integer, NonNegative, Number, Positive, Section, Seed
from tune_seg.config.data import DataConfig
from tune_seg.config.keys import set_key
from tune_seg.config.parsing import parse
from tune_seg.config.trial import TrialConfig
from tune_seg.config.whole_epochs import in_whole_epochs
from tune_seg.errors import InputError

ROW = "row"
"""The key of an assignment that names a row of the study's `rows`."""


class EarlyStoppingConfig(Section):
    """Which trials are stopped before their last epoch, see [early stopping](early-stopping.md)."""

    kind: Literal["settled", "asha", "none"] = "settled"
    """The rule: `settled` compares only trials whose loss is already the one that they end with, `asha` all, `none` stops
    none."""

    grace_epochs: Positive | None = None
    """No trial is stopped before it has trained for this many epochs. null: two fifths of `training.epochs`."""

    reduction_factor: Annotated[int, Field(ge=2)] = 2
    """Of the trials that are compared, the best 1/reduction_factor continue. Raise it to stop more."""


class ConfirmConfig(Section):
    """What makes the answer sure: the best configurations and plain cross entropy are trained again with new seeds."""

    share: Fraction = 0.4
    """The share of `search.trials` that is kept for it. With fewer than 20 trials it shrinks, and below 15 none is kept.
    Of a grid all points come first, and what they leave of the trials is kept. 0: none."""

    finalists: Positive = 4
    """How many of the best configurations are compared with plain cross entropy, at most."""

    margin: NonNegative = 0.01
    """Differences of the objective below this do not matter: of two configurations within it the simpler is taken."""

    confidence: Annotated[Number, Field(gt=0.5, lt=1.0)] = 0.95
    """How sure an answer is: a false *better* comes in at most 1 - confidence of all studies."""

    max_seeds: Annotated[Integer, Field(ge=2)] = 20
    """The largest number of seeds of a configuration."""


class SearchConfig(Section):
    """How configurations are chosen, and how many."""

    sampler: str = "tpe"
    """What chooses the next configuration: `tpe`, `bayes`, `random`, `grid`, `nsgaii`, `cmaes`, `gp`, `qmc` or another of
    Optuna's samplers by name."""

    trials: Positive = 100
    """How many trainings the study has, those that make its answer sure among them; `--trials N` sets it. It may be raised
    when a study is continued."""

    seed: Seed = 0
    """Seed of the sampler."""

    whole_epochs: bool = False
    """Round schedules and keyframes to whole epochs, so that more trials begin alike and share what was computed."""

    portfolio: str | tuple[dict[str, Any], ...] | None = None
    """Settings that were good elsewhere, tried after the baselines, see [portfolios](search-space.md#portfolios): a YAML
    file with a list like `baselines`, or that list. null: none, as with `none`."""

    hours: AboveZero | None = None
    """No trial begins that would not end within so many hours of the command's start; `--hours H` sets it,
    and `trials` with it where `--trials` does not. The share of the trials that is kept for repeats is kept of the hours
    too. null: `trials` alone ends the study."""

    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    """Which trials are stopped before their last epoch."""

    confirm: ConfirmConfig = ConfirmConfig()
    """How the best configurations are [compared](verdict.md) once they are found."""

    @field_validator("sampler")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return name.lower().replace("-", "").replace("_", "")  # CMA-ES, cma_es and cmaes are one sampler


class ComputeConfig(Section):
    """What one trial is given, how many run at once, where, and where checkpoints are kept."""

    cpus_per_trial: Positive = 1
    """CPU cores, and threads, of a trial."""

    gpus_per_trial: NonNegative | Literal["auto"] | None = None
    """GPUs of a trial; a fraction lets trials share one, `auto` measures how many share one best. null: one where there are
    any."""

    max_concurrent: Positive | None = None
    """The largest number of trials at once. null: as many as the machines have room for."""

    address: str | None = None
    """A running Ray cluster, `HOST:PORT` or `auto`. null: this machine."""

    store: str | None = None
    """Where checkpoints are kept: a folder, or the URI of an object store. null: `store` in the folder of the studies."""

    store_gb: NonNegative = 20.0
    """Gigabytes of checkpoints that are kept; 0 keeps none."""

    @field_validator("store")
    @classmethod
    def _absolute(cls, store: str | None) -> str | None:
        return store if store is None or "://" in store else str(Path(store).expanduser().absolute())


class StudyConfig(TrialConfig):
    """A whole study: the trial that every key of `space` varies, and what the study does with it.

    It derives from :class:`TrialConfig` though it is no trial, so that `training.lr` is one key everywhere: in the file of
    the study, in its space, in its results and in a trial.
    """

    data: DataConfig = DataConfig()
    """Where the images are, how they are read, and the size at which every trial sees them."""

    search: SearchConfig = SearchConfig()
    """How configurations are chosen, and how many."""

    compute: ComputeConfig = ComputeConfig()
    """What one trial is given, how many run at once, where, and where checkpoints are kept."""

    mlflow_uri: str | None = None
    """An MLflow server. null: a file in the study's folder."""

    paper: str | None = None
    """The [published table](papers.md) that the rows are of, for the comparison with it."""

    rows: dict[str, dict[str, Any]] = Field(default={})
    """Named assignments, one for each row of a table. Every trial is of one row."""

    space: dict[str, dict[str, Any]] = Field(default={})
    """The keys that vary, and over what."""

    baselines: tuple[dict[str, Any], ...] = ()
    """Assignments that are tried first and never stopped early, so that a winner is compared with a converged model."""

    files: dict[str, str] = Field(default={})
    """A hash of each file of weights, by its path. A study writes it to its `study.yaml` and rejects changed files from
    then on. Leave it out."""

    @field_validator("rows")
    @classmethod
    def _names(cls, rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in rows:
            if not name or "." in name:
                raise ValueError(f"a row's name is text without a dot, got {name!r}")
        return rows

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        self._check_fold(self.fold)
        return self

    def _check_fold(self, fold: int | None) -> None:
        folds = self.data.split.folds
        if fold is not None and folds is None:
            raise InputError(f"fold: {fold} needs folds; set data.split.folds to their number")
        if fold is not None and folds is not None and fold >= folds:
            raise InputError(f"fold: there is no fold {fold}; data.split.folds {folds} are 0 to {folds - 1}")

    def trial(self, assignment: Mapping[str, Any]) -> TrialConfig:
        """The configuration of one trial: this one's, with the dotted keys of `assignment` and of its row replaced.

        Raises:
            InputError: an impossible value, or an impossible combination of values.
        """
        values = self.model_dump(mode="json", include=set(TrialConfig.model_fields))
        for key, value in self.in_full(assignment).items():
            set_key(values, key, value)
        trial = parse(TrialConfig, values)
        self._check_fold(trial.fold)
        return in_whole_epochs(trial) if self.search.whole_epochs else trial

    def in_full(self, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """`assignment` with the keys of its row in place of the row's name."""
        values = dict(assignment)
        row = values.pop(ROW, None)
        return values if row is None else {**self.rows[row], **values}
