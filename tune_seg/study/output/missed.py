"""The classes that plain cross entropy misses, and who finds them."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from tune_seg.study.configurations import Configuration
from tune_seg.study.output.sentence import PLAIN
from tune_seg.study.output.words import counted, labels
from tune_seg.study.verdict.classes import FOUND

_MAX_FINDERS = 3
"""Configurations that are named for finding a class."""


def missed_lines(
    plain: Configuration,
    others: Sequence[Configuration],
    class_names: Sequence[str],
    absent: Sequence[str],
    chosen: Configuration | None = None,
) -> Iterator[str]:
    """What plain cross entropy misses, and who finds it, by the mean recall of the trials of each configuration.

    Args:
        plain: plain cross entropy.
        others: what it is compared with.
        class_names: by class index.
        absent: classes that no validation image has.
        chosen: the one to take, whose recall of each missed class is said, found or not; None: plain cross entropy, or none.
    """
    if absent:
        yield f"No validation image has {', '.join(absent)}: whether a loss finds that is not known."
    recalls = {number: plain.class_recalls(number) for number in range(len(class_names))}
    missed = {number: fmean(found) for number, found in recalls.items() if found and fmean(found) < FOUND}
    name = f"{PLAIN.capitalize()} ({_seeds(plain)})"
    if not missed:
        yield f"{name} finds every {'other ' if absent else ''}class (recall of at least {FOUND:g})."
        return
    yield f"{name} misses {len(missed)} of {len(class_names) - len(absent)} classes (recall below {FOUND:g}):"
    names = labels([plain, *others])
    for number, recall in missed.items():
        of_chosen = chosen.class_recalls(number) if chosen is not None else []
        beside = f", {names[chosen.id]} {fmean(of_chosen):.3f}" if chosen is not None and of_chosen else ""
        found = [f"{names[each.id]} ({mean:.3f}, {_seeds(each)})" for mean, each in _finders(others, number)]
        who = f"found by {', '.join(found[:_MAX_FINDERS])}" if found else "nothing that was tried finds it"
        yield f"  {class_names[number]}, recall {recall:.3f}{beside}: {who}"


def _finders(others: Sequence[Configuration], number: int) -> list[tuple[float, Configuration]]:
    """Those that find a class with their mean recall: those with repeats first, as one run may be luck; then the best."""
    recalls = [(fmean(found), each) for each in others if (found := each.class_recalls(number))]
    return sorted((pair for pair in recalls if pair[0] >= FOUND), key=lambda pair: (not pair[1].repeats, -pair[0]))


def _seeds(configuration: Configuration) -> str:
    return counted(len(configuration.scored), "seed")
