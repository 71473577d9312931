"""Say which of the pages that are made from the code alone have gone stale: `python docs/check.py`. Nothing is changed.

`python docs/check.py --write` makes them anew. Pages that hold measurements are no matter of this: their makers run for minutes to hours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = {"cli.md": "make_cli.py", "views.md": "make_views.py", "json.md": "make_json.py", "architecture.md": "make_architecture.py"}


def stale(page: Path, maker: Path) -> bool:
    """Whether `maker` writes another `page` than there is; it is left as it was."""
    before = page.read_bytes()
    try:
        subprocess.run([sys.executable, str(maker)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        return page.read_bytes() != before
    finally:
        if page.read_bytes() != before:
            page.write_bytes(before)


def main() -> int:
    makers = {DOCS / page: DOCS / maker for page, maker in PAGES.items()}
    if "--write" in sys.argv[1:]:
        for maker in makers.values():
            subprocess.run([sys.executable, str(maker)], check=True)  # noqa: S603
        return 0
    found = [page for page, maker in makers.items() if stale(page, maker)]
    for page in found:
        print(f"docs/{page.name} is stale; run `python docs/{makers[page].name}`.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
