"""Every key says what it does, in the text under its field."""

import importlib
import pkgutil

import pytest

import tune_seg.config
from tune_seg.config import StudyConfig
from tune_seg.config.base import Section, field_docs


def sections() -> list[type[Section]]:
    for module in pkgutil.iter_modules(tune_seg.config.__path__, "tune_seg.config."):
        importlib.import_module(module.name)
    found: list[type[Section]] = []
    waiting = [Section]
    while waiting:
        found += (below := [cls for cls in waiting.pop().__subclasses__() if cls.__module__.startswith("tune_seg.config.")])
        waiting += below
    return found


def test_all_sections_are_found() -> None:
    assert {"LossConfig", "TrialConfig", "StudyConfig", "SplitConfig", "KeyframeConfig"} <= {c.__name__ for c in sections()}


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_field_has_a_text(section: type[Section]) -> None:
    docs = field_docs(section)
    assert list(docs) == list(section.model_fields)
    for name, text in docs.items():
        assert text.endswith((".", "`.")) and "\n" not in text, name


def test_texts_come_from_the_classes_above_too() -> None:
    docs = field_docs(StudyConfig)
    assert docs["acw"].startswith("End the model with a layer")
    assert docs["objective"].startswith("The [metric](metrics.md)")


def test_what_null_means_is_said_where_it_is_no_plain_lack() -> None:
    """Of a key that is left out, what is used instead."""
    silent = {
        f"{section.__name__}.{name}"
        for section in sections()
        for name, field in section.model_fields.items()
        if not field.is_required() and field.default is None and "null:" not in field_docs(section)[name]
    }
    assert silent == {
        *("SplitConfig.train", "SplitConfig.val", "SplitConfig.folds", "DataConfig.max_val", "DataConfig.content"),
        "DataConfig.test_content",
        *("ComponentConfig.weight", "ComponentConfig.keyframes", "LossConfig.start", "StudyConfig.paper"),
    }
