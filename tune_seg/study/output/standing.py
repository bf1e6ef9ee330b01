"""How a study stands: the best configuration so far, plain cross entropy beside it, and whether it is decided."""

from collections.abc import Sequence

from tune_seg.study.configurations import configurations, mean_score
from tune_seg.study.confirmation import Answer, plain_of
from tune_seg.study.output.sentence import interval
from tune_seg.study.output.words import cell, counted, labels
from tune_seg.study.record import Record, sortable
from tune_seg.study.verdict import Kind


def standing(records: Sequence[Record], answer: Answer | None, objective: str) -> str:
    """The standing in a line.

    Args:
        records: the trials.
        answer: what the repeats say; None: there are too few.
        objective: the first one of the study.
    """
    if answer is not None:
        return _of_the_repeats(answer, objective)
    found = [each for each in configurations(records) if each.completed]
    found.sort(key=lambda each: -sortable(mean_score(each, objective)))
    plain = plain_of(found, None)
    others = [each for each in found if each is not plain]
    if not found:
        return "Best so far: no trial has run to its end yet."
    if plain is None or not others:
        return f"Best so far: {labels(found)[found[0].id]}, {objective} {cell(mean_score(found[0], objective))}."
    shown = ", ".join(
        f"{'ce' if each is plain else labels(found)[each.id]} {cell(mean_score(each, objective))}"
        for each in found
        if each in (plain, others[0])
    )
    return f"Best so far in {objective}: {shown}. Single runs decide nothing yet."


def _of_the_repeats(answer: Answer, objective: str) -> str:
    verdict, names = answer.verdict, {**labels(answer.contenders.values()), answer.reference: "ce"}
    pair = [answer.contenders[id] for id in (verdict.best, verdict.other)]
    if not verdict.difference.n:  # nothing is known of the pair, and which is the best does not follow from it
        pair.sort(key=lambda each: -sortable(mean_score(each, objective)))
    shown = ", ".join(f"{names[each.id]} {cell(mean_score(each, objective))}" for each in pair)
    if not verdict.difference.n:
        return f"Best so far in {objective}: {shown}. Not decided yet: no seed in common."
    seeds = f"over {counted(verdict.difference.n, 'seed')} in common"
    found = " ".join(filter(None, (f"{verdict.difference.mean:+.4f}", interval(verdict.difference), seeds)))
    if verdict.kind is Kind.BETTER:
        decided = f"Decided: {names[verdict.best]} is better, {found}."
    elif verdict.kind is Kind.INDISTINGUISHABLE:
        decided = f"Decided: no difference that matters, {found}."
    else:
        decided = f"Not decided yet: {found}."
    return f"Best so far in {objective}: {shown}. {decided}"
