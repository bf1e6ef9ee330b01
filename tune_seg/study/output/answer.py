"""The finalists beside plain cross entropy: their scores, what they gain and lose, and what the test split says of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from rich.console import Console
from rich.table import Table

from tune_seg.study.configurations import Configuration
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.fitting import fitting_table, heading
from tune_seg.study.output.sentence import PLAIN, called, interval
from tune_seg.study.output.words import cell, counted, settings_of
from tune_seg.study.record import Record, State
from tune_seg.study.scoring import TestScores
from tune_seg.study.verdict import Difference, Kind
from tune_seg.training.result import TEMPERATURE

_CHANCE = "P(better)"
_UNCHANGED = ("recall", "accuracy")
"""Shown metrics that one temperature does not change."""
_FAR = 3.0
"""A training is far below the others when it is so many times as far below as they are apart, or the margin is."""
_ENOUGH_OTHERS = 2
_SAME = 1e-9
"""Scores that differ by less are the same score."""


def columns_beside(objectives: Sequence[str]) -> tuple[str, ...]:
    """What a table shows beside the first objective: the other ones, recall, accuracy, and calibration with a temperature.

    One temperature changes neither recall nor accuracy: they stand there once.
    """
    first = objectives[0]
    names = dict.fromkeys((*objectives[1:], "recall", "accuracy", f"{TEMPERATURE}/calibration"))
    return tuple(name for name in names if name not in (first, first.removeprefix(f"{TEMPERATURE}/")))


def answer_table(console: Console, answer: Answer, objectives: Sequence[str], confidence: float) -> Table:
    """The contenders: how often each was trained, its scores, and how it compares with plain cross entropy."""
    metric, names = objectives[0], columns_beside(objectives)
    rows = {row.id: row for row in answer.verdict.table}
    marked = None if len(objectives) > 1 else answer.verdict.recommended
    order = sorted(answer.contenders.values(), key=lambda each: -_mean(_counted(each, metric)))

    def make(optional: Sequence[str]) -> Table:
        table = Table(title=_title(answer, confidence, marked), title_justify="left")
        # a name is never broken; its settings may be
        table.add_column("configuration", min_width=2 + max(len(each.name) for each in order))
        shown = [name for name in names if name in optional]
        chance = [_CHANCE] if _CHANCE in optional else []
        for title in ("n", f"{heading(metric)}\nmean ± sd", "minus ce", *chance, *map(heading, shown)):
            table.add_column(title, justify="right", no_wrap=True)
        for each in order:
            scores, row = _counted(each, metric), rows.get(each.id)
            table.add_row(
                ("* " if each.id == marked else "  ") + _in_a_table(answer, each),
                str(len(scores)),
                f"{cell(_mean(scores))} ± {stdev(scores):.3f}" if len(scores) > 1 else cell(_mean(scores)),
                "" if row is None else f"{row.difference.mean:+.4f} {interval(row.difference)}".rstrip(),
                *(["" if row is None else probability(row.difference.p_fresh)] if chance else []),
                *(cell(_mean(_counted(each, name))) for name in shown),
            )
        return table

    return fitting_table(console, make, (*names, _CHANCE))


def adjusted_lines(answer: Answer) -> Iterator[str]:
    """What the one to take has beyond plain cross entropy with adjusted logits, which costs no training."""
    found = answer.beyond_adjusted
    if found is not None and found.n > 1:
        name = called(answer)[answer.verdict.recommended]
        unsure = "" if found.low > 0 else ": not shown to be better than that"
        yield (
            f"{name} minus {PLAIN} with adjusted logits, which are free after training: {found.mean:+.4f} "
            f"{interval(found)}, over seeds alone{unsure}."
        )


def diverged_lines(answer: Answer) -> Iterator[str]:
    """Which contenders diverged with some seeds, and what that counts."""
    names = called(answer)
    for id, configuration in answer.contenders.items():
        diverged = sum(trial.state is State.DIVERGED for trial in configuration.repeats)
        if diverged:
            yield f"{names[id]} diverged in {diverged} of {len(configuration.repeats)} repeats; each counts as 0."


def apart_lines(answer: Answer, metric: str, margin: float) -> Iterator[str]:
    """Which contenders have a training that scored far below all their others, and whether the comparison counts it."""
    names, plain = called(answer), {_key(trial) for trial in answer.contenders[answer.reference].scored}
    for id, configuration in answer.contenders.items():
        trials = {trial.number: trial for trial in configuration.scored if trial.state is State.COMPLETED}
        scores = [(trial.score(metric), number) for number, trial in trials.items()]
        known = sorted((score, number) for score, number in scores if score is not None and score == score)
        if len(known) <= _ENOUGH_OTHERS:
            continue
        (low, number), (second, _), (highest, _) = known[0], known[1], known[-1]
        if low < second - _FAR * max(highest - second, margin):
            alone = f", and {PLAIN} has no training with its seed, so it is not compared"
            yield (
                f"Warning: of {len(known)} trainings of {names[id]} trial {number} scored {cell(low)}, the others "
                f"{cell(second)} to {cell(highest)}: it can fail{alone if _key(trials[number]) not in plain else ''}."
            )


def undefined_lines(answer: Answer, metric: str) -> Iterator[str]:
    """Which contenders have repeats whose score is undefined, and what that counts."""
    names = called(answer)
    for id, configuration in answer.contenders.items():
        undefined = sum(math.isnan(score) for score in configuration.scores(metric))
        if undefined and _is_f1(metric):
            repeats = f"{undefined} of {len(configuration.repeats)} repeats"
            yield f"{metric} of {names[id]} is undefined in {repeats}, as a class is never predicted; each counts as 0."


def front_lines(answer: Answer) -> Iterator[str]:
    """With several objectives, how likely each contender is on the Pareto front."""
    if answer.front:
        names = called(answer)
        shares = (f"{names[id]} {share:.0%}" for id, share in answer.front.items())
        yield f"Probability to be on the Pareto front, over seeds and images: {', '.join(shares)}."


@dataclass(frozen=True)
class Gain:
    """What a configuration gains or loses in one metric.

    Attributes:
        name: of the metric, or `recall of` a class.
        mean, ce: what it has, and what plain cross entropy has.
        minus_ce: the difference, with its interval as far as scores can go.
        chance: P(better); empty where it is unknown, and where ce has 0 with every seed, so that nothing can be worse.
    """

    name: str
    mean: str
    ce: str
    minus_ce: str
    chance: str


def gains(answer: Answer, class_names: Sequence[str]) -> tuple[str, Sequence[Gain]]:
    """What the one to take is called, and what it gains and loses beside the objective, and of each class that ce misses.

    Where plain cross entropy is to be taken, it is the best of the others that is shown. Empty where nothing is known.
    """
    rows, verdict = {row.id: row for row in answer.verdict.table}, answer.verdict
    id = next(id for id in (verdict.recommended, verdict.best, verdict.other) if id in rows)
    shown, plain = answer.contenders[id], answer.contenders[answer.reference]
    found = []
    for name, difference in rows[id].beside.items():
        reference = _of(plain, name)
        means = (f"{_mean(_of(shown, name)):.3f}", f"{_mean(reference):.3f}")
        chance = probability(difference.p_fresh) if any(reference) else ""
        found.append(Gain(_in_words(name, class_names), *means, _gain(_possible(difference, name, reference)), chance))
    return called(answer)[id], found


def beside_table(console: Console, answer: Answer, class_names: Sequence[str]) -> Table | None:
    """:func:`gains` as a table; None where nothing is known."""
    shown, found = gains(answer, class_names)
    if not found:
        return None

    def make(optional: Sequence[str]) -> Table:
        table = Table(title=f"What {shown} gains and loses beside {PLAIN}", title_justify="left")
        table.add_column("")
        for name in ("mean", "ce", "minus ce", *optional):
            table.add_column(name, justify="right", no_wrap=True)
        for each in found:
            table.add_row(each.name, each.mean, each.ce, each.minus_ce, *([each.chance] if optional else []))
        return table

    return fitting_table(console, make, (_CHANCE,))


def test_lines(answer: Answer, metric: str, test: TestScores) -> Iterator[str]:
    """What the test split says of winner and plain cross entropy, and how much less that is than validation had."""
    names = called(answer)
    looked = "scored once" if test.looks == 1 else f"scored {test.looks} times: each further look makes it less of a test"
    yield f"Test split, {test.images} images that no trial has seen ({looked}):"
    for id, scores in test.scores.items():
        found = _mean([each[metric] for each in scores if metric in each])
        promised = test.promised[id]
        if math.isnan(found):
            yield f"  {names[id]}: {metric} is undefined on these images; validation {cell(promised)}"
            continue
        yield (
            f"  {names[id]}: {metric} {cell(found)}{_otherwise(metric, found, scores)}, {counted(len(scores), 'seed')}; "
            f"validation {cell(promised)}, validation minus test {promised - found:+.4f}"
        )
    if test.difference is not None and test.difference.n:
        first, second = (names[id] for id in test.scores)
        found_between = interval(test.difference)
        level = f" ({test.difference.level:.0%} interval)" if found_between else ""
        yield f"  {first} minus {second}: {test.difference.mean:+.4f} {found_between}".rstrip() + level


def _otherwise(metric: str, found: float, scores: Sequence[Mapping[str, float]]) -> str:
    """The score as trained where `metric` has a temperature, and with one where it has none; empty where it is the same."""
    trained = metric.removeprefix(f"{TEMPERATURE}/")
    name, what = (f"{TEMPERATURE}/{metric}", "with a temperature") if trained == metric else (trained, "as trained")
    other = _mean([each[name] for each in scores if name in each])
    return f" ({what} {other:.4f})" if abs(other - found) > _SAME else ""


def _title(answer: Answer, confidence: float, marked: str | None) -> str:
    known = all(row.difference.images_known for row in answer.verdict.table)
    mark = "" if marked is None else f"; * {'to take so far' if answer.verdict.kind is Kind.UNDECIDED else 'take this one'}"
    over = "seeds and images" if known else "seeds"
    what = "All configurations of the grid" if answer.of_the_grid else "Finalists, trained with new seeds"
    return f"{what}{mark}; minus ce: with its {confidence:.0%} interval over {over}"


def _in_a_table(answer: Answer, configuration: Configuration) -> str:
    """The name, with the settings that it does not tell on a line of their own."""
    if configuration.id == answer.reference:
        return "ce"
    settings = settings_of(configuration)
    return f"{configuration.name}\n  {settings}" if settings else configuration.name


def _key(trial: Record) -> tuple[int, int | None]:
    return trial.config.training.seed, trial.config.fold


def _of(configuration: Configuration, name: str) -> list[float]:
    """The scores by which the verdict compares: those of a class, `recall/3`, are its recalls."""
    scaling, _, metric = name.rpartition("/")
    return configuration.class_recalls(int(metric)) if scaling == "recall" else _counted(configuration, name)


def _counted(configuration: Configuration, metric: str) -> list[float]:
    """The scores as the verdict counts them: 0 for an f1 that is undefined."""
    scores = configuration.scores(metric)
    return [0.0 if math.isnan(score) else score for score in scores] if _is_f1(metric) else scores


def _is_f1(metric: str) -> bool:
    return metric.rpartition("/")[2] == "f1"


def _possible(difference: Difference, name: str, reference: Sequence[float]) -> Difference:
    """With an interval that ends where no score can go, plain cross entropy being as it is."""
    ce = _mean(reference)
    low = -math.inf if name.endswith("calibration") else -ce  # a calibration may be below 0
    # + 0.0: no -0.000
    return replace(difference, low=max(difference.low, low) + 0.0, high=min(difference.high, 1.0 - ce))


def _gain(difference: Difference) -> str:
    if math.isnan(difference.low):
        return f"{difference.mean:+.3f}"
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def probability(p: float) -> str:
    """A probability in per cent; no estimate is so good that it could say 0 or 100."""
    if math.isnan(p):
        return ""
    return "<1%" if p < 0.01 else ">99%" if p > 0.99 else f"{p:.0%}"


def _in_words(metric: str, class_names: Sequence[str]) -> str:
    scaling, _, name = metric.rpartition("/")
    if scaling == "recall":
        return f"recall of {class_names[int(name)]}"
    return name if name in _UNCHANGED else metric


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan
