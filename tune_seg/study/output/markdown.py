"""The report as a file: the tables and the verdict in GitHub-flavoured Markdown."""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tune_seg._whole_file import whole_file
from tune_seg.config import StudyConfig
from tune_seg.study.confirmation import Answer
from tune_seg.study.output.report import Block, Surroundings, report_blocks
from tune_seg.study.output.words import counted
from tune_seg.study.record import Record

_WIDE = 100_000
"""Characters of a line, so that no column is left out."""
_SPECIAL = re.compile(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_]))")
"""What means something in Markdown; not the underscore in a name, such as `s_rec`."""


def write_markdown(
    path: Path,
    config: StudyConfig,
    records: Sequence[Record],
    answer: Answer | None,
    surroundings: Surroundings,
    *,
    finished: bool,
) -> None:
    """Write the report, in place of an older one, which stays whole until the new one is.

    Args:
        path: the file to write, in the folder of the study.
        config: the study.
        records: its trials.
        answer: what the repeats say; None: there are too few.
        surroundings: what else the report needs.
        finished: whether every trial has ended.

    Raises:
        OSError: it cannot be written.
    """
    ended = sum(record.state.ended for record in records)
    lines = [
        f"Objective: {', '.join(config.objectives)}. {counted(ended, 'trial')} {'has' if ended == 1 else 'have'} ended."
    ]
    if not finished:
        lines.append("The study is not finished: run the same command again to continue it.")
    console = Console(width=_WIDE, file=io.StringIO())
    blocks = [" ".join(lines), *report_blocks(console, config, records, answer, surroundings)]
    with whole_file(path) as partial:
        partial.write_text(f"# {escaped(path.parent.name)}\n\n{as_markdown(blocks)}", encoding="utf-8")


def as_markdown(blocks: Iterable[Block]) -> str:
    """The parts of a report, what the study has found first; lines that are indented become a list."""
    ordered = sorted(blocks, key=lambda block: not isinstance(block, Text))
    text, in_list = "", False
    for block in ordered:
        if isinstance(block, Table):
            text += f"\n{_table(block)}\n"
        elif isinstance(block, Text):
            text += f"**{escaped(block.plain)}**\n"
        elif block.startswith("  "):
            text += f"{'' if in_list else chr(10)}- {escaped(block.strip())}\n"
        else:
            text += f"\n{escaped(block)}\n"
        in_list = isinstance(block, str) and block.startswith("  ")
    return text.lstrip("\n")


def _table(table: Table) -> str:
    heads = [escaped(_one_line(str(column.header))) for column in table.columns]
    rules = ["---:" if column.justify == "right" else "---" for column in table.columns]
    rows = zip(*([_cell(str(cell)) for cell in column.cells] for column in table.columns), strict=True)
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows)]
    title = [f"### {escaped(str(table.title))}", ""] if table.title else []
    caption = ["", escaped(str(table.caption))] if table.caption else []
    return "\n".join([*title, *lines, *caption])


def _one_line(head: str) -> str:
    """A head of a column without its breaks: `temperature/`, `s_rec` is one name, `tempera-`, `ture` one word."""
    return re.sub(r"(?<=/)\n", "", head.replace("-\n", "")).replace("\n", " ")


def _cell(text: str) -> str:
    return "<br>".join(escaped(line.strip()) for line in text.split("\n"))


def escaped(text: str) -> str:
    """A text in which nothing is Markdown: `*`, `_` and `|` are in the names of losses."""
    return _SPECIAL.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
