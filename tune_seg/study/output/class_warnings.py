"""What is wrong with the classes and the images of a study, said before it starts."""

from collections.abc import Mapping, Sequence

from rich.console import Console

from tune_seg.data import PackedData, PackedTest
from tune_seg.data.packing.counts import Counts, together
from tune_seg.study.output.say import say

_EXAMPLES = 3
_NO_COUNTS: Mapping[str, Counts] = {}


def sides_of(packed: PackedData, counts: Mapping[str, Counts]) -> tuple[Counts, Counts] | None:
    """What was counted in the files of the training and of the validation masks; None where nothing was."""
    validating = "val" if packed.fold is None else str(packed.fold)
    if validating not in counts:
        return None
    return together([each for subset, each in counts.items() if subset not in (validating, "test")]), counts[validating]


def say_ignored(console: Console, packed: PackedData, counts: Mapping[str, Counts]) -> None:
    """Print the share of the pixels that count nowhere, in every study."""
    sides = sides_of(packed, counts)
    if sides is not None:
        of_training, of_validation = map(_ignored, sides)
        say(console, f"Ignored pixels: {of_training} in training, {of_validation} in validation.")


def _ignored(counts: Counts) -> str:
    return f"{100.0 * counts.ignored_share:.3g} %" if counts.ignored else "none"


def warn_of_test(console: Console, test: PackedTest, counts: Counts | None) -> None:
    """Print the share of the pixels of a test that count nowhere, and warn of classes that are in none of its images.

    Args:
        console: where to print.
        test: the held-out images.
        counts: what was counted in the files of their masks; None where that is not known.
    """
    if counts is not None:
        say(console, f"Ignored pixels of the test: {_ignored(counts)}.")
    if lacking := [name for name, pixels in zip(test.class_names, test.val_pixels, strict=True) if not pixels]:
        say(
            console,
            f"Warning: {', '.join(lacking)} in no test image: the test cannot tell who finds them; check that the masks of "
            "the test hold the same values as the others.",
        )


def warn_of_classes(console: Console, packed: PackedData, counts: Mapping[str, Counts] = _NO_COUNTS) -> None:
    """Warn of classes that occur nowhere, disappear, or lack in the training or the validation images of any fold.

    Args:
        console: where to print.
        packed: the data.
        counts: what was counted in the files of the masks, by subset; where that is not known, nothing disappears.
    """
    folds = [packed.of_fold(fold) for fold in range(packed.folds)] or [packed]
    in_files = together(list(counts.values())).full if counts else (1,) * packed.num_classes
    nowhere, gone, untrained, unseen = dict[str, None](), dict[str, None](), dict[str, None](), dict[str, None]()
    for data in folds:
        for name, pixels, train, val in zip(data.class_names, in_files, data.train_pixels, data.val_pixels, strict=True):
            if not pixels:
                nowhere[name] = None
            elif counts and not train and not val:
                gone[f"{name} ({pixels} pixels in the files)"] = None
            elif not train:
                untrained[name] = None
            elif not val:
                unseen[name] = None
    size = f"at {packed.size[0]} x {packed.size[1]} pixels, where small things may have disappeared"
    larger = f"--set data.size=[{2 * packed.size[0]},{2 * packed.size[1]}]"
    fold = " of some fold" if packed.folds else ""
    anew = "add images that have them, or divide whole groups anew with --set data.split.val_fraction=0.2"
    if nowhere:
        say(
            console,
            f"Warning: {', '.join(nowhere)} in no mask at all: take it out of data.classes, or correct its label there.",
        )
    if gone:
        say(
            console,
            f"Warning: {', '.join(gone)}: no pixel is left {size.partition(',')[0]}; no loss can find them. Set a larger "
            f"data.size, such as {larger}.",
        )
    if untrained:
        say(console, f"Warning: {', '.join(untrained)} in no training image{fold} ({size}): no loss can find them; {anew}.")
    if unseen:
        say(
            console,
            f"Warning: {', '.join(unseen)} in no validation image{fold} ({size}): nobody can tell who finds them; {anew}.",
        )


def note_of_twins(twins: Sequence[tuple[str, str]]) -> list[str]:
    """What to say of equal images on two sides."""
    if not twins:
        return []
    several = len(twins) > 1
    return [
        f"{len(twins)} image{'s' * several} on one side of the split {'are' if several else 'is'} pixel for pixel equal to "
        f"one on another side ({pairs(twins)}), so scores on {'them' if several else 'it'} are too good; remove the copies"
    ]


def pairs(twins: Sequence[tuple[str, str]]) -> str:
    """The first of them."""
    return "; ".join(" = ".join(pair) for pair in twins[:_EXAMPLES]) + ("; ..." if len(twins) > _EXAMPLES else "")
