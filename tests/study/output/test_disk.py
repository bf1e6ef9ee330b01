"""What a study takes on the disk, in words."""

from pathlib import Path

from tune_seg.study.output.disk import disk_line
from tune_seg.training.checkpoints import CheckpointStore


def test_the_study_and_the_checkpoints_of_all_are_told_apart(tmp_path: Path) -> None:
    study, store = tmp_path / "try", CheckpointStore(str(tmp_path / "store"))
    (study / "images").mkdir(parents=True)
    assert disk_line(study, None) == "disk: 0.0 MB for this study"
    (study / "images" / "0").write_bytes(bytes(400_000))
    (study / "images" / "1").hardlink_to(study / "images" / "0")
    assert disk_line(study, None) == "disk: 0.4 MB for this study"
    (tmp_path / "store" / "3f").write_bytes(bytes(1_380_000))
    (tmp_path / "store" / "lost").symlink_to(tmp_path / "nowhere")
    assert disk_line(study, store).startswith("disk: 0.4 MB for this study, 1.4 MB for the checkpoints of all")
