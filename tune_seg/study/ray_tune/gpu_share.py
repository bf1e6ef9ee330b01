"""How many trials share a GPU: chosen by throughput and memory, measured with the study's own training."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tune_seg.config import TrialConfig, parse
from tune_seg.errors import InputError

_COPIES: Final = (1, 2, 4)
"""Numbers of copies that are measured."""
_SECONDS: Final = 5.0
"""How long each number of copies is measured."""
_MEMORY_SHARE: Final = 0.9
"""Share of a GPU's memory that trials may take together: each allocates in blocks, and another model may take more."""
_MIN_GAIN: Final = 1.05
"""More trials at once must raise the throughput by this factor, because each then knows fewer results of the others."""


@dataclass(frozen=True)
class Measurement:
    """A training of which several copies shared a GPU.

    Attributes:
        copies: how many.
        images_per_second: of all copies together.
        peak_bytes: GPU memory of each copy, with its CUDA context.
        total_bytes: memory of the GPU.
    """

    copies: int
    images_per_second: float
    peak_bytes: int
    total_bytes: int

    def fits(self, copies: int) -> bool:
        """Whether the memory is enough for this number of copies."""
        return copies * self.peak_bytes <= _MEMORY_SHARE * self.total_bytes


def choose(measurements: Sequence[Measurement]) -> float:
    """The share of a GPU for each trial: 1, 1/2, ...

    Args:
        measurements: at least one, in order of copies.

    Example:
        >>> gib = 2**30
        >>> choose([Measurement(1, 100.0, 4 * gib, 80 * gib), Measurement(2, 180.0, 4 * gib, 80 * gib)])
        0.5
    """
    best = measurements[0]
    for measurement in measurements[1:]:
        if measurement.fits(measurement.copies) and measurement.images_per_second > _MIN_GAIN * best.images_per_second:
            best = measurement
    return 1.0 / best.copies


def measure(config: TrialConfig, pack: Path) -> float:
    """Train 1, 2 and 4 copies of `config` on a GPU of the cluster that Ray has joined; what :func:`choose` makes of it.

    Raises:
        InputError: not even one copy trains.
    """
    from ray.exceptions import RayError

    measurements: list[Measurement] = []
    for copies in _COPIES:
        if measurements and not measurements[-1].fits(copies):
            break
        try:
            measurements.append(_measured(config, pack, copies))
        except RayError as error:  # together they need more memory than each of them showed: one fails, or its process dies
            if not measurements:
                raise InputError(
                    f"compute.gpus_per_trial auto: the training to be measured failed; fix the cause, or set "
                    f"compute.gpus_per_trial to a number: {error}"
                ) from error
            break
    return choose(measurements)


def _measured(config: TrialConfig, pack: Path, copies: int) -> Measurement:
    import ray

    # processes, as trials are; a GPU's fractions are given out on one GPU as long as they fit there
    actor: Any = ray.remote(num_cpus=0, num_gpus=1.0 / copies)(_Copy)
    actors = [actor.remote(config.model_dump(mode="json"), str(pack), sys.path) for _ in range(copies)]
    try:
        ray.get([each.warm_up.remote() for each in actors])
        speeds = ray.get([each.images_per_second.remote(_SECONDS) for each in actors])
        used, total = ray.get(actors[0].memory.remote())
    finally:
        for each in actors:
            ray.kill(each)
    return Measurement(copies, sum(speeds), -(-used // copies), total)


class _Copy:
    """A training whose speed is measured, not its result."""

    def __init__(self, config: dict[str, Any], pack: str, path: list[str]) -> None:
        import torch

        from tune_seg.data import PackedData
        from tune_seg.training.trainer import Trainer

        sys.path += [entry for entry in path if entry not in sys.path]  # for losses of the user's own
        # more epochs than can be trained in the time of a measurement
        config = {**config, "training": {**config["training"], "epochs": 10**6}}
        self._trainer = Trainer(parse(TrialConfig, config), PackedData(pack), torch.device("cuda"))

    def warm_up(self) -> None:
        """Allocate all that a trial ever needs: an epoch, and the evaluation after the last one, which takes more."""
        self._trainer.epoch()
        self._trainer.evaluate(final=True)

    def images_per_second(self, seconds: float) -> float:
        trainer = self._trainer
        images = trainer.steps * min(trainer.config.training.batch_size, len(trainer.data.train))
        started = time.perf_counter()
        epochs = 0
        while time.perf_counter() - started < seconds:
            trainer.epoch()
            epochs += 1
        return epochs * images / (time.perf_counter() - started)

    def memory(self) -> tuple[int, int]:
        """Bytes of the GPU in use, by all its processes, and in all."""
        import torch

        free, total = torch.cuda.mem_get_info()
        return total - free, total
