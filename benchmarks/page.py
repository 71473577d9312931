"""docs/benchmarks.md: one section a benchmark, written by the command that measured it."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
SHOWN = ("torch", "open_clip_torch", "faiss-gpu", "faiss-cpu", "pyarrow", "duckdb")


def write_section(title: str, command: str, lines: list[str]) -> None:
    """Print the lines and put them into the page under `title`, in place of what the command wrote there before."""
    print("\n".join(lines))
    body = "\n".join([f"## {title}", "", f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}.", "", *lines, ""])
    page = PAGE.read_text(encoding="utf-8")
    section = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    found = section.search(page)
    page = page[: found.start()] + body + "\n" + page[found.end() :] if found else page.rstrip() + "\n\n" + body
    PAGE.write_text(page.rstrip() + "\n", encoding="utf-8")


def measure_parts(parts: Mapping[str, Callable[[Path], list[str]]], named: Sequence[str], title: str, command: str) -> None:
    """Measure the parts named, each in a folder of its own, and print them; without names all, and write the section `title`."""
    unknown = [name for name in named if name not in parts]
    if unknown:
        raise SystemExit(f"there is no part {unknown[0]}; known: {', '.join(parts)}")
    lines: list[str] = []
    for name in named or parts:
        with tempfile.TemporaryDirectory() as folder:
            found = parts[name](Path(folder))
        print("\n".join(found), flush=True)
        lines += ["", *found]
    if not named:
        write_section(title, command, lines[1:])


def replace_between(page: Path, command: str, blocks: Mapping[str, Sequence[str]]) -> None:
    """Print the lines of each block and put them into `page` between its marks, which name the block and the command."""
    text = page.read_text(encoding="utf-8")
    for name, lines in blocks.items():
        print("\n".join(lines), end="\n\n")
        begin, end = f"<!-- {name}: written by {command} -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = "\n".join([before + begin, *lines, end + rest.partition(end)[2]])
    page.write_text(text, encoding="utf-8")


def machine() -> str:
    """Cores, system and versions, in one line."""
    installed = []
    for name in SHOWN:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {', '.join(installed)}"
