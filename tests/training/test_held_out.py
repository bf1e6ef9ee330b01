"""The test after the decision: its scores are those that are computed by hand, and no trial sees its images."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support import CHECKOUT
from tests.support.trials import CPU, head, trial
from tune_seg.config import DataConfig, TrialConfig
from tune_seg.data import PackedData, PackedTest, batches, pack, read, read_test
from tune_seg.data.synthetic import CLASS_NAMES, scene
from tune_seg.errors import InputError
from tune_seg.metrics import SegmentationMetrics
from tune_seg.models import build_model
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.held_out import score_on_test
from tune_seg.training.result import EpochResult
from tune_seg.training.resume import StoredTraining

SIZE = (32, 48)


@dataclass(frozen=True)
class Data:
    root: Path
    packed: PackedData
    test: PackedTest


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Drawn scenes as a folder of files, five of which are held out."""
    root = tmp_path_factory.mktemp("data")
    for number, (split, count) in enumerate((("train", 8), ("val", 4), ("test", 5))):
        for index in range(count):
            for kind, array in zip(("images", "masks"), scene(number, "train", index, SIZE), strict=True):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / kind / split / f"{split}{index}.png")
    config = DataConfig.model_validate({"root": root, "size": SIZE, "classes": CLASS_NAMES, "split": {"test": "published"}})
    held_out = read_test(config)
    assert held_out is not None
    packs = tmp_path_factory.mktemp("packs")
    return Data(root, PackedData(pack(read(config), packs, SIZE)), PackedTest(pack(held_out, packs, SIZE)))


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(str(tmp_path / "store"))


def trained(
    config: TrialConfig, data: PackedData, store: CheckpointStore, device: torch.device = CPU
) -> tuple[EpochResult, str]:
    """The last result, and the file of the weights."""
    training = StoredTraining(config, data, device, store)
    while not training.done:
        results, progress = training.advance()
    assert progress.checkpoint is not None
    return results[-1], progress.checkpoint


def by_hand(config: TrialConfig, weights: str, data: PackedTest, temperature: float) -> dict[str, Any]:
    """The metrics of logits that are divided by a temperature, from the weights in the file."""
    model = build_model(config.model, data.num_classes, acw=config.acw)
    state = torch.load(weights, weights_only=True)["state"]["model"]
    model.load_state_dict(state)
    order: dict[str, Any] = {"epoch": 0, "seed": 0, "batch_size": 1, "augmentation": config.augmentation}
    groups = data.val_groups
    metrics = SegmentationMetrics(data.num_classes, num_groups=len(set(groups)))
    with torch.no_grad():
        for (images, target), group in zip(batches(data.val, **order, device="cpu", train=False), groups, strict=True):
            metrics.update(model.eval()(images) / temperature, target, torch.tensor([group]))
    return metrics.compute()


@pytest.mark.parametrize(
    "config",
    [
        trial(),
        trial(acw=True, training={"lr_schedule": "constant"}),  # of which the whole state is stored
        head(acw=True),
        trial(model={"architecture": "DeepLabV3Plus", "encoder": "tu-test_resnet"}, evaluation={"background": "sky"}),
    ],
    ids=["weights alone", "a state", "a frozen encoder", "a background"],
)
def test_the_scores_are_those_of_the_last_weights(data: Data, store: CheckpointStore, config: TrialConfig) -> None:
    _, file = trained(config, data.packed, store)
    result = score_on_test(config, file, data.test, CPU, temperature=2.5)
    assert (tuple(result.scaled), result.fitted) == (("temperature",), {"temperature/T": 2.5})
    raw, scaled = (by_hand(config, file, data.test, temperature) for temperature in (1.0, 2.5))
    without_background = config.evaluation.background is not None
    assert set(result.metrics) | set(result.per_class) == set(raw)
    for name, value in raw.items():
        if isinstance(value, list):
            assert result.per_class[name] == pytest.approx(value, rel=1e-4, nan_ok=True), name
        elif not (without_background and name.removeprefix("group_") in ("miou", "mdice")):
            assert result.metrics[name] == pytest.approx(value, rel=1e-4, nan_ok=True), name
            assert result.find(f"temperature/{name}") == pytest.approx(scaled[name], rel=1e-4, nan_ok=True), name
    assert result.find("temperature/recall") == result.find("recall")
    assert result.find("temperature/calibration") != result.find("calibration")
    if without_background:
        ious = np.array(raw["class_iou"])[1:]
        assert result.metrics["miou"] == pytest.approx(np.nanmean(ious), rel=1e-4)


def test_the_counts_of_each_image_tell_the_same_scores(data: Data, store: CheckpointStore, device: torch.device) -> None:
    config = trial(training={"epochs": 1})
    _, file = trained(config, data.packed, store, device)
    result = score_on_test(config, file, data.test, device, temperature=0.7)
    assert result.images is not None
    assert len(result.images) == len(data.test.val) == 5
    for name in ("accuracy", "recall", "miou", "calibration", "s_rec", "temperature/calibration", "temperature/s_rec"):
        assert result.images.score(name).item() == pytest.approx(result.find(name), rel=1e-5), name
    masks = data.test.val.masks(range(5)).numpy()
    assert np.array_equal(result.images.truths, [np.bincount(mask.ravel(), minlength=10)[:10] for mask in masks])


