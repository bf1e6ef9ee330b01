"""The keys of a format's own: `data.options`, checked against the model beside the format's reader."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from tune_seg.config import parse


class Options(BaseModel):
    """The base of every format's options: unknown keys and infinite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Options)


def read_options(options: Mapping[str, Any], model: type[Model]) -> Model:
    """`data.options` as a checked `model`.

    Raises:
        InputError: with one line per wrong key, which it names in full: `data.options.KEY`.
    """
    return parse(model, options, prefix="data.options")
