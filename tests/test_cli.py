"""The console command, and how light it is."""

import subprocess
import sys

import pytest


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
    assert "usage: tune-seg {search}" in done.stderr


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
