"""The compare command: `tune-seg compare STUDY`: a study's rows beside those of the published table.

Every row has its mean and standard deviation (n - 1) over the trials that ran to their end, which differ in seed or fold,
and its rank, 1 for the best. Spearman's rank correlation says how far the order of the study's losses is that of the paper.
"""

import math
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tune_seg._arguments import Parser
from tune_seg._commands import run
from tune_seg._package import STUDIES
from tune_seg.errors import InputError
from tune_seg.study.files import CONFIGURATION
from tune_seg.study.papers.comparison import ComparedRow, FinishedStudy, compared, load_study, rank_correlation, ranked
from tune_seg.study.papers.tables import PaperTable, load_table

if TYPE_CHECKING:
    from rich.table import Table

_COLUMN = 26
"""Characters that the two columns of a metric take, and the others together at most twice as many."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison; the exit status: 0, or 2 for wrong input."""
    arguments = parser().parse_args(argv)
    try:
        study = load_study(_directory(arguments.study, arguments.studies))
        print_comparison(
            study,
            paper=arguments.paper,
            dataset=arguments.dataset,
            variant=arguments.variant,
            metric=arguments.metric,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def print_comparison(
    study: FinishedStudy,
    *,
    paper: str | None = None,
    dataset: str | None = None,
    variant: str | None = None,
    metric: str | None = None,
) -> None:
    """Print the rows of `study` beside those of a published table.

    Args:
        study: the study.
        paper: the table; the study's own.
        dataset: its data set; the one that the study's format tells.
        variant: its model or optimizer; the study's.
        metric: what rows are ranked by; the table's main metric.

    Raises:
        InputError: the table lacks what is asked for, or what is left out cannot be told.
    """
    name = paper or study.config.paper
    if name is None:
        raise InputError(f"{study.directory / CONFIGURATION} names no published table; say with --paper which it is of")
    table = load_table(name)
    found = _dataset(table, study, dataset)
    pairs = _variants(table, study, found, variant)
    metric = metric or table.order
    if metric not in table.metrics:
        raise InputError(f"--metric {metric}: the table has {', '.join(table.metrics)}")
    _print(study, table, found, pairs, metric)


def _directory(study: str, studies: Path) -> Path:
    """The folder of the study that the command line names, by its path or its name."""
    return Path(study) if (Path(study) / CONFIGURATION).is_file() else studies / study


def _dataset(table: PaperTable, study: FinishedStudy, asked: str | None) -> str:
    """The table's data set: the one asked for, else that of the study's format."""
    if asked is not None:
        named = [name for name in table.formats if name.casefold() == asked.casefold()]
        if not named:
            raise InputError(f"--dataset {asked}: the table has {', '.join(table.formats)}")
        return named[0]
    fitting = [name for name, formats in table.formats.items() if study.config.data.format in formats]
    if not fitting:
        raise InputError(
            f"data.format {study.config.data.format} of the study is not a data set of this table; say with --dataset "
            f"which of its data sets to compare with: {', '.join(table.formats)}"
        )
    return fitting[0]


def _variants(table: PaperTable, study: FinishedStudy, dataset: str, asked: str | None) -> list[tuple[str, str]]:
    """The study's values of the key that the table varies, each with the table's that it is compared with."""
    key, names = table.variants.key, table.variants.names
    here, there = study.values(key), list(table.figures[dataset])
    if asked is not None:
        there = [value for value in there if asked.casefold() in (value.casefold(), names[value].casefold())]
        if not there:
            raise InputError(f"--variant {asked}: {key} of the table is {', '.join(table.figures[dataset])}")
    pairs = [(mine, theirs) for mine in here for theirs in there if mine.casefold() == theirs.casefold()]
    if pairs:
        return pairs
    if len(here) == len(there) == 1:
        return [(here[0], there[0])]
    raise InputError(
        f"{key} of the study is {', '.join(here)}, of the table {', '.join(there)}; choose one of the "
        f"table's with --variant, which works only if the study has a single {key}"
    )


def _print(study: FinishedStudy, table: PaperTable, dataset: str, pairs: Sequence[tuple[str, str]], metric: str) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    needed = _COLUMN * (len(table.metrics) + 2)
    wide = not console.is_terminal or console.width >= needed
    console.width = max(console.width, needed)

    def say(*lines: str) -> None:
        for line in lines:
            console.print(line, soft_wrap=True, markup=False)

    varied = " and ".join(key for key in study.config.space if key != table.variants.key)
    runs = f"mean ± standard deviation (n - 1) over {varied}" if varied else "one run a row"
    say(table.paper, f"{table.table}; {dataset}; {table.what}{', in per cent' if table.percent else ''}")
    say(f"Study {study.directory}, data.format {study.config.data.format}; {runs}")
    for here, paper in pairs:
        rows = compared(study, table, dataset, here, paper)
        title = f"\n{table.variants.names[paper]} ({table.variants.key} {here})"
        console.print(_table(rows, table, metric, title, table.metrics if wide else (metric,)))
        say(*_correlations(rows, table), *_lacking(rows, table, dataset, paper))
    say("", *_variants_lacking(study, table, dataset, pairs), *_unfinished(study))
    if not wide:
        say(f"A terminal of {needed} characters, or a file, shows {', '.join(table.metrics)}.")
    say(*(f"{row} is not ranked: {why}." for row, why in table.unranked.items() if row in study.config.rows))
    say(*(f"Of the paper's figures: {doubt}" for doubt in table.doubts))


def _table(rows: Sequence[ComparedRow], table: PaperTable, metric: str, title: str, metrics: Sequence[str]) -> "Table":
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    shown.add_column("row", no_wrap=True)
    shown.add_column("runs", justify="right", no_wrap=True)
    for name in (*metrics, f"rank by {metric}"):
        shown.add_column(f"{name}\npaper", justify="right", no_wrap=True)
        shown.add_column("\nhere", justify="right", no_wrap=True)
    ranks = ranked(rows, table, metric)
    for row in rows:
        figures = [
            cell
            for name in metrics
            for cell in (_cell(row.paper[name], table.percent, 2), _cell(row.here[name], table.percent, 3 - table.percent))
        ]
        places = [f"{rank:g}" for rank in ranks[row.name]] if row.name in ranks else ["-", "-"]
        runs = str(row.runs) if row.planned is None else f"{row.runs}/{row.planned}"
        shown.add_row(row.name, runs, *figures, *places)
    return shown


def _cell(values: Sequence[float], percent: bool, digits: int) -> str:
    if not values:
        return "-"
    scale = 100.0 if percent else 1.0
    mean = f"{scale * statistics.fmean(values):.{digits}f}"
    if len(values) == 1 or not all(map(math.isfinite, values)):
        return mean
    return f"{mean} ±{scale * statistics.stdev(values):.{digits}f}"


def _correlations(rows: Sequence[ComparedRow], table: PaperTable) -> list[str]:
    lines = []
    for metric in table.metrics:
        ranks = ranked(rows, table, metric)
        found = rank_correlation([paper for paper, _ in ranks.values()], [here for _, here in ranks.values()])
        if math.isnan(found.rho):
            why = "all equal on one side" if found.n > 1 else "too few"
            lines.append(f"{metric}: no rank correlation of {found.n} rows ({why})")
        else:
            how = f"of all {math.factorial(found.n)} orders" if found.exact else "t distribution"
            lines.append(f"{metric}: Spearman's rho {found.rho:+.3f}, n {found.n} rows, p {found.p:.3g} ({how})")
    return lines


def _lacking(rows: Sequence[ComparedRow], table: PaperTable, dataset: str, paper: str) -> list[str]:
    printed = table.figures[dataset][paper]
    shown = {table.printed(row.name): row.name for row in rows}
    missing = [name for name in printed if name not in shown]
    own = [row.name for row in rows if table.printed(row.name) not in printed]
    beside = [row.name for row in rows if row.name in table.beside and table.printed(row.name) in printed]
    return [
        *([f"In the paper and not in the study: {', '.join(missing)}"] if missing else []),
        *([f"In the study and not in the paper: {', '.join(own)}"] if own else []),
        *(f"{name} is shown beside the row that the paper prints as {table.printed(name)}" for name in beside),
    ]


def _variants_lacking(study: FinishedStudy, table: PaperTable, dataset: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    key = table.variants.key
    missing = [value for value in table.figures[dataset] if value not in [paper for _, paper in pairs]]
    own = [value for value in study.values(key) if value not in [here for here, _ in pairs]]
    return [
        *([f"In the paper and not in the study: {key} {', '.join(missing)}"] if missing else []),
        *([f"In the study and not compared: {key} {', '.join(own)}"] if own else []),
    ]


def _unfinished(study: FinishedStudy) -> list[str]:
    states = Counter(trial["state"] for trial in study.trials if trial["state"] != "completed")
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    return [f"Trials that are left out, because they did not run to their end: {counted}"] if counted else []


def parser() -> Parser:
    """The command line of `tune-seg compare`."""
    parser = Parser(prog="tune-seg compare", description="Print the rows of a study beside those of a published table.")
    parser.add_argument("study", metavar="STUDY", help="the name of a study, or its folder")
    parser.add_argument("--paper", metavar="TABLE", help="the table, such as taubert_table1 (default: the study's own)")
    parser.add_argument("--dataset", metavar="NAME", help="its data set (default: the one that data.format tells)")
    parser.add_argument("--variant", metavar="NAME", help="its model or optimizer, for a study that has another one")
    parser.add_argument("--metric", metavar="NAME", help="what rows are ranked by (default: the table's main metric)")
    parser.add_argument(
        "--studies", type=Path, default=STUDIES, metavar="DIR", help="where studies are kept (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
