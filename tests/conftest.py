"""What the tests share."""

import datetime
import fcntl
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import settings

from tests.support.rows_study import ROWS_STUDY
from tune_seg import search
from tune_seg.config import DataConfig
from tune_seg.data import PackedData, pack, read

settings.register_profile("without_deadline", deadline=None)  # how fast an example is says how busy the machine is
settings.load_profile("without_deadline")

# below nohup, and in the background of a script, these are ignored, which commands rightly keep so
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

_DAY = "TUNE_SEG_TEST_DAY"
_SHARES = 16


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`: all tests; otherwise a sixteenth of the groups of those that take long, the next one every day."""
    parser.addoption("--whole", action="store_true", help="run every test that takes long, not a sixteenth of them")


def pytest_configure(config: pytest.Config) -> None:
    """The day whose turn it is, the same for all processes of a run; a run can be repeated with the one that it names."""
    os.environ.setdefault(_DAY, str(datetime.date.today().toordinal()))


def pytest_report_header(config: pytest.Config) -> str:
    """What is chosen."""
    return "all tests" if _all(config) else f"long tests: a sixteenth of them, {_DAY}={os.environ[_DAY]}; all: --whole"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests whose turn it is not: each has its turn once in as many days as there are shares."""
    if _all(config):
        return
    group_of = {item: mark.args[0] for item in items if (mark := item.get_closest_marker("long"))}
    chosen = sorted(set(group_of.values()))[int(os.environ[_DAY]) % _SHARES :: _SHARES]
    left_out = [item for item, group in group_of.items() if group not in chosen]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _all(config: pytest.Config) -> bool:
    """Whoever names files or tests gets them."""
    return bool(config.getoption("whole")) or config.args_source is not pytest.Config.ArgsSource.TESTPATHS


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every kind of device that the machine has."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    """Eight training and four validation scenes of 48 x 48 pixels, generated and packed."""
    directory: Path = tmp_path_factory.mktemp("packs")
    config = DataConfig(format="synthetic", size=(48, 48), max_train=8, max_val=4)
    return PackedData(pack(read(config), directory, config.size))


@pytest.fixture
def own_pack(packed: PackedData, tmp_path: Path) -> PackedData:
    """A pack beside which there are no features of a frozen encoder yet."""
    return PackedData(shutil.copy(packed.path, tmp_path))


@pytest.fixture(scope="session")
def rows_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a configuration, beside the folder `studies` with the study `rows` that the search command made of it.

    It trains :data:`~tests.support.rows_study.ROWS_STUDY`: three rows of a table with two seeds each, and four that begin
    alike. Tests leave it alone.
    """
    folder: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers: one of them makes the study
    config, made = folder / "rows.yaml", folder / "studies" / "rows" / "results.parquet"
    with (folder / "rows.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_file():
            config.write_text(yaml.safe_dump(ROWS_STUDY, sort_keys=False))
            assert search.main([str(config), "--studies", str(folder / "studies")]) == 0
    return config
