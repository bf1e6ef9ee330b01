"""All figures of a study, by name."""

from typing import TYPE_CHECKING

from tune_seg.study.contents import StudyContents

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


class Plots:
    """The figures of a study, each a figure of plotly: shown in a notebook, and changed or saved as plotly does it.

    A figure that has nothing to show raises an `InputError` that says why.

    Args:
        study: what the study holds.

    Example:
        >>> study.plots.forest().write_image("forest.pdf")  # doctest: +SKIP
    """

    def __init__(self, study: StudyContents) -> None:
        self._study = study

    def forest(self) -> "Figure":
        """The finalists beside plain cross entropy: the difference with its interval, and other scores."""
        from tune_seg.study.figures.forest import forest

        return forest(self._study)

    def class_recall(self) -> "Figure":
        """The recall of each class, the most frequent class first."""
        from tune_seg.study.figures.classes import class_recall

        return class_recall(self._study)

    def mistakes(self) -> "Figure":
        """What is missed of each class, and what is a false alarm."""
        from tune_seg.study.figures.classes import mistakes

        return mistakes(self._study)

    def confusion(self) -> "Figure":
        """Which class is taken for which, by plain cross entropy and by the one to take."""
        from tune_seg.study.figures.confusion import confusion

        return confusion(self._study)

    def path(self) -> "Figure":
        """The way from plain cross entropy to the configuration to take, over what was tried."""
        from tune_seg.study.figures.path import path

        return path(self._study)

    def importances(self) -> "Figure":
        """How much each varied key decided whether a trial was among the best."""
        from tune_seg.study.figures.importance import importances

        return importances(self._study)

    def parallel(self) -> "Figure":
        """Every trial of the search as a line through its settings."""
        from tune_seg.study.figures.parallel import parallel

        return parallel(self._study)

    def slices(self) -> "Figure":
        """The objective along each number that was varied."""
        from tune_seg.study.figures.slices import slices

        return slices(self._study)

    def curves(self) -> "Figure":
        """The learning curves, and the weights of the losses below."""
        from tune_seg.study.figures.curves import curves

        return curves(self._study)

    def reliability(self) -> "Figure":
        """Whether outputs can be read as probabilities, before and after the temperature."""
        from tune_seg.study.figures.reliability import reliability

        return reliability(self._study)

    def acw_weights(self) -> "Figure":
        """The adaptive class weights, by epoch and by trial."""
        from tune_seg.study.figures.acw import acw_weights

        return acw_weights(self._study)

    def pareto(self) -> "Figure":
        """The Pareto front of a study with several objectives."""
        from tune_seg.study.figures.pareto import pareto

        return pareto(self._study)

    def time(self) -> "Figure":
        """Where the time went."""
        from tune_seg.study.figures.time import time

        return time(self._study)
