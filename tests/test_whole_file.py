"""A file appears whole or not at all."""

from pathlib import Path

import pytest

from tune_seg._whole_file import whole_file


def test_a_file_appears_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.nii.gz"
    with whole_file(path) as partial:
        assert partial.name.endswith(".nii.gz") and partial.name.startswith(".") and partial.parent == path.parent
        partial.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_writing_that_is_interrupted_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.png"
    path.write_text("before")
    with pytest.raises(error), whole_file(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
