"""Losses of the user's own: found by a module path or an entry point, described, rejected, and searched in real studies."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from tests.support import CHECKOUT
from tests.support.own_losses import install
from tests.support.studies import SMALL
from tests.support.training_pixels import PIXELS
from tune_seg.config import StudyConfig, TrialConfig, parse
from tune_seg.errors import InputError
from tune_seg.losses import Parameter, build_loss, check_loss, get_spec
from tune_seg.search import main
from tune_seg.study.search_space.space import Space
from tune_seg.training.loss_program import build_program

HEADER = """
import torch
import torch.nn.functional as F
from torch import nn
from tune_seg.losses import LossSpec, Parameter

"""

TEMPERED = '''
class Tempered(nn.Module):
    """-log softmax(x / t)_y

    More of it.
    """

    def __init__(self, num_classes, *, temperature=2.0, smooth=False, mode="mean", cap=None, ignore_index=255):
        super().__init__()
        self.num_classes, self.temperature, self.ignore_index = num_classes, temperature, ignore_index

    def forward(self, logits, target):
        loss = F.cross_entropy(logits / self.temperature, target, ignore_index=self.ignore_index, reduction="sum")
        return loss / (target != self.ignore_index).sum()
'''

FACTORY = '''
def weighted(num_classes, class_weights, ignore_index=255, power=1.0):
    """Cross entropy with the class weights to a power."""
    return nn.CrossEntropyLoss(weight=class_weights**power, ignore_index=ignore_index)

weighted.parameters = (Parameter("power", "how strong", default=0.0, lower=0.0, upper=2.0),)
'''

SPECIFIED = """
class Specified(nn.Module):
    spec = LossSpec("any", "any:any", "its own formula", "a paper", family="region", proper=True, max_classes=11,
                    parameters=(Parameter("k", "a count", default=1, lower=1, integer=True),))

    def __init__(self, num_classes, class_weights=None, k=3, ignore_index=255):
        super().__init__()
        self.k = k

    def forward(self, logits, target):
        return self.k * logits.softmax(dim=1).square().mean()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Writes a module that can be imported; returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, text: str) -> str:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + text)
        return name

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_class_describes_itself_by_its_signature(module: Callable[[str, str], str]) -> None:
    path = f"{module('own_pkg.tempered', TEMPERED)}:Tempered"
    spec = get_spec(path)
    assert (spec.name, spec.implementation, spec.source) == (path, path, path)
    assert (spec.formula, spec.family, spec.class_weights, spec.proper) == (
        "-log softmax(x / t)_y",
        "pixel",
        "unused",
        False,
    )
    assert [(p.name, p.default, p.range) for p in spec.parameters] == [
        ("temperature", 2.0, "any"),
        ("smooth", False, "True | False"),
        ("mode", "mean", "text"),
        ("cap", None, "any"),
    ]
    spec.check({"temperature": -1.5, "smooth": True, "mode": "anything", "cap": None})
    spec.check({"cap": 3})
    for params, message in (
        ({"temperature": "hot"}, "temperature = 'hot' is not possible; allowed: a finite number"),
        ({"temperature": None}, "temperature = None"),
        ({"smooth": 1}, "smooth = 1 is not possible; allowed: True, False"),
        ({"mode": 3}, "mode = 3 is not possible; allowed: a text"),
        ({"temprature": 3}, "unknown parameter 'temprature'.*its parameters: temperature, smooth, mode, cap"),
    ):
        with pytest.raises(InputError, match=message):
            spec.check(params)


def test_a_factory_may_need_class_weights_and_declare_ranges(module: Callable[[str, str], str]) -> None:
    spec = get_spec(f"{module('own_factory', FACTORY)}:weighted")
    assert (spec.class_weights, spec.formula) == ("required", "Cross entropy with the class weights to a power.")
    (power,) = spec.parameters
    # the range is declared, and the default is what the function really takes
    assert power == Parameter("power", "how strong", default=1.0, lower=0.0, upper=2.0)


