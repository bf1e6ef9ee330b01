"""What MLflow calls to load a model of a study: nothing is pickled, and nothing of the file is run.

The name of this module stands in every model that a study has logged, and must stay.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.inference.trained_model import TrainedModel, load_model


class SegmentationModel:
    """Images in, probabilities out, as :func:`mlflow.pyfunc.load_model` returns it.

    Args:
        model: what computes them.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    def predict(self, images: npt.NDArray[Any], params: dict[str, Any] | None = None) -> npt.NDArray[np.float32]:
        """The probability of each class (N, C, H, W).

        Args:
            images: (N, H, W, channels), with the values of their files.
            params: MLflow's; there are none.

        Raises:
            InputError: they are of another type, or have other channels.
        """
        return np.stack([self._model.probabilities(image) for image in images])


def _load_pyfunc(path: str) -> SegmentationModel:
    """The model in a file; MLflow looks for this name."""
    return SegmentationModel(load_model(path))
