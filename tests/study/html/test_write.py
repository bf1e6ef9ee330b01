"""The report of a study as a person sees it, and what it says where something is gone."""

import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
import yaml

from tests.support.browser import CHROMIUM, browser
from tune_seg.errors import InputError
from tune_seg.study.contents import StudyContents, read_study
from tune_seg.study.figures.plots import Plots
from tune_seg.study.figures.style import NothingToShow
from tune_seg.study.files import CONFIGURATION, ENSEMBLE, JOURNAL, MODELS, PACKS, REPORT, UNSCORED
from tune_seg.study.html.write import write_page, write_report
from tune_seg.study.output.command_lines import command
from tune_seg.study.output.next_step import next_lines
from tune_seg.study.output.report import training_cost
from tune_seg.study.output.sentence import Cost, verdict_text
from tune_seg.study.prepare import locked

CHARTS = [name for name in vars(Plots) if not name.startswith("_")]


@pytest.fixture(scope="module")
def written(rows_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a copy of a finished study, whose packs lie beside it."""
    folder = tmp_path_factory.mktemp("written")
    for name in ("rows", PACKS):
        shutil.copytree(rows_study.parent / "studies" / name, folder / name)
    return write_report(folder / "rows")


@pytest.fixture
def study(rows_study: Path, tmp_path: Path) -> Path:
    """A copy of a finished study, with the packs that lie beside it."""
    studies = rows_study.parent / "studies"
    for name in ("rows", PACKS):
        shutil.copytree(studies / name, tmp_path / name)
    return tmp_path / "rows"


def shown(file: Path) -> dict[str, str]:
    """The text of each section of a report, without its charts and tags, by the id of its heading."""
    page = file.read_text(encoding="utf-8")
    body = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL).partition("<main")[2]
    sections = re.split(r'id="(?=[a-z]+">)', body)[1:]
    return {part.partition('"')[0]: unescape(re.sub(r"<[^>]+>", " ", part.partition(">")[2])) for part in sections}


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (1920, False), (1920, True)])
def test_a_person_sees_all_of_it_without_a_network(written: Path, width: int, dark: bool) -> None:
    contents = read_study(written.parent)
    drawn = [name for name in CHARTS if not _is_empty(contents, name)]
    assert contents.answer is not None and {"forest", "curves", "class_recall"} <= {*drawn}
    with browser() as page:
        page.open(written, width, dark=dark)
        assert page.problems == []
        assert page.requests == [written.as_uri()]
        text = page.run("document.body.innerText")
        assert (
            verdict_text(contents.answer, contents.config.objectives, 0.01, Cost(None)).plain.partition("Verdict: ")[2]
            in text
        )
        # what is drawn, and where it ends
        charts = page.run(
            "[...document.querySelectorAll('figure .js-plotly-plot')].map(e => e.querySelectorAll('svg').length)"
        )
        assert len(charts) == len(drawn) and all(charts)
        pictures = page.run("[...document.images].map(e => e.naturalWidth * (e.alt ? 1 : 0))")
        assert len(pictures) % 6 == 0 and len(pictures) > 0 and all(pictures)
        cells = page.run("[...document.querySelectorAll('table')].map(e => [e.caption.innerText, e.tBodies[0].rows.length])")
        assert len(cells) >= 2 and all(caption and rows for caption, rows in cells)
        root = "document.documentElement"
        assert page.run(f"{root}.scrollWidth <= {root}.clientWidth")
        assert page.run("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")
        wide = (
            "[...document.querySelectorAll('main svg.main-svg')].every(e => e.getBoundingClientRect().right <= innerWidth)"
        )
        assert page.run(wide)
        ground = page.run("getComputedStyle(document.body).backgroundColor")
        ink = page.run("getComputedStyle(document.querySelector('.xtick text')).fill")
        assert (ground == "rgb(255, 255, 255)") is not dark
        assert (sum(map(int, re.findall(r"\d+", ink))) > 3 * 128) is dark  # the text of charts follows the ground
        links = page.run("[...document.querySelectorAll('nav a')].map(e => document.querySelector(e.hash) !== null)")
        assert len(links) > 10 and all(links)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_on_paper_no_chart_is_wider_than_the_page(written: Path, tmp_path: Path) -> None:
    widths = "[...document.querySelectorAll('.js-plotly-plot .main-svg')].map(e => e.getBoundingClientRect().width)"
    with browser() as page:
        page.open(written, 1920)
        on_screen = page.run(widths)
        page.run(f"addEventListener('beforeprint', () => {{ window.printed = {widths} }})")
        page.print(tmp_path / "report.pdf")
        assert page.problems == []
        assert len(page.run("printed")) == len(on_screen) and set(page.run("printed")) == {700}
        assert page.run(f"new Promise(done => setTimeout(() => done({widths}), 500))") == on_screen


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_the_keyboard_reaches_every_link_and_table_and_one_sees_where_it_is(written: Path) -> None:
    focused = (
        "(e => [e.tagName, getComputedStyle(e).outlineStyle, e.getBoundingClientRect().left >= 0])(document.activeElement)"
    )
    with browser() as page:
        page.open(written, 1280)
        reachable = page.run("document.querySelectorAll('a[href], [tabindex=\"0\"]').length")
        assert reachable > 15
        for _ in range(reachable):
            page.press("Tab")
            tag, outline, inside = page.run(focused)
            assert tag in ("A", "DIV") and outline == "solid" and inside
        page.press("Tab")
        assert page.run("document.activeElement.tagName") == "BODY"


def _is_empty(contents: StudyContents, name: str) -> bool:
    try:
        getattr(Plots(contents), name)()
    except NothingToShow:
        return True
    return False


def test_the_top_says_the_verdict_and_what_to_do_next(written: Path) -> None:
    top = shown(written)["answer"]
    contents = read_study(written.parent)
    assert contents.answer is not None
    sentence = verdict_text(contents.answer, contents.config.objectives, 0.01, Cost(None)).plain
    assert sentence in top
    assert f"{command()} search loss_schedule --data ROOT" in top  # this study is undecided: there is no winner to use


def without_blanks(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_what_to_type_next_is_what_the_terminal_says(study: Path) -> None:
    asked = {"search.confirm.margin": 0.05}  # with which it takes more seeds to decide
    contents = read_study(study, asked, 2)
    top = without_blanks(shown(write_page(contents, NothingToShow("none")))["answer"])
    cost = training_cost(contents.records, 2)
    lines = [*next_lines(contents.config, study, contents.records, contents.answer, cost, asked=asked)]
    assert "--margin 0.05 --seeds " in lines[0] and ", about " in lines[0]
    assert all(without_blanks(line) in top for line in lines)


def test_what_was_scored_afterwards_and_what_was_not_is_said(study: Path) -> None:
    answer = read_study(study).answer
    assert answer is not None
    metrics = {"mdice": 0.4321, "temperature/mdice": 0.4567}
    (study / ENSEMBLE).write_text(
        json.dumps({"configuration": answer.reference, "trials": [0, 1, 2], "metrics": metrics}), encoding="utf-8"
    )
    (study / UNSCORED).write_text(json.dumps({"unopened": True, "problem": "no room for a model"}), encoding="utf-8")
    sections = shown(write_report(study))
    assert "The test split stays unopened until there is a decision." in sections["answer"]
    assert "Warning: no room for a model." in sections["answer"]
    assert re.search(
        r"plain cross entropy, mean output of its seeds\s+3\s+0\.4321\s+0\.4567", " ".join(sections["ranking"].split())
    )


def test_plain_cross_entropy_has_one_name(written: Path) -> None:
    sections = shown(written)
    page = " ".join(sections.values())
    assert "plain ce" not in page and not re.search(r"\bminus ce\b", page)
    assert re.search(r"\d+\. plain cross entropy\b", sections["ranking"])


def test_of_several_objectives_none_is_recommended(study: Path) -> None:
    settings = yaml.safe_load((study / CONFIGURATION).read_text(encoding="utf-8"))
    (study / CONFIGURATION).write_text(yaml.safe_dump({**settings, "objective": ["mdice", "recall"]}), encoding="utf-8")
    contents = read_study(study)
    assert contents.answer is not None and contents.answer.front
    sections = shown(write_report(study))
    assert "Probability to be on the Pareto front, over seeds and images:" in sections["answer"]
    assert "The marked row is the one to take" not in sections["ranking"] and "(front)" in sections["ranking"]
    assert "none is recommended" in sections["path"] and "none is recommended" in sections["images"]


def test_a_section_without_data_says_why(written: Path) -> None:
    sections = shown(written)
    assert "The study has one objective, mdice; a front needs two." in sections["pareto"]
    assert "below 20 an importance would be chance" in sections["importance"]


def test_images_name_the_class_and_what_each_model_finds(written: Path) -> None:
    text = shown(written)["images"]
    assert re.search(r"Class [\w ]+, [\d.]+ % of the training pixels", text)
    found = re.findall(r"Image \d+: of (\d+) pixels of [\w ]+, plain cross entropy finds (\d+), .* (\d+)\s*\n", text)
    assert 1 <= len(found) <= 3
    apart = [abs(int(ce) - int(other)) for _, ce, other in found]
    assert apart == sorted(apart, reverse=True) and apart[-1] > 0
    assert all(max(int(ce), int(other)) <= int(there) for there, ce, other in found)


def test_without_the_models_the_images_are_left_out_in_a_sentence(study: Path) -> None:
    shutil.rmtree(study / MODELS)
    assert "No images are shown, as the models cannot be read" in shown(write_report(study))["images"]


def test_without_the_pack_no_verdict_is_claimed(study: Path) -> None:
    write_report(study)
    before = (study / REPORT).read_bytes()
    shutil.rmtree(study.parent / PACKS)
    with pytest.raises(InputError, match=r"report\.html: stays as it is: the packed images are gone"):
        write_report(study)
    assert (study / REPORT).read_bytes() == before
    (study / REPORT).unlink()
    sections = shown(write_report(study))
    assert "The verdict cannot be drawn again." in sections["answer"] and "packed data cannot be read" in sections["answer"]
    assert " better " not in sections["answer"] and "Not decided" not in sections["answer"]
    assert "packed data are gone" in sections["images"]
    assert "1. " in sections["ranking"]  # the scores are in the journal


def test_a_running_study_is_read_and_left_as_it_is(study: Path) -> None:
    journal = study / JOURNAL
    before = journal.read_bytes()
    torn = before + before[: len(before.splitlines()[0]) // 2]  # a line that is being written
    journal.write_bytes(torn)
    with locked(study):  # another process holds it
        write_report(study)
    assert journal.read_bytes() == torn
    assert len(read_study(study).records) == 10


def test_a_study_that_ends_leaves_its_report(rows_study: Path) -> None:
    sections = shown(rows_study.parent / "studies" / "rows" / REPORT)
    assert "Verdict: " in sections["answer"]
    assert re.search(r"Image \d+: of", sections["images"])


def test_what_is_no_study_is_said(tmp_path: Path, study: Path) -> None:
    with pytest.raises(InputError, match=r"missing/study\.yaml"):
        write_report(tmp_path / "missing")
    (study / JOURNAL).unlink()
    with pytest.raises(InputError, match=r"trials\.journal cannot be read"):
        write_report(study)
    assert (study / CONFIGURATION).is_file()


def test_a_report_that_cannot_be_written_is_said(study: Path) -> None:
    (study / REPORT).unlink(missing_ok=True)
    (study / REPORT).mkdir()
    with pytest.raises(InputError, match=r"report\.html: cannot be written"):
        write_report(study)
