"""The pool of a run: images without labels that its adapters learn from too, encoded into the store, or stored there by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from xmap.pipeline.run.encoded import Build, Built, gone, has_features, identity_of, newest_features
from xmap.pipeline.run.features import Features, encoder_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.datasets.places.place import is_url
from xmap.stages.datasets.sources.columns import LABEL, SHARE, SHARES, chosen, lacking
from xmap.stages.datasets.sources.csv_text import read_rows, read_text
from xmap.stages.methods.options import POOL_SHOTS
from xmap.stages.methods.registry import method_entry
from xmap.stages.names import IMAGES
from xmap.stages.train.identity import PoolSpec
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import read_plain
from xmap.store.errors import InputError, MethodRefused
from xmap.store.memory.notes import HASHES, Notes

ESTIMATED, FREE = "estimated", "free"
# Of what is remembered of vectors that point alike.
VERSION = "1"
# Bytes of a file of class shares.
MOST = 1 << 24
# Counts of images do as shares.
LARGEST = 1e15
FORM = "give a CSV file with the columns class and share"


@dataclass(frozen=True)
class Pool:
    """The images of a pool: what they are, how their features come about, and how they are learned from."""

    name: str
    images: Identity
    build: Build
    spec: PoolSpec
    remarks: tuple[str, ...] = ()


def pool_of(store: Store, config: XmapConfig, features: Features, rehash: bool = False) -> Pool | None:
    """The pool that `config` names; None for none.

    Raises `MethodRefused` for a method that learns from no pool, and `InputError` for one that cannot be read, is of another encoder, or
    holds a test image.
    """
    named = config.run.pool
    if not named:
        return None
    if features.encoders:
        raise InputError("--pool takes the images of one encoder; leave it out, or --also-model and --also-features.")
    for method in config.run.methods:
        if not method_entry(method).pools:
            raise MethodRefused(method, features.name, "it does not use a pool", "name methods that do, with --methods xmadapter")
    spec = _spec(config.run.pool_shares, features)
    found = _found(store, config, features, spec, rehash)
    if config.cache.shots <= POOL_SHOTS:
        return found
    said = f"with more than {POOL_SHOTS} shots a pool has gained nothing, and changes no answer of xmadapter; its class shares are told"
    return replace(found, remarks=(*found.remarks, said))


def _found(store: Store, config: XmapConfig, features: Features, spec: PoolSpec, rehash: bool) -> Pool:
    named = config.run.pool
    if _is_data(named) or not has_features(store, named):
        return _extracted(store, config, features, spec, rehash)
    return _stored(store, named, features, spec, rehash)


def _is_data(named: str) -> bool:
    return os.path.lexists(named) or is_url(named) or ":" in named


def _stored(store: Store, name: str, features: Features, spec: PoolSpec, rehash: bool) -> Pool:
    from xmap.stages.train.pool import count_among, of_pool, refuse_test_images
    from xmap.store.formats.samples import contents_of

    images = newest_features(store, IMAGES, name)
    if images.fields.get("encoder") != features.texts.fields.get("encoder"):
        raise InputError(
            f"the pool {name!r} is of another encoder than the features {features.name!r}; name a pool of the same with --pool."
        )
    # Vectors of others have no contents.
    tested, count = store.find(features.images), count_among(contents_of(images, of_pool(images)), features.tested())
    refuse_test_images(name, count + (_pointing(Notes(store.root / HASHES, rehash), images, tested) if tested else 0))
    return Pool(name, identity_of(images), partial(gone, images), spec)


def _pointing(notes: Notes, pool: Artifact, tested: Artifact) -> int:
    """`count_pointing`; that it is 0 is remembered, as neither artifact changes and many vectors take long. Raises `ArtifactDamaged`."""
    from xmap.stages.train.pool import count_pointing

    place = f"pointing alike {pool.fingerprint} {tested.fingerprint}"
    if notes.recall({place: VERSION}):
        return 0
    found = count_pointing(pool, tested)
    if not found:
        notes.remember({place: VERSION}, {place: "none"})
    return found


def _extracted(store: Store, config: XmapConfig, features: Features, spec: PoolSpec, rehash: bool) -> Pool:
    from xmap.stages.datasets.content.hashing import hash_places, with_contents
    from xmap.stages.datasets.dataset import known_contents
    from xmap.stages.datasets.open import open_pool
    from xmap.stages.extract.identity import ExtractSpec, image_identity
    from xmap.stages.train.pool import count_among, refuse_test_images

    if features.imported:
        raise InputError(
            f"features {features.name!r} were imported, so that no encoder is at hand for the pool {config.run.pool!r}; import the pool's "
            "features too, and name these with --pool."
        )
    notes = Notes(store.root / HASHES, rehash)
    encoder = encoder_of(store, config, features, rehash, "leave out --pool")
    found = with_contents(open_pool(config.run.pool, notes, config.data.root, "--pool"), partial(hash_places, notes=notes))
    refuse_test_images(config.run.pool, count_among(known_contents(found.samples), features.tested()))
    extract = config.extract.model_copy(update={"views": 0})
    asked = ExtractSpec(replace(found, name=f"{found.name}-pool"), encoder, extract)
    identity = replace(
        image_identity(asked, features.parts.command("extract", config.cache.shots, config.run.methods)), source=features.parts.source
    )

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.extract.stage import extract_images

        return extract_images(workplace, identity, asked)

    return Pool(found.name, identity, build, spec, found.remarks)


def _classes(features: Features) -> tuple[str, ...]:
    names = features.texts.fields["classes"]
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _spec(shares: str, features: Features) -> PoolSpec:
    if shares in (ESTIMATED, FREE):
        return PoolSpec("free" if shares == FREE else "estimated")
    return PoolSpec("given", read_shares(Path(shares), _classes(features)))


def read_shares(path: Path, classes: Sequence[str]) -> Mapping[str, float]:
    """Class shares from a CSV file with the columns class and share, of every class one, made to sum to 1. Raises `InputError`."""
    if not os.path.isfile(path):
        raise InputError(f"--pool-shares {path} is neither estimated nor free, nor a file; {FORM}.")
    try:
        text, _ = read_text(read_plain(path, MOST), str(path))
    except OSError as error:
        raise InputError(f"--pool-shares {path} cannot be read ({error.strerror or error}); {FORM}.") from error
    header, rows = read_rows(text, lambda columns: not lacking(columns, SHARES), str(path))
    places = chosen(str(path), header, SHARES)
    found: dict[str, float] = {}
    for number, row in rows:
        name, share = row[places[LABEL]].strip(), _number(row[places[SHARE]])
        if name not in classes or name in found or share is None:
            raise InputError(f"{path}, line {number}: give each class once, as it is called, with a share from 0 to {LARGEST:,.0f}.")
        found[name] = share
    total = sum(found.values())
    missing = next((name for name in classes if name not in found), None)
    if missing is not None or not total:
        what = "no class has a share" if missing is None else f"class {missing!r} has no share"
        raise InputError(f"{path}: {what}; give one to every class in the columns class and share.")
    return {name: found[name] / total for name in classes}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= LARGEST else None
