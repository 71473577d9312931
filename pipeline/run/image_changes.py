"""Which images came, went, or changed between two versions of a data set, by their contents and names.

An image of the same bytes under another name is the same image. Where bytes are not known (imported features, and those of version 1),
so is a file of the same name that is gone from one folder and came in another: that is how folders are relabelled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged

if TYPE_CHECKING:
    from xmap.stages.extract.identity import ExtractSpec


class Seen(NamedTuple):
    """What is known of an image: its split, its class and the blake3 of its bytes; None where that is not stored."""

    split: str
    label: str | None
    content: str | None = None


# By sample id.
Listing = Mapping[str, Seen]
# What a name and what is known of it are found again by; None where by nothing.
Key = Callable[[str, Seen], object]
# Reading the names of more takes longer than they are worth as a remark.
MOST = 200_000
BAD = "errors.parquet"


@dataclass(frozen=True)
class ImageChanges:
    """Sample ids, sorted, by their name now.

    `changed` have other bytes under the same name; `renamed` have neither another class nor another split.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    in_another_split: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(ids for _, ids in self.kinds())

    def kinds(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each kind of change in words, and its images."""
        return [(field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)]

    def __str__(self) -> str:
        parts = [(len(ids), kind) for kind, ids in self.kinds() if ids]
        if not parts:
            return "no image changed"
        (count, kind), *rest = parts
        first = f"{count:,} image{'' if count == 1 else 's'} {kind}"
        return ", ".join([first, *(f"{count:,} {kind}" for count, kind in rest)])


def image_changes(before: Listing, after: Listing) -> ImageChanges:
    """What became of the images of `before`. Of several of one content each is one image."""
    old, new = dict(before), dict(after)
    pairs = [name for name in after if name in before and _alike(before[name], after[name])]
    matched = [(old.pop(name), new.pop(name), name, name) for name in pairs]
    keys: list[Key] = [
        lambda name, seen: seen.content and (seen.content, PurePosixPath(name).name),
        # Of several the one whose name is free: a name that stays has another image now.
        lambda name, seen: None if name in before and name in after else seen.content,
        lambda name, seen: seen.content,
        lambda name, seen: name,
    ]
    for key in keys:
        matched += _taken(old, new, _pairs(old, new, key))
    matched += _taken(old, new, _moved(old, new))
    found: dict[str, list[str]] = defaultdict(list, {"new": list(new), "gone": list(old)})
    for was, now, name, other in matched:
        for kind in _kinds(was, now, name != other):
            found[kind].append(other)
    return ImageChanges(**{kind: tuple(sorted(names)) for kind, names in found.items()})


def _alike(was: Seen, now: Seen) -> bool:
    """Whether the bytes are the same, as far as that is known."""
    return was.content == now.content or was.content is None or now.content is None


def _kinds(was: Seen, now: Seen, renamed: bool) -> list[str]:
    """What became of one image."""
    found = [] if _alike(was, now) else ["changed"]
    found += ["relabelled"] if None not in (was.label, now.label) and was.label != now.label else []
    found += ["in_another_split"] if was.split != now.split else []
    return found or (["renamed"] if renamed else [])


def _pairs(old: Listing, new: Listing, key: Key) -> list[tuple[str, str]]:
    """The names, old and new, that a key brings together, in order where it does so for several."""
    waiting: dict[object, list[str]] = defaultdict(list)
    for name in sorted(old, reverse=True):
        if found := key(name, old[name]):
            waiting[found].append(name)
    named = ((key(name, seen), name) for name, seen in sorted(new.items(), key=lambda item: item[0]))
    return [(waiting[found].pop(), name) for found, name in named if waiting.get(found)]


def _taken(old: dict[str, Seen], new: dict[str, Seen], pairs: list[tuple[str, str]]) -> list[tuple[Seen, Seen, str, str]]:
    return [(old.pop(name), new.pop(other), name, other) for name, other in pairs]


def _moved(old: Listing, new: Listing) -> list[tuple[str, str]]:
    """Those of unknown bytes that came under a file name that only one image had that is gone."""
    went, came = ({PurePosixPath(name).name: name for name in names} for names in (_single(old), _single(new)))
    pairs = [(went[file], came[file]) for file in went.keys() & came.keys()]
    return [(name, other) for name, other in pairs if _alike(old[name], new[other])]


def _single(names: Collection[str]) -> list[str]:
    count = Counter(PurePosixPath(name).name for name in names)
    return [name for name in names if count[PurePosixPath(name).name] == 1]


def listing_of(spec: ExtractSpec) -> Listing | None:
    """The images of a data set as they are now; None where there are too many."""
    from xmap.stages.datasets.dataset import SPLITS, known_contents
    from xmap.stages.datasets.places.columns import texts
    from xmap.store.memory.hashes import hexes

    samples, classes = spec.dataset.samples, spec.dataset.classes
    if len(samples) > MOST:
        return None
    rows = zip(texts(samples.ids), samples.splits.tolist(), samples.labels.tolist(), hexes(known_contents(samples)), strict=True)
    return {
        sample_id: Seen(SPLITS[split], classes[label], content if content.strip("0") else None) for sample_id, split, label, content in rows
    }


def stored_listing(images: Artifact) -> Listing | None:
    """The images that were extracted; None where there are too many to read, or their files are damaged or say nothing of it.

    Of images that could not be read class and content are not stored.
    """
    import numpy as np

    from xmap.store.formats.features import read_errors
    from xmap.store.formats.samples import columns_of
    from xmap.store.formats.tables import read_table

    counts, classes = images.summary.get("counts"), images.summary.get("classes")
    if not isinstance(counts, Mapping) or not isinstance(classes, list) or sum(counts.values()) > MOST:
        return None
    found: dict[str, Seen] = {}
    try:
        for path in images.files(suffix=".parquet"):
            if path.name == BAD:
                found |= {row.sample_id: Seen(row.split, None) for row in read_errors(path)}
                continue
            split, table = path.name.rpartition("-")[0], read_table(path, types=columns_of(path))
            for row in table.take(np.flatnonzero(table["view"].to_numpy() == 0)).to_pylist():
                content = row["content"].hex() if "content" in row else None
                found[row["sample_id"]] = Seen(split, str(classes[row["label"]]), content)
    except (ArtifactDamaged, IndexError):
        return None
    return found
