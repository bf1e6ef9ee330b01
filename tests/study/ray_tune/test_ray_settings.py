"""Ray's settings hold whichever module of the package that imports Ray comes first."""

import os
import subprocess
import sys

import pytest

from tests.support import CHECKOUT

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
    "RAY_AIR_NEW_OUTPUT": "0",
}
MODULES = sorted(path.stem for path in (CHECKOUT / "tune_seg/study/ray_tune").glob("*.py") if path.stem != "__init__")


def answer(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT, env=environment).stdout.strip()


@pytest.mark.parametrize("module", MODULES)
def test_they_are_there_when_ray_is_first_imported(module: str) -> None:
    code = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'ray':\n"
        f"            print([os.environ.get(setting) for setting in {list(SETTINGS)}]); sys.exit()\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"import tune_seg.study.ray_tune.{module}\n"
        "import ray\n"
    )
    assert answer(code) == str(list(SETTINGS.values()))


def test_the_settings_alone_import_no_ray() -> None:
    assert answer("import sys, tune_seg.study.ray_tune; print('ray' in sys.modules)") == "False"
