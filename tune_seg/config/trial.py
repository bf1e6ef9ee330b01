"""All that the result of one trial depends on, besides the packed data."""

from typing import Annotated, Any, Self

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from tune_seg.config.base import Integer, Section
from tune_seg.config.component import Component
from tune_seg.config.loss import AcwConfig, LossConfig, LossKind, ScheduleConfig
from tune_seg.config.model import ModelConfig
from tune_seg.config.training import AugmentationConfig, EvaluationConfig, TrainingConfig
from tune_seg.errors import did_you_mean
from tune_seg.losses.catalogue import get_spec
from tune_seg.metric_names import CATALOGUE, METRICS, OBJECTIVES
from tune_seg.schedules import Keyframe, schedule_keyframes

_Metric = Annotated[str, WithJsonSchema({"enum": list(OBJECTIVES)})]

NOT_VARIED = frozenset({"objective"})
"""What a trial depends on, and a study cannot vary: its trials are compared by it."""


class TrialConfig(Section):
    """All that one trial depends on, besides the packed data: the same value gives the same result."""

    model: ModelConfig = ModelConfig()
    """The model, its first weights, and which part of it learns."""

    training: TrainingConfig = TrainingConfig()
    """The optimizer, its learning rate over time, and what makes a run repeatable."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """What is done to a training image."""

    evaluation: EvaluationConfig = EvaluationConfig()
    """How the metrics are taken."""

    loss: LossConfig = LossConfig()
    """Which losses are active, and their parameters."""

    schedule: ScheduleConfig = ScheduleConfig()
    """When a `naive` or `alternating` loss moves."""

    acw: bool = False
    """End the model with a layer that multiplies the logit of each class by a learned weight: adaptive class weights."""

    acw_options: AcwConfig = AcwConfig()
    """How these weights are learned."""

    objective: _Metric | tuple[_Metric, ...] = "s_rec"
    """The [metric](metrics.md) that the study maximises, such as `s_rec`, or `temperature/s_rec` for that of outputs that
    one temperature has calibrated. Or a list of metrics: then the first ranks the table, the trials that nothing beats
    (the Pareto front) are marked, and no trial is stopped early. A trial's logit adjustment is fitted for the first."""

    fold: Annotated[Integer, Field(ge=0)] | None = None
    """Which of the folds of `data.split.folds` validates. null: the first one."""

    @field_validator("objective")
    @classmethod
    def _metrics(cls, objective: str | tuple[str, ...]) -> str | tuple[str, ...]:
        names = (objective,) if isinstance(objective, str) else objective
        if not names:
            raise ValueError(f"name at least one objective out of {', '.join(METRICS)}")
        for name in names:
            if name not in OBJECTIVES:
                raise ValueError(
                    f"unknown objective {name!r}{did_you_mean(name, OBJECTIVES)}; the objectives are {', '.join(METRICS)}, "
                    "each also as temperature/NAME"
                )
        if len(set(names)) != len(names):
            raise ValueError(f"an objective appears twice in {', '.join(names)}")
        return objective

    @model_validator(mode="after")
    def _schedule_in_order(self) -> Self:
        if self.loss.kind.scheduled:
            start, end = self.schedule.fractions(self.loss.kind)
            if start >= end:
                raise ValueError(f"schedule.start must lie before schedule.end, got start {start} and end {end}")
            if self.loss.kind is LossKind.ALTERNATING and start == 0.0:
                raise ValueError("schedule.start must be above 0 for an alternating loss (Taubert eq. (6) divides by it)")
        return self

    @model_validator(mode="after")
    def _objective_is_measured(self) -> Self:
        for name in self.objectives:
            if CATALOGUE[name.rpartition("/")[2]].boundary and not self.evaluation.boundary:
                raise ValueError(f"objective {name} needs evaluation.boundary: true, which measures it after every epoch")
        return self

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives, the first of which ranks the table."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    @property
    def objective_metric(self) -> str:
        """The metric of the first objective over all pixels: `s_rec` of `temperature/s_rec`, `recall` of `group_recall`."""
        name = self.objectives[0].rpartition("/")[2]
        return CATALOGUE[name].pooled or name

    @property
    def components(self) -> tuple[Component, ...]:
        """The active losses with their weights, the same for every kind of loss."""
        loss, kind = self.loss, self.loss.kind
        if kind is LossKind.PROGRAM:
            curves = {name: component.curve for name, component in loss.components.items()}
        elif kind is LossKind.COMPOUND:
            curves = {"start": (Keyframe(0.0, loss.weights.start),), "end": (Keyframe(0.0, loss.weights.end),)}
        elif kind.scheduled:
            moving = schedule_keyframes(kind.value, *self.schedule.fractions(kind))
            curves = {"start": moving, "end": moving}
        else:
            curves = {"end": (Keyframe(0.0, 1.0),)}
        return tuple(
            Component(name, choice.loss, choice.params, curve, complement=kind.scheduled and name == "start")
            for choice, (name, curve) in zip(loss.active(), curves.items(), strict=True)
        )

    @property
    def loss_name(self) -> str:
        """A short name of the active losses, as the tables show it: `ce`, `dice+ce`, `dice>wce naive`, `wdice*+focal`.

        In a program a star marks a weight that moves.
        """
        loss = self.loss
        if loss.kind is LossKind.STATIC:
            name = loss.end
        elif loss.kind is LossKind.COMPOUND:
            name = f"{loss.start}+{loss.end}"
        elif loss.kind is LossKind.PROGRAM:
            name = "+".join(f"{term.loss}{'*' if len(term.curve) > 1 else ''}" for term in loss.components.values())
        else:
            name = f"{loss.start}>{loss.end} {loss.kind}"
        return f"{name} acw" if self.acw else name

    @property
    def loss_params(self) -> dict[str, Any]:
        """The active losses: their short name and, by key, what of `loss`, `schedule` and `acw` matters to them.

        Of a program the parameters are named, and its keyframes are not: a study's records add those that it varies.
        """
        params: dict[str, Any] = {"loss": self.loss_name, "loss.kind": self.loss.kind.value}
        if self.loss.kind is not LossKind.PROGRAM:
            params |= {choice.key: choice.loss for choice in self.loss.active()}
        params |= self._loss_parameters()
        if self.loss.kind.scheduled:
            params["schedule.start"], params["schedule.end"] = self.schedule.fractions(self.loss.kind)
        return params | {"acw": self.acw}

    def _loss_parameters(self) -> dict[str, Any]:
        """Every parameter that is set, by the key that sets it, and gamma even where it is a loss's default."""
        losses = self.loss.active()
        params = {choice.keys[name]: value for choice in losses for name, value in choice.params.items()}
        gammas = [
            (choice, choice.params.get("gamma", parameter.default))
            for choice in losses
            for parameter in get_spec(choice.loss).parameters
            if parameter.name == "gamma"
        ]
        if len({gamma for _, gamma in gammas}) == 1 and not any("gamma" in choice.params for choice, _ in gammas):
            return params | {"loss.gamma": gammas[0][1]}
        defaults = {f"loss.params.{choice.loss}.gamma": gamma for choice, gamma in gammas if "gamma" not in choice.params}
        return params | defaults
