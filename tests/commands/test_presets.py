"""The presets: what the papers' tables are made of, and how a row of them is tried at any size."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.studies import search, write_config
from tune_seg import Study
from tune_seg.config import LossKind, StudyConfig, TrialConfig
from tune_seg.data.synthetic import TRAIN_IMAGES
from tune_seg.errors import InputError
from tune_seg.search import main
from tune_seg.study.configuration import load_config, parse_assignment
from tune_seg.study.papers.tables import load_table, names
from tune_seg.study.presets import presets, summary
from tune_seg.study.search_space.space import Space

HOSSAIN = tuple(f"hossain_table{number}" for number in range(2, 8))
OWN: dict[str, dict[str, Any]] = {  # by Hossain's names: loss, and whether the layer stands before it
    "CE": {"end": "ce", "acw": False},
    "WCE": {"end": "wce", "acw": False},
    "FL": {"end": "focal", "acw": False},
    "DFL": {"end": "dual_focal", "acw": False},
    "ADFL": {"end": "dual_focal", "acw": True},
    "ACW+CE": {"end": "ce", "acw": True},
}


def loaded(name: str, *assignments: str) -> StudyConfig:
    """The preset with what `--set` says in each of `assignments`."""
    return load_config(name, data=".", overrides=dict(map(parse_assignment, assignments)))


def trials(config: StudyConfig) -> list[tuple[dict[str, Any], TrialConfig]]:
    return [(point, config.trial(point)) for point in Space(config).enumerate()]


def test_there_is_a_preset_for_every_table() -> None:
    assert {*presets()} == {"default", "gamma_acw", "loss_and_rate", "loss_program", "loss_schedule", "pareto", *names()}


@pytest.mark.parametrize("name", presets())
def test_the_first_line_of_a_preset_says_in_a_line_what_it_is_for(name: str) -> None:
    text = summary(presets()[name])
    assert text[0].isupper() and text[-1] in ".?)" and 40 < len(text) <= 110


def expected(name: str) -> tuple[LossKind, str | None, str]:
    """Kind, start and end of a row of Taubert's table, as its caption spells the names."""
    alone = {"refine": "ce", "CE": "ce", "WCE": "wce", "WDL": "wdice", "FL": "focal", "CEMP": "ce_max_pool"}
    if name in alone:
        return LossKind.STATIC, None, alone[name]
    parts = re.fullmatch(r"(W?DL)([NA]?)(W?CE)", name)
    assert parts is not None
    kinds = {"": LossKind.COMPOUND, "N": LossKind.NAIVE, "A": LossKind.ALTERNATING}
    return kinds[parts[2]], {"DL": "dice", "WDL": "wdice"}[parts[1]], parts[3].lower()


def test_the_rows_of_taubert_are_what_their_names_say() -> None:
    config = loaded("taubert_table1")
    printed = load_table("taubert_table1").figures["VOC"]
    assert config.rows.keys() == {"CE", *printed["fcn_resnet101"]}
    found = trials(config)
    assert len(found) == config.search.trials == 144 == 18 * 2 * 4
    conditions = {(point["row"], trial.model.architecture, trial.training.seed) for point, trial in found}
    assert conditions == {(row, model, seed) for row in config.rows for model in printed for seed in range(4)}
    for point, trial in found:
        kind, start, end = expected(point["row"])
        assert (trial.loss.kind, trial.loss.end, trial.acw) == (kind, end, False)
        assert start is None or trial.loss.start == start
        assert trial.model.weights == ("coco" if point["row"] == "refine" else "imagenet")
        if kind.scheduled:
            assert trial.schedule.fractions(kind) == {"naive": (0.3, 0.9), "alternating": (0.5, 0.9)}[kind.value]
        if kind is LossKind.COMPOUND:
            assert trial.loss.weights.start == trial.loss.weights.end


