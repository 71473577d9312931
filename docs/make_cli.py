"""Write docs/cli.md from the commands' own help: `python docs/make_cli.py`. tests/test_docs.py fails where the two differ.

The flags that `xmap run` shares with other commands are printed once; each command then names those that it has.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer
from xmap.cli.ends import EXITS
from xmap.cli.help import ARGUMENTS
from xmap.cli.main import COMMANDS, app

Record = tuple[str, str]
Sections = dict[str, list[Record]]

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
SHARED_BY = "run"
HEAD = """# The command line

Written by `python docs/make_cli.py` from `xmap --help`; do not edit.

stdout carries data, stderr progress and remarks. `-h` works as `--help` does, and `xmap help COMMAND` too.
"""
SHARED = """## Shared flags

Flags that mean the same in every command that has them. They are all those of `xmap run`; any field of `xmap.toml` is one of them.
"""


def page() -> str:
    """The text of docs/cli.md."""
    group = typer.main.get_command(app)
    above = group.context_class(group, info_name="xmap", terminal_width=WIDTH)
    contexts = {name: context_of(group, above, name) for name in COMMANDS}
    shared = flags_of(contexts[SHARED_BY])
    parts = [HEAD, exits(), section("xmap", group.get_help(above)), SHARED]
    parts += [f"### {heading}\n\n{fenced(listed(above, {'': records}))}" for heading, records in shared.items()]
    parts += [one(f"xmap {name}", context, [record for records in shared.values() for record in records]) for name, context in contexts.items()]
    return "\n".join(parts)


def exits() -> str:
    """The table of exit codes."""
    rows = [f"| {code} | {about} |" for code, about in EXITS.items()]
    return "\n".join(["| exit code | how a command ends |", "|---:|---|", *rows, ""])


def context_of(group: Any, above: Any, name: str) -> Any:
    single = group.get_command(above, name)
    return single.context_class(single, info_name=name, parent=above, terminal_width=WIDTH)


def flags_of(context: Any) -> Sections:
    """The flags of a command by heading, without its arguments."""
    return {heading: records for heading, records in context.command.sections(context).items() if heading != ARGUMENTS}


def one(title: str, context: Any, shared: list[Record]) -> str:
    """A command: what it does, the flags of its own, and the names of the shared ones that it has."""
    own = {heading: [record for record in records if record not in shared] for heading, records in flags_of(context).items()}
    arguments = {ARGUMENTS: context.command.sections(context).get(ARGUMENTS, [])}
    formatter = context.make_formatter()
    context.command.format_usage(context, formatter)
    context.command.format_help_text(context, formatter)
    text = section(title, f"{formatter.getvalue()}\n{listed(context, {**arguments, **own})}")
    there = [record for records in flags_of(context).values() for record in records if record in shared]
    return f"{text}\n{sentence(shared, there)}" if there else text


def listed(context: Any, sections: Sections) -> str:
    """Flags and what they mean, under their headings."""
    formatter = context.make_formatter()
    for heading, records in sections.items():
        if records:
            with formatter.section(heading) if heading else nullcontext():
                formatter.write_dl(records)
    return formatter.getvalue()


def sentence(shared: list[Record], there: list[Record]) -> str:
    """Which of the shared flags a command has: all, all but a few, or these."""
    names, missing = ([name_of(record) for record in shared if (record in there) is has] for has in (True, False))
    if not missing:
        return "And all [shared flags](#shared-flags).\n"
    few = f", without {', '.join(missing)}" if len(missing) < len(names) else f" {', '.join(names)}"
    return f"And the [shared flags](#shared-flags){few}.\n"


def name_of(record: Record) -> str:
    """`--seeds, --seed VALUE` is called `--seeds`, `-h, --help` is called `--help`."""
    return f"`{next(word for word in record[0].replace(',', ' ').split() if word.startswith('--'))}`"


def section(title: str, text: str) -> str:
    """One help page under its heading."""
    return f"## {title}\n\n{fenced(text)}"


def fenced(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