def test_a_class_whose_ranges_hide_the_parameters_of_a_module_still_trains(module: Callable[[str, str], str]) -> None:
    ranges = '    parameters = [Parameter("temperature", "the divisor", default=1.0, lower=0.0, open=True)]\n'
    text = TEMPERED.replace("    def __init__", ranges + "\n    def __init__", 1)
    path = f"{module('own_h', text)}:Tempered"
    assert get_spec(path).parameters[0].range == "> 0"
    config = parse(TrialConfig, {"loss": {"end": path, "params": {path: {"temperature": 0.5}}}})
    program = build_program(config, PIXELS, 10).to("cpu").train()
    assert list(program.parameters()) == []
    assert program(torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64), 0).item() > 0


def test_a_class_may_carry_a_whole_description(module: Callable[[str, str], str]) -> None:
    path = f"{module('own_spec', SPECIFIED)}:Specified"
    spec = get_spec(path)
    assert (spec.name, spec.formula, spec.source) == (path, "its own formula", "a paper")
    assert (spec.family, spec.proper, spec.max_classes, spec.class_weights) == ("region", True, 11, "optional")
    assert [(p.name, p.default, p.lower, p.integer) for p in spec.parameters] == [("k", 3, 1, True)]


def test_it_is_built_and_computes_what_it_says(module: Callable[[str, str], str]) -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randint(3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    target[0, 0] = 255
    tempered = build_loss(f"{module('own_a', TEMPERED)}:Tempered", num_classes=3, temperature=4.0)
    expected = torch.nn.functional.cross_entropy(logits / 4, target, ignore_index=255)
    torch.testing.assert_close(tempered(logits, target), expected)
    weights = [0.5, 1.0, 1.5]
    weighted = build_loss(f"{module('own_b', FACTORY)}:weighted", num_classes=3, class_weights=weights, power=2.0)
    expected = torch.nn.functional.cross_entropy(logits, target, ignore_index=255, weight=torch.tensor(weights) ** 2)
    torch.testing.assert_close(weighted(logits, target), expected)


@pytest.mark.parametrize("ignore_index", [255, -1])
@pytest.mark.parametrize(
    ("factory", "dtype"), [("Tempered", torch.float32), ("Tempered", torch.float64), ("weighted", torch.float32)]
)
def test_it_is_0_for_a_batch_without_a_valid_pixel(
    module: Callable[[str, str], str], ignore_index: int, factory: str, dtype: torch.dtype
) -> None:
    name = module(f"own_zero_{abs(ignore_index)}_{factory}_{str(dtype)[-2:]}", TEMPERED + FACTORY)
    loss = build_loss(f"{name}:{factory}", num_classes=3, class_weights=[0.5, 1.0, 1.5], ignore_index=ignore_index)
    for size in (2, 0):  # all pixels ignored, and no pixels at all
        logits = torch.randn(size, 3, 4, 4, dtype=dtype, requires_grad=True)
        value = loss(logits, torch.full((size, 4, 4), ignore_index))
        value.backward()
        assert (value.item(), value.dtype, value.shape) == (0.0, dtype, ())
        assert logits.grad is not None and torch.equal(logits.grad, torch.zeros_like(logits))
    # one valid pixel is enough for its own value
    logits, target = torch.randn(1, 3, 4, 4, dtype=dtype), torch.full((1, 4, 4), ignore_index)
    target[0, 1, 2] = 1
    assert 0 < loss(logits, target).item() < torch.inf


def test_it_is_a_loss_like_any_other_in_a_program_and_a_space(module: Callable[[str, str], str]) -> None:
    path = f"{module('own_c', TEMPERED)}:Tempered"
    components = {"own": {"loss": path, "params": {"temperature": 0.5}, "weight": 2.0}, "ce": {"loss": "ce", "weight": 1.0}}
    config = parse(TrialConfig, {"loss": {"kind": "program", "components": components}})
    assert config.loss_name == f"ce+{path}"
    logits, target = torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    own = build_loss(path, num_classes=3, temperature=0.5)(logits, target)
    ce = build_loss("ce", num_classes=3)(logits, target)
    program = build_program(config, PIXELS, 10)
    torch.testing.assert_close(program(logits, target, 0), 2 * own + ce)

    key = f"loss.params.{path}.temperature"
    values: dict[str, Any] = {
        "space": {
            "loss.kind": {"choice": ["static", "naive"]},
            "loss.start": {"choice": [path, "dice"], "when": {"loss.kind": ["naive"]}},
            "loss.end": {"choice": ["ce", path]},
            key: {"float": [0.5, 4.0], "when": [{"loss.start": [path]}, {"loss.end": [path]}]},
            "loss.params.dice.nothing": {"float": [0, 1]},
        }
    }
    with pytest.raises(InputError, match=r"unknown key loss\.params\.dice\.nothing"):
        Space(parse(StudyConfig, values))
    del values["space"]["loss.params.dice.nothing"]
    seen = {
        (key in (params := trial.loss_params), path in (params["loss.end"], params.get("loss.start")))
        for trial in Space(parse(StudyConfig, values)).probes
    }
    assert seen == {(True, True), (False, False)}
    del values["space"][key]["when"]
    with pytest.raises(InputError, match=rf"space\.{key}: it is sampled where it has no effect.*add when: .*{path}"):
        Space(parse(StudyConfig, values))
    values["space"] = {"loss.end": {"choice": ["ce"], "when": {"loss.start": ["own_c:Tempred"]}}}
    with pytest.raises(InputError, match=r"own_c has no Tempred; it defines Tempered"):
        Space(parse(StudyConfig, values))


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", "no_such_pkg.losses:Loss", "there is no module no_such_pkg; it must be installed, or lie in the directory"),
        ("", "broken_NR.losses:Loss", "there is no module broken_NR.losses; it must be"),
        (
            "import no_such_dependency",
            "broken_NR:Loss",
            "importing broken_NR fails: ModuleNotFoundError: No module named 'no_s",
        ),
        ("1 / 0", "broken_NR:Loss", "importing broken_NR fails: ZeroDivisionError: division by zero"),
        ("class Other: pass", "broken_NR:Loss", "broken_NR has no Loss; it defines Other"),
        ("Loss = 3", "broken_NR:Loss", "broken_NR:Loss is 3; expected a class or a function that builds the loss"),
        ("", "broken_NR:", "'broken_NR:' names no loss; expected package.module:ClassOrFactory"),
        ("", "broken/NR:Loss", "names no loss; expected package.module:ClassOrFactory"),
        ("def Loss(): pass", "broken_NR:Loss", r"has another signature \(.*expected \(num_classes, \*, class_weights=None"),
        ("def Loss(num_classes): pass", "broken_NR:Loss", r"unexpected keyword argument 'ignore_index'\); expected"),
        ("def Loss(num_classes, k, ignore_index): pass", "broken_NR:Loss", r"missing a required argument: 'k'\); expected"),
        (
            "def Loss(num_classes, ignore_index): pass\nLoss.parameters = (Parameter('k', '', default=1.0),)",
            "broken_NR:Loss",
            "it declares 'k', which its signature lacks; expected",
        ),
        (
            "def Loss(num_classes, ignore_index): pass\nLoss.parameters = ('k',)",
            "broken_NR:Loss",
            r"its `parameters` are \('k',\); expected a tuple of tune_seg.losses.Parameter",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_is_expected(
    module: Callable[[str, str], str], request: pytest.FixtureRequest, text: str, path: str, message: str
) -> None:
    name = f"broken_{abs(hash(request.node.name))}"  # a module that failed once stays known by its name
    module(name, text)
    path, message = path.replace("broken_NR", name), message.replace("broken_NR", name)
    with pytest.raises(InputError, match=message):
        get_spec(path)
    with pytest.raises(InputError, match=message):
        parse(TrialConfig, {"loss": {"end": path}})


RETURNING = """
class Loss(nn.Module):
    def __init__(self, num_classes, ignore_index=255):
        super().__init__()

    def forward(self, logits, target):
        {}

def no_module(num_classes, ignore_index=255):
    return 3
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return logits.sum(dim=1)", r"returned a tensor of shape \(2, 8, 8\); expected a scalar tensor"),
        ("return 1.0", "returned 1.0; expected a scalar tensor"),
        ("return logits.sum() / 0", "returned .*inf; expected a finite number"),
        ("return logits.detach().sum()", "returned .* without a gradient; expected one that depends on the logits"),
        ("return (logits - logits).abs().sum().sqrt()", "returned 0.0 with a gradient that is not finite everywhere"),
        ("return logits.sum() + self.missing", "raised AttributeError: 'Loss' object has no attribute 'missing'"),
        ("return logits[0, 3].sum()", "raised IndexError"),
    ],
)
def test_a_loss_that_is_none_is_told_by_one_run(
    module: Callable[[str, str], str], request: pytest.FixtureRequest, body: str, message: str
) -> None:
    name = module(f"returning_{abs(hash(request.node.name))}", RETURNING.format(body))
    with pytest.raises(InputError, match=rf"loss '{name}:Loss': run once with logits of shape \(2, 3, 8, 8\), it {message}"):
        check_loss(f"{name}:Loss", num_classes=3)
    with pytest.raises(InputError, match=rf"{name}:no_module returned 3; expected a torch.nn.Module"):
        check_loss(f"{name}:no_module", num_classes=3)


def test_a_sound_loss_passes_its_run(module: Callable[[str, str], str]) -> None:
    check_loss(f"{module('own_d', TEMPERED)}:Tempered", num_classes=3, temperature=0.5)
    check_loss(f"{module('own_e', FACTORY)}:weighted", num_classes=3, class_weights=[1.0, 0.5, 1.5])
    check_loss("focal", num_classes=3)


def test_the_example_of_the_documentation_is_a_loss_that_can_be_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = (CHECKOUT / "docs" / "your-own-loss.md").read_text()
    (module,) = re.findall(r"```python\n(# my_losses.py\n.*?)```", text, re.DOTALL)
    (tmp_path / "my_losses.py").write_text(module)
    check_loss("my_losses:Tempered", num_classes=3, temperature=0.5)
    (space,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    losses = {trial.loss.end for trial in Space(parse(StudyConfig, yaml.safe_load(space))).probes}
    assert losses == {"ce", "my_losses:Tempered"}


def test_an_entry_point_gives_a_loss_a_name(
    module: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module("own_f", TEMPERED)
    install(tmp_path / "site", tempered=f"{name}:Tempered", ce=f"{name}:Tempered", broken="no_such_pkg:Loss")
    with pytest.raises(InputError, match="unknown loss 'tempered'"):
        get_spec("tempered")
    monkeypatch.syspath_prepend(tmp_path / "site")
    spec = get_spec("tempered")
    assert (spec.name, spec.implementation, spec.source) == ("tempered", f"{name}:Tempered", f"{name}:Tempered")
    logits, target = torch.randn(1, 3, 2, 2), torch.ones(1, 2, 2, dtype=torch.int64)
    expected = torch.nn.functional.cross_entropy(logits / 2, target)
    torch.testing.assert_close(build_loss("tempered", num_classes=3)(logits, target), expected)
    assert get_spec("ce").implementation.startswith("tune_seg.")  # a built-in loss goes before it
    with pytest.raises(
        InputError,
        match=r"unknown loss 'cee' \(did you mean ce\?\); the losses are ce, .*ml1_ace, tempered, broken, or your own",
    ):
        get_spec("cee")
    with pytest.raises(InputError, match="loss 'broken': there is no module no_such_pkg"):
        get_spec("broken")

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(tmp_path)])}
    listed = subprocess.run(
        [sys.executable, "-m", "tune_seg.losses"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    (line,) = [line for line in listed.splitlines() if " tempered " in line]
    assert "-log softmax(x / t)_y" in line and "temperature = 2, any" in line and f"{name}:Tempered" in line
    assert listed.splitlines()[-1].startswith("cannot be used: loss 'broken': there is no module no_such_pkg")
    assert len([line for line in listed.splitlines() if " ce " in line]) == 1


# Real studies, whose workers must find the user's module.


def study(directory: Path, name: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tune_seg.search", name, *options]
    path = os.pathsep.join([str(CHECKOUT), *filter(None, [environment.pop("PYTHONPATH", "")])])
    environment = {**os.environ, **environment, "PYTHONPATH": path}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=200)


def write_study(directory: Path, loss: str) -> None:
    space = {
        "loss.end": {"choice": [loss]},
        f"loss.params.{loss}.temperature": {"grid": [0.5, 4.0], "when": {"loss.end": [loss]}},
    }
    search = {"sampler": "grid", "trials": 2, "early_stopping": {"kind": "none"}}
    training = SMALL["training"] | {"epochs": 1}
    values = {**SMALL, "training": training, "search": search, "space": space, "baselines": []}
    (directory / "mine.yaml").write_text(yaml.safe_dump(values))


def trials(directory: Path, loss: str) -> list[tuple[Any, ...]]:
    rows = pq.read_table(directory / "studies" / "mine" / "results.parquet").to_pylist()
    return [(row["loss"], row["state"], row[f"loss.params.{loss}.temperature"]) for row in rows]


@pytest.mark.long("own losses study")
@pytest.mark.parametrize("place", ["directory", "PYTHONPATH"])
def test_a_study_searches_a_loss_of_the_users_own(tmp_path: Path, place: str) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    ((run if place == "directory" else elsewhere) / "mine_losses.py").write_text(HEADER + TEMPERED)
    loss = "mine_losses:Tempered"
    write_study(run, loss)
    done = study(run, "mine.yaml", PYTHONPATH="" if place == "directory" else str(elsewhere))
    assert done.returncode == 0, done.stdout + done.stderr
    assert trials(run, loss) == [(loss, "completed", 0.5), (loss, "completed", 4.0)]


@pytest.mark.long("own losses path")
def test_the_workers_look_where_the_command_looks(
    module: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # neither in the directory that it is run from nor on PYTHONPATH: the path of this process alone has it
    install(tmp_path / "site", tempered=f"{module('own_g', TEMPERED)}:Tempered")
    monkeypatch.syspath_prepend(tmp_path / "site")
    write_study(tmp_path, "tempered")
    assert main([str(tmp_path / "mine.yaml"), "--studies", str(tmp_path / "studies")]) == 0
    assert trials(tmp_path, "tempered") == [("tempered", "completed", 0.5), ("tempered", "completed", 4.0)]


@pytest.mark.long("own losses that are none")
def test_a_loss_that_is_none_ends_a_study_before_its_first_trial(tmp_path: Path) -> None:
    (tmp_path / "mine_losses.py").write_text(HEADER + TEMPERED.replace("return loss /", "return float('nan') * loss /"))
    write_study(tmp_path, "mine_losses:Tempered")
    done = study(tmp_path, "mine.yaml")
    assert done.returncode == 2, done.stdout + done.stderr
    message = (
        r"error: loss 'mine_losses:Tempered': run once with temperature = (0\.5|4\.0), logits of shape \(2, 10, 8, 8\), it "
    )
    assert re.search(message + "returned nan", done.stderr), done.stderr
    assert not (tmp_path / "studies" / "mine" / "trials.journal").exists()


@pytest.mark.long("own losses")
def test_a_loss_that_fails_for_one_choice_ends_a_study_before_its_first_trial(tmp_path: Path) -> None:
    text = TEMPERED.replace("return loss /", "return loss / (self.temperature < 4) /")
    (tmp_path / "mine_losses.py").write_text(HEADER + text)
    write_study(tmp_path, "mine_losses:Tempered")  # 0.5, which is possible, and 4.0
    done = study(tmp_path, "mine.yaml")
    assert done.returncode == 2, done.stdout + done.stderr
    assert (
        "error: loss 'mine_losses:Tempered': run once with temperature = 4.0, logits of shape (2, 10, 8, 8), it returned inf"
    ) in done.stderr
    assert not (tmp_path / "studies" / "mine" / "trials.journal").exists()
    # and a study without that choice runs
    values = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    values["space"]["loss.params.mine_losses:Tempered.temperature"]["grid"] = [0.5, 3.0]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    done = study(tmp_path, "mine.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
