"""What an adapter says of the images of a pool, and in words why one of them is worth a label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.adapters.neighbors import BATCH, batches
from xmap.stages.adapters.percent import percent
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.choose.ranking import ScoredPool
from xmap.stages.datasets.dataset import Samples, known_contents
from xmap.stages.datasets.places.place import Place, Remote
from xmap.store.disk.plain import FORMULA
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array
from xmap.store.memory.hashes import hexes

# As many as there are number keys.
LIKELY = 9


@dataclass(frozen=True)
class Candidate:
    """An image to label: its name in the pool, the blake3 of its bytes in hex, where it is, and the file that holds it alone, if one does.

    `guess` is the class that the adapter takes it for, with its `probability`, `likely` the most probable classes, best first, `doubt`
    what else it may be, and `dispute` what its two caches say where they say different classes.
    """

    sample_id: str
    content: str
    place: Place
    file: Path | None
    guess: int
    probability: float
    likely: tuple[int, ...]
    doubt: str
    dispute: str = ""

    @property
    def why(self) -> str:
        """What the adapter does not know of it."""
        return "; ".join(part for part in (self.doubt, self.dispute) if part)

    def called(self, folder: Path | None = None) -> str:
        """What a table in `folder` calls it: a file by its path from there, by its whole path where it lies elsewhere, or without `folder`.

        What is no file of its own, a part of a tar or of a table, is called by its name in the pool, where no table finds it.
        """
        if self.file is None:
            return str(self.place) if isinstance(self.place, Remote) else self.sample_id
        whole = Path(os.path.abspath(self.file))
        path = whole.relative_to(folder).as_posix() if folder and whole.is_relative_to(folder) else str(whole)
        # No spreadsheet is to calculate a name.
        return f"./{path}" if FORMULA.match(path) else path


def scored_pool(scorer: Scorer, features: Array, labelled: Array) -> ScoredPool:
    """What the adapter says of raw features (P, C), beside those (L, C) of what is labelled already. Raises `InputError`."""
    units = normalize(torch.from_numpy(features.astype(np.float32)), dim=-1)
    known = normalize(torch.from_numpy(labelled.astype(np.float32)), dim=-1)
    said = [scorer.scores(units[part]) for part in batches(len(units), BATCH)]
    logits = torch.cat([scores.logits for scores in said])
    if not bool(torch.isfinite(logits).all()):
        raise InputError("the adapter's scores of these images are not finite numbers; run `xmap verify`, or train it again.")
    image, text = _shares([scores.image for scores in said]), _shares([scores.text for scores in said])
    return ScoredPool(units.numpy(), scorer.probabilities(logits).numpy(), image, text, known.numpy())


def _shares(parts: Sequence[Tensor | None]) -> Array | None:
    """Class sums, some (P, N) in all, as shares of their total; None for a method that has not this side."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    there = torch.cat(found).float().clamp(min=0)
    shares: Array = (there / there.sum(1, keepdim=True).clamp(min=1e-12)).numpy()
    return shares


def candidates(pool: ScoredPool, samples: Samples, rows: Sequence[int], classes: Sequence[str]) -> list[Candidate]:
    """The samples of a pool at `rows`."""
    contents = list(hexes(known_contents(samples)[list(rows)]))
    found = []
    for row, content in zip(rows, contents, strict=True):
        sample, likely = samples[row], _likely(pool.probabilities[row])
        guess = likely[0]
        file, chance = sample.place if isinstance(sample.place, Path) else None, float(pool.probabilities[row, guess])
        found.append(Candidate(sample.sample_id, content, sample.place, file, guess, chance, likely, *_why(pool, row, likely[1], classes)))
    return found


def _likely(probabilities: Array) -> tuple[int, ...]:
    """The most probable classes of probabilities (N,), best first; among equals the first one."""
    return tuple(np.argsort(-probabilities, kind="stable")[:LIKELY].tolist())


def _why(pool: ScoredPool, row: int, second: int, classes: Sequence[str]) -> tuple[str, str]:
    """What else an image may be, and what both caches say where they do not say the same."""
    said = f"or {classes[second]} ({percent(float(pool.probabilities[row, second]))} %)"
    if pool.image_probabilities is None or pool.text_probabilities is None:
        return said, ""
    image, text = (int(side[row].argmax()) for side in (pool.image_probabilities, pool.text_probabilities))
    return said, "" if image == text else f"cached images say {classes[image]}, class texts {classes[text]}"
