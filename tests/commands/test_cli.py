"""The console command, and how light it is."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import CHECKOUT
from tune_seg import __version__
from tune_seg._commands import COMMANDS
from tune_seg._package import PACKAGE
from tune_seg.losses import LOSSES
from tune_seg.study.presets import presets, summary


def python(*argv: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True, cwd=cwd, env=environment)


def run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return python("-m", "tune_seg", *argv)


def test_help_has_the_commands_three_examples_and_every_preset_on_a_line() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name, what in COMMANDS.items():
        assert re.search(rf"^    {name} +{re.escape(what)}$", done.stdout, re.MULTILINE)
    for lines in (done.stdout.splitlines(), run("search", "--help").stdout.splitlines()):
        assert sum(line.startswith("  tune-seg ") for line in lines) == 3
        for name, path in presets().items():
            assert f"  {name:<14}  {summary(path)}" in lines
    assert run("presets").stdout.splitlines() == [line.removeprefix("  ") for line in lines[-len(presets()) - 2 : -2]]


def test_the_console_command_is_the_same_as_the_module() -> None:
    code = "import sys; from tune_seg.cli import main; sys.argv = ['tune-seg', '--version']; sys.exit(main())"
    assert python("-c", code).stdout == run("--version").stdout == f"tune-seg {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), f"no command; the commands are {', '.join(COMMANDS)}"),
        (("serach",), "unknown command serach (did you mean search?)"),
        (("zzz",), f"unknown command zzz; the commands are {', '.join(COMMANDS)}"),
        (("--verison",), "unknown option --verison (did you mean --version?)"),
    ],
)
def test_what_is_no_command_is_said_with_the_nearest_one(argv: tuple[str, ...], message: str) -> None:
    done = run(*argv)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"tune-seg: error: {message}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_too(name: str) -> None:
    done = python("-m", f"tune_seg.{name}", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: tune-seg {name} ")
    assert done.stdout == run(name, "--help").stdout


def test_the_commands_are_the_modules_that_do_something_when_they_are_run() -> None:
    inside = [path for path in PACKAGE.rglob("*.py") if '\nif __name__ == "__main__":' in path.read_text()]
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in inside}
    assert names == {*COMMANDS, "losses.__main__", "__main__"} - {"losses"}


@pytest.mark.parametrize(
    "name", ["study.output.report", "cli", "losses.dice", "losses", "training", "search.main", "nosuch"]
)
@pytest.mark.parametrize("option", ["-m {}", "-m{}", "-Wignore -m {}"])
def test_a_module_that_is_no_command_says_so(name: str, option: str, tmp_path: Path) -> None:
    done = python(*option.format(f"tune_seg.{name}").split(" "), "-m", "tune_seg.search", cwd=tmp_path)
    if name == "losses":  # it is one
        assert done.stderr.startswith("usage: tune-seg losses")
        return
    listed = ", ".join(f"tune-seg {command}" for command in COMMANDS)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"tune_seg.{name} is not a command; the commands are: {listed}\n"


@pytest.mark.parametrize("file", ["metrics.py", "losses/dice.py", "cli.py", "study/output/report.py", "losses/__init__.py"])
def test_a_file_that_is_no_command_says_so_when_it_is_run(file: str, tmp_path: Path) -> None:
    done = python(str(PACKAGE / file), cwd=tmp_path)
    name = file.removesuffix(".py").replace("/", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"tune_seg.{name} is not a command; the commands are: tune-seg search,")


@pytest.mark.parametrize(
    ("file", "command"), [("search.py", "search"), ("losses/__main__.py", "losses"), ("__main__.py", "")]
)
def test_the_file_of_a_command_runs_it(file: str, command: str, tmp_path: Path) -> None:
    done = python(str(PACKAGE / file), "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: tune-seg {command}")


def test_a_module_of_another_package_may_import_this_one(tmp_path: Path) -> None:
    for name in ("tune_segments", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("import tune_seg")
        (tmp_path / name / "run.py").write_text("print('ran')")
        done = python("-m", f"{name}.run", "tune_seg.nosuch", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


@pytest.mark.parametrize("command", ["tune_seg schema", "tune_seg.schema"])
def test_a_reader_that_has_read_enough_ends_the_command_in_silence(command: str) -> None:
    code = f"{sys.executable} -m {command} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, cwd=CHECKOUT)
    assert (done.returncode, done.stdout, done.stderr) == (141, "{\n", "")


def test_the_schema_knows_every_section() -> None:
    done = run("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"data", "model", "training", "objective", "search", "space"} <= {*json.loads(done.stdout)["properties"]}


def test_a_preset_goes_by_its_name() -> None:
    done = run("search", "default", "--dry-run", "--studies", "nowhere")
    assert done.returncode == 0, done.stderr
    assert "loss.kind: choice [static, compound, naive, alternating]" in done.stdout


def test_a_dry_run_loads_neither_ray_nor_mlflow() -> None:
    code = (
        "import sys; from tune_seg.search import main; main(['--dry-run']); "
        "print([name for name in ('ray', 'mlflow') if name in sys.modules])"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["presets"], ["search", "--help"], ["losses", "--help"]])
def test_help_is_made_of_little(argv: list[str]) -> None:
    code = (
        "import atexit, sys; from tune_seg.cli import main; "
        "heavy = ('torch', 'ray', 'optuna', 'mlflow', 'numpy', 'pydantic', 'yaml', 'rich', 'shtab'); "
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules])); "
        f"main({argv})"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


def test_losses_is_a_subcommand() -> None:
    done = run("losses", "focal")
    assert (done.returncode, done.stderr) == (0, "")
    assert "-alpha_y (1 - p_y)^gamma log p_y" in done.stdout


def losses(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "tune_seg.losses", *argv], capture_output=True, text=True)


def test_the_table_of_losses_says_all_of_each_on_one_uncut_line() -> None:
    done = losses()
    assert (done.returncode, done.stderr) == (0, "")
    rows = {cells[0]: cells for line in done.stdout.splitlines() if (cells := cells_of(line)) and cells[0] != "name"}
    assert list(rows) == list(LOSSES)
    for name, spec in LOSSES.items():
        _, formula, parameters, source, proper, family, class_weights = rows[name]
        assert (formula, source, family, class_weights) == (spec.formula, spec.source, spec.family, spec.class_weights)
        assert proper == ("yes" if spec.proper else "no")
        listed = parameters.split("; ") if parameters else []
        assert [entry.split(" = ")[0] for entry in listed] == [parameter.name for parameter in spec.parameters]
        assert all(parameter.range in entry for entry, parameter in zip(listed, spec.parameters, strict=True))
    assert rows["focal"][2] == "gamma = 2, >= 0; alpha = none, >= 0, or one per class"
    assert rows["ml1_ace"][2] == "bins = 20, whole number >= 1; binning = hard, hard | soft"


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]


def test_one_loss_is_printed_in_full() -> None:
    spec = LOSSES["unified_focal"]
    done = losses("unified_focal")
    assert done.returncode == 0
    for text in (spec.name, spec.when, spec.formula, spec.source, *(parameter.description for parameter in spec.parameters)):
        assert text in done.stdout
    assert "gamma: default 0.5; a finite number and >= 0 and < 1" in done.stdout
    assert "at most 2" in losses("sigmoid_ce").stdout


def on_a_terminal(columns: int, **environment: str) -> str:
    """What the command prints on a terminal of that width."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tune_seg.losses"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm", **environment},
    )
    os.close(terminal)
    printed = b""
    try:
        while part := os.read(controller, 65536):
            printed += part
    except OSError:  # how Linux tells that nobody writes to it any more
        pass
    os.close(controller)
    assert process.wait(60) == 0, printed.decode()
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).replace("\r\n", "\n")


