"""The schema command: `tune-seg schema`, the JSON schema of a study's YAML."""

import json
import sys
from collections.abc import Sequence

from tune_seg._arguments import Parser
from tune_seg._commands import run


def main(argv: Sequence[str] | None = None) -> int:
    """Print the schema; the exit status is 0."""
    parser().parse_args(argv)
    from tune_seg.config import schema
    from tune_seg.data.options import options_of
    from tune_seg.format_names import FORMATS

    print(json.dumps(schema(map(options_of, FORMATS)), indent=2))
    return 0


def parser() -> Parser:
    """The command line of `tune-seg schema`."""
    return Parser(prog="tune-seg schema", description="Print the JSON schema of a study's YAML, for editors.")


if __name__ == "__main__":
    sys.exit(run(main))