def test_of_the_validation_images_they_are_the_scores_of_the_last_epoch(
    data: Data, store: CheckpointStore, tmp_path: Path
) -> None:
    """The images that validate, packed as a test split: one model, one set of images, one set of scores."""
    config = DataConfig.model_validate({"root": data.root, "size": SIZE, "classes": CLASS_NAMES})
    (tmp_path / "list").write_text("".join(f"val{number}\n" for number in range(4)))
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for path in (*(data.root / kind).glob("train/*.png"), *(data.root / kind).glob("val/*.png")):
            (tmp_path / kind / path.name).symlink_to(path)
    moved = config.model_copy(
        update={"root": tmp_path, "split": config.split.model_copy(update={"test": tmp_path / "list"})}
    )
    held_out = read_test(moved)
    assert held_out is not None
    test = PackedTest(pack(held_out, tmp_path / "packs", SIZE))
    trial_config = trial()
    last, file = trained(trial_config, data.packed, store)
    result = score_on_test(trial_config, file, test, CPU, temperature=1.0)
    assert result.metrics == pytest.approx(dict(last.evaluation.metrics), rel=1e-6, nan_ok=True)


def test_the_file_may_be_named_by_a_uri_and_the_first_weights_may_be_gone(
    data: Data, store: CheckpointStore, tmp_path: Path
) -> None:
    first = tmp_path / "first.pt"
    _, file = trained(trial(training={"epochs": 1}), data.packed, store)
    first.write_bytes(Path(file).read_bytes())
    config = trial(training={"epochs": 1}, model={"weights": str(first)})
    _, file = trained(config, data.packed, store)
    result = score_on_test(config, file, data.test, CPU, temperature=1.5)
    first.unlink()
    again = score_on_test(config, Path(file).absolute().as_uri(), data.test, CPU, temperature=1.5)
    assert repr(again) == repr(result)
    assert again.images == result.images


def test_what_cannot_be_scored_is_said(data: Data, store: CheckpointStore, tmp_path: Path) -> None:
    config = trial(training={"epochs": 1})
    _, file = trained(config, data.packed, store)

    def score(file: str | Path, config: TrialConfig = config) -> None:
        score_on_test(config, file, data.test, CPU, temperature=1.0)

    with pytest.raises(InputError, match=r"checkpoint .*nowhere\.pt is not there any more; train the trial again"):
        score(tmp_path / "nowhere.pt")
    with pytest.raises(InputError, match="does not fit Unet with resnet34, 10 classes and 3 channels"):
        score(file, trial(model={"encoder": "resnet34"}))
    store.save("results", [], None)
    with pytest.raises(InputError, match="holds the results of a training and no weights"):
        score(store.file("results"))
    content = bytearray(Path(file).read_bytes())
    content[len(content) // 2] ^= 1
    Path(file).write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint .* cannot be read \(wrong checksum of"):
        score(file)
    with pytest.raises(InputError, match="cannot be read"):
        score("nothing://bucket/key.pt")


def test_a_pack_of_test_images_cannot_be_trained_on(data: Data) -> None:
    with pytest.raises(InputError, match="a pack of images that are held out for a test"):
        StoredTraining(trial(), PackedData(data.test.path), CPU, None)


def test_the_pack_of_the_trials_has_no_test_image(data: Data) -> None:
    content = data.packed.path.read_bytes()
    train, _ = data.packed.train.gather(range(len(data.packed.train)))
    test, _ = data.test.val.gather(range(len(data.test.val)))
    assert all(image.numpy().tobytes() in content for image in train)
    assert not any(row.tobytes() in content for image in test for row in image.numpy())


TRAIN = """
import shutil, sys
from pathlib import Path

opened = set()
sys.addaudithook(lambda event, arguments: opened.add(str(arguments[0])) if event == "open" else None)

import torch
from tests.support.epoch_results import text
from tests.support.trials import trial
from tune_seg.data import PackedData
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.resume import StoredTraining

pack, test, root, folder = map(Path, sys.argv[1:])

def results(store):
    training = StoredTraining(trial(), PackedData(pack), torch.device("cpu"), CheckpointStore(str(folder / store)))
    found = []
    while not training.done:
        found += training.advance()[0]
    return text(found)

def used():
    mapped = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    return {str(Path(path).resolve()) for path in opened | mapped if "/" in path}

before = results("one")
assert str(pack) in used(), "what a trial reads is noticed"
assert not [path for path in used() if path == str(test) or "/test/" in path.removeprefix(str(folder))]
test.unlink()
for kind in ("images", "masks"):
    shutil.rmtree(root / kind / "test")
assert results("two") == before
print("the same")
"""


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="only Linux says which files a process has mapped")
def test_a_trial_opens_no_file_of_the_test_images_and_trains_without_them(data: Data, tmp_path: Path) -> None:
    for name, path in (("pack.arrow", data.packed.path), ("test.arrow", data.test.path)):
        shutil.copy(path, tmp_path / name)
    shutil.copytree(data.root, tmp_path / "data")
    places = (tmp_path / "pack.arrow", tmp_path / "test.arrow", tmp_path / "data", tmp_path)
    command = [sys.executable, "-c", TRAIN, *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.stdout == "the same\n", done.stderr
