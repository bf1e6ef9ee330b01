"""Whether the one to take is better than what plain cross entropy gives for free: its logits adjusted after training."""

from typing import Final

from tune_seg.study.verdict.contender import Contender, Repeat
from tune_seg.study.verdict.paired import Difference, compare

_TEMPERATURE: Final = "temperature/"
_ADJUSTED: Final = "adjusted/"


def beyond_adjusted(
    taken: Contender, plain: Contender, metric: str, *, level: float, test_share: float | None
) -> Difference | None:
    """The score of `taken` with a temperature, minus that of `plain` with adjusted logits and a temperature.

    Over seeds alone: what adjusted logits give in each image is not kept.

    Args:
        taken: the configuration to take.
        plain: plain cross entropy.
        metric: the objective, with or without a temperature.
        level: of the interval.
        test_share: with folds, the share of the images that a fold validates.

    Returns:
        None where one of the two scores is unknown, or plain cross entropy is the one to take.
    """
    name = metric.removeprefix(_TEMPERATURE)
    if taken.id == plain.id:
        return None
    scored, adjusted = (
        Contender(
            each.id,
            each.name,
            each.simplicity,
            {
                key: Repeat(repeat.seed, repeat.fold, {name: repeat.scores.get(f"{scaling}{name}", 0.0)})
                for key, repeat in each.repeats.items()
                # a training that diverged has no adjusted logits, and counts as 0 in what the others have
                if f"{scaling}{name}" in repeat.scores or (repeat.diverged and _has(each, f"{scaling}{name}"))
            },
        )
        for each, scaling in ((taken, _TEMPERATURE), (plain, _ADJUSTED))
    )
    found = compare(scored, adjusted, name, level=level, test_share=test_share)
    return found if found.n else None


def _has(contender: Contender, score: str) -> bool:
    return any(score in repeat.scores for repeat in contender.repeats.values() if not repeat.diverged)
