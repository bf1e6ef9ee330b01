"""What a study says beside its reports: warnings before it starts, and at the end where the results are."""

from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console

from tune_seg.config import StudyConfig
from tune_seg.data import PackedData
from tune_seg.study.files import CONFIGURATION, MODELS, PACKS, RESULTS, STORE, bytes_of
from tune_seg.study.output.command_lines import called_in_commands, command
from tune_seg.study.output.say import say
from tune_seg.study.output.tracking import Tracker
from tune_seg.study.output.words import size_of
from tune_seg.study.record import State
from tune_seg.study.records import Records
from tune_seg.study.search_space.space import Space

_FAILURES = 3
"""Failed trials whose reason is printed."""


_WIDTH = 160
"""Characters of a line where the output goes to a file or a pipe; rich takes 80, too few for the ranked table."""


def study_console() -> Console:
    """Where a study prints: the standard output."""
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    return console


def warner(console: Console) -> Callable[[str], None]:
    """A function that prints a warning, each only once."""
    said: set[str] = set()

    def warn(line: str) -> None:
        if line not in said:
            said.add(line)
            say(console, f"Warning: {line}")

    return warn


def say_notes(console: Console, notes: Iterable[str]) -> None:
    """Print what there is to say of the data and the models."""
    for note in notes:
        say(console, f"Note: {note.rstrip('.')}.")


def warn_of_groups(console: Console, packed: PackedData) -> None:
    """Say where all validation images are of one group, so that nothing is known of another."""
    groups = packed.val_groups
    if len(groups) > 1 and groups.max() == 0:
        say(
            console,
            "Warning: all validation images are of one group (a patient, a volume, a sequence): temperatures are fitted and "
            "judged on the same group, and intervals say nothing about another.",
        )


def warn_of_frozen_encoders(console: Console, space: Space) -> None:
    """Warn of an encoder that has random weights and keeps them."""
    if any(trial.model.train == "head" and trial.model.weights == "none" for trial in space.probes):
        say(
            console,
            "Warning: model.train head with model.weights none: the encoder is frozen at random weights; "
            "set model.weights to imagenet or a file, or model.train to all.",
        )


def say_where(console: Console, directory: Path, tracker: Tracker, *, finished: bool) -> None:
    """Print where the results are, how to look at them, and whether the study goes on."""
    lines = [f"Results: {directory / RESULTS}; configuration: {directory / CONFIGURATION}"]
    ui = f"{command()} ui {called_in_commands(directory)}"
    lines.append(f"MLflow: {tracker.link or ui}")
    if tracker.error:
        lines.append(f"MLflow lacks some results ({tracker.error}); run the command again to send them.")
    if not finished:
        lines.append("The study is not finished: run the same command again to continue it.")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def say_disk(console: Console, config: StudyConfig, directory: Path) -> None:
    """Print what a study has left on the disk, and how to see what can go."""
    of_study = {path for path in directory.rglob("*") if path.is_file()}
    models = {path for path in of_study if path.parent.name == MODELS}
    packs = list((directory.parent / PACKS).glob(f"{config.data.content}*"))
    packs += list((directory.parent / PACKS).glob(f"{config.data.test_content}*"))
    store = config.compute.store or str(directory.parent / STORE)
    kept = [
        f"results {size_of(bytes_of(of_study) - bytes_of(models))}",
        f"models {size_of(bytes_of(models))}",
        f"packed images {size_of(bytes_of(packs))}",
    ]
    if "://" not in store:  # where the weights of a model to use are one file with it
        beside = bytes_of({*Path(store).glob("*"), *models}) - bytes_of(models)
        kept.append(f"other checkpoints of all studies {size_of(beside)} in {store}")
    say(console, f"Disk: {', '.join(kept)}. What can be removed: {command()} clean {called_in_commands(directory)}")


def say_next(console: Console, lines: Iterable[str]) -> None:
    """Print what to type next."""
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def say_failures(console: Console, records: Records) -> None:
    """Print why the first trials failed, and where the tracebacks are."""
    failed = [record for record in records.trials.values() if record.state is State.FAILED]
    for record in failed[:_FAILURES]:
        say(console, f"Trial {record.number} failed: {record.reason}")
    if failed:
        console.print(f"`error` in {RESULTS} has the full traceback of each failed trial.")
