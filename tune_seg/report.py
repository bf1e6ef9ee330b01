"""The report command: `tune-seg report STUDY`: what a study found, as one HTML file."""

import sys
from collections.abc import Sequence

from tune_seg._arguments import Parser
from tune_seg._commands import reported, run
from tune_seg.study.files import existing_study


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; the exit status: 0, 2 for wrong input, 130 after Ctrl-C."""
    arguments = parser().parse_args(argv)

    def written() -> int:
        from tune_seg.study.html.write import write_report

        print(write_report(existing_study(arguments.study, arguments.studies)))
        return 0

    return reported(written)


def parser() -> Parser:
    """The command line of `tune-seg report`."""
    parser = Parser(
        prog="tune-seg report",
        description="Write report.html into the folder of a study: the answer, how sure it is, images, and all that was "
        "tried. It needs no network. The study may still be running; when it ends it writes the report itself.",
    )
    parser.add_argument("study", metavar="STUDY", help="the study: its name in --studies, or its folder")
    parser.add_studies()
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
