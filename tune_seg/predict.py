"""The predict command: `tune-seg predict STUDY IMAGES --out DIR`: what a trained model finds in images or volumes."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tune_seg._arguments import Parser
from tune_seg._commands import reported, run
from tune_seg.errors import InputError
from tune_seg.study.files import existing_study

if TYPE_CHECKING:
    from tune_seg.inference import SeedEnsemble, TrainedModel


def main(argv: Sequence[str] | None = None) -> int:
    """Predict; the exit status: 0, 2 for wrong input, 130 after Ctrl-C."""
    arguments = parser().parse_args(argv)

    def predicted() -> int:
        model = chosen_model(
            arguments.model,
            arguments.studies,
            trial=arguments.trial,
            ensemble=arguments.ensemble,
            device=arguments.device,
            adjusted=arguments.adjusted,
        )
        predict(model, arguments.images, arguments.out, probabilities=arguments.probabilities)
        return 0

    return reported(predicted)


def chosen_model(
    model: str,
    studies: Path,
    *,
    trial: int | None = None,
    ensemble: bool = False,
    device: str | None = None,
    adjusted: bool = False,
) -> "TrainedModel | SeedEnsemble":
    """The model in a file, or of a study.

    Args:
        model: a file that `tune-seg export` wrote, the name of a study, or its folder.
        studies: where studies are kept.
        trial: the number of a trial of the study; None: the one to take.
        ensemble: the mean of all repeats of the one to take, in place of one of them.
        device: where to compute; None: a GPU where there is one.
        adjusted: take adjusted logits.

    Raises:
        InputError: there is no such model.
    """
    from tune_seg.inference import load_model
    from tune_seg.study.choosing import choose, note_of_answer
    from tune_seg.study.exporting import open_ensemble, open_model

    if Path(model).is_file():
        if trial is not None or ensemble:
            option = "--ensemble" if trial is None else f"--trial {trial}"
            raise InputError(f"{option}: {model} is the file of one model; name the study to choose trials of it")
        return load_model(model, device, adjusted=adjusted)
    directory = existing_study(model, studies)
    if ensemble:
        _say(note_of_answer(directory))
        return open_ensemble(directory, device=device, adjusted=adjusted)
    if trial is None:
        trial, note = choose(directory)
        _say(note)
    return open_model(directory, trial, plain=False, device=device, adjusted=adjusted)


def _say(note: str) -> None:
    if note:
        print(f"note: {note}", file=sys.stderr)


def predict(model: "TrainedModel | SeedEnsemble", images: Sequence[Path], out: Path, *, probabilities: bool = False) -> None:
    """Predict images, write masks, overlays and maps of confidence to `out`, and print how it goes.

    A model of a study of volumes takes volumes, and writes volumes without overlays.

    Args:
        model: what predicts.
        images: files and folders.
        out: the folder to write to.
        probabilities: whether to write the probabilities of all classes as well.

    Raises:
        InputError: an image is not there or cannot be read, or a file not be written.
    """
    from rich.console import Console
    from rich.progress import Progress

    from tune_seg.inference.images import (
        CONFIDENCE,
        MASKS,
        OVERLAYS,
        PROBABILITIES,
        check_out,
        predict_images,
        sources,
        write_classes,
    )
    from tune_seg.inference.volume_sources import volume_sources
    from tune_seg.inference.volumes import predict_volumes

    console = Console()
    console.print(f"{model}", soft_wrap=True, markup=False, highlight=False)
    check_out(out, images)
    description = model.description
    predicted: Iterator[object]
    if description.volumes is None:
        pictures = sources(images, pages_as_channels=description.pages_as_channels)
        count, kinds = len(pictures), [MASKS, OVERLAYS, CONFIDENCE]
        predicted = predict_images(model, pictures, out, probabilities=probabilities)
    else:
        found = volume_sources(images, description.volumes, description.channels)
        count, kinds = len(found.sources), [MASKS, CONFIDENCE]
        predicted = predict_volumes(model, found.sources, out, probabilities=probabilities)
        if found.labels:
            named = f"{found.labels[0].name}{' and others' * (len(found.labels) > 1)}"
            console.print(f"left out as labels, by their names: {named}", soft_wrap=True, markup=False)
    write_classes(description, out)
    kinds += [PROBABILITIES] if probabilities else []
    done = 0
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("predicting", total=count)
            for _ in predicted:
                done += 1
                progress.advance(bar)
    finally:  # where some cannot be predicted, the others are there
        what = f"{'image' if description.volumes is None else 'volume'}{'s' * (done != 1)}"
        if done:
            console.print(f"{done} {what}: {', '.join(f'{out / kind}' for kind in kinds)}", soft_wrap=True, markup=False)


def parser() -> Parser:
    """The command line of `tune-seg predict`."""
    parser = Parser(
        prog="tune-seg predict",
        description="Find the classes in images of any size by the model that a study recommends: index masks whose palette "
        "shows the class colours, overlays, and maps of confidence, 255 where the model is sure. The model of a study of "
        "volumes takes NIfTI, MetaImage, NRRD and DICOM, and writes NIfTI where the volume lies.",
    )
    parser.add_argument(
        "model", metavar="STUDY|MODEL", help="a study: its name in --studies, or its folder; or a file of tune-seg export"
    )
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGES", help="files, and folders with all images or volumes in them"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write to")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--trial", type=int, metavar="N", help="a trial of the study (the best repeat of the one to take)")
    which.add_argument("--ensemble", action="store_true", help="the mean of all repeats of the one to take")
    parser.add_argument("--probabilities", action="store_true", help="write the probabilities of all classes as well")
    parser.add_argument("--adjusted", action="store_true", help="adjusted logits, which favour rare classes")
    parser.add_argument("--device", metavar="NAME", help="where to compute: cpu, cuda, cuda:1 (a GPU where there is one)")
    parser.add_studies()
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
