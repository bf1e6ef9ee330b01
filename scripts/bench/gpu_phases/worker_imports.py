"""What takes seconds to import, for the process that workers are forked from; it never touches the device."""

import torch  # noqa: F401

import tune_seg.training.trainer  # noqa: F401
