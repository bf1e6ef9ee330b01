"""`data.options`: every key has a text, which docs/ and the schema for editors repeat."""

import re

import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.support import CHECKOUT
from tune_seg.config import schema
from tune_seg.config.base import field_docs
from tune_seg.data.groups import GroupOptions
from tune_seg.data.images.intensities import IntensityOptions
from tune_seg.data.options import Options, options_of, read_options
from tune_seg.errors import InputError
from tune_seg.format_names import FORMATS, FormatName

SECTIONS = list(dict.fromkeys(map(options_of, FORMATS)))


def test_every_format_has_the_options_of_its_own() -> None:
    shared: set[type[Options]] = {GroupOptions, IntensityOptions}
    bases: set[type[Options]] = {Options, *shared}
    assert {*SECTIONS} == {own for each in bases for own in each.__subclasses__()} - shared
    validator = jsonschema.Draft202012Validator(schema(map(options_of, FORMATS)))
    for options in ({"classes": 32}, {"group": "^[0-9]+"}):  # keys that several formats have
        assert list(validator.iter_errors({"data": {"root": "images", "options": options}})) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_option_has_a_text_that_is_in_the_documentation(section: type[Options]) -> None:
    docs = field_docs(section)
    assert list(docs) == list(section.model_fields)
    pages = "".join((CHECKOUT / "docs" / f"data-{name}.md").read_text() for name in ("images", "volumes"))
    rows = re.findall(r"^\| (.*) \| `data\.options\.(\w+)` \|.*\| ([^|]*) \|$", pages, re.MULTILINE)
    for name in (name for name in FORMATS if options_of(name) is section):
        assert {key: text for formats, key, text in rows if f"`{name}`" in formats} == docs


@pytest.mark.parametrize("name", FORMATS)
def test_the_schema_of_the_command_knows_the_options(name: FormatName) -> None:
    validator = jsonschema.Draft202012Validator(schema(map(options_of, FORMATS)))
    defaults = options_of(name)().model_dump(mode="json")
    study = {"data": {"root": "images", "format": name, "options": defaults}}
    assert list(validator.iter_errors(study)) == []
    wrong_types = {key: {"a": "mapping"} for key in defaults}  # none where a format has no options
    for wrong in filter(None, ({**defaults, "no_such_option": 1}, wrong_types)):
        assert list(validator.iter_errors({"data": {**study["data"], "options": wrong}})) != []


def test_a_wrong_option_is_answered_with_what_is_allowed() -> None:
    with pytest.raises(InputError) as error:
        read_options({"labels": "trian"}, options_of("cityscapes"))
    assert str(error.value) == (
        "data.options.labels: 'trian' is not possible (did you mean train?); allowed: ids, all, train"
    )
