"""The console command, and how light it is."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import CHECKOUT
from tune_seg.losses import LOSSES


def run(*argv: str) -> "subprocess.CompletedProcess[str]":
    code = f"import sys; from tune_seg.cli import main; sys.argv = ['tune-seg', *{argv!r}]; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_search_is_a_subcommand() -> None:
    done = run("search", "--help")
    assert done.returncode == 0
    assert "--gpus-per-trial" in done.stdout


@pytest.mark.parametrize("argv", [(), ("serach",)])
def test_an_unknown_subcommand_names_the_known_ones(argv: tuple[str, ...]) -> None:
    done = run(*argv)
    assert done.returncode == 2
    assert "usage: tune-seg {search,compare,losses}" in done.stderr


def test_a_preset_goes_by_its_name() -> None:
    done = run("search", "default", "--dry-run", "--studies", "nowhere")
    assert done.returncode == 0, done.stderr
    assert "loss.kind: choice [static, compound, naive, alternating]" in done.stdout


def test_help_and_dry_run_import_nothing_heavy() -> None:
    code = (
        "import sys; from tune_seg.search import main; main(['--dry-run']); "
        "print([name for name in ('torch', 'ray', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


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


def test_the_readme_lists_every_loss_as_the_catalogue_does() -> None:
    text = (CHECKOUT / "README.md").read_text()
    for spec in LOSSES.values():
        formula = spec.formula.replace("|", "\\|")
        assert f"| `{spec.name}` | `{formula}` | {spec.source} |" in text


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]


def test_one_loss_is_printed_in_full() -> None:
    spec = LOSSES["unified_focal"]
    done = losses("unified_focal")
    assert done.returncode == 0
    for text in (spec.name, spec.formula, spec.source, *(parameter.description for parameter in spec.parameters)):
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
