"""The search command: `python -m tune_seg.search [CONFIG.yaml] [--data ROOT] [--set key=value ...] ...`.

A preset of a published table names the data sets of that table under `datasets`, with what each of them sets. `--data
NAME=ROOT`, once for each, runs a study of each and prints it beside the paper.
"""

import argparse
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tune_seg import IMPORTED
from tune_seg._package import PACKAGE
from tune_seg.config import StudyConfig, fields_of, parse
from tune_seg.config.keys import flatten, set_key, split_key
from tune_seg.errors import InputError
from tune_seg.study.papers.tables import load_table

_DEFAULT = "default"
_NAME = r"\w[\w. -]*"
"""What a study, which is a folder, may be called."""


def main(argv: Sequence[str] | None = None, began: float | None = None) -> int:
    """Run the search command; the exit status: 0 finished, 2 wrong input, 130 interrupted, 1 some trials failed.

    Args:
        argv: the command line, without the command's name; that of the process.
        began: when the command began, by :func:`time.perf_counter`; now.
    """
    began = time.perf_counter() if began is None else began
    arguments = _parser().parse_args(argv)
    try:
        studies = _asked(arguments)
        if arguments.dry_run:
            for asked in studies:
                _dry_run(asked)
            return 0
        return _search(studies, profile_from=began if arguments.profile else None)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130


@dataclass(frozen=True)
class _Asked:
    """A study that the command line asks for, and which data set of its table it is on, where that is said."""

    config: StudyConfig
    directory: Path
    dataset: str | None


def _asked(arguments: argparse.Namespace) -> list[_Asked]:
    """The studies that the command line asks for: one, or one for every `--data NAME=ROOT`."""
    preset = arguments.config or _DEFAULT
    name = arguments.study or Path(preset).stem
    if not re.fullmatch(_NAME, name) or name in ("packs", "store"):
        raise InputError(f"--study {name}: a name is letters, digits, dots, spaces, - and _, and not packs or store")
    datasets = _read(preset).get("datasets", {})
    named = [_named([data], datasets)[0] for data in arguments.data]
    if len(named) > 1 and (None in named or len(set(named)) < len(named)):
        raise InputError(
            f"--data {' '.join(arguments.data)}: give one ROOT, or NAME=ROOT once for each data set of a table; those of "
            f"{preset} are {', '.join(datasets) or 'not named'}"
        )
    asked = []
    for index, dataset in enumerate(named or [None]):
        config = load_config(argparse.Namespace(**{**vars(arguments), "data": arguments.data[index : index + 1]}))
        directory = arguments.studies.absolute() / (name if dataset is None else f"{name}_{dataset.casefold()}")
        asked.append(_Asked(config, directory, dataset))
    return asked


