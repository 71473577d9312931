"""Whatever bytes the readers are given, they read them or raise an error of ours: no other error, no crash, no endless work.

Each format is changed at random in a child process, so that a crash of a library is seen too. What this found is in
docs/reliability.md.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.artifacts import seal_again
from tests.worlds.faults import Case, in_child
from tests.worlds.inputs import write_layout
from tests.worlds.mutate import mutations
from tests.worlds.readers import READERS, Reader, dataset, everything, features, found, refuses_or_reads, texts
from xmap.pipeline.settings.config import load_config
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.formats.features import read_errors
from xmap.store.formats.log import read_values
from xmap.store.formats.tables import write_table

# What an honest file of a few kB needs, many times over.
MEMORY = 3 << 30


def fuzz(read: Reader, path: Path, data: bytes, count: int, seed: int) -> None:
    """In a child: a crash, an error of another kind or too much memory ends it, after it wrote down how far it was."""

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
        here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number, changed in enumerate(mutations(data, count, seed)):
            path.with_name("number").write_text(str(number))
            try:
                refuses_or_reads(read, path, changed)
            except BaseException:
                traceback.print_exc(file=sys.stderr)
                raise
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - here) << 10 < MEMORY

    code = in_child(work)
    assert code == 0, f"mutation {path.with_name('number').read_text()} of seed {seed} ended the process with {code}"


def placed(folder: Path, name: str) -> tuple[Path, bytes]:
    """A file as it lies in a store, to be changed."""
    source, _ = READERS[name]
    if name == "manifest":
        shutil.copytree(source.parent, folder / "store" / "images" / source.parent.name)
        return folder / "store" / "images" / source.parent.name / MANIFEST, source.read_bytes()
    return folder / source.name, source.read_bytes()


@pytest.mark.failure("random bytes")
@pytest.mark.parametrize("name", READERS)
def test_no_bytes_make_a_reader_do_anything_but_read_or_refuse(tmp_path: Path, case: Case, name: str) -> None:
    path, data = placed(tmp_path, name)
    for seed in range(4):
        with case():
            fuzz(READERS[name][1], path, data, 25 if name != "manifest" else 10, seed)


@pytest.mark.thorough
@pytest.mark.timeout(1200)
@pytest.mark.failure("random bytes")
@pytest.mark.parametrize("name", READERS)
def test_many_bytes_make_no_reader_do_anything_but_read_or_refuse(tmp_path: Path, case: Case, name: str) -> None:
    path, data = placed(tmp_path, name)
    for seed in range(100, 140):
        with case():
            fuzz(READERS[name][1], path, data, 100 if name != "manifest" else 20, seed)


# ---- readers of what users bring


def importer(folder: Path, name: str) -> Reader:
    def read(path: Path) -> None:
        store = Store(folder / "imported")
        try:
            import_tip_adapter(store, folder / "layout", "x", 100.0, Silent())
        finally:
            shutil.rmtree(store.root, ignore_errors=True)

    return read


BROUGHT = ("keys_1shots.pt", "values_1shots.pt", "val_f.pt", "test_l.pt", "text_weights.pt", "classnames.json")


def brought(folder: Path, name: str, count: int, seeds: range, case: Case) -> None:
    write_layout(folder / "layout", shots=(1,), width=4, per_class=2)
    path = folder / "layout" / name
    data = path.read_bytes()
    for seed in seeds:
        with case():
            fuzz(importer(folder, name), path, data, count, seed)


@pytest.mark.failure("random bytes")
@pytest.mark.parametrize("name", BROUGHT)
def test_no_bytes_make_the_importer_do_anything_but_import_or_refuse(tmp_path: Path, case: Case, name: str) -> None:
    brought(tmp_path, name, 10, range(2), case)


@pytest.mark.thorough
@pytest.mark.timeout(1200)
@pytest.mark.failure("random bytes")
@pytest.mark.parametrize("name", BROUGHT)
def test_many_bytes_make_the_importer_do_nothing_else(tmp_path: Path, case: Case, name: str) -> None:
    brought(tmp_path, name, 50, range(100, 120), case)


CSV = b'path,label,split,note\na/1.png,ant,train,"x,y"\nb/2.png,bee,train,\na/3.png,ant,test,z\nb/4.png,bee,test,\n'
TOML = b"""[data]
data = "photos"
templates = ["a photo of a {}."]
[cache]
shots = 4
[run]
methods = ["zero-shot", "tip-adapter"]
seeds = [1, 2]
[methods."tip-adapter"]
alpha = 2.5
"""


@pytest.mark.failure("random bytes")
@pytest.mark.parametrize(("name", "data", "read"), [("table.csv", CSV, dataset), ("xmap.toml", TOML, load_config)], ids=["table", "config"])
def test_no_bytes_make_other_readers_do_anything_else(tmp_path: Path, case: Case, name: str, data: bytes, read: Reader) -> None:
    for seed in range(3):
        with case():
            fuzz(read, tmp_path / name, data, 60, seed)


# ---- sound files with wrong contents

KINDS = (
    pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.bool_(), pa.binary(), pa.null(), pa.timestamp("ns"), pa.decimal128(5, 2),
    pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.string(), 2), pa.list_(pa.float64(), 2),
    pa.struct([("x", pa.int32())]), pa.dictionary(pa.int8(), pa.string()),
)  # fmt: skip
SAMPLES: dict[str, Any] = {"string": "a", "bool": True, "binary": b"\xff", "null": None}
COLUMNS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "image features": (features, ("sample_id", "label", "view", "feature")),
    "text features": (texts, ("class_id", "class_name", "template", "feature")),
    "cache rows": (read_values, ("row", "sample_id", "label", "class_name")),
    "bad images": (read_errors, ("sample_id", "split", "path", "kind", "message")),
}


def value_of(kind: pa.DataType) -> Any:
    if pa.types.is_fixed_size_list(kind):
        return [value_of(kind.value_type)] * kind.list_size
    if pa.types.is_list(kind):
        return [value_of(kind.value_type)]
    if pa.types.is_struct(kind):
        return {"x": 1}
    return SAMPLES.get(str(kind), "a" if pa.types.is_dictionary(kind) else 1)


@pytest.mark.failure("random bytes")
@settings(max_examples=100)
@given(st.data())
def test_tables_of_other_types_or_with_holes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    read, names = COLUMNS[data.draw(st.sampled_from(sorted(COLUMNS)))]
    rows = data.draw(st.integers(0, 3))
    columns = {}
    for name in names:
        kind = data.draw(st.sampled_from(KINDS))
        holes = data.draw(st.booleans())
        columns[name] = pa.array([None if holes and row == 0 else value_of(kind) for row in range(rows)], kind)
    path = tmp_path_factory.getbasetemp() / "odd.parquet"
    try:
        write_table(path, pa.table(columns), "")
    except (pa.ArrowException, NotImplementedError):
        # Not a table that Parquet can hold.
        return
    refuses_or_reads(read, path, path.read_bytes())


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.sampled_from(["eval", "images"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.failure("hostile manifest")
@settings(max_examples=20)
@given(st.data())
def test_sealed_manifests_with_odd_contents_close_no_store(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Summaries, names and inputs as an attacker would write them: all commands that look at the whole store go on."""
    root = tmp_path_factory.mktemp("odd", numbered=True)
    source = found(data.draw(st.sampled_from(["eval/*", "images/*", "texts/*", "adapter/*xmadapter*", "cache/*"])))
    target = root / source.parent.name / source.name
    shutil.copytree(source, target)
    manifest = json.loads((target / MANIFEST).read_bytes())
    for key in data.draw(
        st.lists(st.sampled_from(["summary", "name", "created", "versions", "device", "seconds"]), min_size=1, max_size=2)
    ):
        if key == "summary" and data.draw(st.booleans()):
            field = data.draw(st.sampled_from(sorted(manifest["summary"]) or ["results"]))
            manifest["summary"] = {**manifest["summary"], field: data.draw(anything)}
        else:
            manifest[key] = data.draw(anything)
    (target / MANIFEST).write_bytes(seal_again(manifest))
    try:
        everything(root)
    finally:
        shutil.rmtree(root)
