"""What is asked of an import."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ImportRequest:
    """What is to be imported: a `layout` at a `path`, and how to call it.

    `asked` says by role (vectors, labels, ids, splits) a column or a file, `classes` and `texts` are files.
    """

    layout: str
    path: Path
    name: str
    asked: Mapping[str, str] = field(default_factory=dict)
    classes: str = ""
    texts: str = ""
    logit_scale: float = 100.0

    @property
    def flags(self) -> Mapping[str, str]:
        """The flags beside name and logit scale, those that were given."""
        return {flag: value for flag, value in {**self.asked, "classes": self.classes, "texts": self.texts}.items() if value}

    @property
    def command(self) -> str:
        """The command that imports it again."""
        words = [word for flag, value in self.flags.items() for word in (f"--{flag}", value)]
        scale = ["--logit-scale", f"{self.logit_scale:g}"]
        return shlex.join(["xmap", "import", self.layout, str(self.path), "--name", self.name, *words, *scale])
