"""Write docs/ablations.md: run `xmap ablate` on features of the store and show what it printed, with the command that made it.

python docs/make_ablations.py TITLE -- --features NAME --shots K [--store DIR] replaces the section of that title.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "ablations.md"
HEAD = """# Ablations

Each table is what the command above it printed: one part of XMAdapter varied at a time, everything else at its default,
measured on the validation split, with no setting of these runs chosen on it. Defaults were partly developed on Caltech's
validation samples (see [decisions](decisions.md)), so its tables say less about them than ImageNet's. "no effect shown" means
that the paired interval holds zero. `--out DIR` keeps the same rows as Parquet and a figure each; `xmap ablate --list` says what
is varied and why.

What they say: without the text cache or without the image cache ImageNet loses about 2 points (the interval of image only just
reaches zero); on Caltech at 16 shots the image cache does nearly all. Learned spaces help on ImageNet and show no effect on
Caltech. Training the image keys and weighting hard samples show no effect on either. The disagreement of the two caches finds
samples that are answered wrongly on Caltech, less well than zero-shot confidence does, and not beyond chance on ImageNet.
"""


def main(title: str, words: list[str]) -> None:
    """Run the ablations and replace the section `title`."""
    printed = subprocess.run(["xmap", "ablate", *words, "--quiet"], check=True, capture_output=True, text=True).stdout  # noqa: S607
    text = "\n".join(line.rstrip() for line in printed.splitlines() if not line.startswith("written:"))
    private = ("--store", "--out")
    shown = [word for before, word in zip(["", *words], words, strict=False) if word not in private and before not in private]
    section = f"## {title}\n\n    xmap ablate {' '.join(shown)}\n\n```text\n{text}\n```\n"
    sections = [] if not PAGE.exists() else PAGE.read_text().split("\n## ")[1:]
    others = [f"## {found.rstrip()}\n" for found in sections if not found.startswith(f"{title}\n")]
    PAGE.write_text("\n".join([HEAD, *others, section]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[sys.argv.index("--") + 1 :])
