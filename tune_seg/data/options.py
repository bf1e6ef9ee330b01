"""The keys of a format's own: `data.options`, checked against the model beside the format's reader."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from tune_seg.config import Section, parse
from tune_seg.format_names import FORMATS, FormatName


class Options(Section):
    """The base of every format's options. The text under each field is what docs/ says of its key."""


Model = TypeVar("Model", bound=Options)


def options_of(name: FormatName) -> type[Options]:
    """The options that a format has."""
    module, _, attribute = FORMATS[name].options.partition(":")
    found: type[Options] = getattr(import_module(module), attribute)
    return found


def read_options(options: Mapping[str, Any], model: type[Model]) -> Model:
    """`data.options` as a checked `model`.

    Raises:
        InputError: with one line per wrong key, which it names in full: `data.options.KEY`.
    """
    return parse(model, options, prefix="data.options")
