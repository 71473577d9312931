"""Artifacts that are odd and sealed all the same: what another program, or somebody who means harm, may hand on.

An artifact of a store is changed in one to three places of its manifest, tensors, tables or indexes, and everything is sealed again:
sizes, hashes, fingerprints and seals fit, here and in all that was made from it.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tests.promises.mutate import mutated
from xmap.store.artifacts.fingerprint import fingerprint
from xmap.store.artifacts.manifest import MANIFEST, seal
from xmap.store.disk.files import hash_file

Manifest = dict[str, Any]
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]


@dataclass
class Odd:
    """A store whose artifact `folder` is being made odd; `victim` is a place outside that names may lead to."""

    store: Path
    folder: Path
    victim: Path
    draw: random.Random
    done: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.done.append(what)


def values(odd: Odd) -> list[Any]:
    """What may stand anywhere in JSON."""
    return [
        None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
        "", "x", ".", "..", "/", "../../../victim/secret", str(odd.victim / "secret"), str(odd.victim), "\x1b[31m", "a\nb", "\u202eabc",
        "\ud800", "a" * 100_000, "\u00e9" * 300, "%s{}{0}", "'; drop table x; --", "</script><b>", "\0", "train", "\u00b2", "-1",
        "1e9", "{}",
        [], {}, [[]], [None], [{}], {"": ""}, {"a": None}, DEEP, [0] * 5000, ["x"] * 3, [1.0], {"support-\u00b2": 1},
    ]  # fmt: skip


# ---- JSON


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in nested JSON."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        current = pending.pop()
        keys = list(current) if isinstance(current, dict) else range(len(current)) if isinstance(current, list) else ()
        found += [(current, key) for key in keys]
        pending.extend(current[key] for key in keys)
    return found


def change_json(value: Any, odd: Odd) -> None:
    """One change somewhere inside `value`."""
    draw, found = odd.draw, places(value)
    if not found:
        return
    container, key = draw.choice(found)
    before, way = container[key], draw.choice(("value", "value", "value", "delete", "nest", "double", "rename", "other"))
    if way == "value":
        container[key] = copy.deepcopy(draw.choice(values(odd)))
    elif way == "delete":
        del container[key]
    elif way == "nest":
        container[key] = [before] if draw.random() < 0.5 else {"x": before}
    elif way == "double" and isinstance(before, list | str):
        container[key] = before + before
    elif way == "rename" and isinstance(container, dict):
        container[str(draw.choice(["", "x", "results", "classes", "\x1b", "../x", "a" * 300]))] = container.pop(key)
    else:
        other, name = draw.choice(found)
        if name in other if isinstance(other, dict) else name < len(other):
            container[key] = copy.deepcopy(other[name])
    odd.note(f"{way} at {str(key)[:40]!r}: {str(before)[:40]!r} -> {str(container[key] if _has(container, key) else None)[:40]!r}")


def _has(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


def odd_manifest(odd: Odd, manifest: Manifest) -> None:
    part = odd.draw.choices(("fields", "summary", "inputs", "files", "all"), (3, 8, 2, 1, 3))[0]
    change_json(manifest if part == "all" else manifest[part], odd)


def odd_metrics(odd: Odd, manifest: Manifest) -> None:
    path = odd.folder / "metrics.json"
    data = json.loads(path.read_bytes())
    change_json(data, odd)
    rewrite(path, json.dumps(data).encode())


# ---- files


def rewrite(path: Path, data: bytes) -> None:
    """Other bytes for a file that may be linked from elsewhere."""
    path.unlink()
    path.write_bytes(data)


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


# ---- tensors


def odd_tensors(odd: Odd, manifest: Manifest) -> None:
    """Tensors of other names, shapes, types and values, or other settings beside them."""
    paths = sorted(odd.folder.glob("*.safetensors"))
    if not paths:
        return odd_manifest(odd, manifest)
    path = paths[0]
    with safe_open(path, framework="np") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not tensors or odd.draw.random() < 0.3:
        facts = json.loads(metadata["xmap"])
        change_json(facts, odd)
        metadata = odd.draw.choice(({"xmap": json.dumps(facts)},) * 6 + ({}, {"xmap": "{"}, {"xmap": "[]"}, {"other": "x"}))
    else:
        name = odd.draw.choice(sorted(tensors))
        way = odd.draw.choice(sorted(TENSORS))
        TENSORS[way](tensors, name, odd.draw)
        odd.note(f"tensor {name}: {way}")
    rewrite(path, save({name: np.ascontiguousarray(values) for name, values in tensors.items()}, metadata))
    return None


Tensors = dict[str, Any]


def _cast(kind: str) -> Callable[[Tensors, str, random.Random], None]:
    def cast(tensors: Tensors, name: str, draw: random.Random) -> None:
        tensors[name] = tensors[name].astype(kind)

    return cast


def _with(make: Callable[[Any], Any]) -> Callable[[Tensors, str, random.Random], None]:
    def change(tensors: Tensors, name: str, draw: random.Random) -> None:
        tensors[name] = make(tensors[name])

    return change


def _delete(tensors: Tensors, name: str, draw: random.Random) -> None:
    del tensors[name]


def _rename(tensors: Tensors, name: str, draw: random.Random) -> None:
    tensors[draw.choice(("x", "keys", "weights", "", "\x1b", "../x"))] = tensors.pop(name)


def _add(tensors: Tensors, name: str, draw: random.Random) -> None:
    tensors[draw.choice(("x", "keys", "gate.weight", "meta.1"))] = tensors[name]


def _fill(tensors: Tensors, name: str, draw: random.Random) -> None:
    tensors[name] = np.full_like(tensors[name], draw.choice((np.nan, np.inf, -np.inf, 1e30, 0)) if tensors[name].dtype.kind == "f" else -5)


TENSORS: Mapping[str, Callable[[Tensors, str, random.Random], None]] = {
    **{kind: _cast(kind) for kind in ("float64", "float16", "int32", "bool", "uint8")},
    "transposed": _with(lambda found: found.T),
    "flat": _with(lambda found: found.reshape(-1)),
    "deeper": _with(lambda found: found[None]),
    "one number": _with(lambda found: found.reshape(-1)[:1].reshape(())),
    "no row": _with(lambda found: found[:0] if found.ndim else found),
    "fewer rows": _with(lambda found: found[1:] if found.ndim else found),
    "more rows": _with(lambda found: np.concatenate([found, found[-1:]]) if found.ndim else found),
    "narrower": _with(lambda found: found[..., 1:] if found.ndim else found),
    "wider": _with(lambda found: np.concatenate([found, found[..., -1:]], -1) if found.ndim else found),
    "deleted": _delete,
    "renamed": _rename,
    "another": _add,
    "filled": _fill,
}


# ---- tables


def odd_tables(odd: Odd, manifest: Manifest) -> None:
    """Tables of other columns, types, lengths and values."""
    paths = sorted(odd.folder.rglob("*.parquet"))
    if not paths:
        return odd_manifest(odd, manifest)
    path, way = odd.draw.choice(paths), odd.draw.choice(sorted(TABLES))
    try:
        table = pq.ParquetFile(path).read()
        name = odd.draw.choice(table.column_names)
        changed = TABLES[way](table, name, odd.draw)
    except (pa.ArrowException, KeyError, IndexError, TypeError, ValueError, OSError):
        return odd_manifest(odd, manifest)
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key.startswith(b"xmap.")}
    path.unlink()
    pq.write_table(changed.replace_schema_metadata(kept), path, compression="zstd", write_page_checksum=True)
    odd.note(f"{path.name}, column {name}: {way}")
    return None


Change = Callable[[pa.Table, str, random.Random], pa.Table]


def _column(make: Callable[[pa.ChunkedArray, random.Random], Any]) -> Change:
    def change(table: pa.Table, name: str, draw: random.Random) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, make(table[name], draw))

    return change


def _replaced(column: pa.ChunkedArray, draw: random.Random) -> Any:
    """One value, or all of them, by another of the type."""
    options: list[Any] = [None]
    kind = column.type
    if pa.types.is_integer(kind):
        options += [-1, 0, 99, 2 ** (kind.bit_width - 1) - 1, -(2 ** (kind.bit_width - 1))]
    elif pa.types.is_floating(kind):
        options += [float("nan"), float("inf"), -1.0, 1e38, 0.0]
    elif pa.types.is_string(kind):
        options += ["", "x" * 1_000_000, "\x1b[31m", "../../victim/secret", "</script>", "test", "a\nb", "a/1.png"]
    elif pa.types.is_list(kind):
        options += [[], [None], column[0].as_py()[:1] if len(column) and column[0].as_py() else [], [None] * 3]
    elif pa.types.is_fixed_size_list(kind):
        options += [[value] * kind.list_size for value in (float("nan"), 0.0, float("inf"), 1e38)]
    elif pa.types.is_boolean(kind):
        options += [True, False]
    cells = column.to_pylist()
    value, whole = draw.choice(options), draw.random() < 0.4
    for row in range(len(cells)) if whole else draw.sample(range(len(cells)), min(1, len(cells))):
        cells[row] = value
    return pa.array(cells, kind)


def _typed(kind: pa.DataType) -> Change:
    return _column(lambda column, draw: column.cast(kind))


def _narrow(column: pa.ChunkedArray, draw: random.Random) -> Any:
    width = draw.choice((1, 7, 33))
    return pa.array([[1.0] * width] * len(column), pa.list_(pa.float32(), width))


TABLES: Mapping[str, Change] = {
    "values": _column(_replaced),
    "other values": _column(_replaced),
    "yet other values": _column(_replaced),
    "of text": _typed(pa.string()),
    "of wide integers": _typed(pa.int64()),
    "of doubles": _typed(pa.float64()),
    "of dictionaries": _column(lambda column, draw: column.dictionary_encode()),
    "of nothing": _column(lambda column, draw: pa.nulls(len(column))),
    "of lists": _column(lambda column, draw: pa.array([[cell] for cell in column.to_pylist()])),
    "of objects": _column(lambda column, draw: pa.array([{"x": 1}] * len(column))),
    "of vectors": _column(_narrow),
    "without it": lambda table, name, draw: table.drop_columns([name]),
    "renamed": lambda table, name, draw: table.rename_columns(["x" if column == name else column for column in table.column_names]),
    "twice": lambda table, name, draw: table.append_column(name, table[name]),
    "one more": lambda table, name, draw: table.append_column("extra", table[name]),
    "no row": lambda table, name, draw: table.slice(0, 0),
    "a row less": lambda table, name, draw: table.slice(1),
    "rows twice": lambda table, name, draw: pa.concat_tables([table, table]),
    "rows in another order": lambda table, name, draw: table.take(draw.sample(range(len(table)), len(table))),
    "columns in another order": lambda table, name, draw: table.select(draw.sample(table.column_names, len(table.column_names))),
}

UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, SafetensorError, pa.ArrowException)
WAYS: Mapping[Callable[[Odd, Manifest], None], int] = {
    odd_manifest: 10, odd_tensors: 5, odd_tables: 8, odd_index: 2, odd_bytes: 2, odd_swap: 1, odd_names: 1,
}  # fmt: skip


# ---- sealing


def make_odd(odd: Odd) -> None:
    """Change the artifact in one to three places and seal it, and what was made from it, again."""
    manifest = json.loads((odd.folder / MANIFEST).read_bytes())
    ways = dict(WAYS) | ({odd_metrics: 2} if (odd.folder / "metrics.json").is_file() else {})
    for way in odd.draw.choices(list(ways), list(ways.values()), k=odd.draw.choice((1, 1, 2, 3))):
        if isinstance(manifest.get("files"), list) and all(
            isinstance(manifest.get(name), dict) for name in ("fields", "summary", "inputs")
        ):
            try:
                way(odd, manifest)
            except UNREADABLE as error:
                # An earlier change left nothing to change.
                odd.note(f"not {way.__name__} ({type(error).__name__})")
    pending = [(odd.folder, manifest)]
    for folder, changed in pending:
        before, after = reseal(folder, changed)
        if before != after:
            pending += _children(odd.store, before, after)


def reseal(folder: Path, manifest: Manifest) -> tuple[Any, Any]:
    """Write `manifest` with sizes, hashes, fingerprint and seal made to fit; the fingerprints before and after."""
    manifest["checksum"], before = "", manifest.get("fingerprint")
    try:
        manifest["fingerprint"] = fingerprint({key: manifest[key] for key in ("stage", "fields", "inputs")})
        for entry in manifest["files"]:
            if (folder / entry["name"]).is_file():
                entry["size"], entry["blake3"] = (folder / entry["name"]).stat().st_size, hash_file(folder / entry["name"])
    except (KeyError, TypeError, ValueError, RecursionError, OSError):
        # Too odd to have one; it is sealed nevertheless.
        manifest.setdefault("fingerprint", before)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(seal(json.dumps(manifest, indent=1, ensure_ascii=True).encode()))
    return before, manifest.get("fingerprint")


def _children(store: Path, before: Any, after: Any) -> list[tuple[Path, Manifest]]:
    """What was made from the artifact that had the fingerprint `before`, naming its new one."""
    found = []
    for path in sorted(store.glob(f"*/*/{MANIFEST}")):
        manifest = json.loads(path.read_bytes())
        inputs = manifest.get("inputs")
        if isinstance(inputs, dict) and isinstance(before, str) and before in inputs.values():
            manifest["inputs"] = {name: after if digest == before else digest for name, digest in inputs.items()}
            found.append((path.parent, manifest))
    return found
