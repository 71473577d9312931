"""Files of an artifact with other bytes, under other names, or an index of another kind."""

from __future__ import annotations

import numpy as np

from tests.worlds.mutate import mutated
from tests.worlds.odd.manifests import Manifest, Odd, odd_manifest, rewrite
from xmap.store.artifacts.manifest import MANIFEST


def odd_bytes(odd: Odd, manifest: Manifest) -> None:
    path = odd.draw.choice([path for path in odd.folder.rglob("*") if path.is_file() and path.name != MANIFEST])
    rewrite(path, odd.draw.choice((b"", b"x", mutated(path.read_bytes(), odd.draw), mutated(path.read_bytes(), odd.draw))))
    odd.note(f"bytes of {path.name}")


def odd_swap(odd: Odd, manifest: Manifest) -> None:
    """The bytes of another file of the store, of the same kind."""
    mine = odd.draw.choice([path for path in odd.folder.rglob("*") if path.is_file() and path.name != MANIFEST])
    others = [path for path in sorted(odd.store.glob(f"*/**/*{mine.suffix}")) if path.name != MANIFEST]
    other = odd.draw.choice(others)
    rewrite(mine, other.read_bytes())
    odd.note(f"{mine.name} is {other.relative_to(odd.store)}")


def odd_names(odd: Odd, manifest: Manifest) -> None:
    """A file under another name, listed so."""
    entry = odd.draw.choice(manifest["files"])
    name = odd.draw.choice(
        ["x", "train-\u00b2.parquet", "train-1.parquet", "test-9.parquet", "image.faiss", "texts.parquet", "a\x1b[1m.parquet"]
    )
    path = odd.folder / entry["name"]
    if path.is_file() and not (odd.folder / name).exists():
        path.rename(odd.folder / name)
        odd.note(f"{entry['name']} is called {name!r}")
        entry["name"] = name


def odd_index(odd: Odd, manifest: Manifest) -> None:
    """An index of another kind, width, size or metric."""
    import faiss

    paths = sorted(odd.folder.glob("*.faiss"))
    if not paths:
        return odd_manifest(odd, manifest)
    path, draw = odd.draw.choice(paths), odd.draw
    before = faiss.read_index(str(path))
    width, total = (
        draw.choice((before.d, before.d, 1, before.d + 1, 4 * before.d)),
        draw.choice((before.ntotal, before.ntotal, 0, 1, before.ntotal + 1, 300)),
    )
    kind = draw.choice(("Flat", "HNSW4", "SQ8", "IDMap,Flat", "PCA1,Flat", "IVF1,Flat", "LSH"))
    metric = draw.choice((faiss.METRIC_INNER_PRODUCT, faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2))
    keys = np.random.default_rng(draw.randrange(1000)).normal(size=(max(total, 1), width)).astype(np.float32)
    if draw.random() < 0.2:
        keys[:] = draw.choice((np.nan, np.inf, 1e38, 0.0))
    try:
        index = faiss.index_factory(width, kind, metric)
        index.train(keys)
        if total:
            index.add_with_ids(keys, np.arange(total) * draw.choice((1, 10**12, -1))) if kind == "IDMap,Flat" else index.add(keys)
    except RuntimeError:
        return None
    rewrite(path, faiss.serialize_index(index).tobytes())
    odd.note(f"{path.name} is {kind} of {total} x {width}, metric {metric}")
    return None
