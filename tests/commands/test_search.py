"""The search command's options: which there are, and what they change."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.image_files import numbers, photo, write_image
from tune_seg.search import main, parser

OPTIONS = {
    *(
        "--data",
        "--trials",
        "--hours",
        "--like",
        "--epochs",
        "--study",
        "--studies",
        "--set",
        "--cpus-per-trial",
        "--gpus-per-trial",
    ),
    *("--max-concurrent", "--address", "--store", "--store-gb", "--mlflow-uri", "--dry-run", "--json", "--profile"),
}


def test_there_is_no_option_but_these() -> None:
    """Whatever else one wants to change is a key of the configuration: add it there, and it is set by `--set`."""
    found = {option for action in parser()._actions for option in action.option_strings}
    assert found - {"-h", "--help"} == OPTIONS and len(OPTIONS) == 18


def test_hours_alone_decide_how_many_trials_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    config, printed = dry_run(capsys, "default", "--hours", "0.5")
    assert config["search"]["hours"] == 0.5
    assert config["search"]["trials"] == 10_000
    assert "trials: as many as end in 0.5 hours, at most 10000, up to 6 epochs each" in printed
    config, _ = dry_run(capsys, "default", "--hours", "0.5", "--trials", "40")
    assert config["search"]["trials"] == 40


def dry_run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[dict[str, Any], str]:
    """The configuration that a dry run prints, and the plan."""
    assert main([*argv, "--dry-run"]) == 0
    plan, configuration = capsys.readouterr().out.split("# configuration\n")
    values: dict[str, Any] = yaml.safe_load(configuration.partition("# five sampled trials\n")[0])
    return values, plan


def test_options_are_short_for_keys_and_the_last_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training: {epochs: 3}\nspace: {training.lr: {float: [0.1, 0.2]}, acw: {choice: [true, false]}}\n")
    given = ["--epochs", "7", "--trials", "5", "--cpus-per-trial", "2", "--gpus-per-trial", "0.5", "--max-concurrent", "3"]
    given += ["--store", str(tmp_path), "--store-gb", "1.5", "--mlflow-uri", "http://localhost:1", "--address", "auto"]
    values, plan = dry_run(capsys, str(path), *given, "--set", "training.lr=1e-2", "--set", "training.lr=1e-3")
    assert (values["training"]["epochs"], values["search"]["trials"], values["training"]["lr"]) == (7, 5, 1e-3)
    assert (values["training"]["threads"], values["compute"]["cpus_per_trial"]) == (2, 2)
    assert (values["compute"]["gpus_per_trial"], values["compute"]["max_concurrent"]) == (0.5, 3)
    assert (values["compute"]["store"], values["compute"]["store_gb"]) == (str(tmp_path), 1.5)
    assert (values["mlflow_uri"], values["compute"]["address"]) == ("http://localhost:1", "auto")
    assert "acw: choice" in plan and "training.lr: float" not in plan  # a key that is set no longer varies
    values, _ = dry_run(capsys, str(path), "--epochs", "7", "--set", "training.epochs=4")
    assert values["training"]["epochs"] == 4


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--trails", "3"], "tune-seg search: error: unknown option --trails (did you mean --trials?)"),
        (["--trails=3"], "unknown option --trails (did you mean --trials?)"),
        (["default", "other"], "unexpected other"),
        (["--gpus-per-trial", "many"], "'many' is not possible; allowed: a number or auto"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_misspelt_preset_is_told_from_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["loss_shedule", "--dry-run"]) == 2
    assert capsys.readouterr().err == "error: loss_shedule: neither a file nor a preset (did you mean loss_schedule?)\n"


def test_the_file_that_a_study_has_written_names_that_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "try" / "study.yaml"
    path.parent.mkdir()
    path.write_text("training: {epochs: 3}\n")
    _, plan = dry_run(capsys, str(path), "--studies", str(tmp_path / "mine"))
    assert plan.startswith(f"study: {tmp_path / 'mine' / 'try'}\n")
    (path.parent / "trials.journal").touch()
    _, plan = dry_run(capsys, str(path))
    assert plan.startswith(f"study: {path.parent}\n")
    _, plan = dry_run(capsys, str(path), "--study", "other")
    assert plan.startswith(f"study: {Path.cwd() / 'studies' / 'other'}\n")


def test_an_option_is_written_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):  # of argparse
        main(["--trial", "3", "--dry-run"])
    assert "unknown option --trial (did you mean --trials?)" in capsys.readouterr().err


def test_a_dry_run_looks_at_the_images_and_its_status_tells_whether_the_study_could_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "mine"
    for name in "abcdef":
        write_image(root / "images" / f"{name}.png", photo())
        write_image(root / "masks" / f"{name}.png", numbers([0, 1]))
    argv = [
        "loss_schedule",
        "--data",
        str(root),
        "--studies",
        str(tmp_path / "studies"),
        "--dry-run",
        "--set",
        "data.size=[32,32]",
    ]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert f"# the data: {root}, format folder (detected)" in printed
    assert "images: 5 train, 1 validate" in printed and "classes: class " in printed
    (root / "masks" / "c.png").unlink()
    assert main(argv) == 2
    assert capsys.readouterr().err == f"error: the study could not start:\n  {root}/images/c.png: an image without a mask\n"
    assert not (tmp_path / "studies").exists()