def test_on_a_narrow_terminal_the_losses_are_printed_one_after_another(tmp_path: Path) -> None:
    info = tmp_path / "own_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tune_seg.losses]\nbroken = no_such_pkg:Loss\n")
    printed = on_a_terminal(100, PYTHONPATH=str(tmp_path))
    lines = printed.splitlines()
    assert not re.search("[│┃]", printed)
    assert [line for line in lines if line and line[0] != " "][:-1] == list(LOSSES)
    assert lines[-1].startswith("cannot be used: loss 'broken': there is no module no_such_pkg")
    for spec in LOSSES.values():
        assert f"  formula        {spec.formula}" in lines and f"  source         {spec.source}" in lines
    wide = on_a_terminal(180, PYTHONPATH=str(tmp_path))
    rows = [cells for line in wide.splitlines() if (cells := cells_of(line)) and cells[0] not in ("", "name")]
    assert [cells[0] for cells in rows] == list(LOSSES)  # no name is cut or folded
    assert "cannot be used: loss 'broken'" in wide


def test_an_unknown_loss_names_the_known_ones() -> None:
    done = losses("focl")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: unknown loss 'focl' (did you mean focal?); the losses are ce, wce, focal" in done.stderr


def test_the_table_of_losses_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tune_seg.losses.__main__ import main; main([]); main(['focal']); "
        "print([name for name in ('torch', 'ray', 'mlflow', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
