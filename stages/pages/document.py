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

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
PACKAGE = "xmap.stages.pages"
# What all pages have.
STYLE, SCRIPTS = "page.css", ("elements.js", "table.js")


def document(title: str, data: Mapping[str, Any], style: str, script: str) -> str:
    """The HTML text of a page in whose `main` a script draws the data, which it finds in the element `data`."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # The only characters with which JSON text could leave its element or break a script.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="xmap">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>
{assets(PACKAGE, STYLE)}
{style}
</style>
</head>
<body>
<noscript>This page is drawn by a script of its own; allow scripts for this file.</noscript>
<main id="main"></main>
<script type="application/json" id="data">{safe}</script>
<script>
"use strict";
{assets(PACKAGE, *SCRIPTS)}
{script}
</script>
</body>
</html>
"""


def assets(package: str, *names: str) -> str:
    """The texts of files that lie in a package, one after the other."""
    return "\n".join(files(package).joinpath(name).read_text("utf-8").strip() for name in names)
