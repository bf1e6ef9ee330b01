"""The use of a trained model: a file that holds all of it, and images in, probabilities out."""

from typing import TYPE_CHECKING, Final

from tune_seg._lazy import lazy

if TYPE_CHECKING:
    from tune_seg.inference.model_file import ModelDescription, read_model, write_model
    from tune_seg.inference.trained_model import Prediction, SeedEnsemble, TrainedModel, load_model

__all__ = ["ModelDescription", "Prediction", "SeedEnsemble", "TrainedModel", "load_model", "read_model", "write_model"]

_HOMES: Final = {
    "ModelDescription": "tune_seg.inference.model_file",
    "Prediction": "tune_seg.inference.trained_model",
    "SeedEnsemble": "tune_seg.inference.trained_model",
    "TrainedModel": "tune_seg.inference.trained_model",
    "load_model": "tune_seg.inference.trained_model",
    "read_model": "tune_seg.inference.model_file",
    "write_model": "tune_seg.inference.model_file",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
