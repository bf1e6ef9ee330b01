"""A journal that version 0.1 has written, or another version whose results have other names: named, and left alone."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.epoch_results import result
from tests.support.records import asked, open_records, run_to_the_end
from tune_seg.errors import InputError

WRITTEN = Path(__file__).parent / "files" / "journal_of_version_0_1.jsonl"
"""Of two trials of two epochs, by the search command of version 0.1; only the folder of the store was shortened."""

SENTENCE = (
    r"^{path}: it was written by another version of tune_seg, whose scores mean something else or are called "
    r"differently \(.*\); begin a new study under another name \(--study NAME, or Study\(..., name=NAME\)\)$"
)


def test_a_journal_of_version_0_1_is_refused_in_one_sentence_and_stays_as_it_is(tmp_path: Path) -> None:
    journal = tmp_path / "trials.journal"
    shutil.copy(WRITTEN, journal)
    with pytest.raises(InputError, match=SENTENCE.format(path=journal)):
        open_records(tmp_path)
    assert journal.read_bytes() == WRITTEN.read_bytes()


@pytest.mark.parametrize("name", sorted(result(1).to_json()))
def test_a_journal_whose_results_lack_something_is_refused(tmp_path: Path, name: str) -> None:
    records = open_records(tmp_path)
    run_to_the_end(records, asked(records), 0.5)
    journal = tmp_path / "trials.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        for epoch in line.get("user_attr", {}).get("outcome", {}).get("history", ()):
            del epoch[name]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(InputError, match=SENTENCE.format(path=journal)):
        open_records(tmp_path)
