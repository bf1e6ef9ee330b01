"""The search command: `tune-seg search [CONFIG] [--data ROOT] [--set key=value ...] ...`.

A preset of a published table names the data sets of that table under `datasets`, with what each of them sets. `--data
NAME=ROOT`, once for each, runs a study of each and prints it beside the paper.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_seg._arguments import Parser
from tune_seg._commands import CONTINUES, reported, run
from tune_seg._package import STUDIES
from tune_seg.cli import examples_and_presets
from tune_seg.errors import InputError
from tune_seg.study.files import CONFIGURATION, PACKS, directory_of, existing_study
from tune_seg.study.presets import DEFAULT

if TYPE_CHECKING:
    from tune_seg.config import StudyConfig
    from tune_seg.study.output.events import Events
    from tune_seg.study.plan import Plan

_OPTIONS = {
    "trials": ("search.trials",),
    "hours": ("search.hours",),
    "epochs": ("training.epochs",),
    "cpus_per_trial": ("training.threads", "compute.cpus_per_trial"),
    "gpus_per_trial": ("compute.gpus_per_trial",),
    "max_concurrent": ("compute.max_concurrent",),
    "address": ("compute.address",),
    "store": ("compute.store",),
    "store_gb": ("compute.store_gb",),
    "mlflow_uri": ("mlflow_uri",),
}
"""The options that are short for keys of the configuration."""

_AS_MANY_AS_TIME = 10_000
"""Trials of a study whose hours alone are given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the search command; the exit status: 0 finished, 2 wrong input, 130 interrupted, 1 some trials failed.

    Args:
        argv: the command line, without the command's name; that of the process.
    """
    began = time.perf_counter()
    arguments = parser().parse_args(argv)

    def search(events: "Events | None") -> int:
        studies = _requested(arguments)
        if arguments.dry_run:
            problems = [problem for study in studies for problem in _dry_run(study)]
            if problems:
                raise InputError("\n".join(["the study could not start:", *(f"  {problem}" for problem in problems)]))
            return 0
        return _search(studies, began if arguments.profile else None, events)

    if not arguments.json:
        return reported(lambda: search(None), CONTINUES)
    from tune_seg.study.output.events import reported_in_events

    return reported_in_events(search)


@dataclass(frozen=True)
class _Request:
    """A study that the command line asks for, and the data set of a published table that it is on, if it names one."""

    config: "StudyConfig"
    directory: Path
    dataset: str | None


def _requested(arguments: argparse.Namespace) -> list[_Request]:
    """The studies that the command line asks for: one, or one for every `--data NAME=ROOT`."""
    from tune_seg.study.configuration import load_config, read_values, split_data

    preset = arguments.config
    named = {"name": arguments.study, "studies": arguments.studies}
    directory_of(preset, **named)  # a wrong name is said before a file is read
    datasets = read_values(preset).get("datasets", {})
    sets = [split_data(data, datasets)[0] for data in arguments.data]
    if len(sets) > 1 and (None in sets or len(set(sets)) < len(sets)):
        raise InputError(
            f"--data {' '.join(arguments.data)}: give one ROOT, or NAME=ROOT once for each data set of a table; "
            + (f"those of {preset} are {', '.join(datasets)}" if datasets else f"{preset} has no named data sets")
        )
    overrides = _overrides(arguments)
    requests = []
    for data, dataset in zip(arguments.data or [None], sets or [None], strict=True):
        config = load_config(preset, data=data, overrides=overrides)
        if arguments.like is not None:
            from tune_seg.study.like import like_study

            config = like_study(config, existing_study(arguments.like, arguments.studies or STUDIES))
        requests.append(_Request(config, directory_of(preset, **named, dataset=dataset), dataset))
    return requests


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The values that options set, by dotted key; those of `--set` come last, in their order."""
    from tune_seg.study.configuration import parse_assignment

    values = {
        key: getattr(arguments, option)
        for option, keys in _OPTIONS.items()
        for key in keys
        if getattr(arguments, option) is not None
    }
    for key, value in map(parse_assignment, arguments.set):
        values.pop(key, None)
        values[key] = value
    if arguments.hours is not None and "search.trials" not in values:
        values["search.trials"] = _AS_MANY_AS_TIME
    return values


def _dry_run(study: _Request) -> list[str]:
    """Print what would run and what a look at the images shows; why it could not."""
    import yaml

    from tune_seg.study.disk import disk_need, models_of
    from tune_seg.study.model_check import largest_model
    from tune_seg.study.plan import plan_study
    from tune_seg.study.reuse import computed_once
    from tune_seg.study.samplers.build import sample_trials

    config = study.config
    plan = plan_study(config, study.directory, quick=True)
    print(plan)
    if config.data.root is None and config.data.format is None:
        print("the images are generated; give yours with --data ROOT")
    print(f"\n# configuration\n{yaml.safe_dump(config.model_dump(mode='json', exclude={'space'}), sort_keys=False)}")
    print("# five sampled trials")
    for assignment in sample_trials(config, plan.space, 5):
        print(f"{config.trial(assignment).loss_name}: {assignment}")
    need = disk_need(plan, largest_model(models_of(plan), plan.dataset.channels))
    known = [config.trial(assignment) for assignment in plan.planned if plan.space.is_complete(assignment)]
    if known:
        epochs, steps = computed_once(known, config.data.size, plan.train_images)
        whole = sum(trial.training.epochs for trial in known)
        print(f"\n# computed once where trials have them in common: {epochs} of {whole} epochs remain, {steps} steps")
    print(f"\n# the disk\n{need.line}")
    of_disk = [problem] if (problem := need.problem) and config.search.hours is None else []
    return of_disk if config.data.root is None else [*of_disk, *_look(study, plan)]


