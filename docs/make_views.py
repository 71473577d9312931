"""Write docs/views.md from the catalog of views and the ready questions: `python docs/make_views.py`. tests/test_docs.py holds it."""

from __future__ import annotations

from pathlib import Path

from xmap.store.sql.columns import VIEWS
from xmap.store.sql.questions import QUESTIONS

PAGE = Path(__file__).with_name("views.md")
HEAD = """# SQL views and ready questions

Written by `python docs/make_views.py`; do not edit.

`xmap sql QUERY` answers over these views, with DuckDB's SQL, and can read nothing else on the machine. `xmap sql --list` shows this page,
`xmap sql NAME` asks a ready question, `-f FILE` reads a query from a file, `--format` and `-o FILE` choose table, CSV, JSON or Parquet.
In Python, `from xmap.store.sql.connection import connect` (or `xmap.connect`) gives the same connection; see
[examples/ask.py](../examples/ask.py). Samples are joined by `sample_id`, artifacts by `artifact`.
"""


def page() -> str:
    """The text of docs/views.md."""
    parts = [HEAD, "## Views\n"]
    for name, view in VIEWS.items():
        rows = [f"| `{column}` | `{kind}` | {about} |" for column, (kind, about) in view.columns.items()]
        parts.append(f"### {name}\n\n{view.about[0].upper()}{view.about[1:]}.\n\n| column | type | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    parts.append("## Ready questions\n")
    for name, question in QUESTIONS.items():
        parts.append(f"### {name}\n\n{question.about}\n\n```sql\n{question.sql.strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
