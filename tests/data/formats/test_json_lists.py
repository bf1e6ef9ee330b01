"""Large JSON files read member by member, against the json module."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_seg.data.formats import _json_lists
from tune_seg.data.formats._json_lists import members, unescaped

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(["info", "images", "annotations", "é"]), values | st.lists(values, max_size=4))


def as_written(value: Any) -> Any:
    if isinstance(value, str):
        return unescaped(value)
    if isinstance(value, list):
        return [as_written(inner) for inner in value]
    if isinstance(value, dict):
        return {unescaped(key): as_written(inner) for key, inner in value.items()}
    return value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(objects, st.booleans(), st.sampled_from([None, 0, 3]), st.integers(1, 9))
def test_members_and_their_places_are_those_of_the_file_however_it_is_cut(
    tmp_path: Path, content: dict[str, Any], ascii_only: bool, indent: int | None, chunk: int
) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content, ensure_ascii=ascii_only, indent=indent), encoding="utf-8")
    lists = {key: inner for key, inner in content.items() if isinstance(inner, list)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_json_lists, "_CHUNK", chunk)
        found = list(members(path))
    expected = [(key, member) for key, inner in lists.items() for member in inner]
    assert [(unescaped(member.key), as_written(member.value)) for member in found] == expected
    whole = path.read_bytes()
    assert [json.loads(whole[member.start : member.stop]) for member in found] == [member for _, member in expected]


@pytest.mark.parametrize("content", ["", "[]", '{"a": [1, 2', '{"a": [1 2]}', '{"a": [1], "b"', '{"a": [x]}', "\ufeff{}"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError):
        list(members(path))
