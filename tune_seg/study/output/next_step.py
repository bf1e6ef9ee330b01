"""What to type next: the last lines of a study that has ended."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_seg.config import StudyConfig
from tune_seg.study.configurations import Configuration, configurations, is_plain_cross_entropy
from tune_seg.study.confirmation import Answer
from tune_seg.study.exporting import WINNER, model_file
from tune_seg.study.files import CONFIGURATIONS, RESULTS
from tune_seg.study.output.command_lines import called_in_commands, command
from tune_seg.study.output.sentence import Cost, called, seeds_to_decide, trainings_to_decide
from tune_seg.study.output.words import labels
from tune_seg.study.record import Record
from tune_seg.study.verdict import Kind
from tune_seg.study.verdict.looks import FIRST

_OWN_IMAGES = "loss_schedule --data ROOT"
_KEPT = {"search.confirm.finalists": "--finalists", "search.confirm.margin": "--margin"}
"""Options of `tune-seg confirm` without which the same command would ask another question."""


def next_lines(
    config: StudyConfig,
    directory: Path,
    records: Sequence[Record],
    answer: Answer | None,
    cost: Cost,
    *,
    asked: Mapping[str, Any] | None = None,
    opened: bool = False,
) -> Iterator[str]:
    """What to do next: one line about the answer, and one about images of one's own where these were generated.

    Args:
        config: the study.
        directory: of the study.
        records: its trials, which have ended.
        answer: what its repeats say; None: there are too few.
        cost: of a training.
        asked: what `tune-seg confirm` has set for this session alone, by dotted key.
        opened: whether the test split has been scored.
    """
    named = called_in_commands(directory)
    kept = (f" {option} {asked[key]}" for key, option in _KEPT.items() if asked and key in asked)
    confirm = f"{command()} confirm {named}{''.join(kept)}"
    completed = [each for each in configurations(records) if each.completed]
    predict = f"{command()} predict {named} IMAGES --out DIR"
    use = "" if answer is None else _how_to_use(config, answer, predict, directory)
    yield from _about_the_answer(config, completed, answer, cost, (confirm, use), opened)
    if answer is not None and answer.verdict.kind is Kind.UNDECIDED and model_file(directory, WINNER).is_file():
        yield f"To use {called(answer)[answer.verdict.recommended]} meanwhile: {predict}"
    if answer is not None and answer.left_out:
        names = ", ".join(labels(answer.left_out).values())
        yield f"Without a repeat yet, and ahead in the search: {names}. To compare it as well: {confirm}"
    if config.data.root is None:
        yield f"For your own images: {command()} search {_OWN_IMAGES}"


def _about_the_answer(
    config: StudyConfig,
    completed: Sequence[Configuration],
    answer: Answer | None,
    cost: Cost,
    commands: tuple[str, str],
    opened: bool,
) -> Iterator[str]:
    confirm, use = commands
    others = [each for each in completed if not is_plain_cross_entropy(each.config)]
    if not completed:
        yield "No trial ran to its end: try a lower learning rate, --set training.lr=..., in a new study, --study NAME."
    elif answer is None and not others:
        yield f"Nothing was compared with plain cross entropy. To try other losses: {command()} search {_OWN_IMAGES}"
    elif answer is None:
        trainings = FIRST * (1 + min(len(others), config.search.confirm.finalists))
        yield f"To be sure of the best: {confirm} (at least {FIRST} seeds of each: {cost.of(trainings)})"
    elif answer.verdict.kind is not Kind.UNDECIDED:
        yield use
    elif answer.verdict.more_seeds is not None:
        seeds, _ = seeds_to_decide(answer)
        again = "; it scores the test split again, which makes it less of a test" if opened else ""
        yield f"To decide it: {confirm} --seeds {seeds} ({trainings_to_decide(answer, cost)}){again}"
    elif answer.verdict.images_limit:
        yield "To decide it takes more validation images: a larger data.split.val_fraction, or folds, in a new study."
    else:
        yield "More seeds will hardly decide it: choose by what the table says of recall, accuracy and calibration."


def _how_to_use(config: StudyConfig, answer: Answer, predict: str, directory: Path) -> str:
    """How the model of the one to take is used."""
    if len(config.objectives) > 1:
        return f"To use one of the front: {predict} --trial N (column `trial` of {RESULTS})"
    name = called(answer)[answer.verdict.recommended]
    if model_file(directory, WINNER).is_file():
        return f"To use {name}: {predict}"
    return f"To use {name}: its settings are in {CONFIGURATIONS}; its weights were not stored."
