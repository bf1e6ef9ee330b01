"""The export command: `tune-seg export STUDY --out FILE`: a trained model as one file that holds all that its use needs."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tune_seg._arguments import Parser
from tune_seg._commands import reported, run
from tune_seg._whole_file import whole_file
from tune_seg.errors import InputError
from tune_seg.study.files import existing_study

_ONNX = ".onnx"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; the exit status: 0, or 2 for wrong input."""
    arguments = parser().parse_args(argv)

    def exported() -> int:
        from tune_seg.study.choosing import choose

        directory = existing_study(arguments.study, arguments.studies)
        if not arguments.onnx and arguments.out.suffix.lower() == _ONNX:
            raise InputError(f"{arguments.out}: add --onnx to write ONNX, or call the file {arguments.out.stem}.safetensors")
        if arguments.onnx and arguments.out.suffix.lower() != _ONNX:
            raise InputError(f"{arguments.out}: call a file of ONNX {arguments.out.stem}{_ONNX}")
        trial = arguments.trial
        if trial is None:
            trial, note = choose(directory, plain=arguments.ce)
            if note:
                print(f"note: {note}", file=sys.stderr)
        if arguments.onnx:
            export_onnx(directory, arguments.out, trial=trial, plain=arguments.ce)
        else:
            name = export(directory, arguments.out, trial=trial, plain=arguments.ce)
            print(f"{name} -> {arguments.out}")
            print(f'In Python: model = tune_seg.load_model("{arguments.out}"); model.predict(image).mask')
        return 0

    return reported(exported)


def export(directory: Path, out: Path, *, trial: int | None = None, plain: bool = False) -> str:
    """Write a model of a study to a file; what it is called.

    Args:
        directory: of the study.
        out: the file.
        trial: its number; None: the one that the study wrote with its answer.
        plain: of what the study wrote, plain cross entropy in place of the one to take.

    Raises:
        InputError: the study has no such model, or the file cannot be written.
    """
    from tune_seg.study.exporting import PLAIN, WINNER, existing_model, export_trial

    if trial is not None:
        return f"{directory.name}, trial {trial} ({export_trial(directory, trial, out).name})"
    name = PLAIN if plain else WINNER
    try:
        with whole_file(out) as partial:
            shutil.copyfile(existing_model(directory, name), partial)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    return f"{directory.name}, {name}"


def export_onnx(directory: Path, out: Path, *, trial: int | None = None, plain: bool = False) -> None:
    """Write a model of a study as ONNX, and print what the file takes, what it gives and how far it is from torch.

    Args:
        directory: of the study.
        out: the file.
        trial, plain: as :func:`export` takes them.

    Raises:
        InputError: as :func:`export`, a package is missing, or the file says something else than torch.
    """
    from tune_seg.inference.onnx_file import INPUT, OUTPUT, need_onnx, write_onnx
    from tune_seg.study.exporting import open_model

    need_onnx()  # before the model is loaded, which takes seconds
    model = open_model(directory, trial, plain=plain and trial is None, device="cpu", adjusted=False)
    difference = write_onnx(out, model)
    said = model.description
    height, width = said.size
    largest = 255 if said.dtype == "uint8" else 65535
    print(f"{said.study} -> {out}")
    print(
        f"{INPUT}: float32 (N, {said.channels}, {height}, {width}), levels from 0 to {largest}, not normalised; "
        f"{OUTPUT}: float32 (N, {len(said.classes)}, {height}, {width}), with the temperature"
    )
    print(f"compared with torch on images of noise: probabilities differ by {difference:.1e} at most")


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
    parser.add_argument(
        "--onnx", action="store_true", help="write ONNX, for programs without torch (needs the extra onnx), and check it"
    )
    parser.add_studies()
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
