"""Write docs/cli.md from the commands' own help: `python docs/make_cli.py`. tests/test_docs.py fails where the two differ."""

from __future__ import annotations

from pathlib import Path

import typer
from cli.main import COMMANDS, app

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
HEAD = """# The command line

Written by `python docs/make_cli.py` from `xmap --help`; do not edit.

stdout carries data, stderr progress and remarks. Exit codes: 0 done, 1 damage found (`xmap verify`), 2 wrong input with one
sentence that says what to do, 130 interrupted with how to go on.
"""


def page() -> str:
    """The text of docs/cli.md."""
    group = typer.main.get_command(app)
    above = group.context_class(group, info_name="xmap", terminal_width=WIDTH)
    parts = [HEAD, section("xmap", group.get_help(above))]
    for name in COMMANDS:
        single = group.get_command(above, name)
        context = single.context_class(single, info_name=name, parent=above, terminal_width=WIDTH)
        parts.append(section(f"xmap {name}", single.get_help(context)))
    return "\n".join(parts)


def section(title: str, text: str) -> str:
    """One help page under its heading."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
