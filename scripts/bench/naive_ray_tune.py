"""The study that a competent user writes with the documentation of Ray Tune, Optuna, MLflow, torchvision and SMP open.

    PYTHONPATH=. python scripts/bench/naive_ray_tune.py --data CAMVID --out DIR --epochs N --configurations FILE.json
    PYTHONPATH=. python scripts/bench/naive_ray_tune.py --data CAMVID --out DIR --epochs N --time-budget S --early-stopping

The first form runs a fixed list of loss settings, the second searches the space of `search_spaces/loss_schedule.yaml`
with TPE and ASHA. `DIR/results.json` holds every epoch of every trial with the wall time at which it was reported.
`study.py` and `time_to_best.py` run this script beside `tune-seg search`; it uses nothing of tune_seg.

What is taken from which page:

- Ray Tune, "How to use Tune with PyTorch" (docs.ray.io, tune/examples/tune-pytorch-cifar): a function trainable that
  builds data sets, loaders and model, trains, and reports after each epoch; `ASHAScheduler`; `ResultGrid`. Its
  checkpoints, which it calls optional, are left out.
- Ray Tune, "Running Tune experiments with Optuna" (tune/examples/optuna_example, optuna_define_by_run_example):
  `OptunaSearch` with a define-by-run space, and `points_to_evaluate` for settings to begin with.
- Ray Tune, "Using MLflow with Tune" (tune/examples/tune-mlflow): `MLflowLoggerCallback`.
- Ray Tune, "A Guide To Parallelism and Resources" (tune/tutorials/tune-resources), "How to Define Stopping Criteria"
  (tune/tutorials/tune-stopping): `with_resources`, `max_concurrent_trials`, `time_budget_s`; `with_parameters` for what
  all trials share.
- SMP, examples/camvid_segmentation_multiclass.ipynb: a `Dataset` that opens image and mask, `DataLoader`, `smp.Unet`,
  SMP's losses with `mode="multiclass"`.
- torchvision, "Transforming images, videos, boxes and more" (docs.pytorch.org/vision/stable/transforms.html):
  `tv_tensors` and `transforms.v2` on uint8 tensors, which the page recommends for speed; references/segmentation:
  random scale 0.5 to 2, crop, flip, and the confusion matrix by `bincount`.

How it is fair: model, initial weights by seed, optimizer, learning rate and its schedule, epochs, batch size, images,
image size, threads of a trial and trials at once are those of the study that it is compared with; the augmentation is
of the same kind (a scale of 0.5 to 2, a crop at a random place, a flip). It computes the metrics that it needs and no
others, and the class frequencies once for all trials. The loaders have no workers of their own, because a trial has one
core: the 8 workers a loader of the examples would share it. What none of those pages does is not done here: no
channels-last memory format, no fused optimizer, no cache of decoded images, no process that serves several trials.
"""

import argparse
import functools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from optuna.trial import Trial
from PIL import Image
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

CLASSES, VOID, IGNORE = 11, 11, 255
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BINS = 10


class CamVid(Dataset):
    """CamVid as the SegNet tutorial lays it out; `limit` images of a split, evenly spread."""

    def __init__(self, root: str, split: str, transform: v2.Transform, limit: int | None = None) -> None:
        images = sorted((Path(root) / split).glob("*.png"))
        if limit is not None and limit < len(images):
            images = [images[i * len(images) // limit] for i in range(limit)]
        self.files = [(image, Path(root) / f"{split}annot" / image.name) for image in images]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image_file, mask_file = self.files[index]
        image = tv_tensors.Image(Image.open(image_file).convert("RGB"))
        mask = tv_tensors.Mask(Image.open(mask_file))
        mask[mask == VOID] = IGNORE
        image, mask = self.transform(image, mask)
        return image, mask.squeeze(0)


def transforms(size: list[int], *, train: bool) -> v2.Compose:
    grey = tuple(round(255 * mean) for mean in MEAN)
    augmentation = [
        v2.ScaleJitter(target_size=size, scale_range=(0.5, 2.0)),
        v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: grey, tv_tensors.Mask: IGNORE}),
        v2.RandomHorizontalFlip(p=0.5),
    ]
    return v2.Compose(
        [
            v2.Resize(size),
            *(augmentation if train else []),
            v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
            v2.Normalize(mean=MEAN, std=STD),
            v2.ToPureTensor(),
        ]
    )


def class_weights(settings: dict[str, Any]) -> list[float]:
    """Inverse frequency of the classes among the training pixels, scaled to sum to their number."""
    resize = v2.Compose([v2.Resize(settings["size"]), v2.ToPureTensor()])
    data = CamVid(settings["data"], "train", resize, settings["max_train"])
    pixels = sum(torch.bincount(mask.flatten(), minlength=256)[:CLASSES] for _, mask in data)
    weights = torch.where(pixels > 0, pixels.sum() / pixels, 0)
    return (CLASSES * weights / weights.sum()).tolist()


