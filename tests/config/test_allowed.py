"""What is said of a value that a key cannot hold: the key, the value and what is allowed, on one line."""

from typing import Any

import pytest

from tune_seg.config import StudyConfig, parse, schema
from tune_seg.config.allowed import allowed
from tune_seg.config.keys import set_key
from tune_seg.errors import InputError
from tune_seg.metric_names import OBJECTIVES


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.size", 64, "64 is not possible; allowed: [height, width], whole numbers ≥ 8"),
        ("data.size", [64, 4], "[64, 4] is not possible; allowed: [height, width], whole numbers ≥ 8"),
        ("data.classes", 3, "3 is not possible; allowed: a list of names or {label: name}, or null"),
        ("data.classes", {"a": "b"}, "{'a': 'b'} is not possible; allowed: a list of names or {label: name}, or null"),
        (
            "data.classes",
            {"0:bg": None, "1:crack": None},
            "{'0:bg': None, '1:crack': None} is not possible (a blank is missing after the colon: 0: bg); allowed: a list",
        ),
        (
            "data.format",
            "nfti",
            "'nfti' is not possible (did you mean nifti?); allowed: camvid, cityscapes, voc, sbd, coco, ",
        ),
        ("data.root", 3, "3 is not possible; allowed: a path, or null"),
        ("model.weights", 3, "3 is not possible; allowed: none, imagenet, coco or a path"),
        ("model.encoder", 18, "18 is not possible; allowed: text"),
        ("compute.gpus_per_trial", -1, "-1 is not possible; allowed: a number ≥ 0 or auto, or null"),
        ("compute.gpus_per_trial", True, "true is not possible; allowed: a number ≥ 0 or auto, or null"),
        (
            "compute.gpus_per_trial",
            "aut",
            "'aut' is not possible (did you mean auto?); allowed: a number ≥ 0 or auto, or null",
        ),
        ("training.optimizer", "adamm", "'adamm' is not possible (did you mean adam?); allowed: sgd, adam, adamw"),
        ("training.epochs", None, "null is not possible; allowed: a whole number ≥ 1"),
        ("training.lr", float("inf"), "inf is not possible; allowed: a number > 0, and finite"),
        ("training", 3, "3 is not possible; allowed: a mapping with the keys epochs, batch_size, "),
        ("acw", "maybe", "'maybe' is not possible; allowed: true, false"),
        ("objective", 3, f"3 is not possible; allowed: {', '.join(OBJECTIVES)} or a list of these"),
        ("loss.end", 3, "3 is not possible; allowed: a loss"),
        ("loss.kind", "naiv", "'naiv' is not possible (did you mean naive?); allowed: static, compound, "),
        ("loss.alpha", [], "[] is not possible; allowed: a number ≥ 0 or a list of these, at least one, or null"),
        ("augmentation.resize", [0, 1], "[0, 1] is not possible; allowed: [smallest, largest], numbers > 0"),
        ("augmentation.mean", ["a"], "['a'] is not possible; allowed: a list of numbers, or null"),
        ("search.early_stopping.kind", "ash", "'ash' is not possible (did you mean asha?); allowed: settled, asha, none"),
    ],
)
def test_one_line_says_what_is_allowed(key: str, value: Any, said: str) -> None:
    values: dict[str, Any] = {}
    set_key(values, key, value)
    with pytest.raises(InputError) as error:
        parse(StudyConfig, values)
    assert str(error.value).startswith(f"{key}: {said}")
    assert "\n" not in str(error.value)


def test_no_key_is_explained_in_the_words_of_python() -> None:
    for section, field in StudyConfig.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        wrong: list[dict[str, Any]] = [{section: ...}, *({section: {key: ...}} for key in inner)]
        for values in wrong:
            with pytest.raises(InputError) as error:
                parse(StudyConfig, values)
            assert "Ellipsis is not possible; allowed: " in str(error.value), values
            assert not {"Input", "valid", "class", "tuple", "dictionary"} & set(str(error.value).split()), values


def test_a_value_is_shown_as_it_is_asked_for() -> None:
    found = {"anyOf": [{"enum": ["auto"]}, {"type": "boolean"}, {"type": "null"}]}
    assert allowed({}, found) == "auto or true, false, or null"
    assert allowed({}, found, lambda value: f"<{value}>") == "<auto> or <True>, <False>, or <None>"


def test_the_schema_for_editors_is_read_in_the_same_words() -> None:
    whole = schema()
    colours = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer", "maximum": 255}}}
    assert allowed(whole, whole["$defs"]["LossConfig"]["properties"]["end"]) == "a loss"
    assert allowed(whole, colours) == "{name: a list of whole numbers ≤ 255}"
