"""The pages of TIFF files as samples."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tune_seg.data.dataset import Sample, problems_error
from tune_seg.data.images.pictures import page_numbers
from tune_seg.errors import InputError


def by_pages(samples: Sequence[Sample], pages_as_channels: bool) -> list[Sample]:
    """A sample for each page of the files that have several; they are one group."""
    files = Counter(sample.id for sample in samples)  # folders of train and val may use a name twice
    found: list[Sample] = []
    problems: list[str] = []
    for sample in samples:
        try:
            pages, mask_pages = (() if path is None else page_numbers(path) for path in (sample.image, sample.mask))
        except InputError:  # loading it says what is wrong with it
            pages = mask_pages = ()
        if pages_as_channels:
            pages = pages[:1]  # the page that represents all of them
        if pages and mask_pages and pages != mask_pages:
            problems.append(f"{sample.image}: {_count(pages)}, but its mask {sample.mask} has {_count(mask_pages)}")
        elif len(pages) > 1 and mask_pages:
            width = len(str(pages[-1]))
            group = sample.id if files[sample.id] == 1 else f"{sample.split}/{sample.id}"
            found += [replace(sample, id=f"{sample.id}#{page:0{width}}", group=group, part=page) for page in pages]
        else:
            found.append(sample)
    if problems:
        raise problems_error(
            "an image whose pages are its channels has a mask of one page:"
            if pages_as_channels
            else "each page of an image needs a page of its mask; if the pages are channels of one image, say so with "
            "data.options.pages: channels:",
            problems,
        )
    return found


def reject_pages(files: Iterable[Path]) -> None:
    """Of masks in several files, and of the images that have some, a page each is read.

    Raises:
        InputError: a file has more.
    """
    problems: list[str] = []
    for path in files:
        try:
            pages = page_numbers(path)
        except InputError:  # loading it says what is wrong with it
            continue
        if len(pages) > 1:
            problems.append(f"{path}: {_count(pages)}")
    if problems:
        raise problems_error(
            "where an image has several masks, its file and theirs have one page each; write a file for each page:", problems
        )


def _count(pages: Sequence[int]) -> str:
    between = "" if list(pages) == list(range(len(pages))) else f" ({', '.join(map(str, pages))}, with copies in between)"
    return f"{len(pages)} page{'s' * (len(pages) > 1)}{between}"