def one_hot(target: Tensor) -> tuple[Tensor, Tensor]:
    """The truth (N, C, H, W), 0 where ignored, and the pixels that count (N, 1, H, W)."""
    valid = (target != IGNORE).unsqueeze(1)
    truth = F.one_hot(target.masked_fill(target == IGNORE, 0), CLASSES).permute(0, 3, 1, 2)
    return truth * valid, valid


class WeightedDice(nn.Module):
    """Taubert eq. (2); the weights of SMP's DiceLoss weight each class's ratio instead of the sums."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        truth, valid = one_hot(target)
        p = logits.softmax(dim=1) * valid
        overlap = ((truth * p).sum(dim=(2, 3)) * self.weights).sum(dim=1)
        squares = ((truth + p**2).sum(dim=(2, 3)) * self.weights).sum(dim=1)
        return (1 - 2 * (overlap + 1) / (squares + 1 + 1e-5)).mean()


class DualFocal(nn.Module):
    """Hossain eq. (7)."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        truth, valid = one_hot(target)
        loss = -torch.log(1 - (truth - logits.softmax(dim=1)) ** 2 + 1e-7).sum(dim=1, keepdim=True)
        return (loss * valid).sum() / valid.sum().clamp(min=1)


def build_loss(name: str, gamma: float, weights: Tensor) -> nn.Module:
    match name:
        case "ce":
            return nn.CrossEntropyLoss(ignore_index=IGNORE)
        case "wce":
            return nn.CrossEntropyLoss(weight=weights, ignore_index=IGNORE)
        case "focal":
            return smp.losses.FocalLoss(mode="multiclass", gamma=gamma, ignore_index=IGNORE)
        case "dice":
            return smp.losses.DiceLoss(mode="multiclass", ignore_index=IGNORE)
        case "wdice":
            return WeightedDice(weights)
        case "dual_focal":
            return DualFocal()
    raise ValueError(f"unknown loss {name}")


def end_weight(config: dict[str, Any], progress: float) -> float:
    """The weight of the end loss after a fraction of the training: Taubert eqs. (5) and (6)."""
    s, e = config["s"], config["e"]
    if config["kind"] == "naive":
        return min(1.0, max(0.0, (progress - s) / (e - s)))
    phase = min(math.pi / 2, max(0.0, math.pi * (progress - s) / (2 * (e - s))))
    return min(1.0, max(0.0, 1 - progress / s)) + 1 - math.cos(phase)


