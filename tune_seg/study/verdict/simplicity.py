"""Which of two configurations is the simpler one."""

from tune_seg.config import TrialConfig
from tune_seg.losses.catalogue import get_spec


def simplicity(config: TrialConfig) -> tuple[int, ...]:
    """The place of a configuration in the order of simplicity; smaller is simpler, and plain cross entropy is the simplest.

    Compared in this order: the number of losses that are summed, a weight that moves over the training, class weights,
    adaptive class weights, a loss other than `ce`, the number of its parameters that are set.

    Example:
        >>> simplicity(TrialConfig()) < simplicity(TrialConfig(acw=True))
        True
    """
    components = config.components
    weighted = any(get_spec(each.loss).class_weights != "unused" for each in components)
    moving = any(len(each.keyframes) > 1 for each in components)
    other = [each.loss for each in components] != ["ce"]
    parameters = sum(len(each.params) for each in components)
    return len(components), int(moving), int(weighted), int(config.acw), int(other), parameters
