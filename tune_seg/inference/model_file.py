"""The file that a trained model is: its weights as safetensors, and in their header, as JSON, all that its use needs.

Such a file holds numbers and text alone: nothing in it is executed when it is read.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open

from tune_seg._whole_file import whole_file
from tune_seg.config import ModelConfig, Resize, Size
from tune_seg.config.base import AboveZero, Integer, Number, Positive, Section
from tune_seg.config.data import TilesConfig
from tune_seg.data.volumes.options import VolumeOptions
from tune_seg.errors import InputError, first_line

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX: Final = ".safetensors"

_KEY: Final = "tune_seg"
_NAME: Final = re.compile(r"[\w.-]+")
"""Of an encoder: `tu-hf-hub:...` and `tu-local-dir:...` would have timm read what is elsewhere."""

Colour = tuple[
    Annotated[Integer, Field(ge=0, le=255)], Annotated[Integer, Field(ge=0, le=255)], Annotated[Integer, Field(ge=0, le=255)]
]
"""Red, green, blue."""


class ClassDescription(Section):
    """A class."""

    name: str
    colour: Colour


class Adjustment(Section):
    """Adjusted logits: ``(x - tau log(class frequency)) / T`` (Menon et al. 2021, the post-hoc variant).

    Attributes:
        tau: its strength.
        temperature: T.
        shift: tau log(class frequency), (C,).
    """

    tau: Number
    temperature: AboveZero
    shift: tuple[Number, ...]


class ModelDescription(Section):
    """What the use of a trained model needs beside its weights.

    Attributes:
        format_version: of this description.
        tune_seg_version: of the program that wrote it.
        model: the architecture; `weights` is none, as all of them are in the file.
        acw, acw_positive: whether the model ends with adaptive class weights, and whether these are positive.
        classes: by class index.
        size: (H, W) of the images that it was trained on, in pixels.
        resize: how images of another size come to it.
        tiles: the tiles that large images were cut into.
        channels, dtype: of the images.
        mean, std: by which values between 0 and 1 are normalised, one a channel.
        pages_as_channels: whether the pages of a TIFF are the channels of one image.
        intensity_rule: how the numbers in the files of the images became levels; None: they are levels.
        volumes: how volumes became the images, which are their slices; None: the images are pictures.
        temperature: by which logits are divided.
        adjustment: what favours rare classes where it is asked for; None: it was not fitted.
        metrics: that it had on the validation images, by name.
        configuration: of the trial.
        study: of which it is, and the number of the trial.
        data: the content id of the data that it was trained and validated on.
    """

    format_version: Literal[2] = 2
    tune_seg_version: str
    model: ModelConfig
    acw: bool
    acw_positive: bool
    classes: Annotated[tuple[ClassDescription, ...], Field(min_length=2)]
    size: Size
    resize: Resize
    tiles: TilesConfig = TilesConfig()
    channels: Positive
    dtype: Literal["uint8", "uint16"]
    mean: tuple[Number, ...]
    std: tuple[AboveZero, ...]
    pages_as_channels: bool = False
    intensity_rule: dict[str, Any] | None = None
    volumes: VolumeOptions | None = None
    temperature: AboveZero = 1.0
    adjustment: Adjustment | None = None
    metrics: dict[str, Number | None] = Field(default_factory=dict)
    configuration: dict[str, Any] = Field(default_factory=dict)
    study: str = ""
    data: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, values, count in (
            ("mean", self.mean, self.channels),
            ("std", self.std, self.channels),
            ("adjustment.shift", None if self.adjustment is None else self.adjustment.shift, len(self.classes)),
        ):
            if values is not None and len(values) != count:
                raise ValueError(f"{name} has {len(values)} numbers, {count} are needed")
        if not _NAME.fullmatch(self.model.encoder):
            raise ValueError(f"model.encoder {self.model.encoder!r} is no name, and what is elsewhere is not fetched")
        if self.intensity_rule is not None and self.intensity_rule.keys() != {"low", "high", "nodata"}:
            raise ValueError("intensity_rule needs low, high and nodata, and nothing else")
        if self.volumes is not None:
            if self.intensity_rule is not None or self.pages_as_channels:
                raise ValueError("volumes have neither an intensity_rule nor pages")
            if f"uint{self.volumes.bits}" != self.dtype:
                raise ValueError(f"volumes.bits is {self.volumes.bits}, but the images are {self.dtype}")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """By class index."""
        return tuple(each.name for each in self.classes)


def write_model(path: Path | str, description: ModelDescription, weights: "Mapping[str, Tensor]") -> None:
    """Write a model; the file appears whole or not at all.

    Args:
        path: of the file, which is replaced.
        description: of the model.
        weights: the state of the model, on whatever device.

    Raises:
        InputError: it cannot be written.
    """
    from safetensors.torch import save  # here, because a description is read without torch, which takes seconds to load

    path = Path(path)
    # each tensor by itself, because safetensors refuses those that share memory
    tensors = {name: weight.detach().cpu().contiguous().clone() for name, weight in weights.items()}
    try:
        with whole_file(path) as partial:
            partial.write_bytes(save(tensors, {_KEY: description.model_dump_json()}))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be written ({first_line(error)})") from error


def read_model(path: Path | str) -> "tuple[ModelDescription, dict[str, Tensor]]":
    """The description and the weights, on the CPU, of a model that :func:`write_model` wrote.

    Raises:
        InputError: it cannot be read, it is no such file, or a newer program wrote it.
    """
    with _opened(path, "pt") as file:
        names: list[str] = file.keys()
        return _described(path, file), {name: file.get_tensor(name) for name in names}


def read_description(path: Path | str) -> ModelDescription:
    """As :func:`read_model`, the description alone; torch is not needed for it."""
    with _opened(path, "np") as file:
        return _described(path, file)


def _described(path: Path | str, file: Any) -> ModelDescription:
    said = (file.metadata() or {}).get(_KEY)
    if said is None:
        raise InputError(f"{path}: weights that no tune_seg export wrote; write a model with tune-seg export")
    return ModelDescription.model_validate_json(said)


@contextlib.contextmanager
def _opened(path: Path | str, framework: str) -> Iterator[Any]:
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{path}: a model that this program cannot use ({where}: {problem['msg']}); an older or a newer tune_seg may "
            "have written it: run the command of its study again, which writes it anew without training, or export a trial "
            "of the study (--trial N)"
        ) from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as a model ({first_line(error)}); is it damaged or truncated?") from error
