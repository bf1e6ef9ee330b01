"""The class frequencies: a table in the terminal, and a picture beside the results like figure 5 of Taubert."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tune_seg._whole_file import whole_file
from tune_seg.data import PackedData
from tune_seg.data.packing.counts import Counts
from tune_seg.losses.class_weight_kinds import Weights
from tune_seg.study.output.class_warnings import sides_of
from tune_seg.study.output.class_weights import cells_of_weights
from tune_seg.study.output.sampling import Shares, cells_of_shares

_BAR = 40  # characters


def show_classes(
    packed: PackedData,
    picture: Path,
    console: Console,
    counts: Mapping[str, Counts] = MappingProxyType({}),
    weights: Sequence[Weights] = (),
    sampled: Sequence[Shares] = (),
) -> None:
    """Print and draw the share of each class in the training pixels that are not ignored, on a logarithmic scale.

    Of data in folds, the training pixels are those of the fold of `packed`. If the picture exists, nothing is done: a study
    shows its classes once.

    Args:
        packed: the packed data.
        picture: the PNG file to write.
        console: where to print.
        counts: what was counted in the files of the masks, by subset; the share of each class's training pixels that
            `data.size` loses is shown where a pixel is lost.
        weights: the class weights of the losses of the study, as :func:`weights_in_use` gives them.
        sampled: the shares of the pixels as they are sampled, as :func:`sampled_shares` gives them.
    """
    if picture.exists():
        return
    of_fold = "" if packed.fold is None else f" of fold {packed.fold}"
    title = f"Class frequencies in {len(packed.train)} training images{of_fold}"
    shares = sorted(zip(packed.class_names, packed.frequencies.tolist(), strict=True), key=lambda entry: -entry[1])
    # where the scale begins, below every share but 0
    lowest = min(-1, math.floor(math.log10(min(share for _, share in shares if share > 0.0))))
    columns: dict[str, list[str]] = {}
    sides = sides_of(packed, counts)
    if sides is not None and any(share > 0.0 for share in sides[0].lost):
        cells = ["" if math.isnan(share) else f"{100.0 * share:.3g} %" for share in sides[0].lost]
        columns[f"lost at {packed.size[0]} x {packed.size[1]}"] = cells
    if sampled:
        columns["as sampled"] = cells_of_shares(sampled)
    if weights:
        columns["class weight"] = cells_of_weights(weights)
    by_class = {name: list(cells) for name, *cells in zip(packed.class_names, *columns.values(), strict=True)}
    console.print(_table(title, shares, lowest, list(columns), by_class))
    _draw(title, shares, lowest, picture)


def _table(
    title: str, shares: list[tuple[str, float]], lowest: int, heads: list[str], cells: Mapping[str, list[str]]
) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for head in ("pixels", *heads):
        table.add_column(head, justify="right")
    table.add_column(f"1e{lowest} to 1, logarithmic", no_wrap=True)
    for name, share in shares:
        length = round(_BAR * (1.0 - math.log10(share) / lowest)) if share > 0.0 else 0
        table.add_row(Text(name), f"{100.0 * share:.3g} %", *cells[name], "\u2588" * length)
    return table


def _draw(title: str, shares: list[tuple[str, float]], lowest: int, picture: Path) -> None:
    from matplotlib.figure import Figure  # takes half a second, and a study that goes on has its picture

    names, values = zip(*shares, strict=True)
    figure = Figure(figsize=(max(4.5, 1.5 + 0.3 * len(names)), 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(range(len(names)), values)
    axes.set_yscale("log")
    axes.set_ylim(10.0**lowest, 1.0)
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set_ylabel("share of the pixels")
    axes.set_title(title, fontsize="medium")
    with whole_file(picture) as partial:
        figure.savefig(partial, dpi=120)
