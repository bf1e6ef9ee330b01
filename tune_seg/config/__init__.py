"""The typed configuration: every key of a study, its type, its default, and what is rejected.

Pydantic models only, no torch and no Ray, so that reading and checking a configuration takes milliseconds. The part
that one trial depends on is :class:`TrialConfig`; :class:`StudyConfig` adds the data, the objective and the search. A file
for each section; docs/configuration.md and :func:`schema` are made from the text under each field.
"""

from tune_seg.architectures import OWN_ARCHITECTURES
from tune_seg.config.base import AboveZero, Fraction, Integer, NonNegative, Number, Positive, Section, Seed, Size
from tune_seg.config.component import Component
from tune_seg.config.data import DataConfig, Format, Resize, SplitConfig, TilesConfig
from tune_seg.config.json_schema import schema
from tune_seg.config.loss import (
    AcwConfig,
    ComponentConfig,
    CompoundWeights,
    KeyframeConfig,
    LossConfig,
    LossKind,
    ScheduleConfig,
)
from tune_seg.config.model import ModelConfig
from tune_seg.config.parsing import fields_of, parse
from tune_seg.config.study import (
    ROW,
    ComputeConfig,
    ConfirmConfig,
    EarlyStoppingConfig,
    SearchConfig,
    StudyConfig,
)
from tune_seg.config.training import AugmentationConfig, EvaluationConfig, TrainingConfig
from tune_seg.config.trial import TrialConfig
from tune_seg.metric_names import METRICS, RECORDED

__all__ = [
    "METRICS",
    "OWN_ARCHITECTURES",
    "RECORDED",
    "ROW",
    "AboveZero",
    "AcwConfig",
    "AugmentationConfig",
    "Component",
    "ComponentConfig",
    "CompoundWeights",
    "ComputeConfig",
    "ConfirmConfig",
    "DataConfig",
    "EarlyStoppingConfig",
    "EvaluationConfig",
    "Format",
    "Fraction",
    "Integer",
    "KeyframeConfig",
    "LossConfig",
    "LossKind",
    "ModelConfig",
    "NonNegative",
    "Number",
    "Positive",
    "Resize",
    "ScheduleConfig",
    "SearchConfig",
    "Section",
    "Seed",
    "Size",
    "SplitConfig",
    "StudyConfig",
    "TilesConfig",
    "TrainingConfig",
    "TrialConfig",
    "fields_of",
    "parse",
    "schema",
]
