"""Write docs/ablations.md: run `xmap ablate` and show what it printed, with the command that made it.

python docs/make_ablations.py [TITLE]... replaces the sections so titled, or all. Sections whose features are not here keep what they
hold, and it is said. Features are extracted or imported into a temporary store.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from xmap.cli.demo import TEMPLATE
from xmap.stages.datasets.digits import write_digits

PAGE = Path(__file__).parent / "ablations.md"
EXAMPLES = Path(__file__).parents[1] / "examples"
SHARED = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Section:
    """A heading, the folder it needs (empty: the demo's digits), the words of `xmap ablate`, and figures to show."""

    title: str
    source: str
    words: tuple[str, ...]
    figures: tuple[str, ...] = ()


DIGITS = ("--data", "digits", "--model", "xmap-tiny", "--template", TEMPLATE, "--views", "0", "--shots", "16", "--seeds", "1,2,3")
SECTIONS = (
    Section(
        "Digits, 1 shot: sentences that describe the classes",
        "",
        ("descriptions", *DIGITS[:-3], "1", *DIGITS[-2:], "--descriptions", "digits.json"),
    ),
    Section("Digits, 10 classes, 16 shots: class texts and encoder", "", ("text", "backbone", "shots", *DIGITS), ("text", "backbone")),
    Section("Digits, 10 classes, 16 shots: a second encoder", "", ("encoders", *DIGITS)),
    Section(
        "Caltech, 69 classes, ViT-B/32, 16 shots",
        "caltech69-b32",
        (
            *("gamma", "alpha", "residual", "beta", "beta-text", "hard-weight", "keys", "spaces", "shots", "cache-size", "hard-samples"),
            *("--features", "caltech69-b32", "--shots", "16", "--seeds", "1,2,3"),
        ),
        ("gamma", "shots"),
    ),
    Section(
        "ImageNet, 1,000 classes, ViT-B/32, 4 shots",
        "imagenet-b32-4shot",
        (
            *("gamma", "alpha", "residual", "hard-weight", "keys", "spaces", "cache-size", "hard-samples"),
            *("--features", "imagenet-b32-4shot", "--shots", "4", "--seeds", "1,2,3"),
        ),
        ("gamma", "hard-samples"),
    ),
)


def main(titles: list[str]) -> None:
    """Run the sections asked for and write the page."""
    kept = _sections()
    for section in SECTIONS:
        if titles and section.title not in titles:
            continue
        if section.source and not (SHARED / section.source).is_dir():
            print(f"{section.title}: {section.source} is not here, its section is left as it is.", file=sys.stderr)
            continue
        kept[section.title] = _body(section)
        _write(kept)


def _sections() -> dict[str, str]:
    found = PAGE.read_text().split("\n## ")[1:]
    return {title: text.strip("\n") for title, text in (section.split("\n", 1) for section in found)}


def _write(sections: dict[str, str]) -> None:
    """The page's head up to the first section stays as it is: what the tables say is written by hand."""
    head = PAGE.read_text().split("\n## ")[0].rstrip()
    ordered = [section.title for section in SECTIONS if section.title in sections]
    PAGE.write_text("\n\n".join([head, *(f"## {title}\n\n{sections[title]}" for title in ordered)]) + "\n")


def _body(section: Section) -> str:
    with tempfile.TemporaryDirectory() as place:
        if section.source:
            _xmap(["import", "tip-adapter", str(SHARED / section.source), "--name", section.source, "--quiet"], place)
        else:
            write_digits(Path(place) / "digits")
            shutil.copy(EXAMPLES / "digits.json", place)
        printed = _xmap(["ablate", *section.words, "--out", "ablations", "--quiet"], place)
        pictures = [_keep(Path(place) / "ablations" / f"{name}.svg", section) for name in section.figures]
    text = "\n".join(line.rstrip() for line in printed.splitlines() if not line.startswith("written:"))
    words = " ".join(f"'{word}'" if " " in word else word for word in section.words)
    return "\n\n".join([f"    xmap ablate {words}", *pictures, f"```text\n{text}\n```"])


def _xmap(words: list[str], place: str) -> str:
    return subprocess.run(
        ["xmap", *words],  # noqa: S607
        cwd=place,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XMAP_STORE": str(Path(place) / ".xmap")},
    ).stdout


def _keep(figure: Path, section: Section) -> str:
    name = f"ablation-{section.source or 'digits'}-{figure.name}"
    (PAGE.parent / "images" / name).write_bytes(figure.read_bytes())
    return f"![{section.title}: {figure.stem}](images/{name})"


if __name__ == "__main__":
    main(sys.argv[1:])
