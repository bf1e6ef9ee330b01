"""The one test after the decision: a trained model's scores on images that no trial has seen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from pyarrow import fs

from tune_seg.config import TrialConfig
from tune_seg.data import PackedTest
from tune_seg.errors import InputError, first_line
from tune_seg.models import build_model
