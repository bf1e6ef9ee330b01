"""The samplers by name: one of this package, a grid, and Optuna's."""

import inspect
import random
import warnings
from collections.abc import Iterator
from typing import Any

import optuna

from tune_seg.config import SearchConfig, StudyConfig
from tune_seg.errors import InputError, did_you_mean
from tune_seg.study.samplers.bayes_sampler import BayesSampler
from tune_seg.study.samplers.bounded_tpe import BoundedTPESampler
from tune_seg.study.search_space.space import Space

# PartialFixedSampler wraps another sampler. Grid and brute force are both `grid` here, whose points the space enumerates.
_NOT_BY_NAME = {"PartialFixedSampler", "GridSampler", "BruteForceSampler"}
_CLASSES = {
    name.removesuffix("Sampler").lower(): getattr(optuna.samplers, name)
    for name in optuna.samplers.__all__
    if name.endswith("Sampler") and name not in _NOT_BY_NAME and not inspect.isabstract(getattr(optuna.samplers, name))
}
NAMES = ("bayes", "grid", *sorted(_CLASSES))


def build_sampler(config: SearchConfig, space: Space, *, session: int) -> optuna.samplers.BaseSampler:
    """The sampler `config.sampler`, seeded by `config.seed` and `session`.

    Args:
        config: the search.
        space: what it searches.
        session: a number that differs each time the study is continued, so that a random sampler does not draw again
            what it drew before.

    Raises:
        InputError: a name that Optuna has no sampler for, or a package that the sampler needs and that is missing.
    """
    name = config.sampler
    if name not in NAMES:
        hint = did_you_mean(name, NAMES)
        raise InputError(f"search.sampler: unknown name {config.sampler!r}{hint}; the names are {', '.join(NAMES)}")
    seed = random.Random(f"{config.seed}/{session}").getrandbits(32)
    try:
        if name == "grid":
            return optuna.samplers.RandomSampler(seed=seed)  # every value is given; nothing is left to draw
        if name == "bayes":
            return BayesSampler(space, seed=seed)
        if name == "tpe":
            # All that decides is said here, as the defaults of Optuna's versions differ. Keys are modelled together, but
            # not in groups: a group keeps the first range that it saw of a key. Trials that still run count as bad ones, so
            # that parallel suggestions keep apart.
            startup = min(10, max(1, config.trials // 3))
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                return BoundedTPESampler(
                    seed=seed,
                    n_startup_trials=startup,
                    n_ei_candidates=24,
                    multivariate=True,
                    warn_independent_sampling=False,
                    constant_liar=True,
                )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: optuna.samplers.BaseSampler = _CLASSES[name](seed=seed)
        return sampler
    except ImportError as error:
        raise InputError(f"search.sampler {config.sampler} needs a package that is not installed: {error}") from error


def check_sampler(config: StudyConfig, space: Space) -> None:
    """Try the sampler on trials in memory, so that what it cannot do is known before anything starts.

    Raises:
        InputError: an unknown sampler, or one that cannot serve this space or these objectives.
    """
    try:
        study = _study_in_memory(config, space)
        for score in range(3):
            trial = study.ask()
            space.sample(trial)
            study.tell(trial, [float(score)] * len(config.objectives))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"search.sampler {config.search.sampler} cannot serve this study: {error}") from error


def sample_trials(config: StudyConfig, space: Space, count: int) -> Iterator[dict[str, Any]]:
    """`count` assignments that the study's sampler suggests after the baselines, before it knows any result."""
    study = _study_in_memory(config, space)
    planned = planned_points(config, space)
    for number in range(count):
        study.enqueue_trial(space.stored(planned[number % len(planned)]))
        yield space.sample(study.ask())


def planned_points(config: StudyConfig, space: Space) -> list[dict[str, Any]]:
    """What the sampler does not choose: every assignment for the sampler `grid`, else the combinations of the grid keys.

    Raises:
        InputError: the sampler `grid` cannot enumerate a float.
    """
    return space.enumerate() if config.search.sampler == "grid" else space.grid_points()


def _study_in_memory(config: StudyConfig, space: Space) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = build_sampler(config.search, space, session=0)
    return optuna.create_study(directions=["maximize"] * len(config.objectives), sampler=sampler)
