"""What was freed is used again."""

import subprocess
import sys

import pytest

CODE = """
import resource, torch
from tune_seg.memory import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(2**22) for _ in range(8)]  # 128 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for _ in range(4):
    last = faults()
print(last)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries keep what they like")
def test_a_large_tensor_takes_the_memory_of_the_one_before() -> None:
    answer = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 1000  # of 32,768 pages; 4,096 where glibc is left alone
