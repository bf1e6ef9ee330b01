"""The answer of a study in words: the verdict, the finalists beside plain cross entropy, what it misses, what to do next."""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta

from rich.table import Table
from rich.text import Text

from tune_seg.study.configurations import Configuration
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.words import cell, settings_of, short
from tune_seg.study.record import State, sortable
from tune_seg.study.scoring import TestScores
from tune_seg.study.verdict import Difference, Kind, Verdict
from tune_seg.study.verdict.classes import FOUND
from tune_seg.study.verdict.rule import MOST_SEEDS

_PLAIN = "plain cross entropy"
_MAX_FINDERS = 3
"""Configurations that are named for finding a class."""


def verdict_text(answer: Answer, metric: str, margin: float, cost: float) -> Text:
    """The sentence that a study ends with.

    Args:
        answer: what the repeats say.
        metric: the objective.
        margin: below which a difference does not matter.
        cost: seconds that one more seed of two configurations takes.
    """
    verdict = answer.verdict
    best, other = (_called(answer, id) for id in (verdict.best, verdict.other))
    difference = (
        f"{metric} {verdict.difference.mean:+.4f} {_interval(verdict.difference)}, {verdict.difference.n} seeds each"
    )
    text = Text()
    if verdict.kind is Kind.BETTER:
        text.append(f"Verdict: {best} is better than {other}", style="bold")
        text.append(f" ({difference}).")
    elif verdict.kind is Kind.INDISTINGUISHABLE:
        text.append(f"Verdict: {best} and {other} are indistinguishable within the margin of {margin:g}", style="bold")
        text.append(f" ({difference}).")
    else:
        text.append(f"Verdict: not decided between {best} and {other}", style="bold")
        text.append(f" ({difference}{_after_looks(verdict)}): {_more(verdict, cost)}.")
    text.append(" " + _advice(answer))
    return text


def answer_table(answer: Answer, metric: str, confidence: float) -> Table:
    """The contenders: how often each was trained, its scores, and how it compares with plain cross entropy."""
    prefix = metric.rpartition("/")[0]
    names = [f"{prefix}/{name}" if prefix else name for name in ("recall", "accuracy", "calibration")]
    title = f"Finalists, trained with fresh seeds; minus ce: with its {confidence:.0%} interval over seeds and images"
    table = Table(title=title, title_justify="left")
    table.add_column("configuration")
    for name in ("n", metric, "minus ce", "P(better)", *(name.rpartition("/")[2] for name in names)):
        table.add_column(name, justify="right")
    rows = {row.id: row for row in answer.verdict.table}
    for id, configuration in sorted(answer.contenders.items(), key=lambda item: -_mean(item[1].scores(metric))):
        scores = configuration.scores(metric)
        row = rows.get(id)
        chance = "" if row is None or math.isnan(row.difference.p_fresh) else f"{row.difference.p_fresh:.0%}"
        against = "" if row is None else f"{row.difference.mean:+.4f} {_interval(row.difference)}"
        means = (f"{_mean(configuration.scores(name)):.4f}" for name in names)
        mark = "* " if id == answer.verdict.recommended else "  "
        name = mark + _called(answer, id, settings=True)
        table.add_row(name, str(len(scores)), f"{_mean(scores):.4f} ± {_sd(scores):.3f}", against, chance, *means)
    return table


def diverged_lines(answer: Answer) -> Iterator[str]:
    """Which contenders diverged with some seeds, and what that counts."""
    for id, configuration in answer.contenders.items():
        diverged = sum(trial.state is State.DIVERGED for trial in configuration.repeats)
        if diverged:
            yield f"{_called(answer, id)} diverged in {diverged} of {len(configuration.repeats)} repeats; each counts as 0."


def beside_lines(answer: Answer, class_names: Sequence[str]) -> Iterator[str]:
    """What the best finalist gains and loses beside the objective, and of each class that plain cross entropy misses."""
    rows = {row.id: row for row in answer.verdict.table}
    id = answer.verdict.best if answer.verdict.best in rows else answer.verdict.other
    gains = [f"{_in_words(name, class_names)} {_gain(each)}" for name, each in rows[id].beside.items()]
    if gains:
        yield f"{_called(answer, id)} minus {_PLAIN}: {'; '.join(gains)}."


def _in_words(metric: str, class_names: Sequence[str]) -> str:
    scaling, _, name = metric.rpartition("/")
    return f"recall of {class_names[int(name)]}" if scaling == "recall" else name


