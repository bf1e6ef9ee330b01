"""The file of the report."""

from pathlib import Path

from tune_seg._whole_file import whole_file
from tune_seg.errors import InputError
from tune_seg.study.contents import StudyContents, read_study
from tune_seg.study.elsewhere import here
from tune_seg.study.figures.style import NothingToShow
from tune_seg.study.files import REPORT
from tune_seg.study.html.page import page
from tune_seg.study.html.pictures import Examples, examples_or_why_none


def write_report(directory: Path) -> Path:
    """Write `report.html` into the folder of a study, from what that folder holds; the study may be running.

    Args:
        directory: of the study.

    Returns:
        The file, which appears whole or not at all.

    Raises:
        InputError: there is no study, no trial has begun, a file is damaged, the report cannot be written, or it would lack
            the verdict that the one which is there has.
    """
    study = read_study(directory)
    return write_page(study, examples_or_why_none(study, here))


def write_page(study: StudyContents, images: Examples | NothingToShow) -> Path:
    """As :func:`write_report`, from what was read.

    Args:
        study: what the study holds.
        images: those that tell two models apart, or why none are shown.
    """
    path = study.directory / REPORT
    if study.packed is None and path.is_file():
        raise InputError(
            f"{path}: stays as it is: the packed images are gone, without which no verdict can be drawn again. "
            "Run the study again, which packs them"
        )
    text = page(study, images)
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path
