"""A study of rows, small enough to be trained in a test: see the fixture `rows_study`."""

from typing import Any

NAIVE: dict[str, Any] = {"loss.kind": "naive", "loss.start": "dice"}
ROWS_STUDY: dict[str, Any] = {
    "paper": "hossain_table4",
    "data": {"format": "synthetic", "size": [48, 48], "max_train": 8, "max_val": 4},
    "model": {"architecture": "Unet"},
    "training": {"epochs": 3, "batch_size": 4, "optimizer": "adam", "threads": 1},
    "objective": "mdice",
    "search": {"sampler": "grid", "early_stopping": {"kind": "none"}},
    "rows": {
        "ADFL": {"loss.end": "dual_focal", "acw": True},
        "CE": {"loss.end": "ce"},
        "FL": {"loss.end": "focal"},
        "DL": {"loss.end": "dice"},
        "DLNWCE": {**NAIVE, "loss.end": "wce", "schedule.start": 2 / 3},
        "DLNWCE early": {**NAIVE, "loss.end": "wce", "schedule.start": 1 / 3},
        "DLNDL": {**NAIVE, "loss.end": "dice"},
    },
    "space": {"training.seed": {"grid": [0, 1], "when": {"row": ["ADFL", "CE", "FL"]}}},
}
