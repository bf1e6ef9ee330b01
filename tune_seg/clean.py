"""The clean command: `tune-seg clean STUDY`: say which files of a study can go and what is lost by it; remove them.

The results, the models to use and MLflow's database stay whatever is asked for.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tune_seg._arguments import Parser
from tune_seg._commands import reported, run
from tune_seg.errors import InputError
from tune_seg.study.files import existing_study


def main(argv: Sequence[str] | None = None) -> int:
    """Say or remove it; the exit status: 0, or 2 for wrong input, and where a study runs that uses the same files."""
    arguments = parser().parse_args(argv)

    def cleaned() -> int:
        directory = existing_study(arguments.study, arguments.studies)
        print("\n".join(clean(directory, weights=arguments.weights, packs=arguments.packs, yes=arguments.yes)))
        return 0

    return reported(cleaned)


def clean(directory: Path, *, weights: bool = False, packs: bool = False, yes: bool = False) -> list[str]:
    """Say which files of a study can go, or remove them; the lines that say so.

    Args:
        directory: of the study.
        weights: the weights too that the answer of the study may need.
        packs: the packed images too.
        yes: remove them.

    Raises:
        InputError: a study runs that uses the same files, or a file cannot be read or removed.
    """
    from tune_seg.study.cleaning import folder_locked, notes_on, removable, remove
    from tune_seg.study.output.words import size_of

    with folder_locked(directory):
        found = removable(directory, weights=weights, packs=packs)
        size = size_of(sum(each.size for each in found))
        notes = notes_on(found, directory)
        lines = [f"  {size_of(each.size)}: {each.what}. {each.lost}" for each in found]
        if yes:
            try:
                remove(found, directory)
            except OSError as error:
                raise InputError(
                    f"{error.filename} cannot be removed ({error.strerror}); what came before is gone"
                ) from None
    if not found:
        return [f"{directory}: there is nothing to remove{_more(weights, packs)}", *notes]
    if yes:
        return [f"{directory}: removed {size}:", *lines, *notes]
    nothing = f"Nothing was removed; --yes removes it{_more(weights, packs)}"
    return [f"{directory}: {size} can be removed:", *lines, *notes, nothing]


def _more(weights: bool, packs: bool) -> str:
    """Which options there are to remove more."""
    options = [option for option, given in (("--weights", weights), ("--packs", packs)) if not given]
    return f"; {' and '.join(options)} would add more" if options else ""


def parser() -> Parser:
    """The command line of `tune-seg clean`."""
    parser = Parser(
        prog="tune-seg clean",
        description="Say which files of a study can be removed and what is lost by it, and with --yes remove them: what "
        "killed processes left, training states from which no trial goes on, and weights that the answer does not need. "
        "Results, the models to use, MLflow's database, and what other studies are known to use stay.",
    )
    parser.add_argument("study", metavar="STUDY", help="the study: its name in --studies, or its folder")
    parser.add_argument("--weights", action="store_true", help="the weights of all its trials too")
    parser.add_argument("--packs", action="store_true", help="its packed images too, which can be packed again")
    parser.add_argument("--yes", action="store_true", help="remove it (default: say what would be removed)")
    parser.add_studies()
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
