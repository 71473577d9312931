"""A few-shot task: what a method may see. It holds no test features, and no type here can.

Rows of the support are sorted by class, then content, whatever order they came in; class segments are then contiguous, and no name has a
say in what training computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.pool import Pool
from xmap.stages.fewshot.text import Text as Text
from xmap.stages.fewshot.text import Unprojected as Unprojected
from xmap.stages.fewshot.text import text_of as text_of
from xmap.stages.fewshot.wide import Widths, columns_of, part_of
from xmap.store.formats.index import VectorIndex


@dataclass(frozen=True)
class Segments:
    """Which contiguous keys belong to which class.

    `labels` (M,) int64 sorted; `counts` (N,) float32; `shots` the nominal K. A class may have no key at all.
    """

    labels: Tensor
    counts: Tensor
    shots: int

    @classmethod
    def of(cls, labels: Tensor, classes: int, shots: int) -> Segments:
        return cls(labels, torch.bincount(labels, minlength=classes).float(), shots)

    def to(self, device: str) -> Segments:
        """The same with its tensors on `device`."""
        return Segments(self.labels.to(device), self.counts.to(device), self.shots)

    @property
    def classes(self) -> int:
        return len(self.counts)

    @cached_property
    def even(self) -> int | None:
        """Keys per class where all classes have equally many, else None."""
        first = int(self.counts[0])
        return first if first > 0 and bool((self.counts == first).all()) else None


@dataclass(frozen=True)
class Retrieved:
    """The image keys retrieved for each query, in place of all of them: similarities (B, k) and key rows (B, k)."""

    scores: Tensor
    rows: Tensor

    @classmethod
    def of(cls, index: VectorIndex, queries: Tensor, k: int) -> Retrieved:
        """The `k` nearest keys of unit queries (B, C), on the device of these."""
        found = index.search(queries.cpu().numpy(), k)
        return cls(torch.from_numpy(found.scores).to(queries.device), torch.from_numpy(found.rows).to(queries.device))


@dataclass(frozen=True)
class KeyIndex:
    """Keys that stay in the index of their cache: the index, the class of each key, and how many a query retrieves."""

    keys: VectorIndex
    segments: Segments
    k: int

    def retrieve(self, features: Tensor) -> Retrieved:
        """The `k` nearest keys of unit features (B, C), on their device."""
        return Retrieved.of(self.keys, features, self.k)

    def to(self, device: str) -> KeyIndex:
        """The same index, with the classes of its keys on `device`."""
        return replace(self, segments=self.segments.to(device))


@dataclass(frozen=True)
class Support:
    """The labelled few-shot samples.

    `labels` (M,) int64; `views` (M, V, C) float32, raw encoder output, view 0 the plain crop (or one averaged view); `units` (M) what
    each is drawn by, its content or else its id; `groups` (M) what it belongs to, empty where there are none.
    """

    sample_ids: tuple[str, ...]
    labels: Tensor
    views: Tensor
    shots: int
    classes: int
    units: tuple[str, ...]
    groups: tuple[str, ...]

    @classmethod
    def of(
        cls,
        sample_ids: Sequence[str],
        labels: Tensor,
        views: Tensor,
        shots: int,
        classes: int,
        units: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> Support:
        """Sort the rows by (label, unit) and hold them; without `units` they are drawn by their ids."""
        units = units or sample_ids
        rows = sorted(range(len(sample_ids)), key=lambda row: (int(labels[row]), units[row], sample_ids[row]))
        index = torch.as_tensor(rows, dtype=torch.int64, device=labels.device)
        names, drawn_by, together = (tuple(listed[row] for row in rows) if listed else () for listed in (sample_ids, units, groups))
        return cls(names, labels[index].long(), views[index].float(), shots, classes, drawn_by, together)

    def __len__(self) -> int:
        return len(self.sample_ids)

    @cached_property
    def keys(self) -> Tensor:
        """Tip-Adapter's keys (M, C): the unit mean of a sample's raw views."""
        return normalize(self.views.mean(1), dim=-1)

    @cached_property
    def segments(self) -> Segments:
        return Segments.of(self.labels, self.classes, self.shots)

    @cached_property
    def by_unit(self) -> Tensor:
        """Rows in the order of units: draws made over it depend neither on names nor on how classes are numbered."""
        rows = sorted(range(len(self)), key=lambda row: (self.units[row], self.sample_ids[row]))
        return torch.as_tensor(rows, dtype=torch.int64, device=self.labels.device)

    def chunks(self, size: int) -> tuple[Tensor, ...]:
        """The numbers of all rows in order, at most `size` at a time."""
        return torch.split(torch.arange(len(self), device=self.labels.device), size)

    def part(self, widths: Widths, encoder: int) -> Support:
        """The same samples seen by one encoder of several, whose views (M, V, C_e) are unit in wide ones; see `stages.fewshot.wide`."""
        return replace(self, views=self.views[..., columns_of(widths, encoder)]) if widths else self

    def take(self, rows: Tensor) -> Support:
        """The support of the given rows alone, same nominal shots."""
        names, units, groups = (
            [listed[row] for row in rows.tolist()] if listed else [] for listed in (self.sample_ids, self.units, self.groups)
        )
        return Support.of(names, self.labels[rows], self.views[rows], self.shots, self.classes, units, groups)

    def plain(self, rows: Tensor) -> Labelled:
        """The given rows as the plain views that queries are."""
        ids = tuple(self.sample_ids[int(row)] for row in rows)
        return Labelled(ids, self.labels[rows], normalize(self.views[rows, 0], dim=-1))


@dataclass(frozen=True)
class Labelled:
    """Samples to score: ids, `labels` (B,) int64, unit `features` (B, C) float32."""

    sample_ids: tuple[str, ...]
    labels: Tensor
    features: Tensor

    def __len__(self) -> int:
        return len(self.sample_ids)

    def part(self, widths: Widths, encoder: int) -> Labelled:
        """The same samples seen by one encoder of several."""
        return replace(self, features=part_of(self.features, widths, encoder))

    def to(self, device: str) -> Labelled:
        """The same samples with their tensors on `device`."""
        return replace(self, labels=self.labels.to(device), features=self.features.to(device))


@dataclass(frozen=True)
class FewShotTask:
    """All that a method is handed: texts, support, validation samples to choose on (or none), and the seed.

    `selected_on` says in words what the validation samples are. With an `index` the cache's keys are in it alone, and the support
    is those of its samples that the log tells of. Of several encoders `widths` says how wide each one's features are in the wide rows
    (`stages.fewshot.wide`; empty: one encoder); `text` is of the first, and `more_texts` of each other one with a text tower, else None.
    A `pool` holds images without labels; methods whose entry says so learn from it.
    """

    text: Text
    support: Support
    validation: Labelled | None
    seed: int
    selected_on: str
    index: KeyIndex | None = None
    widths: Widths = ()
    more_texts: tuple[Text | None, ...] = ()
    pool: Pool | None = None

    @property
    def segments(self) -> Segments:
        """Which key of the cache belongs to which class."""
        return self.support.segments if self.index is None else self.index.segments

    def to(self, device: str) -> FewShotTask:
        """The same task with its tensors on `device`."""
        text, more = self.text.to(device), tuple(text and text.to(device) for text in self.more_texts)
        support = replace(self.support, labels=self.support.labels.to(device), views=self.support.views.to(device))
        validation = None if self.validation is None else self.validation.to(device)
        index, pool = self.index and self.index.to(device), self.pool and self.pool.to(device)
        return replace(self, text=text, support=support, validation=validation, index=index, more_texts=more, pool=pool)

    def part(self, encoder: int, text: Text | None = None) -> FewShotTask:
        """The task of one encoder alone, numbered from 0: with its own class texts, else with those given.

        Raises `ValueError` where there are neither, as an encoder without a text tower has none.
        """
        own = text_of(self.text, self.more_texts, encoder) or text
        if own is None:
            raise ValueError(f"encoder {encoder} has no class texts of its own, and none were given")
        support, validation = self.support.part(self.widths, encoder), self.validation and self.validation.part(self.widths, encoder)
        return replace(self, text=own, support=support, validation=validation, widths=(), more_texts=())

    def without_validation(self) -> FewShotTask:
        """The task with nothing to choose on: methods fall back to settings they are given or to fixed defaults."""
        return replace(self, validation=None, selected_on="nothing (fixed defaults)")

    def fold(self, held: Tensor) -> FewShotTask:
        """The task whose validation is the given support rows, as the plain views that queries are, and whose support is the rest."""
        mask = torch.ones(len(self.support), dtype=torch.bool, device=held.device)
        mask[held] = False
        rest = self.support.take(torch.nonzero(mask).flatten())
        # Held-out samples have no say in how sentences are weighed either.
        text = self.text if self.text.means is None else self.text.guided([rest.keys], rest.labels, rest.segments.counts)
        return replace(self, text=text, support=rest, validation=self.support.plain(held))
