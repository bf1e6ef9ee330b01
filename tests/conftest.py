"""What the tests share."""

import shutil
from pathlib import Path

import pytest
import torch

from tune_seg.config import DataConfig
from tune_seg.data import PackedData, pack, read


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
