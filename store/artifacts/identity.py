"""What an artifact is, decided before it exists: planning a run asks for it in milliseconds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from xmap.store.artifacts.fingerprint import SHORT, Fields, fingerprint


@dataclass(frozen=True)
class Identity:
    """The fields of an artifact and what it is made from.

    `fields` determine its bytes and `inputs` names the fingerprints of what it is made from; both enter the fingerprint. What does not
    is for people and for finding things again: `name`, `command` (how to make it) and `source` (the settings that named its images,
    encoder or features, without credentials).
    """

    stage: str
    name: str
    fields: Fields
    inputs: Mapping[str, str] = field(default_factory=dict)
    command: str = "xmap run"
    source: Fields = field(default_factory=dict)

    @cached_property
    def declared(self) -> Fields:
        """Every field that enters the fingerprint."""
        return {"stage": self.stage, "fields": self.fields, "inputs": dict(self.inputs)}

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.declared)

    @property
    def folder(self) -> str:
        """The folder's name: readable first, unique last."""
        return f"{safe_name(self.name)}-{self.fingerprint[:SHORT]}"


def safe_name(name: str, limit: int = 80) -> str:
    """`name` as a folder name: letters, digits, dot, dash and underscore of any script, at most `limit` bytes."""
    cleaned = re.sub(r"[^\w.\-]+", "-", unicodedata.normalize("NFC", name)).strip("-.") or "unnamed"
    return cleaned.encode()[:limit].decode(errors="ignore")
