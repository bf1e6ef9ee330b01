"""The one test after the decision: what a trained model scores on images that no trial has seen."""

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

from tune_seg.boundary import BoundaryMetrics
from tune_seg.config import TrialConfig
from tune_seg.data import PackedData, PackedTest
from tune_seg.errors import InputError, first_line
from tune_seg.models.build import build_model, to_device
from tune_seg.training.checkpoints import load_weights
from tune_seg.training.evaluation import by_kind, metrics_of_groups
from tune_seg.training.image_tally import ImageTally
from tune_seg.training.outputs import outputs
from tune_seg.training.result import TEMPERATURE, Evaluation, ScaledScores
from tune_seg.training.trainer import autocast


@torch.inference_mode()
def score_on_test(
    config: TrialConfig, checkpoint: str | Path, test: PackedTest, device: torch.device, *, temperature: float
) -> Evaluation:
    """The metrics of a trained model over the images of a test split, as it is and with a temperature.

    Nothing is fitted to these images. On the CPU the number of threads of the process becomes that of the training, as in a
    :class:`~tune_seg.training.trainer.Trainer`.

    Args:
        config: the trial that the model was trained in; its model, batch size, normalisation, precision, threads and
            background are used.
        checkpoint: the weights that it ended with, a path or a URI: see
            :attr:`~tune_seg.training.result.Progress.checkpoint`.
        test: the packed test images, with the classes of the data that the model was trained on.
        device: where to compute.
        temperature: by which logits are divided, fitted to the validation images.

    Returns:
        the metrics over all images, those of scaled logits as `temperature/NAME`, and the counts of each image.

    Raises:
        InputError: the weights cannot be read, or do not fit the model and the classes.

    Example:
        >>> results, progress = training.advance()  # of the last epoch  # doctest: +SKIP
        >>> fitted = results[-1].evaluation.fitted["temperature/T"]  # doctest: +SKIP
        >>> test = PackedTest(pack(read_test(data_config), "studies/packs", data_config.size))  # doctest: +SKIP
        >>> scores = score_on_test(trial, progress.checkpoint, test, device, temperature=fitted)  # doctest: +SKIP
        >>> scores.find("recall"), scores.find("temperature/s_rec")  # doctest: +SKIP
        (0.72, 0.79)
    """
    if device.type == "cpu" and config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    model = to_device(trained_model(config, checkpoint, test), device)
    model.eval()
    raw, scaled = (metrics_of_groups(test, config) for _ in range(2))
    outlines = BoundaryMetrics(test.num_classes, background=raw.background) if config.evaluation.boundary else None
    tally = ImageTally(test.num_classes)
    divisor = torch.tensor(temperature, device=device)
    context: AbstractContextManager[None] = autocast(device.type, config.training.precision)
    for logits, target, groups in outputs(model, test, config, device=device, autocast=context):
        logits = logits.float()
        raw.update(logits, target, groups)
        scaled.update(logits / divisor, target, groups)
        if outlines is not None:
            outlines.update(logits, target)
        tally.update(logits, divisor, target)
    of_outlines = {} if outlines is None else outlines.compute()  # which no temperature changes
    metrics, per_class = by_kind(raw)
    metrics |= of_outlines
    with_temperature = ScaledScores(by_kind(scaled)[0] | of_outlines, temperature)
    counts = tally.counts(np.arange(len(test.val)), raw.confusion, raw.background)
    return Evaluation(metrics, per_class, {TEMPERATURE: with_temperature}, counts)


def trained_model(config: TrialConfig, checkpoint: str | Path, data: PackedData) -> torch.nn.Module:
    """The model of a trial with the weights that its training ended with.

    Args:
        config: the trial.
        checkpoint: a path or a URI.
        data: with the classes and channels that the model was trained on.

    Raises:
        InputError: the weights cannot be read, or do not fit.
    """
    model = build_model(
        config.model.model_copy(update={"weights": "none"}),  # those that it began with need not be there any more
        data.num_classes,
        in_channels=data.channels,
        acw=config.acw,
        acw_positive=config.acw_options.positive,
    )
    try:
        model.load_state_dict(load_weights(checkpoint))
    except RuntimeError as error:
        raise InputError(
            f"checkpoint {checkpoint} does not fit {config.model.architecture} with {config.model.encoder}, "
            f"{data.num_classes} classes and {data.channels} channels ({first_line(error)})"
        ) from error
    return model
