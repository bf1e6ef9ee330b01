"""Which code the stored checkpoints belong to: what a training imports, and what may change without their loss."""

import ast
import functools
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import CHECKOUT
from tune_seg._package import PACKAGE
from tune_seg.data import PackedData
from tune_seg.losses import LossSpec, Parameter
from tune_seg.metric_names import Metric
from tune_seg.training import code_identity as code_identity_module
from tune_seg.training.code_identity import code_identity, code_of_a_training

ELSEWHERE = {
    "__init__.py": "names of the package",
    "_lazy.py": "imports what is named when it is used",
    "_commands.py": "how commands are run",
    "_endings.py": "what ends a study from outside",
    "_posix.py": "locks on files, and what is said where there are none",
    "_package.py": "where the package is",
    "errors.py": "what is said of wrong input",
    "format_names.py": "how the files are laid out that are packed",
    "data/__init__.py": "names of its modules",
    "data/cores.py": "how many processes pack",
    "data/formats": "prepares the pack, and the identity of its content is in the key",
    "data/images": "prepares the pack",
    "data/labels.py": "prepares the pack",
    "data/options.py": "prepares the pack",
    "data/packing/__init__.py": "holds nothing",
    "data/packing/write.py": "prepares the pack",
    "data/reading.py": "prepares the pack",
    "data/splitting.py": "prepares the pack",
    "data/synthetic.py": "prepares the pack",
    "data/volumes": "prepares the pack",
    "config/allowed.py": "words of messages",
    "config/data.py": "which data are packed",
    "config/json_schema.py": "for editors",
    "config/parsing.py": "checks what the sections are given, and all that they hold is in the key",
    "config/study.py": "makes the configurations of trials, and all that they hold is in the key",
    "config/whole_epochs.py": "makes the configurations of trials, and all that they hold is in the key",
    "config/__init__.py": "names of its modules",
    "data/loading/__init__.py": "holds nothing",
    "losses/__init__.py": "names of its modules",
    "models/__init__.py": "names of its modules",
    "training/__init__.py": "names of its modules",
}
"""What a training imports and no result depends on, with the reason."""

TRAIN = """
import sys
import torch
from tune_seg.config import TrialConfig, parse
from tune_seg.data.packing.packed import PackedData
from tune_seg.training.checkpoints import CheckpointStore
from tune_seg.training.resume import StoredTraining

data = PackedData(sys.argv[1])
for train, loss in (("all", {"kind": "naive", "start": "wdice", "end": "focal"}), ("head", {"end": "ce_max_pool"})):
    model = {"architecture": "DeepLabV3Plus", "encoder": "tu-test_resnet", "train": train}
    training = {"epochs": 1, "batch_size": 4, "device": "cpu"}
    config = parse(TrialConfig, {"model": model, "training": training, "loss": loss, "acw": True})
    StoredTraining(config, data, torch.device("cpu"), CheckpointStore(sys.argv[2])).advance()
print(*(module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "tune_seg"), sep="\\n")
"""

KEYS = """
from tune_seg.config import TrialConfig, parse
from tune_seg.training.trajectory import TrainingData, trajectory_keys

config = parse(TrialConfig, {"training": {"epochs": 2, "batch_size": 4, "device": "cpu"}})
print(*trajectory_keys(config, TrainingData("content", (48, 48), 40)))
"""


