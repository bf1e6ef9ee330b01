"""Which trainings come next, so that the verdict is sure as early as it can be."""

import math
from collections.abc import Sequence
from typing import Final

from tune_seg.study.verdict.contender import Contender, Key
from tune_seg.study.verdict.decision import compare_with_reference, with_scores
from tune_seg.study.verdict.looks import FIRST
from tune_seg.study.verdict.paired import Difference
from tune_seg.study.verdict.rule import Kind, Rule

_FEWEST: Final = 2
"""Seeds for each where the budget does not allow more: they say how large a difference looks, and decide nothing."""
Training = tuple[str, int, int | None]
"""The id of a contender, a seed and a fold."""


def next_round(
    contenders: Sequence[Contender],
    reference: str,
    metric: str,
    *,
    margin: float,
    confidence: float = 0.95,
    budget: int,
    max_seeds: int,
    seeds: Sequence[int],
    folds: Sequence[int | None] = (None,),
    test_share: float | None = None,
    slots: int = 1,
) -> list[Training]:
    """The trainings of the next round; empty where all is decided, the budget is used or there are no more seeds.

    Every contender first gets the same three seeds. With a budget for fewer, the last finalists are left out, so that those
    that stay get three; with one for fewer than six trainings there is one finalist with two seeds. Then the best is told
    apart from the reference and from its closest rival: each round is one more common seed for these. A budget that is too
    small for that goes to one of the two pairs, that of the verdict first. A finalist that is shown to be worse, or within
    the margin of the best, gets no more; nor does a pair that no number of seeds decides.

    It follows from what is known alone, so that an interrupted study goes on: what a round lacks comes first. A repeat is
    done even if it has no value of the metric: a training that fails would fail again.

    Args:
        contenders: the reference and the finalists, the best of the screening first, with the repeats that they have.
        reference: the id of the reference.
        metric: the objective; larger is better.
        margin: a smaller difference does not matter.
        confidence: of the verdict.
        budget: how many trainings may still be started.
        max_seeds: the most repeats of a contender.
        seeds: fresh seeds, in the order in which they are used.
        folds: each seed goes with the next of these, in turn.
        test_share: with folds, the share of the images that a fold validates.
        slots: trainings that run at a time; a round has as many where the budget allows, with further seeds.

    Returns:
        Trainings in the order in which they are best started; all of one round may run at once.
    """
    keys = [(seed, folds[index % len(folds)]) for index, seed in enumerate(seeds[:max_seeds])]
    done = sum(key in each.repeats for each in contenders for key in keys)
    start, count = _start(contenders, reference, budget + done)
    missing = [(each, key) for key in keys[:count] for each in start if key not in each.repeats]
    if missing:
        return _named(missing[:budget])
    if len(start) < 2 or count < FIRST:
        return []
    begun = with_scores(start, metric)
    if len(begun) < 2 or reference not in {each.id for each in begun}:
        return []
    pairs = _open_pairs(Rule(begun, reference, metric, margin, 1 - confidence, test_share), keys)
    together = _common_seeds(pairs, keys, budget, slots)
    alone = (_common_seeds([pair], keys, budget, slots) for pair in pairs)
    return _named(together or next(filter(None, alone), []))


def _start(contenders: Sequence[Contender], reference: str, budget: int) -> tuple[list[Contender], int]:
    """Who gets the first seeds, and how many."""
    finalists = [each for each in contenders if each.id != reference]
    count = FIRST if budget >= 2 * FIRST else _FEWEST
    kept = min(len(finalists), budget // count - 1)
    if kept < 1:
        return [], 0
    chosen = finalists[:kept]
    return [each for each in contenders if each.id == reference or each in chosen], count


def _open_pairs(rule: Rule, keys: Sequence[Key]) -> list[tuple[Contender, Contender]]:
    """The best and the reference, and the best and its closest rival, as long as more seeds can decide one of the two.

    The pair that is undecided comes first, and of two that are, the one with the reference. A rival that shares all `keys`
    with the best has no more seeds to come.
    """
    by_id = {each.id: each for each in rule.contenders}
    plain = by_id[rule.reference]
    table = compare_with_reference(rule)
    best = by_id[table.lead.best]
    rivals = []
    for each in rule.contenders:
        if each is best or not _first_missing((best, each), keys, 1):
            continue
        if each.id == table.lead.other:
            decisive = table.lead.decisive
        else:
            decisive = rule.decisive(rule.difference(best, each), rule.claims)
        if rule.kind(decisive) is Kind.UNDECIDED and not rule.limited(decisive):
            rivals.append((_gap(decisive), each))
    if not rivals:
        return []
    closest = min(rivals, key=lambda rival: rival[0])[1]
    if best is plain or closest is plain:
        return [(best, closest)]
    pairs = [(best, plain), (best, closest)]
    return pairs if any(each is plain for _, each in rivals) else pairs[::-1]


def _common_seeds(
    pairs: Sequence[tuple[Contender, Contender]], keys: Sequence[Key], budget: int, slots: int
) -> list[tuple[Contender, Key]]:
    """One more common seed for each of the pairs, more where there are slots for them; empty where one is too much."""
    found: list[tuple[Contender, Key]] = []
    for more in range(1, len(keys) + 1):
        wanted = list(dict.fromkeys(training for pair in pairs for training in _first_missing(pair, keys, more)))
        wanted.sort(key=lambda training: keys.index(training[1]))
        if len(wanted) == len(found) or len(wanted) > budget:
            break
        found = wanted
        if len(found) >= slots:
            break
    return found


def _gap(difference: Difference) -> float:
    """How many standard errors apart; -inf where that is unknown, and most is to be learned."""
    if math.isnan(difference.se_seeds):
        return -math.inf
    return abs(difference.mean) / max(math.hypot(difference.se_seeds, difference.se_images), 1e-12)


def _first_missing(pair: tuple[Contender, Contender], keys: Sequence[Key], count: int) -> list[tuple[Contender, Key]]:
    """What brings a pair `count` further common repeats."""
    lacking = [key for key in keys if any(key not in each.repeats for each in pair)][:count]
    return [(each, key) for key in lacking for each in pair if key not in each.repeats]


def _named(trainings: Sequence[tuple[Contender, Key]]) -> list[Training]:
    return [(each.id, *key) for each, key in trainings]
