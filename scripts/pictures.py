"""Draw docs/pictures/result.png from a finished default study: image, truth, plain cross entropy, winner.

Run in the checkout::

    tune-seg search
    .venv/bin/python scripts/pictures.py studies/default docs/pictures/result.png
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tune_seg.config import AugmentationConfig, DataConfig, ModelConfig
from tune_seg.data import PackedData, batches, pack, read
from tune_seg.models import build_model
from tune_seg.training.checkpoints import load_weights

_SCENES = 3
_COLOURS = {
    "sky": "#b7d3ee",
    "building": "#8d8d8d",
    "road": "#5b4b66",
    "pavement": "#d9b8d6",
    "tree": "#6aa84f",
    "car": "#1f4fa8",
    "pole": "#000000",
    "pedestrian": "#e02020",
    "sign": "#f5c400",
    "traffic light": "#ff7f0e",
}
_RARE = ("pedestrian", "sign", "traffic light")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw what plain cross entropy and the winner of a default study find.")
    parser.add_argument("study", type=Path, help="the folder of the finished study")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    arguments = parser.parse_args()
    config = yaml.safe_load((arguments.study / "study.yaml").read_text())
    objective = config["objective"] if isinstance(config["objective"], str) else config["objective"][0]
    trials = pd.read_parquet(arguments.study / "results.parquet")
    configurations = pd.read_parquet(arguments.study / "configurations.parquet")
    (recommended,) = configurations[configurations.recommended].configuration
    repeats = trials[(trials.state == "completed") & trials.repeat].sort_values(objective)
    # of each the seed in the middle: neither the luckiest nor the unluckiest
    winner, plain = (
        same.iloc[len(same) // 2] for same in (repeats[repeats.configuration == recommended], repeats[repeats.loss == "ce"])
    )

    size = tuple(config["data"]["size"])
    path = pack(read(DataConfig(size=size)), arguments.study.parent / "packs", size)
    data = PackedData(path)
    masks = np.stack([data.mask(number) for number in data.val.rows])
    scenes = _with_rare_classes(masks, data.class_names)
    columns = [("image", None), ("truth", masks)]
    columns += [
        (f"{kind}: {row.loss}\n{_scores(row, data)}", _predict(row, config, data))
        for kind, row in (("baseline", plain), ("winner", winner))
    ]

    figure = Figure(figsize=(10.0, 0.9 + 1.7 * _SCENES), layout="constrained")
    axes = figure.subplots(_SCENES, len(columns), squeeze=False)
    palette = np.array([[int(_COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)] for name in data.class_names], np.uint8)
    for axis, (title, _) in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=8)
    for row, scene in zip(axes, scenes, strict=True):
        for axis, (_, labels) in zip(row, columns, strict=True):
            picture = data.image(data.val.rows[scene]) if labels is None else palette[labels[scene]]
            axis.imshow(picture, interpolation="nearest")
            axis.set_axis_off()
    handles = [Patch(color=_COLOURS[name], label=name) for name in data.class_names]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, frameon=False)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.picture, dpi=110)


def _with_rare_classes(masks: Any, class_names: tuple[str, ...]) -> list[int]:
    """For each rare class the validation scene in which it has the most pixels."""
    chosen: list[int] = []
    for name in reversed(_RARE):
        counts = (masks == class_names.index(name)).sum(axis=(1, 2))
        counts[chosen] = 0
        chosen.append(int(counts.argmax()))
    return chosen


def _scores(row: Any, data: PackedData) -> str:
    """The recall of each rare class, and the accuracy that it is paid for with."""
    first, second, third = (f"{name} {row.class_recall[data.class_names.index(name)]:.2f}" for name in _RARE)
    return f"recall: {first}, {second},\n{third}; accuracy {row.accuracy:.2f}"


def _predict(row: Any, config: dict[str, Any], data: PackedData) -> Any:
    """The predicted classes (N, H, W) of all validation scenes, by the weights that the trial ended with."""
    model = build_model(ModelConfig(**config["model"]), data.num_classes, acw=bool(row.acw))
    model.load_state_dict(load_weights(row.checkpoint))
    model.eval()
    augmentation = AugmentationConfig(**config["augmentation"])
    drawn = batches(data.val, epoch=0, seed=0, batch_size=8, augmentation=augmentation, device="cpu", train=False)
    with torch.inference_mode():
        return torch.cat([model(images).argmax(dim=1) for images, _ in drawn]).numpy()


if __name__ == "__main__":
    main()
