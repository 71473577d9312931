"""docs/benchmarks.md: one section a benchmark, written by the command that measured it."""

from __future__ import annotations

import os
import platform
import re
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


def machine() -> str:
    """Cores, system and versions, in one line."""
    installed = []
    for name in SHOWN:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {', '.join(installed)}"
