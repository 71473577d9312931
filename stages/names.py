"""The names of stages, and of the parts of features that they take. No torch: a no-op run plans in milliseconds.

An input is named by the fingerprint of the part of the features it comes from, so that a changed test image retrains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xmap.stages.datasets.dataset import TRAIN, VAL
from xmap.store.artifacts.fingerprint import Fields, fingerprint
from xmap.store.errors import InputError

IMAGES, TEXTS, JOINED, COOP, CACHE = "images", "texts", "joined", "coop", "cache"
ADAPTER, PAIRS, EVAL, ANSWERS = "adapter", "pairs", "eval", "answers"
# What a text tower gives before its projection.
PROJECTION = "projection"
FIXED = "support-"
# The part of imported features that holds rows without a label.
POOL = "pool"


@dataclass(frozen=True)
class Parts:
    """The parts of the features called `name` by their fingerprints.

    `where` is what names the features on a command line, `source` what manifests state of them.
    """

    name: str
    prints: Mapping[str, str]
    where: str = ""
    source: Fields = field(default_factory=dict)

    def support(self, shots: int) -> str:
        """The part that holds the support: `support-{shots}` where supports are fixed, else `train`. Raises `InputError` for none."""
        known = sorted(int(part.removeprefix(FIXED)) for part in self.prints if part.startswith(FIXED))
        if not known and TRAIN in self.prints:
            return TRAIN
        if not known:
            raise InputError(f"features {self.name!r} hold no training images; extract a dataset that has some.")
        if shots not in known:
            listed = ", ".join(str(count) for count in known)
            raise InputError(
                f"features {self.name!r} hold a support for {listed} shots, not for {shots}; choose one of these with --shots."
            )
        return f"{FIXED}{shots}"

    def validation(self, shots: int) -> dict[str, str]:
        """The part that validation samples come from as an input, where there is one."""
        found = self.prints.get(VAL) or (self.prints.get(TRAIN) if self.support(shots) == TRAIN else None)
        return {} if found is None else {"validation": found}

    def command(self, command: str, shots: int, methods: Sequence[str] = (), seeds: Sequence[int] = ()) -> str:
        """The command that makes one artifact of a stage from them."""
        words = ["xmap", command, self.where, f"--shots {shots}"]
        words += [f"--methods {','.join(methods)}"] if methods else []
        words += [f"--seeds {','.join(map(str, seeds))}"] if seeds else []
        return " ".join(word for word in words if word)


def numbered(name: str, number: int) -> str:
    """What an input is called where there are several of its kind: the first has the plain name, as it has where it is alone."""
    return name if number == 1 else f"{name} {number}"


def part_of(fields: Mapping[str, str]) -> str:
    """The fingerprint of one part of features that others extracted: the content hashes of its files."""
    return fingerprint(fields)
