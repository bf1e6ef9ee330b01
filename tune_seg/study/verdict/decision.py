"""The verdict over finalists and plain cross entropy: better, indistinguishable, or not decided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tune_seg.errors import InputError
from tune_seg.study.verdict.contender import Contender, common_keys
from tune_seg.study.verdict.looks import FIRST, share_of_a_look
from tune_seg.study.verdict.paired import Difference
from tune_seg.study.verdict.rule import Kind, Rule


@dataclass(frozen=True)
class Row:
    """A finalist beside the reference.

    Attributes:
        id: of the finalist.
        difference: finalist minus reference.
        p: of the claim that the finalist is better, adjusted for all that a verdict may claim (Holm) and for every look.
        decisive: finalist minus reference with the interval that decides: it lies above 0 where p is below 1 - confidence.
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
            than MOST_SEEDS, or never, if `images_limit` or `folds_limit`.
        bound: the smallest margin that the pair is shown to be within now; nan with a single seed.
        images_limit: not decided, and no number of seeds can change it: it takes more validation images.
        folds_limit: not decided, and MOST_SEEDS further seeds do not change it, as the training sets of the folds overlap.
        table: every finalist beside the reference, in the order of the contenders.
    """

    kind: Kind
    best: str
    other: str
    difference: Difference
    decisive: Difference
    recommended: str
    more_seeds: int | None
    bound: float
    images_limit: bool
    folds_limit: bool
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

    *Indistinguishable*: the interval of the pair, which counts the looks, lies within the margin on both sides, so that the
    difference does not matter, be it there or not. *Better*: it does not, and the interval `decisive` lies above 0. That one
    counts the number of finalists (Holm), and that every further seed is a new look
    (:func:`tune_seg.study.verdict.looks.share_of_a_look`). *Not decided*: neither, or fewer than three common repeats.

    Args:
        contenders: finalists and the reference, with their repeats; one without any value of the metric is left out.
        reference: the id of the reference, plain cross entropy.
        metric: the objective; larger is better.
        margin: a smaller difference does not matter to the user.
        confidence: 0.95: false claims in at most 5 % of studies.
        test_share: with folds, the share of the images that a fold validates.
        beside: metrics that the table shows as well (:func:`tune_seg.study.verdict.classes.metrics_beside`).

    Raises:
        InputError: the reference has no value of the metric, no finalist has one, or several folds and no `test_share`.
    """
    by_id = {each.id: each for each in with_scores(contenders, metric)}
    if reference not in by_id or len(by_id) < 2:
        raise InputError(
            f"verdict: {reference} and a finalist with {metric} are needed, got {', '.join(by_id) or 'nothing'}"
        )
    rule = Rule(list(by_id.values()), reference, metric, margin, 1 - confidence, test_share)
    table = compare_with_reference(rule, beside)
    lead = table.lead
    kind = rule.kind(lead.decisive)
    more = rule.more_seeds(lead.decisive) if kind is Kind.UNDECIDED else None
    never = kind is Kind.UNDECIDED and more is None
    without_overlap = replace(lead.decisive, overlap=0.0)
    images_limit = never and rule.limited(without_overlap)
    return Verdict(
        kind=kind,
        best=lead.best,
        other=lead.other,
        difference=lead.difference,
        decisive=lead.decisive,
        recommended=_simplest_like(by_id[lead.best], rule).id,
        more_seeds=more,
        bound=rule.bound(lead.difference),
        images_limit=images_limit,
        folds_limit=never and not images_limit and rule.more_seeds(without_overlap) is not None,
        table=table.rows,
    )


@dataclass(frozen=True)
class Lead:
    """The best and what it is compared with; both differences are best minus other."""

    best: str
    other: str
    difference: Difference
    decisive: Difference


@dataclass(frozen=True)
class Table:
    """Every finalist beside the reference, in the order of the contenders, and the pair that the verdict is about."""

    rows: tuple[Row, ...]
    lead: Lead


def compare_with_reference(rule: Rule, beside: Sequence[str] = ()) -> Table:
    """Every finalist beside the reference.

    With k finalists a verdict is one of k + 1 claims: that a certain finalist is better than the reference, or that the
    reference is better than the best of them. Holm's method is taken over these k + 1 one-sided p values. Over the k
    two-sided ones it would pay for claims that no verdict makes: that a finalist is worse.
    """
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    (reference,) = (each for each in rule.contenders if each.id == rule.reference)
    finalists = [each for each in rule.contenders if each is not reference]
    found = [rule.difference(each, reference) for each in finalists]
    top = int(np.argmax([_sortable(each.mean) for each in found]))
    claims = [_one_sided(each) for each in [*found, found[top].reversed()]]
    ps = np.array(claims + [1.0] * (rule.claims - len(claims)))
    holm = multipletests(ps, alpha=rule.alpha, method="holm")[1]
    left = len(ps) - np.argsort(np.argsort(ps, kind="stable"), kind="stable")  # claims that Holm still has at its turn
    factors = np.maximum(np.divide(holm, ps, out=np.zeros_like(ps), where=ps > 0), left)
    decisive = [rule.decisive(each, factor) for each, factor in zip(found, factors, strict=False)]
    adjusted = [rule.adjusted(float(p), factor) for p, factor in zip(ps, factors, strict=True)]
    rows = tuple(
        Row(each.id, found[i], adjusted[i], decisive[i], {name: rule.difference(each, reference, name) for name in beside})
        for i, each in enumerate(finalists)
    )
    if _sortable(found[top].mean) > 0:
        return Table(rows, Lead(finalists[top].id, reference.id, found[top], decisive[top]))
    against = found[top].reversed()
    return Table(rows, Lead(reference.id, finalists[top].id, against, rule.decisive(against, factors[len(found)])))


def with_scores(contenders: Sequence[Contender], metric: str) -> list[Contender]:
    """Those that have a value of the metric: one without compares with nothing."""
    return [each for each in contenders if common_keys([each], metric)]


def _simplest_like(best: Contender, rule: Rule) -> Contender:
    """The simplest contender that is shown to be within the margin of the best; the best one where none is simpler."""
    alike = [each for each in rule.contenders if each is not best and rule.within_margin(rule.difference(best, each))]
    return min([best, *alike], key=lambda each: each.simplicity)


def _sortable(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _one_sided(difference: Difference) -> float:
    """The p value of a mean above 0 that may be looked at after every seed; 1 where it is unknown or too early to tell."""
    p = difference.p_value(share_of_a_look(difference.n))
    if difference.n < FIRST or math.isnan(p):
        return 1.0
    return p / 2 if difference.mean > 0 else 1 - p / 2