def _gain(difference: Difference) -> str:
    better = "" if math.isnan(difference.p_fresh) else f", P(better) {difference.p_fresh:.0%}"
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]{better}"


def missed_lines(
    plain: Configuration, others: Sequence[Configuration], class_names: Sequence[str], absent: Sequence[str]
) -> Iterator[str]:
    """What plain cross entropy misses, and who finds it, by the mean recall of the trials of each configuration.

    Args:
        plain: plain cross entropy.
        others: what it is compared with.
        class_names: by class index.
        absent: classes that no validation image has.
    """
    if absent:
        yield f"No validation image has {', '.join(absent)}: whether a loss finds that is not known."
    recalls = {number: _mean(plain.class_recalls(number)) for number in range(len(class_names))}
    missed = {number: recall for number, recall in recalls.items() if recall < FOUND}
    called = f"{_PLAIN.capitalize()} ({_seeds(plain)})"
    if not missed:
        yield f"{called} finds every {'other ' if absent else ''}class (recall of at least {FOUND:g})."
        return
    yield f"{called} misses {len(missed)} of {len(class_names) - len(absent)} classes (recall below {FOUND:g}):"
    for number, recall in missed.items():
        found = sorted(((_mean(each.class_recalls(number)), each) for each in others), key=lambda pair: -sortable(pair[0]))
        finders = [f"{each.name} ({mean:.3f}, {_seeds(each)})" for mean, each in found if mean >= FOUND][:_MAX_FINDERS]
        who = f"found by {', '.join(finders)}" if finders else "nothing that was tried finds it"
        yield f"  {class_names[number]}, recall {recall:.3f}: {who}"


def test_lines(answer: Answer, metric: str, test: TestScores) -> Iterator[str]:
    """What the test split says of winner and plain cross entropy, and what validation had promised."""
    looked = "scored once" if test.looks == 1 else f"scored {test.looks} times: each further look makes it less of a test"
    yield f"Test split, {test.images} images that no trial has seen ({looked}):"
    for id, scores in test.scores.items():
        found = _mean([each[metric] for each in scores])
        promised = test.promised[id]
        yield (
            f"  {_called(answer, id)}: {metric} {found:.4f} ({metric.rpartition('/')[2]} as trained "
            f"{_mean([each[metric.rpartition('/')[2]] for each in scores]):.4f}), {len(scores)} seeds; validation had "
            f"{promised:.4f}, {promised - found:+.4f}"
        )
    if test.difference is not None:
        yield f"  difference {test.difference.mean:+.4f} {_interval(test.difference)}"


def _seeds(configuration: Configuration) -> str:
    seeds = len(configuration.scored)
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def _called(answer: Answer, id: str, *, settings: bool = False) -> str:
    if id == answer.reference:
        return "ce" if settings else _PLAIN
    return name_with_settings(answer.contenders[id]) if settings else answer.contenders[id].name


def name_with_settings(configuration: Configuration) -> str:
    """The name of a configuration, with the settings that it does not tell."""
    settings = [f"{short(key)} {cell(value)}" for key, value in settings_of(configuration).items()]
    return configuration.name + (f" ({', '.join(settings)})" if settings else "")


def _interval(difference: Difference) -> str:
    if math.isnan(difference.low):
        return "[unknown]"
    return f"[{difference.low:+.4f}, {difference.high:+.4f}]"


def _after_looks(verdict: Verdict) -> str:
    """Why an interval that leaves out 0 does not decide."""
    if verdict.difference.low > 0 or verdict.difference.high < 0:
        return f"; {_interval(verdict.decisive)} with all comparisons and looks allowed for"
    return ""


def _more(verdict: Verdict, cost: float) -> str:
    if verdict.images_limit:
        return f"more seeds cannot decide it, more validation images can; they are known to agree within {verdict.bound:.3f}"
    if verdict.more_seeds is None:
        return f"more than {MOST_SEEDS} further seeds would be needed"
    duration = timedelta(seconds=round(verdict.more_seeds * cost))
    seeds = "1 more seed" if verdict.more_seeds == 1 else f"{verdict.more_seeds} more seeds"
    return f"about {seeds} ({duration}) would decide it"


def _advice(answer: Answer) -> str:
    verdict = answer.verdict
    taken = _called(answer, verdict.recommended)
    if verdict.kind is Kind.UNDECIDED:
        return f"Best so far: {taken}."
    return f"Take {taken}{'' if verdict.recommended == verdict.best else ', the simpler one'}."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _sd(values: Sequence[float]) -> float:
    if len(values) < 2:
        return math.nan
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
