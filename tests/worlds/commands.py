"""Command lines of xmap, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from xmap.cli.main import app


def call(*words: object, stdin: str | None = None) -> Result:
    """What a command prints, and how it ends."""
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)
