"""Write the pages and tables of docs/ that follow from the code, or check that they are current.

Run in the checkout::

    .venv/bin/python scripts/docs.py            # write
    .venv/bin/python scripts/docs.py --check    # exit status 1 where a page is not what the code says
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from configuration_page import configuration_page
from losses_page import losses_page
from tables import filled

DOCS = Path(__file__).parent.parent / "docs"

PAGES: dict[str, Callable[[], str]] = {"configuration.md": configuration_page, "losses.md": losses_page}
"""Every page of docs/ that is generated as a whole and what makes it; others have tables that are."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the generated pages of docs/, or check that they are current.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 where a page is not current")
    check = parser.parse_args().check
    texts = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
    current = {name: filled(text) for name, text in texts.items()} | {name: page() for name, page in PAGES.items()}
    stale = [name for name, text in current.items() if texts.get(name) != text]
    for name in stale:
        if check:
            print(f"docs/{name} is not what the code says; run: .venv/bin/python scripts/docs.py", file=sys.stderr)
        else:
            (DOCS / name).write_text(current[name])
            print(f"wrote docs/{name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