def _look(study: _Request, plan: "Plan") -> list[str]:
    from tune_seg.data.inspect import inspect
    from tune_seg.data.reading import detect_format

    data = study.config.data
    print(f"\n# the data: {data.root}, format {detect_format(data)}{' (detected)' * (data.format is None)}")
    found = inspect(plan.dataset, plan.test, data.size, study.directory.parent / PACKS)
    print("\n".join(found.lines))
    return found.problems


def _search(studies: Sequence[_Request], profile_from: float | None, events: "Events | None") -> int:
    """Run the studies one after the other. Wrong images or models of one do not stop the others."""
    from tune_seg.study.output.messages import study_console
    from tune_seg.study.output.results import check_same_study
    from tune_seg.study.output.say import waiting
    from tune_seg.study.plan import plan_study
    from tune_seg.study.run import Outcome, run_study

    console = study_console()
    status, ended = 0, []
    with waiting(console, "the images are listed"):
        plans = [plan_study(study.config, study.directory) for study in studies]
    for plan in plans:
        check_same_study(plan.config, plan.directory / CONFIGURATION)
    for study, plan in zip(studies, plans, strict=True):
        try:
            outcome = run_study(plan, console, profile_from=profile_from, events=events)
        except InputError as error:
            where = f"{study.directory.name}: " if len(studies) > 1 else ""
            print(f"error: {where}{error}", file=sys.stderr)
            status = 2
            continue
        if outcome is Outcome.INTERRUPTED:
            return outcome.value
        status = max(status, outcome.value)
        ended.append(study)
        profile_from = None if profile_from is None else time.perf_counter()
    for study in ended:
        if study.config.paper is not None:
            _compare(study)
    return status


def _compare(study: _Request) -> None:
    from tune_seg.compare import print_comparison
    from tune_seg.study.papers.comparison import load_study

    print()
    try:
        print_comparison(load_study(study.directory), dataset=study.dataset)
    except InputError as error:
        print(f"Not shown beside the paper, see tune-seg compare --help: {error}")


def _gpus(text: str) -> float | str:
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; allowed: a number or auto") from None


def parser() -> Parser:
    """The command line of `tune-seg search`."""
    parser = Parser(
        prog="tune-seg search",
        description="Search for the loss that serves your data. The same command again continues a study.",
        epilog=f"{examples_and_presets()}\n\ndocs/configuration.md has every key that --set takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config", nargs="?", default=DEFAULT, metavar="CONFIG", help="a YAML file or a preset's name (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]ROOT",
        help="the folder with the images, whose layout is detected; NAME=ROOT for each data set of a published table",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="how many trials the study has")
    parser.add_argument(
        "--hours", type=float, metavar="H", help="end after H hours; without --trials as many trials as they allow"
    )
    parser.add_argument(
        "--like", metavar="STUDY", help="try what won in another study first: its name in --studies DIR, or its folder"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="how many epochs a trial has that runs to its end")
    parser.add_argument("--study", metavar="NAME", help="the name of the study (default: that of CONFIG)")
    parser.add_argument(
        "--studies",
        type=Path,
        metavar="DIR",
        help=f"the folder of the studies (default: {STUDIES})",
    )
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="set any key of the configuration")
    parser.add_argument("--cpus-per-trial", type=int, metavar="N", help="CPU cores, and threads, of a trial")
    parser.add_argument(
        "--gpus-per-trial",
        type=_gpus,
        metavar="N|auto",
        help="GPUs of a trial (default: one where there are any); "
        "a fraction lets trials share one, auto measures how many train fastest together",
    )
    parser.add_argument("--max-concurrent", type=int, metavar="N", help="run at most N trials at once")
    parser.add_argument("--address", metavar="HOST:PORT", help="a running Ray cluster, or auto (default: this machine)")
    parser.add_argument(
        "--store", metavar="DIR|URI", help="where checkpoints are kept (default: store in the folder of the studies)"
    )
    parser.add_argument(
        "--store-gb", type=float, metavar="N", help="gigabytes of checkpoints that are kept (default: 20); 0: none"
    )
    parser.add_argument("--mlflow-uri", metavar="URI", help="an MLflow server (default: a file in the folder of the study)")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--dry-run", action="store_true", help="look at the images, print what would run, write nothing")
    either.add_argument("--json", action="store_true", help="tell how the study runs in JSON, one object a line")
    parser.add_argument("--profile", action="store_true", help="print at the end where the time went")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
