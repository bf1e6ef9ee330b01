"""The configuration: what is accepted, what is refused, and in which words."""

import argparse
from pathlib import Path

import pytest
import yaml

from tune_seg.config import StudyConfig, TrialConfig, flatten, parse
from tune_seg.errors import InputError
from tune_seg.search import _parser, load_config, presets


def arguments(*argv: str) -> argparse.Namespace:
    return _parser().parse_args(argv)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("trainin.lr=1", "unknown key trainin; the keys at the top level are model, training"),
        ("training.learning_rate=1", "unknown key training.learning_rate; the keys of training are epochs, batch_size"),
        ("loss.end=cee", "loss.end: unknown loss 'cee'; the losses are ce, wce, focal"),
        ("loss.gamma=-0.1", "loss.gamma: Input should be greater than or equal to 0, got -0.1"),
        ("schedule={start: 0.9, end: 0.5}", "schedule.start must lie before schedule.end, got start 0.9 and end 0.5"),
        ("training.lr=fast", "training.lr: Input should be a valid number"),
        ("training.lr=.nan", "training.lr: "),
        ("training.epochs=0", "training.epochs: Input should be greater than or equal to 1, got 0"),
        ("training.optimizer=lion", "training.optimizer: Input should be 'sgd', 'adam' or 'adamw', got 'lion'"),
        ("objective=speed", "objective: unknown objective 'speed'; the objectives are s_rec"),
        ("objective=[recall, recall]", "an objective stands twice"),
        ("loss.kind=naive", "loss.kind naive needs loss.start"),
        ("augmentation.resize=[2, 1]", "augmentation.resize is [smallest, largest] scale"),
        ("data.format=camvid", "data.format camvid needs data.root"),
        ("data.split={train: a.txt}", "data.split needs both list files"),
        ("training.epochs=true", "training.epochs: Input should be a number, not true or false, got True"),
        ("training.seed=100000000000000000000", "training.seed: Input should be less than 2147483648"),
        ("loss.alpha=[]", "loss.alpha: "),
        ("training=3", "training: Input should be a valid dictionary"),
        ("training.lr.x=3", "training.lr.x: lr is a value, not a section"),
        ("no equals sign", "--set takes key=value"),
        ("training.lr=[", "the value is not YAML"),
    ],
)
def test_bad_values_are_refused_by_name(assignment: str, message: str, tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("training: {lr: 0.1}\n")
    with pytest.raises(InputError) as error:
        load_config(arguments(str(base), "--set", assignment))
    assert message in str(error.value)


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        parse(StudyConfig, {"training": {"lr": -1, "epochs": 0}, "los": {}})
    assert {line.split(":")[0].split(";")[0] for line in str(error.value).splitlines()} == {
        "training.lr",
        "training.epochs",
        "unknown key los",
    }


def test_a_schedule_out_of_order_with_the_default_of_its_kind_is_refused() -> None:
    loss = {"kind": "naive", "start": "dice", "end": "ce"}
    with pytest.raises(InputError, match=r"start 0\.95 and end 0\.9"):
        parse(TrialConfig, {"loss": loss, "schedule": {"start": 0.95}})
    with pytest.raises(InputError, match=r"above 0 for an alternating"):
        parse(TrialConfig, {"loss": loss | {"kind": "alternating"}, "schedule": {"start": 0.0}})


def test_options_and_set_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training: {epochs: 3}\nspace: {training.lr: {float: [0.1, 0.2]}, acw: {choice: [true, false]}}\n")
    config = load_config(
        arguments(str(path), "--epochs", "7", "--trials", "5", "--set", "training.lr=1e-3", "--cpus-per-trial", "2")
    )
    assert (config.training.epochs, config.search.trials, config.training.lr) == (7, 5, 1e-3)
    assert set(config.space) == {"acw"}  # a key that is set no longer varies
    assert config.training.threads == 2


def test_setting_a_section_fixes_each_of_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("space: {schedule.start: {float: [0.1, 0.2]}, training.epochs: {int: [1, 2]}, acw: {choice: [true]}}\n")
    config = load_config(arguments(str(path), "--epochs", "3", "--set", "schedule={start: 0.3, end: 0.8}"))
    assert set(config.space) == {"acw"}
    assert (config.schedule.start, config.schedule.end, config.training.epochs) == (0.3, 0.8, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {lr: 0.1}\ntraining: {epochs: 3}\n", "the key training stands twice"),
        ("data: 3\n", "data is a section with keys of its own, got 3"),
        ("baselines: [x]\n", "baselines is a list of"),
        ("[1, 2]\n", "expected keys such as data"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_file_of_another_shape_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(arguments(str(path), "--data", "somewhere", "--set", "acw=true"))


def test_empty_sections_are_no_sections(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("data:\ntraining:\nspace:\nbaselines:\n")
    config = load_config(arguments(str(path), "--data", "somewhere", "--epochs", "3", "--set", "acw=true"))
    assert (config.training.epochs, config.acw) == (3, True)


def test_data_replaces_the_generated_images_of_a_preset() -> None:
    assert load_config(arguments()).data.format == "synthetic"
    config = load_config(arguments("--data", "somewhere"))
    assert (config.data.format, config.data.root) == (None, Path("somewhere").absolute())


def test_every_preset_is_a_valid_study() -> None:
    assert {"default", "loss_schedule"} <= set(presets())
    for name in presets():
        load_config(arguments(name))


def test_a_missing_file_names_the_presets() -> None:
    with pytest.raises(InputError, match=r"neither a file nor a preset; the presets are .*loss_schedule"):
        load_config(arguments("loss_shedule"))


def test_a_dumped_configuration_reads_back_the_same() -> None:
    config = load_config(arguments())
    assert parse(StudyConfig, yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


def test_trial_replaces_dotted_keys() -> None:
    config = load_config(arguments())
    trial = config.trial({"loss.kind": "naive", "loss.start": "dice", "schedule.start": 0.25, "acw": True})
    assert trial.loss_name == "dice>ce naive acw"
    assert trial.schedule.fractions(trial.loss.kind) == (0.25, 0.9)
    assert trial.loss_params == {
        "loss": "dice>ce naive acw",
        "loss.kind": "naive",
        "loss.start": "dice",
        "loss.end": "ce",
        "schedule.start": 0.25,
        "schedule.end": 0.9,
        "acw": True,
    }


def test_flatten_gives_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}
