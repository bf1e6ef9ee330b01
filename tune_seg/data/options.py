"""The keys of a format's own: `data.options`, checked against the model that stands beside the format's reader."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, create_model

from tune_seg.config import DataConfig, parse


class Options(BaseModel):
    """What every format's own keys are derived from: unknown keys and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Options)


def read_options(config: DataConfig, model: type[Model]) -> Model:
    """The `data.options` of `config` as a checked `model`.

    Raises:
        InputError: with one line per wrong key, which it names in full: `data.options.KEY`.
    """
    section = create_model("Data", options=(model, ...))
    whole = create_model("Study", data=(section, ...))
    options: Model = getattr(parse(whole, {"data": {"options": config.options}}), "data").options  # noqa: B009
    return options
