"""What is said by a process in which a package cannot be imported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import CHECKOUT

_READ = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ImportError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from tune_seg.data import read
from tune_seg.errors import InputError

try:
    dataset = read({root!r}, **{fields!r})
    dataset.load(dataset.samples[0])
except InputError as error:
    print(error)
"""


def said_without(package: str, root: Path, **fields: Any) -> str:
    """What is said of the data set in `root` where `package` is missing, as far as its first sample; empty: nothing."""
    code = _READ.format(package=package, root=str(root), fields=fields)
    process = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return process.stdout
