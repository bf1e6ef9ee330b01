"""The figures of a study: that they show what the study says, and say why where there is nothing to show."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from tests.support.epoch_results import image_counts, result
from tests.support.records import asked
from tune_seg import InputError, Study
from tune_seg.config import StudyConfig, parse
from tune_seg.image_counts import ImageCounts
from tune_seg.study.configurations import mean_score
from tune_seg.study.contents import StudyContents, read_study
from tune_seg.study.figures.acw import acw_weights
from tune_seg.study.figures.classes import class_recall, mistakes
from tune_seg.study.figures.confusion import confusion
from tune_seg.study.figures.curves import curves
from tune_seg.study.figures.forest import forest
from tune_seg.study.figures.importance import importances
from tune_seg.study.figures.parallel import parallel
from tune_seg.study.figures.pareto import pareto
from tune_seg.study.figures.path import path
from tune_seg.study.figures.reliability import reliability
from tune_seg.study.figures.slices import slices
from tune_seg.study.figures.style import NothingToShow
from tune_seg.study.figures.time import time
from tune_seg.study.files import CONFIGURATION, PACKS
from tune_seg.study.output.results import write_study
from tune_seg.study.record import Record, State
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space

SPACE: dict[str, Any] = {
    "loss.kind": {"choice": ["static", "naive"]},
    "loss.start": {"choice": ["dice", "wdice"], "when": {"loss.kind": ["naive"]}},
    "loss.end": {"choice": ["ce", "wce", "focal"]},
    "loss.gamma": {"float": [0.5, 5.0], "when": {"loss.end": ["focal"]}},
    "schedule.start": {"float": [0.1, 0.5], "when": {"loss.kind": ["naive"]}},
    "training.lr": {"float": [1e-4, 1e-2], "log": True},
}


@pytest.fixture(scope="module")
def rows(rows_study: Path) -> StudyContents:
    """A study of rows with two seeds, which has a verdict."""
    return read_study(rows_study.parent / "studies" / "rows")


def drawn(
    directory: Path,
    score: Callable[[Record], float],
    trials: int = 40,
    *,
    classes: int = 2,
    counts: ImageCounts | None = None,
    **values: Any,
) -> StudyContents:
    """A study of one seed each whose scores follow from the settings, with images of the first trial alone."""
    search = {"sampler": "random", "trials": trials, "early_stopping": {"kind": "none"}}
    baselines = [{"loss.kind": "static", "loss.end": "ce", "training.lr": 1e-3}]
    given = {"training": {"epochs": 2}, "search": search, "space": SPACE, "baselines": baselines, **values}
    config = parse(StudyConfig, given)
    directory.mkdir()
    write_study(config, directory / CONFIGURATION)
    records = Records(directory, config, Space(config))
    for number in range(trials):
        record = asked(records)
        for epoch in (1, 2):
            images = (counts or image_counts()) if epoch == 2 and number == 0 else None
            recalls = [0.9, *[0.5] * (classes - 1)]
            records.add(record.number, result(epoch, score(record), class_recall=recalls, images=images))
        records.close(record.number, State.COMPLETED)
    return read_study(directory)


def traces(figure: Any) -> list[Any]:
    return list(figure.data)


def test_the_forest_has_each_finalist_with_its_difference_and_the_margin(rows: StudyContents) -> None:
    figure = forest(rows)
    assert rows.answer is not None
    found = {row.difference.mean: row.difference for row in rows.answer.verdict.table}
    points = [trace for trace in traces(figure) if trace.error_x.array is not None]
    assert sorted(trace.x[0] for trace in points) == sorted(row.difference.mean for row in rows.answer.verdict.table)
    for trace in points:
        difference = found[trace.x[0]]
        half = 0.0 if difference.n < 2 else difference.high - difference.mean
        assert trace.error_x.array[0] == pytest.approx(half)
    (band,) = (shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (band.x0, band.x1) == (-0.01, 0.01)


def test_a_mean_beside_the_forest_is_of_the_seeds_that_are_shown(rows: StudyContents) -> None:
    plain = rows.plain
    assert plain is not None
    seeds, mean = (trace for trace in traces(forest(rows)) if trace.xaxis == "x2" and trace.y[0] == "plain cross entropy")
    assert sorted(seeds.x) == sorted(plain.scores("recall")) and len(seeds.x) == 2
    assert mean.x[0] == pytest.approx(fmean(seeds.x))


def test_a_study_without_repeats_has_no_forest(tmp_path: Path) -> None:
    with pytest.raises(NothingToShow, match="no difference has an interval yet"):
        forest(drawn(tmp_path / "study", lambda record: 0.5))


def test_the_path_leads_from_plain_ce_to_the_best_with_the_scores_of_both(rows: StudyContents) -> None:
    (line,) = traces(path(rows))
    assert rows.plain is not None and rows.taken is not None
    assert line.y[0] == pytest.approx(mean_score(rows.plain, "mdice"))
    assert line.y[-1] == pytest.approx(mean_score(rows.taken, "mdice"))


def test_the_path_takes_one_change_at_a_time_where_that_was_tried(tmp_path: Path) -> None:
    # wce is a little better than ce, and naive wce the best: on the way there is wce, which was tried
    space = {"loss.kind": SPACE["loss.kind"], "loss.end": {"choice": ["ce", "wce"]}}
    values: dict[str, Any] = {"space": space, "baselines": [], "loss": {"kind": "static", "start": "dice", "end": "ce"}}
    score = {("static", "ce"): 0.4, ("static", "wce"): 0.5, ("naive", "ce"): 0.3, ("naive", "wce"): 0.8}
    study = drawn(
        tmp_path / "study", lambda each: score[each.assignment["loss.kind"], each.assignment["loss.end"]], 4, **values
    )
    figure = path(study)
    assert len(figure.data[0].y) == 3
    assert figure.data[0].y[0] == 0.4 and figure.data[0].y[1] in (0.3, 0.5) and figure.data[0].y[2] == 0.8
    assert [text.count("<br>") for text in figure.layout.xaxis.ticktext] == [0, 0, 0]


def test_the_key_that_decides_is_the_most_important_one(tmp_path: Path) -> None:
    study = drawn(tmp_path / "study", lambda record: 0.9 - abs(np.log10(record.assignment["training.lr"]) + 3), 60)
    (bars,) = traces(importances(study))
    assert bars.y[-1] == "training.lr" and bars.x[-1] == max(bars.x)  # the last one is drawn at the top
    assert sum(bars.x) == pytest.approx(1.0)
    assert {"gamma", "schedule.start"} <= {*bars.y}  # keys that only some trials have


def test_few_trials_have_no_importance(rows: StudyContents) -> None:
    with pytest.raises(NothingToShow, match="below 20 an importance would be chance"):
        importances(rows)


def test_a_line_goes_through_the_settings_of_its_trial(tmp_path: Path) -> None:
    study = drawn(tmp_path / "study", lambda record: record.number / 100)
    (lines,) = traces(parallel(study))
    by_label = {dimension.label: dimension for dimension in lines.dimensions}
    assert {*by_label} == {"kind", "start", "end", "gamma", "schedule.start", "training.lr", "s_rec"}
    gamma = by_label["gamma"]
    (without,) = (value for value, text in zip(gamma.tickvals, gamma.ticktext, strict=True) if text == "-")
    for number, record in enumerate(study.records):
        given = record.assignment.get("loss.gamma")
        assert gamma["values"][number] == (without if given is None else given)
        place = by_label["end"]["values"][number]
        assert (
            dict(zip(by_label["end"].tickvals, by_label["end"].ticktext, strict=True))[place]
            == record.assignment["loss.end"]
        )
        assert by_label["s_rec"]["values"][number] == number / 100
    assert without < min(value for value in gamma["values"] if value != without)
    rates = by_label["training.lr"]  # searched on a logarithmic scale
    assert list(rates["values"]) == [math.log10(record.assignment["training.lr"]) for record in study.records]
    assert float(rates.ticktext[0]) == pytest.approx(min(each.assignment["training.lr"] for each in study.records), rel=0.01)


def test_what_has_no_score_is_left_out_and_said(tmp_path: Path) -> None:
    study = drawn(tmp_path / "study", lambda record: math.nan if record.number < 3 else 0.1 + record.number / 100)
    said = "not drawn: 3 whose s_rec is undefined"
    lines = parallel(study)
    assert min(lines.data[0].dimensions[-1]["values"]) == 0.13
    points = slices(study)
    assert min(min(trace.y) for trace in traces(points)) >= 0.13
    for figure in (lines, points):
        assert said in [annotation.text for annotation in figure.layout.annotations]
    complete = drawn(tmp_path / "complete", lambda record: 0.5)
    assert not any("undefined" in annotation.text for annotation in slices(complete).layout.annotations)


def test_with_several_objectives_nothing_is_recommended(tmp_path: Path) -> None:
    study = drawn(tmp_path / "study", lambda record: record.number / 100, objective=["recall", "calibration"])
    assert study.taken is None and study.plain is not None
    assert [each.id for each in study.pair] == [study.plain.id, study.completed[0].id]
    with pytest.raises(NothingToShow, match="none is recommended"):
        path(study)


def test_slices_show_each_trial_that_has_the_number_and_log_axes(tmp_path: Path) -> None:
    study = drawn(tmp_path / "study", lambda record: record.number / 100)
    figure = slices(study)
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles == ["schedule.start", "gamma", "training.lr"]
    having = {title: 0 for title in titles}
    for trace in traces(figure):
        having[titles[int((trace.xaxis or "x").removeprefix("x") or 1) - 1]] += len(trace.x)
    assert having["training.lr"] == 40
    assert having["schedule.start"] == sum("schedule.start" in record.params for record in study.records)
    assert figure.layout.xaxis3.type == "log" and figure.layout.xaxis2.type != "log"
    assert {trace.name for trace in traces(figure) if trace.showlegend} == {"naive", "static"}


def test_the_distance_of_reliability_from_the_diagonal_is_what_the_calibration_is_made_of(rows: StudyContents) -> None:
    figure = reliability(rows)
    for each in rows.shown:
        if len(each.scored) != 1:
            continue
        (line,) = (
            trace
            for trace in traces(figure)
            if trace.type == "scatter" and trace.xaxis == "x" and trace.legendgroup == each.id
        )
        points = [(number, *point) for number, point in enumerate(zip(line.x, line.y, strict=True)) if None not in point]
        assert all(number / 10 - 1e-6 <= x <= (number + 1) / 10 + 1e-6 and 0 <= y <= 1 for number, x, y in points)
        gaps = [abs(x - y) for _, x, y in points]
        assert 1 - 4 / len(line.y) * sum(gaps) == pytest.approx(mean_score(each, "calibration"), abs=1e-4)
        break
    else:
        pytest.fail("no configuration has one training")


def test_a_row_of_the_confusion_is_a_true_class_and_its_diagonal_the_recall(rows: StudyContents) -> None:
    assert rows.plain is not None and rows.taken is not None
    matrices = traces(confusion(rows))
    for each, matrix in zip(rows.pair, matrices, strict=True):
        counts = [images.confusion for images in rows.images(each)]
        pixels = np.sum([one for one in counts if one is not None], axis=0)
        for name, shares, cells in zip(matrix.y, matrix.z, matrix.customdata, strict=True):
            number = rows.class_names.index(name)
            columns = [rows.class_names.index(column) for column in matrix.x]
            assert list(cells) == pixels[number][columns].tolist()
            if pixels[number].sum():
                assert sum(shares) == pytest.approx(1)
                assert shares[columns.index(number)] == pytest.approx(pixels[number, number] / pixels[number].sum())
    alone = next(each for each in rows.completed if len(each.scored) == 1)
    (images,) = rows.images(alone)
    assert images.confusion is not None
    recalls = images.confusion.diagonal() / images.confusion.sum(axis=1).clip(1)
    measured = [found[0] if (found := alone.class_recalls(number)) else 0.0 for number in range(10)]
    assert recalls.tolist() == pytest.approx(measured)


def test_of_many_classes_those_that_are_missed_have_a_row_and_the_rest_a_column(tmp_path: Path) -> None:
    classes = 30
    cells = np.diag(np.full(classes, 90)) + np.roll(np.diag(np.full(classes, 10)), 1, axis=1)
    cells[7] = np.eye(classes, dtype=int)[20] * 500  # class 7 is taken for class 20 throughout
    counts = replace(image_counts(classes=classes), confusion=cells)
    study = drawn(tmp_path / "study", lambda record: 0.5, 1, classes=classes, counts=counts)
    (matrix,) = traces(confusion(study))
    assert len(matrix.y) == 20 and list(matrix.x) == [*matrix.y, "all others"]
    (row,) = (row for name, row in zip(matrix.y, matrix.z, strict=True) if name == "class 7")
    shares = dict(zip(matrix.x, row, strict=True))
    assert shares.get("class 20", shares["all others"]) == 1 and sum(row) == 1
    assert all(sum(row) == pytest.approx(1) for row in matrix.z)


def test_counts_of_a_version_that_kept_less_have_neither_confusion_nor_reliability(tmp_path: Path) -> None:
    whole = image_counts()
    raw, scaled = (replace(each, positives=None) for each in (whole.raw, whole.scaled))
    older = replace(whole, raw=raw, scaled=scaled, confusion=None)
    study = drawn(tmp_path / "study", lambda record: 0.5, 1, counts=older)
    with pytest.raises(NothingToShow, match="did not keep it"):
        confusion(study)
    with pytest.raises(NothingToShow, match="did not keep how many outputs are true"):
        reliability(study)


def test_without_counts_there_is_no_reliability(rows: StudyContents, tmp_path: Path) -> None:
    shutil.copytree(rows.directory, tmp_path / "rows", ignore=shutil.ignore_patterns("images"))
    shutil.copytree(rows.directory.parent / PACKS, tmp_path / PACKS)
    with pytest.raises(NothingToShow, match="counts of the validation images"):
        reliability(read_study(tmp_path / "rows"))


def test_classes_stand_in_the_order_of_their_frequency(rows: StudyContents) -> None:
    assert rows.packed is not None and rows.plain is not None
    (plain,) = (trace for trace in traces(class_recall(rows)) if trace.name == "plain cross entropy")
    frequencies = rows.packed.frequencies
    order = sorted(range(10), key=lambda number: -frequencies[number])
    assert [label.partition("<br>")[0] for label in plain.x] == [rows.class_names[number] for number in order]
    means = [fmean(found) if (found := rows.plain.class_recalls(number)) else None for number in order]
    assert list(plain.y) == means
    missed = next(trace for trace in traces(mistakes(rows)) if trace.name == "plain cross entropy")
    assert [None if share is None else 1 - share for share in missed.y] == pytest.approx(means, nan_ok=True)


def test_curves_have_every_epoch_and_the_weights_of_what_moves(rows: StudyContents) -> None:
    figure = curves(rows)
    thick = {trace.name: trace for trace in traces(figure) if trace.mode == "lines+markers"}
    assert list(thick["plain cross entropy"].x) == [1, 2, 3]
    weights = [trace for trace in traces(figure) if trace.yaxis == "y2"]
    moving = [each for each in rows.shown if len(each.config.components) > 1]
    assert len(weights) == 2 * len(moving) > 0
    start, end = weights[:2]
    assert [a + b for a, b in zip(start.y, end.y, strict=True)] == pytest.approx([1.0] * 3)


def test_adaptive_class_weights_are_those_of_the_journal(rows: StudyContents) -> None:
    lines = [trace for trace in traces(acw_weights(rows)) if trace.type == "scatter"]
    trial = next(each for each in rows.completed if each.config.acw).scored[0]
    assert [line.y[-1] for line in lines] == list(trial.history[-1].acw_weight or ())


def test_without_acw_there_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(NothingToShow, match="adaptive class weights"):
        acw_weights(drawn(tmp_path / "study", lambda record: 0.5, 3))


def test_the_front_has_a_star_for_what_nothing_beats(tmp_path: Path) -> None:
    study = drawn(tmp_path / "study", lambda record: record.number / 100, 5, objective=["recall", "calibration"])
    beaten, front = traces(pareto(study))
    assert (len(beaten.x), list(front.x), front.marker.symbol) == (4, [0.04], "star")
    with pytest.raises(NothingToShow, match="one objective"):
        pareto(drawn(tmp_path / "other", lambda record: 0.5, 3))


def test_time_adds_up(rows: StudyContents) -> None:
    (bars,) = traces(time(rows))
    assert sum(bars.x) == pytest.approx(sum(record.seconds for record in rows.records))


def test_figures_are_had_from_a_study(rows: StudyContents) -> None:
    study = Study(rows.directory / CONFIGURATION)
    plots = study.plots
    assert plots.forest().data == forest(rows).data
    with pytest.raises(InputError, match="one objective"):
        plots.pareto()
