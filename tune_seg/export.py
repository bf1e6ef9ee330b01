"""The export command: `tune-seg export STUDY --out FILE`: a trained model as one file that holds all that its use needs."""

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from tune_seg._arguments import Parser
from tune_seg._commands import reported, run
from tune_seg.errors import InputError
from tune_seg.study.files import existing_study


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; the exit status: 0, or 2 for wrong input."""
    arguments = parser().parse_args(argv)

    def exported() -> int:
        directory = existing_study(arguments.study, arguments.studies)
        name = export(directory, arguments.out, trial=arguments.trial, plain=arguments.ce)
        print(f"{name} -> {arguments.out}")
        print(f'In Python: model = tune_seg.load_model("{arguments.out}"); model.predict(image).mask')
        return 0

    return reported(exported)


def export(directory: Path, out: Path, *, trial: int | None = None, plain: bool = False) -> str:
    """Write a model of a study to a file; what it is called.

    Args:
        directory: of the study.
        out: the file.
        trial: its number; None: the one to take.
        plain: plain cross entropy in place of the one to take.

    Raises:
        InputError: the study has no such model, or the file cannot be written.
    """
    from tune_seg.study.exporting import PLAIN, WINNER, existing_model, export_trial

    if trial is not None:
        return f"{directory.name}, trial {trial} ({export_trial(directory, trial, out).name})"
    name = PLAIN if plain else WINNER
    partial = out.with_name(f".{uuid4().hex}.partial")  # so that a file of that name stays whole whatever happens
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(existing_model(directory, name), partial)
        os.replace(partial, out)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    return f"{directory.name}, {name}"


def parser() -> Parser:
    """The command line of `tune-seg export`."""
    parser = Parser(
        prog="tune-seg export",
        description="Write a trained model of a study as one file: weights, classes, size, normalisation, temperature. "
        "tune-seg predict and tune_seg.load_model use it anywhere.",
    )
    parser.add_argument("study", metavar="STUDY", help="the study: its name in --studies, or its folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the file to write, such as model.safetensors"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--trial", type=int, metavar="N", help="a trial (the best repeat of the one to take)")
    which.add_argument("--ce", action="store_true", help="plain cross entropy, to compare with")
    parser.add_argument("--studies", type=Path, default=Path("studies"), metavar="DIR", help="where studies are kept")
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
