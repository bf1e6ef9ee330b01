"""Draw docs/pictures/report.png: the first screen of the report of a finished study.

Run in the checkout, with Chromium installed::

    tune-seg search
    PYTHONPATH=. .venv/bin/python scripts/report_picture.py studies/default docs/pictures/report.png
"""

import argparse
from pathlib import Path

from tests.support.browser import browser
from tune_seg.study.html.write import write_report

WIDTH, HEIGHT = 1280, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the first screen of the report of a finished study.")
    parser.add_argument("study", type=Path, help="the folder of the study, whose report is written again")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    arguments = parser.parse_args()
    report = write_report(arguments.study.absolute())
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    with browser() as page:
        page.open(report, WIDTH)
        page.screenshot(arguments.picture, HEIGHT)


if __name__ == "__main__":
    main()
