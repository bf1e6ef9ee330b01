"""The papers' figures: what was transcribed obeys what the papers say of it, so that a wrong digit shows."""

import itertools
import statistics
from collections.abc import Iterator

import pytest

from tune_seg.errors import InputError
from tune_seg.study.papers.tables import PaperTable, load_table, names

HOSSAIN = tuple(f"hossain_table{number}" for number in range(2, 8))

# the sums of all figures of a table, metric by metric, added up from the papers' text
SUMS = {
    "hossain_table2": (2_575.24, 2_207.04),
    "hossain_table3": (2_804.81, 2_496.37),
    "hossain_table4": (1_803.65, 1_535.43),
    "hossain_table5": (722.37, 653.56),
    "hossain_table6": (463.56, 407.94),
    "hossain_table7": (473.76, 430.56),
}

# Taubert's S_acc and S_rec that are no harmonic means of what stands beside them, as printed
NOT_HARMONIC = {
    ("VOC", "fcn_resnet101", "FL", "s_rec"): 0.69,
    ("VOC", "fcn_resnet101", "CEMP", "s_rec"): 0.57,
    ("VOC", "deeplabv3_resnet101", "WDL", "s_rec"): 0.77,
    ("SBD", "fcn_resnet101", "CEMP", "s_rec"): 0.42,
    ("Cityscapes", "fcn_resnet101", "WDLAWCE", "s_acc"): 0.81,
    ("Cityscapes", "fcn_resnet101", "WDLAWCE", "s_rec"): 0.68,
}


def cells(table: PaperTable) -> Iterator[tuple[str, str, str, dict[str, float]]]:
    """Every printed run: its data set, variant, row, and figures by metric."""
    for dataset, variants in table.figures.items():
        for variant, rows in variants.items():
            for row, runs in rows.items():
                for run in runs:
                    yield dataset, variant, row, dict(zip(table.metrics, run, strict=True))


def test_every_table_is_there_once() -> None:
    assert names() == (*HOSSAIN, "taubert_table1")
    with pytest.raises(InputError, match=r"no table 'taubert'; the tables are hossain_table2, .*, taubert_table1$"):
        load_table("taubert")


@pytest.mark.parametrize("name", HOSSAIN)
def test_the_figures_of_hossain_add_up_as_in_the_text(name: str) -> None:
    runs = [figures for *_, figures in cells(load_table(name))]
    assert tuple(round(sum(run[metric] for run in runs), 2) for metric in ("mdice", "miou")) == SUMS[name]
    assert all(run["miou"] < run["mdice"] < 100 for run in runs)  # the IoU of a class lies below its Dice


@pytest.mark.parametrize(
    ("name", "best"), [(name, "ADFL") for name in HOSSAIN[:4]] + [(HOSSAIN[4], "ACW+CE"), (HOSSAIN[5], "DFL")]
)
def test_the_loss_that_hossain_recommends_is_best_by_dice_in_every_condition(name: str, best: str) -> None:
    table = load_table(name)
    for dataset, variants in table.figures.items():
        for variant, rows in variants.items():
            means = {row: statistics.fmean(table.values(dataset, variant, row, "mdice")) for row in rows}
            assert max(means, key=means.__getitem__) == best


def test_the_tables_of_hossain_repeat_some_figures_and_contradict_others() -> None:
    tables = {number: load_table(f"hossain_table{number}").figures for number in (5, 6, 7)}

    def at(number: int, dataset: str, row: str) -> tuple[float, ...]:
        return tables[number][dataset]["DeepLabV3Plus"][row][0]

    for dataset in ("MRI", "TRUS"):
        assert at(5, dataset, "ACW+CE") == at(6, dataset, "ACW+CE")
    for dataset in ("TRUS", "Cityscape"):
        assert at(5, dataset, "DFL") == at(7, dataset, "DFL")
    assert (at(5, "Cityscape", "ACW+CE"), at(6, "Cityscape", "ACW+CE")) == ((64.27, 55.02), (65.70, 57.45))
    assert (at(5, "MRI", "DFL"), at(7, "MRI", "DFL")) == ((90.74, 84.68), (90.91, 85.24))


def test_the_scores_of_taubert_are_harmonic_means_but_for_six() -> None:
    found = {}
    for dataset, variant, row, figures in cells(load_table("taubert_table1")):
        for score, metric in (("s_acc", "accuracy"), ("s_rec", "recall")):
            # printed to 0.01, all three
            ends = [
                2 * (figures[metric] + a) * (figures["calibration"] + b) / (figures[metric] + a + figures["calibration"] + b)
                for a, b in itertools.product((-0.005, 0.005), repeat=2)
            ]
            if not min(ends) - 0.0051 <= figures[score] <= max(ends) + 0.0051:
                found[dataset, variant, row, score] = figures[score]
    assert found == NOT_HARMONIC


def test_taubert_prints_what_its_text_says() -> None:
    table = load_table("taubert_table1")
    rows = {
        (dataset, variant): [row for d, v, row, _ in cells(table) if (d, v) == (dataset, variant)]
        for dataset in table.figures
        for variant in table.figures[dataset]
    }
    losses = rows["VOC", "fcn_resnet101"]
    assert losses[0] == "refine" and len(losses) == 17
    for (dataset, _), found in rows.items():
        assert found == (losses if dataset != "Cityscapes" else losses[1:])
    for dataset, variant, row, figures in cells(table):
        # only on Cityscapes, and for one model's Dice, a class is never predicted; there the losses that are scheduled to
        # a weighted cross entropy, and one compound, find all
        finds_all = "NWCE" in row or "AWCE" in row or row == "DLWCE"
        ignored = not finds_all if dataset == "Cityscapes" else (variant, row) == ("deeplabv3_resnet101", "WDL")
        assert (figures["f1"] != figures["f1"]) == ignored
        if row == "refine":
            others = [table.values(dataset, variant, other, "s_rec")[0] for other in losses[1:]]
            assert figures["s_rec"] >= max(others)


def test_the_row_printed_as_wce_is_shown_beside_both_and_counted_for_one() -> None:
    table = load_table("taubert_table1")
    for metric in table.metrics:
        ce, wce = (table.values("VOC", "fcn_resnet101", row, metric) for row in ("CE", "WCE"))
        assert ce == wce
    assert "CE" not in table.unranked and "WCE" in table.unranked
    assert table.values("VOC", "fcn_resnet101", "CE", "accuracy") == [0.89]
    assert table.values("VOC", "fcn_resnet101", "DLWCE", "recall") == [0.75]
    assert table.values("Cityscapes", "fcn_resnet101", "refine", "recall") == []


def test_figures_in_per_cent_become_fractions() -> None:
    table = load_table("hossain_table3")
    assert table.values("Cityscape", "DeepLabV3Plus", "FL", "mdice") == pytest.approx([0.6831, 0.6408, 0.6544])
