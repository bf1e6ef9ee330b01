"""A trained model as an ONNX file: the levels of images in, probabilities out, with nothing of tune_seg or torch needed."""

import contextlib
import io
import json
import logging
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from tune_seg._package import how_to_install
from tune_seg._whole_file import whole_file
from tune_seg.errors import InputError, first_line
from tune_seg.inference.trained_model import TrainedModel

INPUT: Final = "image"
OUTPUT: Final = "probabilities"
TOLERANCE: Final = 1e-4
"""By how much a probability may differ from torch's."""

_PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
_TRACED, _CHECKED = 2, 3  # images at once; another number, so that the check finds a number that was frozen


def write_onnx(path: Path, model: TrainedModel) -> float:
    """Write a model as ONNX and compare what it says with torch; the largest difference of a probability.

    The file takes `image`, float32 (N, channels, H, W): the levels of the training's images (0 to 255 of 8 bits, 0 to 65535
    of 16) at the size of the training, any number of them at once. It gives `probabilities`, float32 (N, C, H, W).
    Normalisation, temperature and softmax are inside. Its metadata say what the classes are.

    Args:
        path: of the file, which is replaced once it was checked.
        model: on the CPU.

    Raises:
        InputError: a package is missing, the model cannot be written as ONNX, or the file says something else than torch.
    """
    need_onnx()
    import onnx

    program = _Program(model).eval()
    try:
        proto = _exported(program, _levels(model, _TRACED))
    except Exception as error:  # the exporter raises whatever it met in the model
        what = f"{model.description.model.architecture} with {model.description.model.encoder}"
        raise InputError(
            f"{path}: {what} cannot be written as ONNX ({first_line(error)}); use the file that tune-seg export writes "
            "without --onnx"
        ) from error
    onnx.helper.set_model_props(proto, _metadata(model))
    try:
        with whole_file(path) as partial:
            onnx.save_model(proto, str(partial), save_as_external_data=False)
            return _checked(partial, program, _levels(model, _CHECKED))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def need_onnx() -> None:
    """Import the packages that ONNX needs.

    Raises:
        InputError: one of them cannot be imported; the message names the command that installs it.
    """
    for package in _PACKAGES:
        try:
            import_module(package)
        except ImportError as error:
            raise InputError(
                f"ONNX needs the package {package}, which cannot be imported ({error}); {how_to_install('onnx')}"
            ) from error


class _Program(nn.Module):
    """What the file computes: normalisation, the model, its temperature and the softmax."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        said = model.description
        mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (said.mean, said.std))
        self.register_buffer("scale", (1.0 / (float(np.iinfo(said.dtype).max) * std)).float())
        self.register_buffer("shift", (-mean / std).float())
        self.model = model.module
        self.temperature = said.temperature

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image * self.scale + self.shift)
        return (logits.float() / self.temperature).softmax(dim=1)


def _levels(model: TrainedModel, count: int) -> Tensor:
    """Images of noise, as the file takes them."""
    said = model.description
    shape = (count, said.channels, *said.size)
    levels = np.random.default_rng(0).integers(0, np.iinfo(said.dtype).max, shape, endpoint=True)
    return torch.from_numpy(levels.astype(np.float32))


def _exported(program: _Program, image: Tensor) -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        exported = torch.onnx.export(
            program,
            (image,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("images")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert exported is not None  # as it was not told to write a file
    return exported.model_proto


def _metadata(model: TrainedModel) -> dict[str, str]:
    said = model.description
    return {
        "tune_seg_version": said.tune_seg_version,
        "classes": json.dumps(said.class_names),
        "size": json.dumps(said.size),
        "input": f"{INPUT}: float32 (N, {said.channels}, H, W), levels from 0 to {np.iinfo(said.dtype).max}",
        "tune_seg": said.model_dump_json(),
    }


@torch.inference_mode()
def _checked(path: Path, program: _Program, image: Tensor) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {INPUT: image.numpy()})
    difference = float(np.abs(found - program(image).numpy()).max())
    if not difference <= TOLERANCE:  # nan too
        raise InputError(
            f"the ONNX model differs from torch by {difference:.2g} in a probability, where {TOLERANCE:g} is allowed; it is "
            "not written. Use the file that tune-seg export writes without --onnx"
        )
    return difference
