"""A study before anything of it is started: its configuration, space and data, checked as far as that goes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tune_seg.config import StudyConfig
from tune_seg.data import Dataset
from tune_seg.data.reading import read_both
from tune_seg.errors import InputError
from tune_seg.schedules import steps_per_epoch
from tune_seg.study.budget import grid_trials, repeats_of
from tune_seg.study.configurations import REPEATED
from tune_seg.study.files import ANOTHER_NAME, PACKS
from tune_seg.study.samplers.build import check_sampler, planned_points
from tune_seg.study.search_space.portfolio import Portfolio, portfolio_of, resolved_portfolio
from tune_seg.study.search_space.space import Space
from tune_seg.training.trajectory import weights_identity


@dataclass(frozen=True, repr=False)
class Plan:
    """A study whose configuration, space and data listing have been checked; nothing is written or started yet.

    Attributes:
        config: the study.
        space: its search space.
        dataset: the images that train and validate.
        directory: where the results will be.
        test: the images that are held out; None: there are none.
    """

    config: StudyConfig
    space: Space
    dataset: Dataset
    directory: Path
    test: Dataset | None = None

    @property
    def train_images(self) -> int:
        """How many images a trial is trained on."""
        return sum(sample.split == "train" for sample in self.dataset.samples)

    @property
    def steps_per_trial(self) -> int:
        """Training steps of a trial that runs to its end, with the batch size of the configuration."""
        training = self.config.training
        return training.epochs * steps_per_epoch(self.train_images, training.batch_size)

    @cached_property
    def planned(self) -> list[dict[str, Any]]:
        """The trials of a grid: the baselines, then its points. Of another sampler's trials nothing is known; empty."""
        if self.config.search.sampler != "grid":
            return []
        return grid_trials(self.config, self.space)[: self.config.search.trials]

    @property
    def known(self) -> list[dict[str, Any]]:
        """The trials of the search that leave nothing open: the planned ones, or the baselines of another sampler."""
        points = self.planned or self.config.baselines
        return [point for point in points if self.space.is_complete(point)][: self.searched]

    @cached_property
    def portfolio(self) -> Portfolio:
        """What is tried after the baselines because it was good elsewhere; of a grid nothing."""
        return Portfolio() if self.config.search.sampler == "grid" else portfolio_of(self.space)

    @property
    def repeats_itself(self) -> bool:
        """Whether the search is a grid over seeds or folds, which repeats its configurations itself."""
        return self.config.search.sampler == "grid" and bool(REPEATED & self.config.space.keys())

    @cached_property
    def repeats(self) -> int:
        """How many trials there may be at most to repeat the best configurations."""
        return repeats_of(self.config, self.space)

    @property
    def searched(self) -> int:
        """How many trials the search has; with the sampler `grid` at most as many as baselines and points."""
        return len(self.planned) if self.config.search.sampler == "grid" else self.config.search.trials - self.repeats

    @property
    def trials(self) -> int:
        """How many trials the study has at most."""
        return self.searched + self.repeats

    @property
    def _at_most(self) -> str:
        hours = self.config.search.hours
        return "" if hours is None else f"as many as end in {hours:g} hours, at most "

    @property
    def comes_first(self) -> str:
        """What of a portfolio is tried before the sampler chooses, and why some is not; empty where there is none."""
        found = self.portfolio
        if not found.assignments and not found.left_out:
            return ""
        listed = len(found.assignments) + len(found.left_out)
        left_out = "".join(f"\n  left out: {why}" for why in found.left_out)
        return f"portfolio: {len(found.assignments)} of its {listed} settings are tried first{left_out}"

    def __repr__(self) -> str:
        """What will run, for a person."""
        epochs = self.config.training.epochs
        varied = "\n".join(f"  {line}" for line in str(self.space).splitlines()) or "  nothing"
        return (
            f"study: {self.directory}\n"
            f"trials: {self._at_most}{self.trials}, up to {epochs} epochs each, on {self.train_images} training images\n"
            f"of these: {self.searched} to search, {self.repeats} to repeat the best and plain cross entropy\n"
            f"objective: {', '.join(self.config.objectives)}\n"
            f"training steps: {self.steps_per_trial} per trial, up to {self.trials * self.steps_per_trial} in all\n"
            f"{self.comes_first}{chr(10) * bool(self.comes_first)}varied:\n{varied}"
        )


def plan_study(config: StudyConfig, directory: Path, *, quick: bool = False) -> Plan:
    """Check all of a study that can be checked without decoding an image or starting a process.

    Where the split is drawn, masks are read for it.

    Args:
        config: the study.
        directory: where its results will be; it need not be there.
        quick: whether to read no mask, for a look; a drawn split may then have some images on another side.

    Raises:
        InputError: the configuration, the space, or the layout of the data is wrong.
    """
    config = resolved_portfolio(config)
    space = Space(config)
    planned_points(config, space)
    check_sampler(config, space)
    config = config.model_copy(update={"files": _weights_files(config, space)})
    dataset, test = read_both(config.data, directory.parent / PACKS, quick=quick)
    for trial in space.probes:
        trial.augmentation.normalisation(dataset.channels)
    if dataset.names_known:
        for trial in space.probes:
            trial.loss.check(dataset.class_names)
    return Plan(config, space, dataset, directory, test)


def _weights_files(config: StudyConfig, space: Space) -> dict[str, str]:
    """The files of weights that trials begin with, each with a hash of its content."""
    paths = {trial.model.weights for trial in space.probes if isinstance(trial.model.weights, Path)}
    files = {str(path): weights_identity(path) for path in sorted(paths)}
    for path, content in files.items():
        if config.files.get(path, content) != content:
            raise InputError(
                f"model.weights {path}: the study was made with another content of this file; put that back, or begin a new "
                f"study under {ANOTHER_NAME} with files={{}} (--set files={{}}, or overrides={{'files': {{}}}})"
            )
    return files
