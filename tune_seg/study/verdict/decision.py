"""The verdict over finalists and plain cross entropy: better, indistinguishable, or not decided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tune_seg.errors import InputError
from tune_seg.study.verdict.contender import Contender
from tune_seg.study.verdict.looks import share_of_a_look
from tune_seg.study.verdict.paired import Difference
from tune_seg.study.verdict.rule import Kind, Rule


@dataclass(frozen=True)
class Row:
    """A finalist beside the reference.

    Attributes:
        id: of the finalist.
        difference: finalist minus reference.
        p: of the difference, adjusted for the number of finalists (Holm) and for every look at the data.
        decisive: finalist minus reference at the level at which the verdict is taken: it leaves out 0 where p is small.
        beside: finalist minus reference in other metrics, by name, as they are: not adjusted.
    """

    id: str
    difference: Difference
    p: float
    decisive: Difference
    beside: Mapping[str, Difference]


@dataclass(frozen=True)
class Verdict:
    """What the repeats say.

    Attributes:
        kind: exactly one of better, indistinguishable, not decided.
        best: the id of the configuration with the highest mean.
        other: the reference; the runner-up where the reference is the best.
        difference: best minus other, with the interval for that pair alone.
        decisive: best minus other at the level at which the verdict is taken: it counts all finalists, and every look.
        recommended: the id of the configuration to take: the best one, or the simplest that is shown to be within the margin
            of it.
        more_seeds: not decided: with how many further seeds it would be, mean and scatter being as they are; None: more
            than MOST_SEEDS, or never, if `images_limit`.
        images_limit: not decided, and no number of seeds can change it: it takes more validation images.
        table: every finalist beside the reference, in the order of the contenders.
    """

    kind: Kind
    best: str
    other: str
    difference: Difference
    decisive: Difference
    recommended: str
    more_seeds: int | None
    images_limit: bool
    table: tuple[Row, ...]


def decide(
    contenders: Sequence[Contender],
    reference: str,
    metric: str,
    *,
    margin: float,
    confidence: float = 0.95,
    test_share: float | None = None,
    beside: Sequence[str] = (),
) -> Verdict:
    """The verdict over all contenders, valid however often it is asked for and whenever the study stops.

    *Better*: the interval `decisive` of the pair lies above 0. It counts the number of finalists (Holm), and that every
    further seed is a new look (:func:`tune_seg.study.verdict.looks.share_of_a_look`). *Indistinguishable*: the interval
    of the pair, which counts the looks, lies within the margin on both sides. *Not decided*: neither.

    Args:
        contenders: finalists and the reference, with their repeats.
        reference: the id of the reference, plain cross entropy.
        metric: the objective; larger is better.
        margin: a smaller difference does not matter to the user.
        confidence: 0.95: false claims in at most 5 % of studies.
        test_share: with folds, the share of the images that a fold validates.
        beside: metrics that the table shows as well (:func:`tune_seg.study.verdict.classes.metrics_beside`).

    Raises:
        InputError: no contender has the reference's id, there is no finalist, or several folds and no `test_share`.
    """
    by_id = {each.id: each for each in contenders}
    if reference not in by_id or len(by_id) < 2:
        raise InputError(f"verdict: {reference} and at least one finalist are needed, got {', '.join(by_id) or 'nothing'}")
    rule = Rule(contenders, metric, margin, 1 - confidence, test_share)
    table = compare_with_reference(rule, by_id[reference], beside)
    top = max(table, key=lambda row: _sortable(row.difference.mean))
    if _sortable(top.difference.mean) > 0:
        best, other, difference, decisive = top.id, reference, top.difference, top.decisive
    else:
        best, other, difference, decisive = reference, top.id, top.difference.reversed(), top.decisive.reversed()
    kind = rule.kind(decisive)
    more = rule.more_seeds(decisive) if kind is Kind.UNDECIDED else None
    return Verdict(
        kind=kind,
        best=best,
        other=other,
        difference=difference,
        decisive=decisive,
        recommended=_simplest_like(by_id[best], rule).id,
        more_seeds=more,
        images_limit=kind is Kind.UNDECIDED and more is None and rule.limited_by_images(decisive),
        table=table,
    )


def compare_with_reference(rule: Rule, reference: Contender, beside: Sequence[str] = ()) -> tuple[Row, ...]:
    """Every finalist beside the reference, in the order of the contenders."""
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    finalists = [each for each in rule.contenders if each.id != reference.id]
    found = [rule.difference(each, reference) for each in finalists]
    ps = np.array([_sortable_p(each.p_value(share_of_a_look(each.n))) for each in found])
    holm = multipletests(ps, alpha=rule.alpha, method="holm")[1]
    left = len(ps) - np.argsort(np.argsort(ps, kind="stable"), kind="stable")  # hypotheses that Holm still has at its turn
    rows = []
    for finalist, difference, p, adjusted, turn in zip(finalists, found, ps, holm, left, strict=True):
        factor = max(adjusted / p, turn) if p > 0 else turn
        others = {metric: rule.difference(finalist, reference, metric) for metric in beside}
        rows.append(Row(finalist.id, difference, float(adjusted), rule.decisive(difference, float(factor)), others))
    return tuple(rows)


def _simplest_like(best: Contender, rule: Rule) -> Contender:
    """The simplest contender that is shown to be within the margin of the best; the best one where none is simpler."""
    alike = [each for each in rule.contenders if each is not best and rule.within_margin(rule.difference(best, each))]
    return min([best, *alike], key=lambda each: each.simplicity)


def _sortable(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _sortable_p(p: float) -> float:
    return 1.0 if math.isnan(p) else p