def _named(data: Sequence[str], datasets: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What `--data` says: the name of one of `datasets`, where it names one, and the root."""
    if not data:
        return None, None
    name, equals, root = data[0].partition("=")
    known = next((dataset for dataset in datasets if dataset.casefold() == name.casefold()), None)
    if equals and known:
        return known, root
    if equals and datasets and "/" not in name and not Path(data[0]).exists():
        raise InputError(f"--data {data[0]}: no data set {name}; those of the table are {', '.join(datasets)}")
    return None, data[0]


def load_config(arguments: argparse.Namespace) -> StudyConfig:
    """The configuration that the command line describes: a file or a preset, what a data set sets, what options override.

    Raises:
        InputError: a file that is missing or not YAML, an unknown key, an impossible value.
    """
    values = _read(arguments.config or _DEFAULT)
    datasets = values.pop("datasets", {})
    dataset, root = _named(arguments.data, datasets)
    if root is not None and values.get("data", {}).get("format") == "synthetic":
        del values["data"]["format"]  # the preset's generated images give way to the user's own
    options = {
        "data.root": root,
        "search.trials": arguments.trials,
        "training.epochs": arguments.epochs,
        "training.threads": arguments.cpus_per_trial,
        "compute.cpus_per_trial": arguments.cpus_per_trial,
        "compute.gpus_per_trial": arguments.gpus_per_trial,
        "compute.max_concurrent": arguments.max_concurrent,
        "compute.address": arguments.address,
        "compute.store": arguments.store,
        "compute.store_gb": arguments.store_gb,
        "mlflow_uri": arguments.mlflow_uri,
    }
    given: dict[str, Any] = {} if dataset is None else dict(datasets[dataset])
    given |= {key: value for key, value in options.items() if value is not None}
    for assignment in arguments.set:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise InputError(f"--set takes key=value, got {assignment!r}")
        given.pop(key, None)  # the last counts
        given[key] = _yaml(text, f"--set {assignment}: the value")
    for key, value in given.items():
        _override(values, key, value)
    config = parse(StudyConfig, values)
    if config.paper is not None:
        load_table(config.paper)
    _check_rows(config.rows, given.keys() | flatten(given).keys())
    if config.training.threads is None:
        threads = config.training.model_copy(update={"threads": config.compute.cpus_per_trial})
        config = config.model_copy(update={"training": threads})
    return config


def presets() -> dict[str, Path]:
    """The search spaces that come with the package, by name."""
    installed, checkout = PACKAGE / "search_spaces", PACKAGE.parent / "search_spaces"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _read(name: str) -> dict[str, Any]:
    path = Path(name)
    if not path.is_file():
        if name not in presets():
            raise InputError(f"{name}: neither a file nor a preset; the presets are {', '.join(presets())}")
        path = presets()[name]
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text: {error}") from None
    values = _yaml(text, str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected keys such as data, model, training, space; got {type(values).__name__}")
    values = {key: value for key, value in values.items() if value is not None}  # `space:` with nothing below it
    for key, value in values.items():
        if (key == "space" or fields_of(StudyConfig, [key])) and not isinstance(value, dict):
            raise InputError(f"{path}: {key} is a section with keys of its own, got {value!r}")
    for key in ("rows", "datasets"):
        _check_shape(key, values.get(key, {}), str(path))
    for name in values.get("datasets", {}):
        if not re.fullmatch(_NAME, str(name)) or not isinstance(name, str):
            raise InputError(
                f"{path}: datasets.{name}: a name is letters, digits, dots, spaces, - and _, in quotes if a number"
            )
    baselines = values.get("baselines", [])
    if not isinstance(baselines, list) or not all(isinstance(baseline, dict) for baseline in baselines):
        raise InputError(f"{path}: baselines is a list of {{key: value}}, got {baselines!r}")
    return values


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key which stands twice, where PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"the key {key} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _yaml(text: str, what: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{what} is not YAML: {error}") from None


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key of the configuration; a key that is set no longer varies."""
    if key == "rows" or key.startswith("rows."):
        values["rows"] = _rows(values.get("rows", {}), key, value)
        return
    space = values.setdefault("space", {})
    if key.startswith("space."):  # its keys are dotted themselves; null takes one out
        space.pop(key.removeprefix("space."), None)
        if value is not None:
            space[key.removeprefix("space.")] = value
        return
    if isinstance(value, dict) and fields_of(StudyConfig, split_key(key)):
        for part, inner in value.items():
            _override(values, f"{key}.{part}", inner)
        return
    set_key(values, key, value)
    fixed = {key: value, **flatten({key: value})}
    for varied in [varied for varied in space if varied == key or varied.startswith(f"{key}.")]:
        del space[varied]
        now = fixed.get(varied)
        agreeing = [baseline for baseline in values.get("baselines", []) if baseline.get(varied, now) == now]
        values["baselines"] = [{k: v for k, v in baseline.items() if k != varied} for baseline in agreeing]


def _rows(rows: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """`rows` after `key` was set: `rows` to a list keeps these, `rows.NAME` sets or removes one, `rows.NAME.KEY` its key."""

    def known(name: str) -> dict[str, Any]:
        if name not in rows:
            raise InputError(f"--set {key}: no row {name}; the rows are {', '.join(rows) or 'none'}")
        row: dict[str, Any] = rows[name]
        return row

    name, _, inner = key.removeprefix("rows").removeprefix(".").partition(".")
    if inner:
        return {**rows, name: {**known(name), inner: value}}
    if name and value is None:
        known(name)
        return {other: row for other, row in rows.items() if other != name}
    if not name and isinstance(value, list):
        return {entry: known(entry) for entry in value}
    changed = {**rows, name: value} if name else value
    _check_shape("rows", changed, "--set")
    return dict(changed)


def _check_shape(key: str, named: Any, where: str) -> None:
    if not isinstance(named, dict) or not all(isinstance(values, dict) for values in named.values()):
        raise InputError(f"{where}: {key} is {{name: {{key: value}}}}, got {named!r}")


def _check_rows(rows: dict[str, dict[str, Any]], fixed: set[str]) -> None:
    """Refuse a key that is set for the whole study and by a row: the row would not be what its name says."""
    for name, key in ((name, key) for name, row in rows.items() for key in row if key in fixed):
        raise InputError(
            f"{key} cannot be set for all rows, because rows.{name} sets it: leave that row out with "
            f"--set rows.{name}=null, or change it with --set rows.{name}.{key}=VALUE"
        )


def _dry_run(asked: _Asked) -> None:
    from tune_seg.study.plan import plan_study
    from tune_seg.study.reuse import computed_once
    from tune_seg.study.search_space.samplers import sample_trials

    config, directory = asked.config, asked.directory
    plan = plan_study(config, directory)
    print(f"# study {directory}\n{yaml.safe_dump(config.model_dump(mode='json', exclude={'space'}), sort_keys=False)}")
    print(f"# space\n{plan.space}\n\n# five sampled trials")
    for assignment in sample_trials(config, plan.space, 5):
        print(f"{config.trial(assignment).loss_name}: {assignment}")
    trials, planned = config.search.trials, []
    if config.search.sampler == "grid":
        planned = [*config.baselines, *plan.space.enumerate()][:trials]
        trials = len(planned)
    generated = config.data.root is None and config.data.format is None
    images = f" on {plan.train_images} generated images (on yours with --data ROOT)" if generated else ""
    print(
        f"\n# training steps{images}: {plan.steps_per_trial} a trial that runs to its end, "
        f"{plan.steps_per_trial * trials} for {trials} trials without early stopping"
    )
    known = [config.trial(assignment) for assignment in planned if plan.space.is_complete(assignment)]
    if known:
        epochs, steps = computed_once(known, config.data.size, plan.train_images)
        whole = sum(trial.training.epochs for trial in known)
        print(f"# computed once where trials have them in common: {epochs} of {whole} epochs remain, {steps} steps")


def _search(studies: Sequence[_Asked], profile_from: float | None) -> int:
    """Run the studies one after the other. What is wrong with the images or the models of one does not keep the others."""
    from tune_seg.study.output.messages import study_console
    from tune_seg.study.output.results import check_same_study
    from tune_seg.study.plan import plan_study
    from tune_seg.study.run import Outcome, run_study

    console = study_console()
    # a batch system ends a job with SIGTERM: treat it like Ctrl-C, which keeps what was computed
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    status, ended = 0, []
    try:
        plans = [plan_study(asked.config, asked.directory) for asked in studies]
        for plan in plans:
            check_same_study(plan.config, plan.directory / "study.yaml")
        for asked, plan in zip(studies, plans, strict=True):
            try:
                outcome = run_study(plan, console, profile_from=profile_from)
            except InputError as error:
                where = f"{asked.directory.name}: " if len(studies) > 1 else ""
                print(f"error: {where}{error}", file=sys.stderr)
                status = 2
                continue
            if outcome is Outcome.INTERRUPTED:
                return outcome.value
            status = max(status, outcome.value)
            ended.append(asked)
            profile_from = None if profile_from is None else time.perf_counter()
    finally:
        signal.signal(signal.SIGTERM, before)
    for asked in ended:
        if asked.config.paper is not None:
            _compare(asked)
    return status


def _compare(asked: _Asked) -> None:
    from tune_seg.compare import print_comparison
    from tune_seg.study.papers.comparison import load_study

    print()
    try:
        print_comparison(load_study(asked.directory), dataset=asked.dataset)
    except InputError as error:
        print(f"Not shown beside the paper, see python -m tune_seg.compare --help: {error}")


def _gpus(text: str) -> float | str:
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; allowed: a number or auto") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tune_seg.search", description="Search for the loss that serves your data.")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="a YAML file or a preset's name (default: default)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]ROOT",
        help="the folder with the images; its layout is detected. NAME: a data set of a published table, may be repeated",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="how many trials the study has")
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs of a trial that runs to its end")
    parser.add_argument("--study", metavar="NAME", help="name of the study (default: that of CONFIG)")
    parser.add_argument("--studies", type=Path, default=Path("studies"), metavar="DIR", help="where studies are kept")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="set any key of the configuration")
    parser.add_argument("--cpus-per-trial", type=int, metavar="N", help="CPU cores, and threads, of a trial")
    parser.add_argument(
        "--gpus-per-trial", type=_gpus, metavar="N|auto", help="GPUs of a trial; a fraction shares one, auto measures"
    )
    parser.add_argument("--max-concurrent", type=int, metavar="N", help="at most so many trials at once")
    parser.add_argument("--address", metavar="HOST:PORT", help="a running Ray cluster (auto: the one of this machine)")
    parser.add_argument("--store", metavar="DIR|URI", help="where checkpoints are kept (default: DIR/store of --studies)")
    parser.add_argument("--store-gb", type=float, metavar="N", help="gigabytes of checkpoints kept (20); 0 keeps none")
    parser.add_argument("--mlflow-uri", metavar="URI", help="an MLflow server (default: a file in the study directory)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and start nothing")
    parser.add_argument("--profile", action="store_true", help="say at the end where the study's time went")
    return parser


if __name__ == "__main__":
    sys.exit(main(began=IMPORTED))
