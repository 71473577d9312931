"""What to label next: the images of a pool that nobody has labelled, encoded into the store, in the order in which labels help most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.choice import load_chosen
from xmap.pipeline.adapters.own_images import extracted_as, require_images
from xmap.pipeline.engines.registry import workplace_of
from xmap.stages.datasets.places.place import Remote, shown
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError
from xmap.store.memory.notes import HASHES, Notes

if TYPE_CHECKING:
    from xmap.stages.choose.candidates import Candidate
    from xmap.stages.images.decode import Rules
    from xmap.store.formats.features import ErrorRow


@dataclass(frozen=True)
class ChoiceRequest:
    """A pool, how many of its images are to be labelled, and by what adapter.

    `labels` are tables of what was labelled before, `encoder` what names the encoder where the store does not tell it.
    """

    data: str
    count: int
    labels: Sequence[str] = ()
    adapter: str = ""
    method: str = ""
    seed: int | None = None
    encoder: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    workers: int | None = None


@dataclass(frozen=True)
class Chosen:
    """The images to label, best first, of a pool of `total`; `left_out` says how many of these were not considered, and why.

    `bad` are those that cannot be read, `rules` by which the others were.
    """

    adapter: Artifact
    classes: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    total: int
    left_out: Mapping[str, int]
    bad: tuple[ErrorRow, ...]
    rules: Rules


def require_unfilled(path: Path) -> None:
    """Raise `InputError` where there is a table at `path` in which somebody has given labels."""
    from xmap.stages.datasets.sources.new_images import labels_given

    given = labels_given(path)
    if given:
        raise InputError(f"{path} holds {given:,} labels that somebody gave; name another file with -o FILE.")


def choose(store: Store, asked: ChoiceRequest, links: Path | None, progress: Progress) -> Chosen:
    """The images of a pool that are best labelled next; with `links` there is a file of each in that folder.

    Raises `InputError` for a pool that cannot be read or has nothing left to label, `ArtifactMissing` where the images that the adapter
    was made from are not in the store, and what loading adapter and encoder raises.
    """
    from xmap.stages.choose.candidates import candidates, scored_pool
    from xmap.stages.choose.links import linked, require_empty
    from xmap.stages.choose.pool import read_pool
    from xmap.stages.choose.ranking import order
    from xmap.stages.extract.identity import ExtractSpec
    from xmap.stages.extract.pool import pool_features
    from xmap.stages.fewshot.draw import index_split, support_split, take_samples

    if links:
        require_empty(links)
    adapter = load_chosen(store, asked.adapter, asked.method, asked.seed, progress.say)
    images = require_images(adapter)
    pool, left_out = read_pool(asked.data, Notes(store.root / HASHES), images, asked.labels)
    _say(adapter, pool.remarks, left_out, progress)
    config = extracted_as(adapter, images, {"run.device": asked.device, "run.workers": asked.workers})
    spec = ExtractSpec(pool, adapter.encoder_identity(**asked.encoder), config.extract)
    found = pool_features(workplace_of(store, config.run, progress), spec)
    split = support_split(images, adapter.scorer.cache.shots)
    known = take_samples(images, split, set(index_split(images, split).sample_ids), plain=True)
    scored = scored_pool(adapter.scorer, found.features, known.features)
    rows = order(scored, asked.count, int(adapter.artifact.summary["seed"])).tolist()
    chosen = candidates(scored, found.samples, rows, adapter.classes)
    if links:
        chosen = linked(chosen, links)
    elif inside := sum(not isinstance(one.place, Path | Remote) for one in chosen):
        progress.say(f"{inside:,} of them lie in tars or tables, where no table of paths finds them: --links DIR writes them as files")
    total = len(pool.samples) + sum(left_out.values())
    return Chosen(adapter.artifact, adapter.classes, tuple(chosen), total, left_out, tuple(found.bad), adapter.rules())


def label_page_of(chosen: Chosen, pool: str) -> str:
    """The page on which the chosen images are labelled, as HTML text."""
    from xmap.stages.choose.page import label_page

    about = f"{len(chosen.candidates):,} of the {chosen.total:,} images of {shown(pool)}, best first; guesses by {chosen.adapter.name}."
    return label_page(chosen.candidates, chosen.classes, about, chosen.rules)


def _say(adapter: Adapter, remarks: tuple[str, ...], left_out: Mapping[str, int], progress: Progress) -> None:
    from xmap.stages.choose.pool import said_of

    made = adapter.artifact.manifest["created"]
    progress.say(f"adapter {adapter.artifact.name} of {made}, {len(adapter.classes)} classes")
    for remark in remarks:
        progress.say(remark)
    for line in said_of(left_out):
        progress.say(f"left out of the pool: {line}")
