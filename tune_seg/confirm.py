"""The confirm command: `tune-seg confirm STUDY`: train the best configurations of a study with more seeds.

It goes on where the study's own repeats ended, and the same command again goes on where it ended itself. What its options
say is for the session alone; the study keeps its configuration.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tune_seg._arguments import Parser
from tune_seg._commands import CONTINUES, reported, run
from tune_seg.study.files import existing_study

if TYPE_CHECKING:
    from tune_seg.study.output.events import Events

_OPTIONS = {
    "finalists": "search.confirm.finalists",
    "seeds": "search.confirm.max_seeds",
    "margin": "search.confirm.margin",
    "max_concurrent": "compute.max_concurrent",
    "address": "compute.address",
}
"""The options that are short for keys of the configuration."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the confirm command; the exit status is that of `tune-seg search`."""
    arguments = parser().parse_args(argv)
    overrides = {
        key: getattr(arguments, option) for option, key in _OPTIONS.items() if getattr(arguments, option) is not None
    }

    def confirm(events: "Events | None") -> int:
        directory = existing_study(arguments.study, arguments.studies)
        from tune_seg.study.run import confirm_study

        return confirm_study(directory, overrides, arguments.hours, events=events).value

    if not arguments.json:
        return reported(lambda: confirm(None), CONTINUES)
    from tune_seg.study.output.events import reported_in_events

    return reported_in_events(confirm)


def parser() -> Parser:
    """The command line of `tune-seg confirm`."""
    parser = Parser(
        prog="tune-seg confirm",
        description="Train the best configurations of a study and plain cross entropy with more seeds, until they are told "
        "apart. The same command again continues.",
    )
    parser.add_argument("study", metavar="STUDY", help="the study: its name in --studies, or its folder")
    parser.add_studies()
    parser.add_argument("--finalists", type=int, metavar="N", help="configurations beside ce, at most (those of the study)")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds of each configuration, at most (those of the study)")
    parser.add_argument("--margin", type=float, metavar="D", help="a difference that does not matter (that of the study)")
    parser.add_argument("--hours", type=float, metavar="H", help="begin no further seed after so many hours")
    parser.add_argument("--max-concurrent", type=int, metavar="N", help="how many trials run at once, at most")
    parser.add_argument("--address", metavar="HOST:PORT", help="a running Ray cluster (auto: the one of this machine)")
    parser.add_argument("--json", action="store_true", help="tell how the study runs in JSON, one object a line")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
