"""The package as it is installed: what is in it, what it asks for, and that it works away from the checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support import CHECKOUT
from tune_seg import __version__
from tune_seg.study.papers.tables import names
from tune_seg.study.presets import presets

VOLUMES = {"simpleitk", "nibabel", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg"}
ONNX = {"onnx", "onnxscript", "onnxruntime"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel of the package holds."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    for name in ("tune_seg", "search_spaces"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(source)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (wheel,) = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def distribution(installed: Path) -> Distribution:
    (information,) = installed.glob("*.dist-info")
    return PathDistribution(information)


def run(installed: Path, elsewhere: Path, *argv: str) -> str:
    path = os.pathsep.join([str(installed), *(entry for entry in sys.path if entry and Path(entry) != CHECKOUT)])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", *argv]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long("installed")
def test_an_installed_package_finds_its_files(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "tune_seg", "--version") == f"tune-seg {__version__}\n"
    assert [line.split()[0] for line in run(installed, tmp_path, "tune_seg", "presets").splitlines()] == [*presets()]
    assert {path.stem for path in (installed / "tune_seg" / "study" / "papers").glob("*.yaml")} == {*names()}
    assert (installed / "tune_seg" / "py.typed").is_file()
    for preset in ("loss_schedule", "taubert_table1"):
        printed = run(installed, tmp_path, "tune_seg", "search", preset, "--dry-run")
        assert printed.startswith(f"study: {tmp_path / 'studies' / preset}\n") and "# five sampled trials" in printed
    assert [*tmp_path.iterdir()] == []


def test_away_from_the_checkout_a_missing_package_comes_with_the_extra(installed: Path, tmp_path: Path) -> None:
    script = tmp_path / "missing.py"
    script.write_text(
        "import sys\nsys.modules['pydicom'] = None\n"
        "from tune_seg.errors import InputError\nfrom tune_seg.format_names import need_packages\n"
        "try:\n    need_packages('dicom')\nexcept InputError as error:\n    print(error)\n"
    )
    said = run(installed, tmp_path, "missing")
    assert said.endswith("; install tune_seg again with [volumes]\n")


def test_the_command_and_the_version_are_those_of_the_package(distribution: Distribution) -> None:
    (command,) = distribution.entry_points
    assert (command.group, command.name, command.value) == ("console_scripts", "tune-seg", "tune_seg.cli:main")
    assert distribution.version == __version__


def requirements(distribution: Distribution) -> dict[str, list[Requirement]]:
    """What each extra asks for; "" is what everybody gets."""
    found: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, distribution.requires or []):
        extra = re.search(r"extra == .(\w+)", str(requirement.marker))
        found.setdefault(extra[1] if extra else "", []).append(requirement)
    return found


def named(requirements: list[Requirement]) -> set[str]:
    return {requirement.name.lower() for requirement in requirements}


def test_readers_of_volumes_and_coco_are_extras(distribution: Distribution) -> None:
    asked = requirements(distribution)
    assert asked.keys() == {"", "volumes", "coco", "onnx", "all", "dev"}
    assert (named(asked["volumes"]), named(asked["coco"]), named(asked["onnx"])) == (VOLUMES, {"pycocotools"}, ONNX)
    assert not named(asked[""]) & {*VOLUMES, *ONNX, "pycocotools"}
    assert named(asked["all"]) == {*VOLUMES, *ONNX, "pycocotools"} <= named(asked["dev"])


@pytest.mark.parametrize("library", ["ray", "optuna"])
def test_a_library_whose_private_names_are_used_is_bounded(library: str, distribution: Distribution) -> None:
    (asked,) = (requirement for requirement in requirements(distribution)[""] if requirement.name == library)
    assert any(bound.operator == "<" for bound in asked.specifier)


def test_the_lock_has_everything_that_is_asked_for_and_names_no_host(distribution: Distribution) -> None:
    lock = (CHECKOUT / "scripts" / "requirements.lock").read_text()
    locked = {*re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert {name for asked in requirements(distribution).values() for name in named(asked)} <= locked
    assert "://" not in lock and "--index" not in lock and "--find-links" not in lock