def output(code: str, *arguments: object, checkout: Path = CHECKOUT) -> list[str]:
    """The words that a new process prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": ""}  # the folder that it runs in is the first on the path
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=checkout, env=environment).stdout.split()


def test_all_that_a_training_imports_is_in_its_identity_or_has_a_reason_not_to_be(
    packed: PackedData, tmp_path: Path
) -> None:
    imported = {Path(path).relative_to(PACKAGE) for path in output(TRAIN, packed.path, tmp_path)}
    known = {path.relative_to(PACKAGE) for path in code_of_a_training()}
    assert {path.as_posix() for path in imported} > {"training/step.py", "losses/focal.py", "models/frozen.py", "metrics.py"}
    unexplained = [path for path in imported - known if not {path.as_posix(), *map(str, path.parents)} & set(ELSEWHERE)]
    assert unexplained == []
    assert {path.as_posix() for path in known} & set(ELSEWHERE) == set()
    assert not any("study" in path.parts for path in imported | known)


@pytest.fixture(scope="module", autouse=True)
def _read_once() -> Iterator[None]:
    """A test changes one of many files: each text is read once, as it says the same wherever it lies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_identity_module, "_meaning", functools.cache(code_identity_module._meaning))
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("checkout") / "tune_seg"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def copied(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tune_seg"))


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    after = change(before)
    assert after != before, path
    compile(after, path, "exec")
    path.write_text(after)


def code(source: str) -> str:
    return f"{source}\nchanged = 1\n"


def comment(source: str) -> str:
    return f"# changed\n{source}  # changed\n"


def docstrings(source: str) -> str:
    """Every text in three quotes is another: those of the module, its classes, functions and constants."""
    return re.sub(r'^( *)"""(?=\w)', r'\1"""Changed. ', source, flags=re.MULTILINE)


def message(pattern: str) -> Callable[[str], str]:
    """Another wording after `pattern`, which ends where a text begins."""
    return lambda source: re.sub(pattern, r"\g<0>changed: ", source)


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda source: source.replace(old, new, 1)


def prose(pattern: str) -> Callable[[str], str]:
    """As :func:`message`, everywhere in the descriptions of losses and metrics."""
    return message(rf'{pattern}"(?=\w|-)')


def test_a_copy_of_the_package_has_its_identity_wherever_it_lies(copied: Path) -> None:
    assert code_identity(copied) == code_identity()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("data/formats/dicom/reader.py", code),
        ("data/formats/camvid.py", code),
        ("data/packing/write.py", code),
        ("data/splitting.py", code),
        ("study/records.py", code),
        ("study/ray_tune/searcher.py", code),
        ("search.py", code),
        ("losses/__main__.py", code),
        ("training/step.py", comment),
        ("losses/dice.py", comment),
        ("training/trainer.py", docstrings),
        ("losses/focal.py", docstrings),
        ("training/checkpoints.py", docstrings),
        ("metrics.py", message(r'raise InputError\(\s*f"')),
        ("training/trajectory.py", message(r'raise InputError\(\s*f"')),
        ("training/step.py", message(r'_logger\.warning\("')),
        ("training/checkpoints.py", message(r'problems\.append\(f"')),
        ("training/resume.py", message(r'problems\.append\(\s*f"')),
        ("training/resume.py", message(r'assert .*, "')),
        ("losses/catalogue.py", prose("when=")),
        ("losses/catalogue.py", prose("formula=")),
        ("losses/catalogue.py", prose("source=")),
        ("losses/catalogue.py", lambda source: re.sub(r' when="[^"\n]*",', "", source)),
        ("losses/catalogue.py", prose(r'Parameter\(\s*"\w+",\s*')),
        ("losses/spec.py", replaced("a finite number", "any finite number")),
        ("losses/spec.py", replaced("a list of such numbers", "a sequence of such numbers")),
        ("losses/spec.py", replaced('return "text"', 'return "any text"')),
        ("losses/spec.py", replaced("at least one value", "one value or more")),
        ("losses/spec.py", replaced("or 'none'", "or 'nothing'")),
        ("metric_names.py", prose(r"Metric\(\s*")),
        ("config/data.py", code),
        ("config/parsing.py", code),
        ("config/study.py", code),
        ("config/whole_epochs.py", code),
        ("config/loss.py", replaced("neither is given", "neither is there")),
        ("data/packing/packed.py", replaced("the data are not divided", "there are no folds: the data are not divided")),
        ("losses/_weighting.py", replaced("finite numbers >= 0, one for", "numbers >= 0, one for")),
        ("losses/build.py", replaced("run once with", "called once with")),
        ("losses/build.py", replaced("a tensor of shape", "one of shape")),
        ("losses/own.py", replaced("left out and every", "absent and every")),
        ("losses/own.py", replaced("'nothing'", "'no loss'")),
        ("models/build.py", replaced("choose a larger size", "take a larger size")),
        ("models/weights.py", replaced('an auxiliary classifier"', 'a second classifier"')),
        ("models/weights.py", replaced(", left out", ", which is left out")),
        ("models/weights.py", replaced("all other layers start", "the other layers start")),
        ("models/weights.py", replaced("no last layer; it starts", "no last layer, which starts")),
        ("models/weights.py", replaced(".shape)}, expected", ".shape)}, not")),
        ("models/weights.py", replaced(' more"', ' others"')),
        ("losses/__init__.py", replaced('"get_spec"]', '"fused_sum", "get_spec"]')),
        ("losses/__init__.py", replaced("_HOMES: Final = {", '_HOMES: Final = {"fused_sum": "tune_seg.losses._fused",')),
        ("models/__init__.py", replaced("import build_model,", "import build_model, added,")),
        ("config/__init__.py", replaced("import Component\n", "import Component, Bound\n")),
        ("data/loading/__init__.py", docstrings),
    ],
)
def test_what_no_result_depends_on_keeps_the_identity(copied: Path, file: str, change: Callable[[str], str]) -> None:
    edit(copied / file, change)
    assert code_identity(copied) == code_identity()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("losses/dice.py", code),
        ("losses/_fused.py", code),
        ("training/step.py", replaced("set_to_none=True", "set_to_none=False")),
        ("training/evaluation.py", replaced("_SAMPLED_PIXELS: Final = 2**16", "_SAMPLED_PIXELS: Final = 2**15")),
        ("training/lr_schedule.py", replaced("1.0 - progress", "0.9 - progress")),
        ("models/unet_2015.py", code),
        ("models/weights.py", code),
        ("metrics.py", replaced("1 - 4 / bins", "1 - 5 / bins")),
        ("temperature.py", replaced("1e-14", "1e-3")),
        ("schedules.py", replaced('"naive": (0.3, 0.9)', '"naive": (0.4, 0.9)')),
        ("layers.py", code),
        ("config/__init__.py", code),
        ("config/trial.py", code),
        ("config/loss.py", code),
        ("models/weights.py", replaced('"aux_classifier."', '"auxiliary."')),
        ("models/weights.py", replaced("in (_AUXILIARY, _ACW)", "in (_ACW,)")),
        ("losses/build.py", replaced("ignore_index: int = 255", "ignore_index: int = 254")),
        ("architectures.py", replaced("ResNet50_Weights", "ResNet34_Weights")),
        ("metric_names.py", replaced('"ece": Metric(', '"aece": Metric(')),
        ("metric_names.py", replaced("maximise=False, objective=False", "maximise=False")),
        ("losses/__init__.py", replaced("import LOSSES, get_spec", "import LOSSES, get_spec as get_spec_of, get_spec")),
        ("losses/__init__.py", lambda source: source.replace("lazy(__name__, _HOMES)", "lazy(__name__, {**_HOMES})")),
        ("models/__init__.py", lambda source: f"import torch\n{source}"),
        ("training/__init__.py", lambda source: f"{source}\nprint(Trainer)\n"),
        ("losses/catalogue.py", replaced('name="focal"', 'name="focal_loss"')),
        ("losses/catalogue.py", replaced('Parameter("gamma"', 'Parameter("gamma_"')),
        ("losses/catalogue.py", replaced("default=2.0", "default=2.5")),
        ("losses/catalogue.py", replaced("lower=0.0", "lower=0.5")),
        ("losses/catalogue.py", replaced("upper=1.0", "upper=0.5")),
        ("losses/catalogue.py", replaced("open=True", "open=False")),
        ("losses/catalogue.py", replaced('choices=("hard", "soft")', 'choices=("soft", "hard")')),
        ("losses/catalogue.py", replaced("focal:FocalLoss", "focal:FocalLosses")),
        ("losses/catalogue.py", replaced('class_weights="required"', 'class_weights="optional"')),
        ("losses/catalogue.py", replaced('family="region"', 'family="pixel"')),
        ("losses/catalogue.py", replaced("proper=True", "proper=False")),
        ("losses/catalogue.py", replaced("max_classes=2", "max_classes=3")),
        ("losses/spec.py", replaced("if self.integer and not", "if self.integer and")),
        ("losses/spec.py", replaced('= "unused"', '= "optional"')),
        ("data/loading/augmentation.py", code),
        ("data/packing/packed.py", code),
        ("data/dataset.py", replaced("IGNORE_INDEX = 255", "IGNORE_INDEX = 254")),
    ],
)
def test_what_a_result_depends_on_changes_the_identity(copied: Path, file: str, change: Callable[[str], str]) -> None:
    edit(copied / file, change)
    assert code_identity(copied) != code_identity()


