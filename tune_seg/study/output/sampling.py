"""How the training images of a study are sampled, as a person is told: what its classes are then, and where it is no use."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console

from tune_seg.config import TrialConfig
from tune_seg.data import PackedData
from tune_seg.data.loading.sampling import Sampler, Sampling, build_sampler, sampling, trained_on
from tune_seg.study.output.say import say

Shares = npt.NDArray[np.float64]
"""Of the pixels, by class, (C,)."""


def sampled_shares(trials: Iterable[TrialConfig], packed: PackedData) -> tuple[Shares, ...]:
    """The different shares of the classes that `trials` are trained on, where not each image comes once an epoch."""
    return tuple(trained_on(how, packed).frequencies for how in _in_use(trials))


def cells_of_shares(shares: Sequence[Shares]) -> list[str]:
    """The share of each class, or from which to which it varies.

    Example:
        >>> cells_of_shares([np.array([0.75, 0.25]), np.array([0.75, 0.05])])
        ['75 %', '5 to 25 %']
    """
    ranges = (dict.fromkeys(f"{100.0 * end:.3g}" for end in (min(each), max(each))) for each in zip(*shares, strict=True))
    return [f"{' to '.join(ends)} %" for ends in ranges]


def say_sampling(console: Console, trials: Iterable[TrialConfig], packed: PackedData) -> None:
    """Say what is made of the classes where images are sampled, and warn where no image is drawn more often than another."""
    samplers = {how: sampler for how in _in_use(trials) if (sampler := build_sampler(how, packed.train)) is not None}
    if not samplers:
        return
    say(
        console,
        f"Training images are sampled ({' and '.join(dict.fromkeys(kind for kind, _ in samplers))}): class weights and the "
        "logit adjustment of these trials are those of the pixels as sampled.",
    )
    for kind in dict.fromkeys(kind for kind, _ in samplers):
        _warn_of_no_effect(console, kind, {limit: each for (name, limit), each in samplers.items() if name == kind}, packed)


def _in_use(trials: Iterable[TrialConfig]) -> list[Sampling]:
    return [how for how in dict.fromkeys(sampling(trial.training) for trial in trials) if how is not None]


def _warn_of_no_effect(console: Console, kind: str, samplers: Mapping[float | None, Sampler], packed: PackedData) -> None:
    """Warn of the thresholds with which a sampler draws every image as often as the others."""
    useless = [limit for limit, sampler in samplers.items() if np.allclose(sampler.times, 1.0)]
    if not useless:
        return
    shares = (packed.train.class_pixels > 0).mean(axis=0)
    rarest = int(np.where(shares > 0.0, shares, 2.0).argmin())
    of_rarest = f"the rarest class, {packed.class_names[rarest]}, is in {100.0 * shares[rarest]:.3g} % of them"
    thresholds = sorted(limit for limit in useless if limit is not None)
    if thresholds:
        ends = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (thresholds[0], thresholds[-1])))
        kind = f"{kind} with training.repeat_threshold {ends}"
    way_out = "a larger training.repeat_threshold, or " if thresholds and max(thresholds) < 1.0 else ""
    say(
        console,
        f"Warning: training.sampling {kind} has no effect: no training image is drawn more often than another "
        f"({of_rarest}). Take {way_out}uniform.",
    )
