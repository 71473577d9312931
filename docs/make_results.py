"""Write docs/results.md: import the development features, run one `xmap bench` over them, and show what it and a query printed.

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
HONEST, HONEST_END = "<!-- honest: written by docs/make_results.py -->", "<!-- end of honest -->"
# How far what is stated can be believed, before -> after its temperature, and what sets of 90 % did.
QUERY = """
select distinct dataset as data, shots, method, format('{:.1f} -> {:.1f}', raw_ece_mean, ece_mean) as ece,
  format('{:.3f} -> {:.3f}', raw_log_loss_mean, log_loss_mean) as log_loss, round(aurc_mean, 2) as aurc,
  coalesce(format('{:.1f} [{:.1f}, {:.1f}]', coverage_mean, coverage_low, coverage_high), '') as coverage,
  coalesce(format('{:.2f}', set_size_mean), '') as set_size
from runs where dataset in (DATA) order by data, shots, method
"""


def main(store: str) -> None:
    """Import, run, and replace what stands between the marks."""
    for name, folder in SETS.items():
        _xmap("import", "tip-adapter", str(DATA / folder), "--name", name, "--store", store)
    printed = _xmap("bench", "--features", ",".join(SETS), "--methods", "all", "--store", store, "--quiet")
    text = "\n".join(line.rstrip() for line in printed.splitlines()).strip()
    data = ", ".join(f"'{name}'" for name in SETS)
    page = _replaced(PAGE.read_text(encoding="utf-8"), BEGIN, f"```text\n{text}\n```", END)
    honest = _xmap("sql", QUERY.replace("DATA", data), "--format", "markdown", "--store", store).strip()
    PAGE.write_text(_replaced(page, HONEST, honest, HONEST_END), encoding="utf-8")


def _replaced(page: str, begin: str, text: str, end: str) -> str:
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


def _xmap(*words: str) -> str:
    return subprocess.run(["xmap", *words], check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S607


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
