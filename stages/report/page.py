"""The page of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmap.stages.pages.document import assets, document

PACKAGE = "xmap.stages.report"
SCRIPTS = ("draw.js", "figures.js", "growth.js", "corrections.js", "samples.js", "pairs.js", "sets.js", "labelled.js", "report.js")


def page(title: str, data: Mapping[str, Any]) -> str:
    """The HTML text of a report."""
    return document(title, data, assets(PACKAGE, "report.css"), assets(PACKAGE, *SCRIPTS))
