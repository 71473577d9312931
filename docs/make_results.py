"""Write docs/results.md: import the development features, run one `xmap bench` over them, and show what it printed.

python docs/make_results.py [STORE] reuses what STORE holds; without one everything is trained anew. The run opens test splits: note
it in docs/decisions.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
DATA = ROOT.parent / "shared" / "data"
SETS = {"imagenet": "imagenet-b32-4shot", "caltech69": "caltech69-b32"}
BEGIN, END = "<!-- printed: written by docs/make_results.py -->", "<!-- end of printed -->"


def main(store: str) -> None:
    """Import, run, and replace what stands between the marks."""
    for name, folder in SETS.items():
        _xmap("import", "tip-adapter", str(DATA / folder), "--name", name, "--store", store)
    printed = _xmap("bench", "--features", ",".join(SETS), "--methods", "all", "--store", store, "--quiet")
    text = "\n".join(line.rstrip() for line in printed.splitlines()).strip()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n```text\n{text}\n```\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def _xmap(*words: str) -> str:
    return subprocess.run(["xmap", *words], check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S607


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
