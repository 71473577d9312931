"""A page on which a person clicks the labels of chosen images, and saves the table that `xmap run --labels` takes."""

from __future__ import annotations

from collections.abc import Sequence

from xmap.stages.choose.candidates import Candidate
from xmap.stages.datasets.sources.corrections import LEAVE_OUT, words_of
from xmap.stages.images.decode import Rules
from xmap.stages.pages.document import assets, document
from xmap.stages.pages.thumbnails import Pictures, thumbnails

PACKAGE = "xmap.stages.choose"
SIDE = 288


def label_page(chosen: Sequence[Candidate], classes: Sequence[str], about: str, rules: Rules) -> str:
    """The HTML text of the page, which shows the images, and `about` as what they are."""
    names = [str(number) for number in range(len(chosen))]
    pictures = Pictures({name: one.place for name, one in zip(names, chosen, strict=True)}, rules=rules)
    made = thumbnails([pictures], names, SIDE)
    rows = [
        {
            # Whole paths: a browser saves the table wherever it likes.
            "path": one.called(),
            "content": one.content,
            "guess": one.guess,
            "likely": one.likely,
            "probability": one.probability,
            "why": one.why,
            "picture": made.get(name, ""),
        }
        for name, one in zip(names, chosen, strict=True)
    ]
    title = "What to label next"
    data = {"title": title, "about": about, "classes": list(classes), "words": words_of(classes), "leave_out": LEAVE_OUT, "rows": rows}
    return document(title, data, assets(PACKAGE, "label.css"), assets(PACKAGE, "label.js"))
