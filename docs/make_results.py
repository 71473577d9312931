"""Write docs/results.md: import the development features, run `xmap bench` over them, and show what it and a query printed.

python docs/make_results.py [STORE] reuses what STORE holds; without one everything is trained anew. The run opens test splits: note
it in docs/decisions.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
DATA = ROOT.parent / "shared" / "data"
SETS = {"imagenet": "imagenet-b32-4shot", "caltech69": "caltech69-b32"}
# The same images seen by two encoders, of which the first has class texts.
FIRST, SECOND = {"two-b32": "caltech69-two/b32"}, {"two-b16": "caltech69-two/b16"}
SEVERAL = "zero-shot,tip-adapter,linear-probe,gda,proker,xmadapter"
BEGIN, END = "<!-- printed: written by docs/make_results.py -->", "<!-- end of printed -->"
TWO, TWO_END = "<!-- two encoders: written by docs/make_results.py -->", "<!-- end of two encoders -->"
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
    for name, folder in (SETS | FIRST | SECOND).items():
        _xmap("import", "tip-adapter", str(DATA / folder), "--name", name, "--store", store)
    page = _replaced(PAGE.read_text(encoding="utf-8"), BEGIN, _bench(store, SETS, "--methods", "all"), END)
    data = ", ".join(f"'{name}'" for name in SETS)
    honest = _xmap("sql", QUERY.replace("DATA", data), "--format", "markdown", "--store", store).strip()
    page = _replaced(page, HONEST, honest, HONEST_END)
    one, both = (_bench(store, FIRST, "--methods", SEVERAL, *more) for more in ((), ("--also-features", ",".join(SECOND))))
    PAGE.write_text(_replaced(page, TWO, f"The first alone:\n\n{one}\n\nBoth:\n\n{both}", TWO_END), encoding="utf-8")


def _bench(store: str, features: Iterable[str], *words: str) -> str:
    """What a benchmark prints, as a block of text."""
    printed = _xmap("bench", "--features", ",".join(features), *words, "--store", store, "--quiet")
    text = "\n".join(line.rstrip() for line in printed.splitlines()).strip()
    return f"```text\n{text}\n```"


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
