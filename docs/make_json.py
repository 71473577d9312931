"""Write docs/json.md from the declared fields: `python docs/make_json.py`. tests/test_docs.py fails where the two differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmap.pipeline.run.answer import CHANGES, DIFFERENCE, PLACE, RESULT, UNKNOWN, VERSION, Answer, BenchAnswer, Evaluation, StatusAnswer

PAGE = Path(__file__).with_name("json.md")
HEAD = f"""# What --json says

Written by `python docs/make_json.py` from the declared fields; do not edit.

`run`, `eval`, `bench` and `status` print one object with `--json` (or `--format json`), version {VERSION}. Fields mean the same in each command.
A renamed or removed field, or another meaning, raises `version`; new fields may come at any time. Numbers that JSON cannot say are null.

```sh
xmap run --data pets --json | jq '.results[] | [.method, .accuracy_mean]'
```

As a gate in CI, which fails below 90 %:

```sh
xmap run --data pets --json > answer.json
jq -e '.results[] | select(.method == "xmadapter") | .accuracy_mean >= 90' answer.json
```

The other formats of these commands (`--format csv`, `jsonl`, `parquet`) hold one row a method, with the columns of the view
[`runs`](views.md); `markdown` and `latex` hold what the table shows.
"""


def page() -> str:
    """The text of docs/json.md."""
    beside = {name: set(Answer.model_fields) for name in ("bench", "status")}
    parts = [HEAD, listed("The object", fields(Answer, set())), listed("`evaluation`", fields(Evaluation, set()))]
    parts += [listed("Each of `results`", RESULT), listed("Each of `differences`", DIFFERENCE), listed("Each of `unknown`", UNKNOWN), listed("`changes`", CHANGES)]
    parts.append(listed("`xmap bench` adds", fields(BenchAnswer, beside["bench"]), "Its `results`, `differences` and `warnings` are those of all cells."))
    parts.append(listed("", PLACE, "Each of its `results` and `differences` has, beside the fields above:"))
    parts.append(listed("`xmap status` adds", fields(StatusAnswer, beside["status"]), STATUS))
    return "\n".join(parts)


STATUS = """Its results are those of the evaluation that a run with the present settings would make or reuse, where there is one, else of the newest
in the store."""


def fields(model: Any, known: set[str]) -> dict[str, str]:
    """The documented fields of a model that are not among the `known` ones."""
    return {name: field.description for name, field in model.model_fields.items() if name not in known}


def listed(title: str, about: Mapping[str, str], before: str = "") -> str:
    heading = f"## {title}\n\n" if title else ""
    text = f"{before}\n\n" if before else ""
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in about.items())
    return f"{heading}{text}| field | meaning |\n|---|---|\n{rows}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
