"""The ui command: `tune-seg ui STUDY`: open MLflow's UI at the trials of a study, best first."""

import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from tune_seg._arguments import Parser
from tune_seg._commands import reported, run
from tune_seg.study.files import existing_study

_PORT = 5000


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the UI until Ctrl-C; the exit status: 0, 2 for wrong input, 1 if the server has ended by itself."""
    arguments = parser().parse_args(argv)
    return reported(lambda: _show(existing_study(arguments.study, arguments.studies), arguments.port))


def _show(directory: Path, wanted: int) -> int:
    from tune_seg.study.mlflow_ui import StudyUi, serving, usable_port

    ui = StudyUi(directory)
    if ui.served:
        _open(ui.link(ui.uri))
        return 0
    port = usable_port(wanted)
    if port != wanted:
        print(f"port {wanted} is taken by another program; this is port {port}")
    print(f"starting MLflow's UI of {directory.name} ...", flush=True)
    try:
        with serving(ui.uri, port) as (server, process):
            _open(ui.link(server))
            print("Ctrl-C ends it.", flush=True)
            process.wait()
    except KeyboardInterrupt:
        print("ended")
        return 0
    print("MLflow's server has ended by itself; start it again", file=sys.stderr)
    return 1


def _open(link: str) -> None:
    """Print a link, and show it where there is a screen."""
    print(link, flush=True)
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(link)


def parser() -> Parser:
    """The command line of `tune-seg ui`."""
    parser = Parser(
        prog="tune-seg ui",
        description="Open MLflow's UI at the trials of a study, best first. It can be used while the study runs. Where a "
        "server keeps the study (--mlflow-uri), its link is opened.",
    )
    parser.add_argument("study", metavar="STUDY", help="the study: its name in --studies, or its folder")
    parser.add_studies()
    parser.add_argument(
        "--port", type=int, default=_PORT, metavar="N", help=f"where it listens, on this machine alone ({_PORT})"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
