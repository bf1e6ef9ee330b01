"""From the checkpoint of a trial to the file of a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune_seg.config import DataConfig, TrialConfig
from tune_seg.data import PackedData
from tune_seg.inference.describe import describe
from tune_seg.inference.model_file import write_model
from tune_seg.training.checkpoints import load_weights


def export_model(
    config: TrialConfig,
    data: DataConfig,
    pack: str,
    checkpoint: str,
    out: Path,
    *,
    metrics: Mapping[str, float],
    fitted: Mapping[str, Any],
    intensity_rule: Mapping[str, Any] | None,
    version: str,
    study: str,
) -> None:
    """Write the model that a trial has trained as one file.

    Args:
        config: the trial.
        data: the data set of its study.
        pack: the path of the packed data.
        checkpoint: the weights that it ended with.
        out: the file to write.
        metrics, fitted, intensity_rule, version, study: as :func:`~tune_seg.inference.describe.describe` takes them.

    Raises:
        InputError: the data or the weights are not there any more, or the file cannot be written.
    """
    packed = PackedData(pack, config.fold)
    description = describe(
        config,
        data,
        packed,
        metrics=metrics,
        fitted=fitted,
        intensity_rule=intensity_rule,
        version=version,
        study=study,
    )
    write_model(out, description, load_weights(checkpoint))
