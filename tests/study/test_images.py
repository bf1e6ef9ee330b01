"""The counts of images in a study directory: what was written comes back, and of a damaged file nothing."""

from pathlib import Path

import pytest

from tests.support.epoch_results import image_counts
from tune_seg.study.images import read_images, write_images


def test_what_is_written_comes_back_by_the_number_of_the_trial(tmp_path: Path) -> None:
    for trial in (0, 12, 123_456):
        write_images(tmp_path, trial, image_counts(seed=trial))
    for trial in (0, 12, 123_456):
        assert read_images(tmp_path, trial) == image_counts(seed=trial)
    assert read_images(tmp_path, 1) is None
    assert len(list((tmp_path / "images").iterdir())) == 3  # nothing is left of the writing


def test_a_trial_that_began_again_replaces_its_counts(tmp_path: Path) -> None:
    write_images(tmp_path, 0, image_counts(seed=1))
    write_images(tmp_path, 0, image_counts(seed=2))
    assert read_images(tmp_path, 0) == image_counts(seed=2)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_of_a_file_that_was_cut_short_nothing_is_read(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert read_images(tmp_path, 0) is None


def test_of_a_file_whose_bytes_have_changed_nothing_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        assert read_images(tmp_path, 0) in (None, image_counts())  # not every byte of a zip file matters


def test_of_a_file_of_another_kind_nothing_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    for content in (b"not a zip file", b"\x93NUMPY", bytes(1000)):
        path.write_bytes(content)
        assert read_images(tmp_path, 0) is None


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file")
    with pytest.raises(OSError, match="images"):
        write_images(tmp_path, 0, image_counts())


def written(directory: Path) -> Path:
    write_images(directory, 0, image_counts())
    (path,) = (directory / "images").iterdir()
    return path