def test_the_settings_of_taubert_are_those_of_section_5() -> None:
    config = loaded("taubert_table1")
    training = config.training
    assert (training.epochs, training.batch_size, training.lr, training.weight_decay) == (30, 12, 1e-3, 1e-4)
    assert (training.lr_schedule, config.model.train, config.loss.class_weights) == ("linear", "head", "mean")
    assert (config.search.sampler, config.search.early_stopping.kind, config.objective) == ("grid", "none", "s_rec")
    assert config.augmentation.flip > 0 and config.augmentation.resize == (0.5, 2.0)
    assert config.augmentation.crop == (480, 480) and config.data.size == (520, 520)


@pytest.mark.parametrize("name", HOSSAIN)
def test_the_rows_of_hossain_are_the_conditions_of_the_table(name: str) -> None:
    config, table = loaded(name), load_table(name)
    found = trials(config)
    assert len(found) == config.search.trials
    key = table.variants.key
    own = {(point["row"], str(point.get(key, config.model.architecture)), point["fold"]) for point, _ in found}
    assert len(own) == len(found)
    printed = {
        (row, variant, fold)
        for variants in table.figures.values()
        for variant, rows in variants.items()
        for row in rows
        for fold in range(3)
    }
    missing = {("FL", "unet_2015", fold) for fold in range(3)} if name == "hossain_table2" else set()
    assert own == printed | missing
    for point, trial in found:
        assert {"end": trial.loss.end, "acw": trial.acw} == OWN[point["row"]]
        assert (trial.loss.kind, trial.fold) == (LossKind.STATIC, point["fold"])
        if point["row"] == "FL":
            assert (trial.loss.gamma, trial.loss.alpha) == (2.0, None if name == "hossain_table7" else 0.25)


@pytest.mark.parametrize("name", HOSSAIN)
def test_the_settings_of_hossain_are_those_of_section_4(name: str) -> None:
    config = loaded(name)
    training = config.training
    assert (training.lr, training.momentum, training.batch_size) == (5e-4, 0.9, 4)
    assert (training.lr_schedule, training.lr_factor, training.lr_every) == ("step", 0.95, 5)
    assert (config.data.size, config.data.split.folds, config.loss.class_weights) == ((224, 224), 3, "sum")
    assert round(701 * (config.data.split.val_fraction or 0.0)) == 36
    # one seed: every row starts from the same weights
    assert "training.seed" not in config.space and (name == "hossain_table4" or training.optimizer == "adam")


def test_every_data_set_of_a_table_has_its_settings() -> None:
    for name in names():
        for dataset, formats in load_table(name).formats.items():
            config = load_config(name, data=f"{dataset.lower()}=.")
            assert (config.data.root, config.data.format) == (Path.cwd(), formats[0])
            prostate = dataset in ("MRI", "TRUS")
            assert config.evaluation.background == ("background" if prostate else None)
            assert config.data.classes == (("background", "prostate") if prostate else None)
            # Hossain drew single images
            options = {"Cityscape": {"classes": 11, "group": ".*"}, "Cityscapes": {"labels": "all"}}
            assert config.data.options == options.get(dataset, {})
    config = load_config("taubert_table1", data="Cityscapes=.")
    assert (config.data.size, config.augmentation.crop) == ((1040, 2080), (960, 960))  # twice the others, twice as wide
    assert config.rows.keys() == loaded("taubert_table1").rows.keys() - {"refine"}


