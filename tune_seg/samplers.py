"""Optuna's samplers by name."""

import inspect
import random
import warnings

import optuna

from tune_seg.config import SearchConfig
from tune_seg.errors import InputError

# PartialFixedSampler wraps another sampler; a grid is laid out by the space, which knows its conditions
_NOT_BY_NAME = {"PartialFixedSampler", "GridSampler"}
_CLASSES = {
    name.removesuffix("Sampler").lower(): getattr(optuna.samplers, name)
    for name in optuna.samplers.__all__
    if name.endswith("Sampler") and name not in _NOT_BY_NAME and not inspect.isabstract(getattr(optuna.samplers, name))
}
NAMES = ("grid", *sorted(_CLASSES))


def build_sampler(config: SearchConfig, *, session: int) -> optuna.samplers.BaseSampler:
    """The sampler `config.sampler`, seeded by `config.seed` and `session`.

    Args:
        config: the search.
        session: a number that differs each time the study is continued, so that a random sampler does not draw again
            what it drew before.

    Raises:
        InputError: a name that Optuna has no sampler for, or a package that the sampler needs and that is missing.
    """
    name = config.sampler.lower().replace("-", "").replace("_", "")
    if name not in NAMES:
        raise InputError(f"search.sampler: unknown name {config.sampler!r}; the names are {', '.join(NAMES)}")
    seed = random.Random(f"{config.seed}/{session}").getrandbits(32)
    try:
        if name == "grid":
            return optuna.samplers.RandomSampler(seed=seed)  # every value is given; nothing is left to draw
        if name == "tpe":
            # The trials that still run count as bad ones, so that parallel suggestions keep apart.
            startup = min(10, max(1, config.trials // 3))
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: optuna.samplers.BaseSampler = _CLASSES[name](seed=seed)
        return sampler
    except ImportError as error:
        raise InputError(f"search.sampler {config.sampler} needs a package that is not installed: {error}") from error
