"""The page itself: style, data and script in one HTML file that loads nothing.

The data is JSON in a script element that is not run, with every `<` escaped, and the script puts it into the page as text: a class
named `<script>` is shown, never run. The page's own policy forbids every connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

SCRIPTS = ("draw.js", "figures.js", "growth.js", "corrections.js", "samples.js", "pairs.js", "sets.js", "report.js")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(title: str, data: Mapping[str, Any]) -> str:
    """The HTML text of a report."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # The only characters with which JSON text could leave its element or break a script.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    script = "\n".join(_asset(name) for name in SCRIPTS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="xmap report">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>
{_asset("report.css")}
</style>
</head>
<body>
<noscript>This report draws its figures with a script of its own; allow scripts for this file.</noscript>
<main id="report"></main>
<script type="application/json" id="data">{safe}</script>
<script>
"use strict";
{script}
</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return files("xmap.stages.report").joinpath(name).read_text("utf-8").strip()