def test_one_command_is_for_every_data_set_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, city in (("train", "ulm"), ("val", "bonn")):
        for folder, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
            place = tmp_path / "cityscapes" / folder / split / city
            place.mkdir(parents=True)
            Image.new("RGB" if folder != "gtFine" else "L", (16, 8)).save(place / f"{city}_000000_000019_{ending}.png")
    lists = tmp_path / "voc" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for folder in ("JPEGImages", "SegmentationClass"):
        (tmp_path / "voc" / folder).mkdir()
    for index, split in enumerate(("train", "val")):
        (lists / f"{split}.txt").write_text(f"2007_00000{index}\n")
        Image.new("RGB", (16, 8)).save(tmp_path / "voc" / "JPEGImages" / f"2007_00000{index}.jpg")
        Image.new("P", (16, 8)).save(tmp_path / "voc" / "SegmentationClass" / f"2007_00000{index}.png")
    both = [f"--data=VOC={tmp_path / 'voc'}", f"--data=Cityscapes={tmp_path / 'cityscapes'}", "--studies", str(tmp_path)]
    assert main(["taubert_table1", *both, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^study: .*/(\w+)$", printed, re.MULTILINE) == ["taubert_table1_voc", "taubert_table1_cityscapes"]
    assert re.findall(r"^trials: (\d+),", printed, re.MULTILINE) == ["144", "136"]
    in_python = [Study("taubert_table1", data=data.removeprefix("--data="), studies=tmp_path) for data in both[:2]]
    assert re.findall(r"^study: (.*)$", printed, re.MULTILINE) == [str(study.directory) for study in in_python]

    # nothing starts where one of them is wrong
    (tmp_path / "cityscapes" / "gtFine").rename(tmp_path / "gone")
    assert main(["taubert_table1", *both]) == 2
    assert "looked for  cityscapes: leftImg8bit/, gtFine/" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cityscapes", "gone", "voc"]


@pytest.mark.parametrize("roots", [("VOC=a", "b"), ("VOC=a", "voc=b"), ("a", "b")])
def test_several_roots_are_those_of_named_data_sets(roots: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taubert_table1", *(f"--data={root}" for root in roots)]) == 2
    assert f"--data {' '.join(roots)}: give one ROOT, or NAME=ROOT once for each data set of a table; those of" in (
        capsys.readouterr().err
    )


def test_a_data_set_that_the_table_lacks_is_refused_with_those_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hossain_table3", "--data", "Cityscapes=somewhere"]) == 2
    assert "error: data Cityscapes=somewhere: no data set Cityscapes; those of the table are MRI, TRUS, Cityscape" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["2012", "a/b"])
def test_the_name_of_a_data_set_must_be_that_of_a_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "named.yaml"
    config.write_text(f"datasets: {{{name}: {{}}}}")
    assert main([str(config), "--data", "x=y"]) == 2
    assert f"datasets.{name}: a name is letters, digits" in capsys.readouterr().err


def test_a_row_can_be_tried_alone_at_any_size() -> None:
    config = loaded(
        *("taubert_table1", "training.epochs=3", "rows=[DLNCE]", "data.size=[64, 64]"),
        *("augmentation.crop=null", "training.seed=0", "model={architecture: Unet, weights: none, train: all}"),
    )
    ((point, trial),) = trials(config)
    assert point == {"row": "DLNCE"}
    assert (trial.model.architecture, trial.model.weights, trial.training.epochs) == ("Unet", "none", 3)


def test_what_a_row_sets_cannot_be_set_for_all() -> None:
    with pytest.raises(InputError, match=r"^model.weights cannot be set for all rows, because rows.refine sets it: leave"):
        loaded("taubert_table1", "model.weights=none")
    config = loaded("taubert_table1", "model.weights=none", "rows.refine=null")
    assert len(config.rows) == 17 and {trial.model.weights for _, trial in trials(config)} == {"none"}


def test_a_dry_run_counts_what_trials_have_in_common_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taubert_table1", "--dry-run", "--studies", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    # of 30 epochs, schedules that start with Dice share 9: two with plain weighted Dice, and two with one another
    remain = 8 * (18 * 30 - 3 * 9)
    steps = TRAIN_IMAGES // 12
    assert f"up to 30 epochs each, on {TRAIN_IMAGES} training images\n" in printed
    assert "\nthe images are generated; give yours with --data ROOT\n" in printed
    assert f"\ntraining steps: {30 * steps} per trial," in printed
    assert f"in common: {remain} of 4320 epochs remain, {remain * steps} steps\n" in printed
    assert list(tmp_path.iterdir()) == []


def test_a_search_says_nothing_of_what_it_cannot_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(write_config(tmp_path / "random.yaml"), "--dry-run") == 0
    assert "in common" not in capsys.readouterr().out
