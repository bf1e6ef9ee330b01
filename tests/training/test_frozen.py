"""A frozen encoder: it does not move, and its features are computed once and the same wherever they come from."""

import os
from typing import Any

import pytest
import torch

from tests.support.epoch_results import same
from tests.support.trials import CPU, PLAIN, SPLIT, encoded, head, run
from tune_seg.config import ModelConfig
from tune_seg.data import PackedData
from tune_seg.errors import InputError
from tune_seg.layers import AdaptiveClassWeight
from tune_seg.models import build_model, check_model, frozen_encoder
from tune_seg.training import Trainer, frozen_features


@pytest.mark.parametrize("augmentation", [PLAIN, {"flip": 0.5}])
def test_the_encoder_does_not_move_and_the_rest_learns(
    own_pack: PackedData, augmentation: dict[str, Any], device: torch.device
) -> None:
    trainer = Trainer(head(augmentation=augmentation, acw=True), own_pack, device)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trained = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in trainer.model.parameters() if p.requires_grad}
    trainer.epoch()
    after = trainer.model.state_dict()
    moved = {name for name, value in before.items() if not value.equal(after[name])}
    assert {name for name in before if ".encoder." not in name} - moved == set()
    assert not any(".encoder." in name for name in moved)


def test_the_encoder_sees_each_image_once_in_a_whole_trial(own_pack: PackedData) -> None:
    trainer = Trainer(head(training={"epochs": 3}), own_pack, CPU)
    sizes = encoded(trainer)
    while not trainer.done:
        trainer.epoch()
    assert sizes == [1] * (len(own_pack.train) + len(own_pack.val))
    again = Trainer(head(training={"epochs": 1}, loss={"end": "dice"}), own_pack, CPU)
    sizes = encoded(again)
    again.epoch()
    assert sizes == []


