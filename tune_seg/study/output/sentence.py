"""The sentences that a study ends with: the verdict, and the same two configurations with a temperature."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from tune_seg.study.configurations import Configuration, mean_score
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.words import counted, duration, labels
from tune_seg.study.verdict import Difference, Kind
from tune_seg.study.verdict.looks import FIRST
from tune_seg.study.verdict.rule import MOST_SEEDS
from tune_seg.training.result import TEMPERATURE

PLAIN = "plain cross entropy"
_LARGEST_ROUND = 3
"""Configurations that a round trains at most: the best one, plain cross entropy, and the closest rival."""
_SAME = 1e-9
"""Scores that differ by less are the same score."""


@dataclass(frozen=True)
class Cost:
    """What a training costs.

    Attributes:
        seconds: of one training; None where that is not known, as all of them were taken over from the store.
        slots: how many run at once.
    """

    seconds: float | None
    slots: int = 1

    def of(self, trainings: int) -> str:
        """How many trainings, and how long they take as far as that is known."""
        said = counted(trainings, "training")
        if self.seconds is None:
            return said
        return f"{said}, about {duration(max(self.seconds, trainings * self.seconds / self.slots))}"


def called(answer: Answer) -> Mapping[str, str]:
    """What each contender is called in a sentence, by id."""
    return {**labels(answer.contenders.values()), answer.reference: PLAIN}


def verdict_text(answer: Answer, objectives: Sequence[str], margin: float, cost: Cost) -> Text:
    """The verdict in words, on one line.

    Args:
        answer: what the repeats say.
        objectives: of the study; the verdict is about the first.
        margin: below which a difference does not matter.
        cost: of a training.
    """
    verdict, metric, names = answer.verdict, objectives[0], called(answer)
    best, other, found = names[verdict.best], names[verdict.other], verdict.difference
    minus = f"({_minus(best, other, found)})"
    text = Text("Verdict: ", style="bold")
    if verdict.kind is Kind.BETTER:
        text.append(f"{best} is better than {other} in {metric}")
        by = f"by {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"
        rest = f"{by} with {_seeds(found)}."
    elif verdict.kind is Kind.INDISTINGUISHABLE:
        text.append(f"{best} and {other} are indistinguishable in {metric} within the margin of {margin:g}")
        rest = f"{minus}."
    else:
        text.append(f"not decided between {best} and {other} in {metric}")
        rest = f"{minus}: {_what_decides(answer, cost)}."
    sentences = [rest, _advice(answer, objectives), *_intervals(answer)]
    return Text(" ").join([text, Text(" ".join(filter(None, sentences)))])


def seeds_to_decide(answer: Answer) -> tuple[int, int]:
    """How many seeds of each would decide in all, and how many of these are still to be trained.

    The verdict knows how many further ones. After a grid all are further ones: those of the grid are its search.
    """
    verdict = answer.verdict
    assert verdict.more_seeds is not None
    had = max(len(answer.contenders[id].repeats) for id in (verdict.best, verdict.other))
    every = had + verdict.more_seeds
    return every, every if answer.of_the_grid else verdict.more_seeds


def trainings_to_decide(answer: Answer, cost: Cost) -> str:
    """How many trainings the further seeds are that would decide."""
    in_a_round = 2 if answer.verdict.best == answer.reference else min(_LARGEST_ROUND, len(answer.contenders))
    upto = "up to " if in_a_round == _LARGEST_ROUND else ""
    return f"{upto}{cost.of(seeds_to_decide(answer)[1] * in_a_round)}"


def temperature_line(
    first: Configuration, second: Configuration, names: Mapping[str, str], objectives: Sequence[str]
) -> str | None:
    """Both with one temperature, where the first objective is as trained; None where nothing of that is known.

    Args:
        first, second: the configurations.
        names: what they are called, by id.
        objectives: of the study.
    """
    metric = objectives[0]
    if metric.startswith(f"{TEMPERATURE}/"):
        return None
    scaled = f"{TEMPERATURE}/{metric}"
    changed = abs(mean_score(first, scaled) - mean_score(first, metric)) > _SAME
    shown = [*([scaled] if changed else []), *([] if scaled.endswith("/calibration") else [f"{TEMPERATURE}/calibration"])]
    pairs = [(name, mean_score(first, name), mean_score(second, name)) for name in shown]
    said = [f"{name} {a:.4f} against {b:.4f}" for name, a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    if not said:
        return None
    return f"With one temperature each, {names[first.id]} against {names[second.id]}: {', '.join(said)}."


def interval(difference: Difference) -> str:
    """The interval with signs; empty where it is unknown."""
    return "" if math.isnan(difference.low) else f"[{difference.low:+.4f}, {difference.high:+.4f}]"


def _minus(best: str, other: str, difference: Difference) -> str:
    if not difference.n:
        return "no seed in common yet"
    shown = f"{difference.mean:+.4f} {interval(difference)}".rstrip()
    return f"{best} minus {other}: {shown}, {_seeds(difference)}"


def _seeds(difference: Difference) -> str:
    return f"{counted(difference.n, 'seed')} each"


def _what_decides(answer: Answer, cost: Cost) -> str:
    verdict = answer.verdict
    if verdict.difference.n < FIRST:
        return f"too few seeds yet, it takes {FIRST} of each at least"
    if verdict.images_limit:
        return f"more seeds cannot decide it, more validation images can; they are known to agree within {verdict.bound:.3f}"
    if verdict.folds_limit:
        return "more seeds hardly can, as the training images of the folds overlap; fewer folds, or more images, can"
    if verdict.more_seeds is None:
        return f"more than {MOST_SEEDS} further seeds would be needed"
    kind = "fresh seed" if answer.of_the_grid else "more seed"
    return f"about {counted(seeds_to_decide(answer)[1], kind)} ({trainings_to_decide(answer, cost)}) would decide it"


def _advice(answer: Answer, objectives: Sequence[str]) -> str:
    """What to take; with several objectives that is not for the first of them to say."""
    verdict, names = answer.verdict, called(answer)
    best, taken = names[verdict.best], names[verdict.recommended]
    if len(objectives) > 1:
        return "Which one to take depends on the other objectives: see the Pareto front."
    like_best = f"{taken} is within the margin of {best} and simpler"
    if verdict.kind is Kind.UNDECIDED:
        return f"Best so far: {best}{'' if verdict.recommended == verdict.best else f'; {like_best}'}."
    if verdict.recommended == verdict.best:
        return f"Take {taken}."
    if verdict.kind is Kind.INDISTINGUISHABLE and verdict.recommended == verdict.other:
        return f"Take {taken}, the simpler one."
    return f"{_beginning(like_best)}: take {taken}."


def _beginning(sentence: str) -> str:
    """A sentence with a capital where it begins with words: the names of losses stay as they are."""
    return sentence[0].upper() + sentence[1:] if sentence.startswith(PLAIN) else sentence


def _intervals(answer: Answer) -> list[str]:
    """What else there is to say of the intervals: why one that leaves out 0 does not decide, and what it is over."""
    verdict, said = answer.verdict, []
    if verdict.kind is Kind.UNDECIDED and (verdict.difference.low > 0 or verdict.difference.high < 0):
        deciding = interval(verdict.decisive)
        said.append(f"The interval that decides is corrected for several comparisons and repeated checks: {deciding}.")
    if verdict.difference.n and not verdict.difference.images_known:
        said.append(f"Intervals are over seeds alone: {_why_no_images(answer)}.")
    return said


def _why_no_images(answer: Answer) -> str:
    """Why an interval leaves out which images validate."""
    known = [repeat.images for each in answer.measured for repeat in each.repeats.values() if repeat.images is not None]
    if any(len(images) == 1 for images in known):
        return "all validation images are of one group (a patient, a volume, a sequence), and on another all may differ"
    if known:
        return "the objective does not follow from what is counted in each image"
    return "the counts of the validation images are not known"
