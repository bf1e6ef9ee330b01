"""The report as a file, read by a Markdown parser as GitHub reads it."""

import io
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from rich.table import Table

from tests.support.reported import answer_of, record, repeats
from tune_seg.config import StudyConfig, parse
from tune_seg.study.output.markdown import as_markdown, write_markdown
from tune_seg.study.output.report import Surroundings, report_blocks
from tune_seg.study.record import State

CLASSES = ("road", "pole", "traffic_light <b>")
MISSES = {"class_recall": [0.9, 0.0, 0.2]}
RECORDS = [
    *repeats("ce", [0.50, 0.51, 0.49], 0, **MISSES),
    *repeats("focal", [0.70, 0.72, 0.69], 20, gamma=1.5, class_recall=[0.8, 0.1, 0.6]),
    record(30, 0.9, end="dual_focal", class_recall=[0.9, 0.9, 0.9]),
    record(31, 0.2, State.PRUNED, epochs=1, end="wce"),
]


def html(text: str) -> str:
    return MarkdownIt("commonmark").enable("table").render(text)


def tables(page: str) -> list[list[list[str]]]:
    """The cells of the rows of the tables of a page, heads included."""
    found = []
    for table in re.findall(r"<table>.*?</table>", page, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        found.append([re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows])
    return found


@pytest.fixture
def page(tmp_path: Path) -> str:
    config, surroundings = parse(StudyConfig, {}), Surroundings(CLASSES)
    path = tmp_path / "my_study" / "report.md"
    path.parent.mkdir()
    path.write_text("an older one")
    write_markdown(path, config, RECORDS, answer_of(RECORDS), surroundings, finished=True)
    assert [file.name for file in path.parent.iterdir()] == ["report.md"]
    return html(path.read_text())


def test_what_the_study_has_found_comes_first(page: str) -> None:
    title, found, *_ = page.splitlines()
    assert title == "<h1>my_study</h1>"
    assert found.startswith("<p><strong>Verdict: focal is better than plain cross entropy in s_rec by 0.2033 [")
    assert "<p>Objective: s_rec. 8 trials have ended.</p>" in page and "not finished" not in page


def test_the_tables_have_every_column_and_every_cell_of_the_report(page: str) -> None:
    wide = Console(width=100_000, file=io.StringIO())
    blocks = list(report_blocks(wide, parse(StudyConfig, {}), RECORDS, answer_of(RECORDS), Surroundings(CLASSES)))
    expected = [block for block in blocks if isinstance(block, Table)]
    found = tables(page)
    assert len(found) == len(expected) >= 2
    for rows, table in zip(found, expected, strict=True):
        assert len(rows) == table.row_count + 1
        for place, column in enumerate(table.columns):
            cells = ["<br />".join(part.strip() for part in str(cell).split("\n")) for cell in column.cells]
            shown = [row[place].replace("&lt;", "<").replace("&gt;", ">").replace("<br>", "<br />") for row in rows[1:]]
            assert shown == cells
    heads = found[0][0]
    assert {"rank", "trial", "loss", "settings", "s_rec", "miou", "temperature/calibration"} <= {*heads}
    assert ["2", "30", "dual_focal", ""] in [row[:4] for row in found[0]] or "dual_focal" in str(found[0])


def test_classes_that_are_missed_are_a_list_and_no_name_is_markup(page: str) -> None:
    assert "<li>traffic_light &lt;b&gt;, recall 0.200, focal 0.600: found by" in page
    assert "<b>" not in page and page.count("<ul>") == 1


def test_a_study_that_was_stopped_says_so(tmp_path: Path) -> None:
    records = [record(0, 0.5, State.RUNNING, epochs=1)]
    write_markdown(tmp_path / "report.md", parse(StudyConfig, {}), records, None, Surroundings(CLASSES), finished=False)
    page = html((tmp_path / "report.md").read_text())
    assert "0 trials have ended. The study is not finished: run the same command again to continue it." in page
    assert "No trial ran to its end." in page and len(tables(page)) == 1


def test_a_study_without_a_trial_has_a_report(tmp_path: Path) -> None:
    write_markdown(tmp_path / "report.md", parse(StudyConfig, {}), [], None, Surroundings(CLASSES), finished=False)
    assert "No trial has begun." in (tmp_path / "report.md").read_text()


def test_what_means_something_in_markdown_is_a_character_in_a_report() -> None:
    odd = "a|b *c* _d_ `e` [f](g) <h> \\ ~~i~~ & j"
    table = Table(title=odd)
    table.add_column(odd)
    table.add_row(odd)
    page = html(as_markdown([odd, f"  {odd}", table]))
    plain = odd.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert page.count(plain) == 5
