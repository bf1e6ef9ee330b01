"""What takes seconds to import, for the process that workers are forked from; it never touches the device."""

import torch

import tune_seg.training.trainer  # noqa: F401

assert not torch.cuda.is_initialized(), "a process that is forked after CUDA was initialised cannot use it"
