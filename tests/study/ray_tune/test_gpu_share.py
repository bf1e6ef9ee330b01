"""How many trials share a GPU."""

from pathlib import Path

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pretended_gpu import pretended_gpu
from tests.support.trials import trial
from tune_seg.config import ComputeConfig, TrialConfig, parse
from tune_seg.data import PackedData
from tune_seg.errors import InputError
from tune_seg.study.ray_tune import cluster
from tune_seg.study.ray_tune.gpu_share import Measurement, _Copy, choose, measure

GIB = 2**30


def measured(*speeds: float, peak: int = 4 * GIB) -> list[Measurement]:
    return [Measurement(2**power, speed, peak, 80 * GIB) for power, speed in enumerate(speeds)]


def test_the_fastest_number_of_copies_is_chosen() -> None:
    assert choose(measured(100.0, 180.0, 240.0)) == 0.25
    assert choose(measured(100.0, 180.0, 150.0)) == 0.5
    assert choose(measured(100.0)) == 1.0


def test_copies_that_bring_nothing_are_not_chosen() -> None:
    assert choose(measured(100.0, 104.0, 104.0)) == 1.0
    assert choose(measured(100.0, 104.0, 140.0)) == 0.25


def test_copies_that_do_not_fit_are_not_chosen() -> None:
    assert choose(measured(100.0, 180.0, 300.0, peak=30 * GIB)) == 0.5
    assert choose(measured(100.0, 180.0, peak=70 * GIB)) == 1.0


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=3), st.integers(1, 100 * GIB))
def test_what_is_chosen_fits_and_is_within_5_percent_of_the_best_that_fits(speeds: list[float], peak: int) -> None:
    measurements = measured(*speeds, peak=peak)
    (chosen,) = (each for each in measurements if 1.0 / each.copies == choose(measurements))
    assert chosen.copies == 1 or chosen.fits(chosen.copies)
    assert all(
        chosen.images_per_second * 1.05 >= each.images_per_second
        for each in measurements
        if each.copies == 1 or each.fits(each.copies)
    )


def test_auto_is_no_gpu_where_there_is_none_and_a_whole_one_before_it_is_measured() -> None:
    compute = parse(ComputeConfig, {"gpus_per_trial": "auto"})
    assert cluster.allot(compute, "auto", [{"CPU": 4.0}]).gpus_per_trial == 0.0
    assert cluster.allot(compute, "cpu", [{"CPU": 4.0, "GPU": 1.0}]).gpus_per_trial == 0.0
    assert cluster.allot(compute, "auto", [{"CPU": 4.0, "GPU": 1.0}]).gpus_per_trial == 1.0
    with pytest.raises(InputError, match="gpus_per_trial"):
        parse(ComputeConfig, {"gpus_per_trial": "some"})


def test_the_evaluation_after_the_last_epoch_is_part_of_what_is_measured(packed: PackedData) -> None:
    config = trial(model={"architecture": "Unet", "encoder": "tu-test_resnet"}, training={"precision": "float32"})
    seen: list[int] = []
    with pretended_gpu():
        copy = _Copy(config.model_dump(mode="json"), str(packed.path), [])
        model = copy._trainer.model
        model.register_forward_pre_hook(lambda model, inputs: None if model.training else seen.append(len(inputs[0])))
        copy.warm_up()
    assert sum(seen) > len(packed.val)  # which is what an epoch alone evaluates


@pytest.mark.long("gpu share")
def test_a_training_that_cannot_be_measured_is_said_in_a_sentence(tmp_path: Path) -> None:
    ray.init(address="local", num_cpus=1, num_gpus=1, include_dashboard=False)  # no GPU is touched: there is no pack
    try:
        with pytest.raises(InputError, match=r"compute.gpus_per_trial auto: the training to be measured failed"):
            measure(TrialConfig(), tmp_path / "none.pack")
    finally:
        ray.shutdown()