def test_no_sentence_is_part_of_the_identity() -> None:
    """A text of several words is a message, or has a reason here not to be one."""
    sentences = set()
    for path in code_of_a_training():
        name = path.relative_to(PACKAGE).as_posix()
        tree = code_identity_module._wordless(path.read_text(), code_identity_module._WORDING.get(name, ()))
        texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
        sentences |= {(name, text) for text in texts if " " in text.strip()}
    assert sentences == {
        *(("data/packing/packed.py", text) for text in ("tuple[Tensor, Tensor]", "PackedData | None")),  # types
        ("training/code_identity.py", "__getattr__, __dir__ = lazy(__name__, _HOMES)"),  # code
        *(("training/trajectory.py", text) for text in ("cpu family", "CPU implementer", "CPU part")),  # the kernel's words
    }


def test_what_is_named_as_wording_exists() -> None:
    for name, words in code_identity_module._WORDING.items():
        nodes = list(ast.walk(ast.parse((PACKAGE / name).read_text())))
        functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        constants = {
            node.targets[0].id for node in nodes if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        assert set(words) <= functions | constants, name


def test_a_training_uses_nothing_of_the_files_of_the_configuration_that_are_left_out() -> None:
    """But `parse`, with which :func:`build_model` reads the fields that it is given in place of a configuration."""
    left_out = {
        node.name
        for name in code_identity_module._NOT_OF_A_TRIAL
        for node in ast.parse((PACKAGE / name).read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }
    assert left_out > {"parse", "StudyConfig", "SearchConfig", "DataConfig", "in_whole_epochs", "schema"}
    used = {
        (path.relative_to(PACKAGE).as_posix(), alias.name)
        for path in code_of_a_training()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tune_seg.config")
        for alias in node.names
        if alias.name in left_out
    }
    assert used == {("models/build.py", "parse")}


def test_a_default_of_the_configuration_is_part_of_the_identity(copied: Path) -> None:
    files = [path for path in (copied / "config").glob("*.py") if re.search(r"batch_size: Positive = \d+", path.read_text())]
    edit(files[0], lambda source: re.sub(r"batch_size: Positive = \d+", "batch_size: Positive = 3", source))
    assert code_identity(copied) != code_identity()


def test_a_module_that_is_added_renamed_or_removed_changes_the_identity(copied: Path) -> None:
    identities = {code_identity(copied)}
    for change in (
        lambda: (copied / "losses" / "added.py").write_text(""),
        lambda: (copied / "losses" / "added.py").rename(copied / "losses" / "renamed.py"),
        lambda: (copied / "losses" / "renamed.py").rename(copied / "models" / "renamed.py"),
        lambda: (copied / "losses" / "dice.py").unlink(),
    ):
        change()
        code_identity.cache_clear()
        identities.add(code_identity(copied))
    assert len(identities) == 5


def test_only_the_text_of_a_message_is_free(copied: Path) -> None:
    """The condition under which something is raised, and what is computed beside it, are code."""
    source = 'def f(x):\n    if x < {}:\n        raise ValueError(f"x is {{x}}, not {}")\n    return {}\n'
    identities = []
    for values in ((1, "small", "'a'"), (1, "tiny", "'a'"), (2, "small", "'a'"), (1, "small", "'b'")):
        (copied / "losses" / "added.py").write_text(source.format(*values))
        code_identity.cache_clear()
        identities.append(code_identity(copied))
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3


def test_prose_is_free_by_name_and_by_place(copied: Path) -> None:
    identities = []
    for arguments in (
        '"gamma", "how sharp", 2.0',
        '"gamma", "how much", 2.0',
        '"gamma", "how much", 3.0',
        'name="gamma", description="how sharp", default=2.0',
        'name="gamma", description="how much", default=2.0',
        'name="alpha", description="how much", default=2.0',
    ):
        (copied / "losses" / "added.py").write_text(f"GAMMA = Parameter({arguments})\n")
        code_identity.cache_clear()
        identities.append(code_identity(copied))
    assert identities[0] == identities[1] and identities[3] == identities[4]
    assert len(set(identities)) == 4


@pytest.mark.parametrize("described", [LossSpec, Parameter, Metric])
def test_the_places_of_prose_are_those_of_the_fields(described: type) -> None:
    names = list(inspect.signature(described).parameters)
    assert all(names[place] == name for name, place in code_identity_module._PROSE[described.__name__].items())


def test_the_minor_version_of_python_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dump of one syntax differs between minor versions; a state is not taken over from one to the next."""
    identities = []
    for major, minor, micro in ((3, 11, 4), (3, 11, 9), (3, 12, 4)):
        monkeypatch.setattr(sys, "version_info", SimpleNamespace(major=major, minor=minor, micro=micro))
        identities.append(code_identity.__wrapped__(PACKAGE))
    assert identities[0] == identities[1] != identities[2]


def test_the_keys_of_a_trajectory_follow_the_identity(copied: Path) -> None:
    before = output(KEYS)
    edit(copied / "data" / "formats" / "camvid.py", code)
    edit(copied / "training" / "trainer.py", docstrings)
    assert output(KEYS, checkout=copied.parent) == before
    edit(copied / "losses" / "dice.py", code)
    after = output(KEYS, checkout=copied.parent)
    assert len(after) == len(before) == 3 and not set(after) & set(before)
