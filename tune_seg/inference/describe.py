"""What the file of a trained model says of it, from the trial and the data that it is of."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tune_seg.config import DataConfig, TrialConfig
from tune_seg.data import PackedData
from tune_seg.data.options import options_of, read_options
from tune_seg.data.reading import detect_format
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.format_names import FORMATS
from tune_seg.inference.colours import class_colours
from tune_seg.inference.model_file import Adjustment, ClassDescription, ModelDescription
from tune_seg.training.evaluation import log_frequencies
from tune_seg.training.result import ADJUSTED, TEMPERATURE


def describe(
    config: TrialConfig,
    data: DataConfig,
    packed: PackedData,
    *,
    metrics: Mapping[str, float],
    fitted: Mapping[str, Any],
    intensity_rule: Mapping[str, Any] | None,
    version: str,
    study: str = "",
) -> ModelDescription:
    """The description of a trained model.

    With fewer than two validation images nothing was fitted to them, and outputs stay as they are.

    Args:
        config: the trial.
        data: the data set, of which the format, its options, `resize` and `tiles` are used.
        packed: the data that it was trained on.
        metrics: on the validation images, by name.
        fitted: what was fitted to these, as :attr:`~tune_seg.training.result.Evaluation.fitted` has it.
        intensity_rule: how the numbers in the files became levels (:attr:`tune_seg.data.Dataset.intensity_rule`).
        version: of the program.
        study: the name of the study, and the number of the trial.
    """
    adjustment = None
    if _known(fitted, f"{ADJUSTED}/T"):
        tau = float(fitted[f"{ADJUSTED}/tau"])
        shift = (tau * log_frequencies(packed, config)).tolist()
        adjustment = Adjustment(tau=tau, temperature=float(fitted[f"{ADJUSTED}/T"]), shift=shift)
    mean, std = config.augmentation.normalisation(packed.channels)
    names, colours = packed.class_names, class_colours(packed.class_names)
    return ModelDescription(
        tune_seg_version=version,
        model=config.model.model_copy(update={"weights": "none"}),
        acw=config.acw,
        acw_positive=config.acw_options.positive,
        classes=tuple(ClassDescription(name=name, colour=each) for name, each in zip(names, colours, strict=True)),
        size=packed.size,
        resize=data.resize,
        tiles=data.tiles,
        channels=packed.channels,
        dtype=packed.dtype,
        mean=mean,
        std=std,
        pages_as_channels=data.options.get("pages") == "channels",
        intensity_rule=None if intensity_rule is None else dict(intensity_rule),
        volumes=_volumes(data),
        temperature=float(fitted[f"{TEMPERATURE}/T"]) if _known(fitted, f"{TEMPERATURE}/T") else 1.0,
        adjustment=adjustment,
        metrics={name: value if math.isfinite(value) else None for name, value in metrics.items()},
        configuration=config.model_dump(mode="json"),
        study=study,
        data=packed.content_id,
    )


def _volumes(data: DataConfig) -> VolumeOptions | None:
    """How volumes become images, without what concerns labels and patients; None: the data are pictures."""
    name = data.format or detect_format(data)  # a study knows its format, also where its data are not there any more
    if not any(known == name and options_of(known) is VolumeOptions for known in FORMATS):
        return None
    options = read_options(data.options, VolumeOptions)
    return VolumeOptions.model_validate(options.model_dump(include={"percentiles", "window", "bits", "spacing", "plane"}))


def _known(fitted: Mapping[str, Any], name: str) -> bool:
    return bool(np.isfinite(fitted.get(name, math.nan)))