class ScaledLogits(nn.Module):
    """Hossain eq. (21): a learnable weight for each class's logit."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.class_weight = nn.Parameter(torch.ones(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images) * self.class_weight.view(1, -1, 1, 1)


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader) -> dict[str, float]:
    """Accuracy, recall, calibration (Taubert eq. (7)) and s_rec over the validation set."""
    model.eval()
    confusion = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    count, positive, output = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for images, target in loader:
        p = model(images).softmax(dim=1).permute(0, 2, 3, 1)[target != IGNORE].numpy()
        truth = target[target != IGNORE].numpy()
        confusion += np.bincount(truth * CLASSES + p.argmax(axis=1), minlength=CLASSES**2).reshape(CLASSES, CLASSES)
        bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
        count += np.bincount(bins.ravel(), minlength=BINS)
        output += np.bincount(bins.ravel(), weights=p.ravel(), minlength=BINS)
        positive += np.bincount(bins[np.arange(len(truth)), truth], minlength=BINS)
    pixels = confusion.sum(axis=1)
    recall = float((confusion.diagonal()[pixels > 0] / pixels[pixels > 0]).mean())
    filled = count > 0
    calibration = float(1 - 4 / BINS * np.abs(positive[filled] / count[filled] - output[filled] / count[filled]).sum())
    return {
        "accuracy": float(confusion.trace() / confusion.sum()),
        "recall": recall,
        "calibration": calibration,
        "s_rec": 2 * calibration * recall / (calibration + recall) if calibration > 0 and recall > 0 else 0.0,
    }


def train(config: dict[str, Any], settings: dict[str, Any]) -> None:
    """The trainable: one configuration from its first epoch to its last."""
    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    model: nn.Module = smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=CLASSES)
    groups = [{"params": list(model.parameters())}]
    if config["acw"]:
        model = ScaledLogits(model)
        groups.append({"params": [model.class_weight], "weight_decay": 0.0})
    optimizer = torch.optim.Adam(groups, lr=settings["lr"], weight_decay=settings["weight_decay"])

    loaders = {
        split: DataLoader(
            CamVid(settings["data"], split, transforms(settings["size"], train=split == "train"), settings[f"max_{split}"]),
            batch_size=settings["batch_size"],
            shuffle=split == "train",
            drop_last=split == "train",
        )
        for split in ("train", "val")
    }
    iterations = settings["epochs"] * len(loaders["train"])
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=iterations, power=1.0)

    weights = torch.tensor(settings["class_weights"])
    end_loss = build_loss(config["end"], config.get("gamma", 2.0), weights)
    start_loss = None if config["kind"] == "static" else build_loss(config["start"], config.get("gamma", 2.0), weights)

    iteration = 0
    for _ in range(settings["epochs"]):
        started = time.perf_counter()
        model.train()
        for images, target in loaders["train"]:
            logits = model(images)
            if start_loss is None:
                loss = end_loss(logits, target)
            elif config["kind"] == "compound":
                loss = start_loss(logits, target) + end_loss(logits, target)
            else:
                w = end_weight(config, iteration / iterations)
                loss = (1 - w) * start_loss(logits, target) + w * end_loss(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            iteration += 1
        trained = time.perf_counter()
        metrics = evaluate(model, loaders["val"])
        seconds = {"train_seconds": trained - started, "eval_seconds": time.perf_counter() - trained}
        tune.report({**metrics, **seconds, "reported_at": time.time()})


def space(trial: Trial, static: tuple[str, ...] = ()) -> None:
    """The space of `search_spaces/loss_schedule.yaml`, define-by-run; `static` are end losses that it lacks."""
    kind = trial.suggest_categorical("kind", ["static", "compound", "naive", "alternating"])
    losses = [trial.suggest_categorical("end", ["ce", "wce", "focal", "dual_focal", *static])]
    if kind != "static":
        losses.append(trial.suggest_categorical("start", ["dice", "wdice", "focal"]))
    if "focal" in losses:
        trial.suggest_float("gamma", 0.5, 5.0)
    if kind in ("naive", "alternating"):
        s = trial.suggest_float("s", 0.1, 0.6)
        trial.suggest_float("e", s + 0.1, 1.0)
    trial.suggest_categorical("acw", [True, False])


def main() -> None:
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {
        "data": str(arguments.data.absolute()),
        "epochs": arguments.epochs,
        "size": arguments.size,
        "max_train": arguments.max_train,
        "max_val": arguments.max_val,
        "batch_size": 12,
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "seed": 0,
    }
    settings["class_weights"] = class_weights(settings)

    if arguments.configurations is not None:
        points = json.loads(arguments.configurations.read_text())
        search = OptunaSearch(
            functools.partial(space, static=("dice", "wdice")),
            metric="s_rec",
            mode="max",
            points_to_evaluate=points,
            seed=arguments.seed,
        )
        samples = len(points)
    else:
        points = [{"kind": "static", "end": end, "acw": False} for end in ("ce", "wce")]
        search = OptunaSearch(space, metric="s_rec", mode="max", points_to_evaluate=points, seed=arguments.seed)
        samples = -1
    asha = ASHAScheduler(max_t=arguments.epochs, grace_period=max(1, round(0.4 * arguments.epochs)), reduction_factor=2)

    ray.init("local", num_cpus=arguments.slots)
    results = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, settings=settings), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric="s_rec",
            mode="max",
            search_alg=search,
            scheduler=asha if arguments.early_stopping else None,
            num_samples=samples,
            max_concurrent_trials=arguments.slots,
            time_budget_s=arguments.time_budget,
        ),
        run_config=tune.RunConfig(
            name="naive",
            storage_path=str((arguments.out / "ray_results").absolute()),
            callbacks=[
                MLflowLoggerCallback(
                    tracking_uri=f"sqlite:///{(arguments.out / 'mlflow.db').absolute()}", experiment_name="naive"
                )
            ],
        ),
    ).fit()

    trials = [{"config": result.config, "error": str(result.error or ""), "epochs": epochs(result)} for result in results]
    (arguments.out / "results.json").write_text(json.dumps(trials, indent=1))


def epochs(result: tune.Result) -> list[dict[str, Any]]:
    """What the trial reported, epoch by epoch; nothing where the time budget cut it off before its first report."""
    frame = result.metrics_dataframe
    if frame is None or frame.empty:
        return []
    columns = ["s_rec", "accuracy", "recall", "calibration", "train_seconds", "eval_seconds", "reported_at"]
    return frame[columns].to_dict("records")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A loss study as the documentation of Ray, Optuna, MLflow and SMP teaches it."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT", help="CamVid: train, trainannot, val, valannot")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where results.json, MLflow's and Ray's files go"
    )
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--size", type=int, nargs=2, default=[96, 96], metavar=("H", "W"))
    parser.add_argument("--max-train", type=int, metavar="N", help="training images")
    parser.add_argument("--max-val", type=int, metavar="N", help="validation images")
    parser.add_argument("--slots", type=int, default=2, help="trials at once, a core each")
    parser.add_argument(
        "--early-stopping", action="store_true", help="ASHA, grace period 2/5 of the epochs, reduction factor 2"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sampler")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--configurations", type=Path, metavar="FILE", help="a JSON list of settings, run once each")
    what.add_argument("--time-budget", type=float, metavar="SECONDS", help="search for so long")
    return parser.parse_args()


if __name__ == "__main__":
    main()
