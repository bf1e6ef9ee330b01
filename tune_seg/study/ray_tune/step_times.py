"""Between Ray Tune and the profile: Tune tells here of every step."""

from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tune_seg.study.profiling import Profile
from tune_seg.study.ray_tune._ray_private import NotSaved
from tune_seg.study.ray_tune.trainable import REPORT, StepReport
from tune_seg.study.records import Records


class StepTimes(NotSaved, Callback):
    """Tells `profile` how long each step took and on which worker, and how long `records` have been waited for."""

    def __init__(self, profile: Profile, records: Records) -> None:
        self._profile = profile
        self._records = records

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any) -> None:
        report: StepReport = result[REPORT]
        self._profile.step(
            (result["node_ip"], result["pid"]),
            seconds=result["time_this_iter_s"],
            setup=report.setup_seconds,
            epochs=[epoch.seconds for epoch in report.results],
            checkpoints=0.0 if report.progress is None else report.progress.checkpoint_seconds,
            sampler_seconds=self._records.sampler_seconds,
        )
