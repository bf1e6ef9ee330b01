"""The learning rate at every iteration, without importing torch."""

import math

from tune_seg.config import TrainingConfig


def learning_rate(config: TrainingConfig, iteration: int, steps_per_epoch: int) -> float:
    """The learning rate at `iteration` (from 0) of `config.epochs * steps_per_epoch`: lr times the factor."""
    return config.lr * learning_rate_factor(config, iteration, steps_per_epoch)


def learning_rate_factor(config: TrainingConfig, iteration: int, steps_per_epoch: int) -> float:
    """The factor of every learning rate at `iteration` (from 0) of `config.epochs * steps_per_epoch`.

    linear: 1 - i/T, as Taubert section 5; polynomial: (1 - i/T)^lr_power; cosine: (1 + cos(pi i/T)) / 2;
    step: lr_factor^k after k times `lr_every` epochs, as Hossain section IV; constant: 1.
    """
    progress = iteration / (config.epochs * steps_per_epoch)
    match config.lr_schedule:
        case "linear":
            factor = 1.0 - progress
        case "polynomial":
            factor = (1.0 - progress) ** config.lr_power
        case "cosine":
            factor = (1.0 + math.cos(math.pi * progress)) / 2.0
        case "step":
            factor = config.lr_factor ** (iteration // steps_per_epoch // config.lr_every)
        case "constant":
            factor = 1.0
    return factor