def test_where_training_images_vary_the_validation_features_are_kept_all_the_same(own_pack: PackedData) -> None:
    trainer = Trainer(head(augmentation={"flip": 0.5}, training={"epochs": 2}), own_pack, CPU)
    sizes = encoded(trainer)
    while not trainer.done:
        trainer.epoch()
    assert sorted(sizes) == [1] * len(own_pack.val) + [4, 4] * 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_from_a_file_from_memory_and_fresh_train_alike_to_the_last_bit(
    own_pack: PackedData, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    config = head(training={"precision": precision}, loss={"end": "wdice"})

    def files() -> int:
        return len(list(own_pack.path.parent.glob("*.features")))

    monkeypatch.setattr(frozen_features, "_DISK_SHARE", 0.0)
    in_memory = run(config, own_pack)
    monkeypatch.setattr(frozen_features, "_MEMORY_SHARE", 0.0)
    fresh = run(config, own_pack)
    assert files() == 0
    monkeypatch.undo()
    written = run(config, own_pack)
    assert files() == 2
    assert same(fresh, in_memory)
    assert same(fresh, written)
    assert same(fresh, run(config, own_pack))


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "footer"])
def test_a_damaged_file_is_recognised_and_replaced(
    own_pack: PackedData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    config = head(training={"epochs": 1})
    first = run(config, own_pack)
    files = sorted(own_pack.path.parent.glob("*.features"))
    whole = [file.read_bytes() for file in files]
    for file, content in zip(files, whole, strict=True):
        changed = bytearray(content)
        changed[1000] ^= 1
        bad = {"flipped": bytes(changed), "cut": content[:-100], "empty": b"", "footer": content[:-30] + content[-16:]}
        file.write_bytes(bad[damage])
    assert same(first, run(config, own_pack))
    assert sorted(record.message.split(" is damaged")[0] for record in caplog.records) == [str(file) for file in files]
    assert [file.read_bytes() for file in files] == whole


def test_other_models_data_and_precisions_have_other_files(own_pack: PackedData) -> None:
    configs = [
        head(training={"epochs": 1}),
        head(training={"epochs": 1, "seed": 1}),
        head(training={"epochs": 1, "precision": "bfloat16"}),
        head(training={"epochs": 1, "threads": 2}),
        head(training={"epochs": 1}, model={"architecture": "DeepLabV3Plus"}),
        head(training={"epochs": 1}, augmentation={**PLAIN, "mean": [0.5, 0.5, 0.5]}),
    ]
    for number, config in enumerate(configs, start=1):
        run(config, own_pack)
        assert len(list(own_pack.path.parent.glob("*.features"))) == 2 * number
    run(head(training={"epochs": 1, "lr": 0.1, "batch_size": 2}, loss={"end": "dice"}, acw=True), own_pack)
    assert len(list(own_pack.path.parent.glob("*.features"))) == 2 * len(configs)
    assert not list(own_pack.path.parent.glob(".*.partial"))


def test_other_code_has_other_files(own_pack: PackedData, monkeypatch: pytest.MonkeyPatch) -> None:
    config = head(training={"epochs": 1})
    run(config, own_pack)
    monkeypatch.setattr(frozen_features, "code_identity", lambda: "of another release")
    run(config, own_pack)
    assert len(list(own_pack.path.parent.glob("*.features"))) == 4


def test_what_has_not_been_used_for_days_goes_when_other_features_are_written(
    own_pack: PackedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = head(training={"epochs": 1}), own_pack.path.parent
    run(config, own_pack)
    unused = set(folder.glob("*.features"))
    run(head(training={"epochs": 1, "seed": 1}), own_pack)
    for file in folder.glob("*.features"):
        os.utime(file, (0, 0))
    run(head(training={"epochs": 1, "seed": 1}), own_pack)  # uses its own
    monkeypatch.setattr(frozen_features, "code_identity", lambda: "of another release")
    run(config, own_pack)
    assert len(list(folder.glob("*.features"))) == 4 and not unused & set(folder.glob("*.features"))


def test_what_a_killed_process_left_is_removed(own_pack: PackedData) -> None:
    config = head(training={"epochs": 1})
    run(config, own_pack)
    for file in list(own_pack.path.parent.glob("*.features")):
        file.rename(file.with_name(f".{file.name}.123.partial"))
    run(config, own_pack)
    assert len(list(own_pack.path.parent.glob("*.features"))) == 2
    assert not list(own_pack.path.parent.glob(".*.partial"))


@pytest.mark.parametrize("architecture", SPLIT)
def test_the_logits_are_those_of_the_whole_model(architecture: str) -> None:
    images = torch.randn(1, 3, 128, 160, generator=torch.Generator().manual_seed(0))
    frozen = build_model(ModelConfig.model_validate({"architecture": architecture, "train": "head"}), 5).eval()
    encoder = frozen_encoder(frozen)
    assert encoder is not None
    whole = encoder.model
    assert frozen_encoder(whole) is None
    features = encoder.features(images)
    used = encoder.features_in_use(features)
    assert any(used)
    # what is not used may be anything of its shape
    kept = [each if use else torch.full_like(each, 7.0) for each, use in zip(features, used, strict=True)]
    with torch.no_grad():
        assert torch.equal(whole(images), frozen(images))
        assert torch.equal(whole(images), frozen(kept))


def test_an_architecture_that_cannot_be_split_is_refused_before_a_trial() -> None:
    config = ModelConfig.model_validate({"architecture": "DPT", "encoder": "tu-vit_tiny_patch16_224", "train": "head"})
    with pytest.raises(InputError, match=r"model.train head: the decoder of DPT .* set model.train to all"):
        check_model(config, [(224, 224)])
    with pytest.raises(
        InputError, match=r"\[100, 100\]: Linknet with resnet18 cannot take it .* multiple of 32 is \[96, 96\]"
    ):
        check_model(ModelConfig(architecture="Linknet", train="head"), [(100, 100)])


def test_the_adaptive_class_weights_end_a_frozen_model_too() -> None:
    model = build_model(ModelConfig(train="head"), num_classes=4, acw=True)
    assert isinstance(list(model.children())[-1], AdaptiveClassWeight)
    assert all(p.requires_grad for p in list(model.children())[-1].parameters())
