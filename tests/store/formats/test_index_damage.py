"""Indexes that are cut, flipped, of another kind or metric, or that name other files: refused in a sentence, before faiss follows them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.formats.test_index import REFINED
from tests.worlds.faults import Case
from tests.worlds.vectors import unit
from xmap.store.errors import ArtifactDamaged, InputError, StoreFull
from xmap.store.formats.index import VectorIndex


@pytest.mark.failure("cut or missing file")
@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF4,Flat", REFINED])
def test_an_index_cut_anywhere_is_damage(tmp_path: Path, factory: str, case: Case) -> None:
    path = tmp_path / "a"
    VectorIndex.build(unit(50, 8), factory).save(path)
    data = path.read_bytes()
    for size in [*range(400), len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:size])
        with case(), pytest.raises(ArtifactDamaged, match="faiss cannot read it"):
            VectorIndex.load(path)


@pytest.mark.failure("cut or missing file")
@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF4,Flat"])
def test_a_mapped_index_cut_anywhere_is_damage(tmp_path: Path, factory: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """faiss's mapped reader takes a number that is cut for a whole one, and then reads beyond the file."""
    monkeypatch.setattr("xmap.store.formats.index_file.MAPPED_FROM", 0)
    path = tmp_path / "a"
    VectorIndex.build(unit(50, 512), factory).save(path)
    data = path.read_bytes()
    graph = max(len(data) - 4 * 50 * 512 - 100, 400)
    for size in [*range(400), *range(graph, graph + 200), len(data) // 2, *range(len(data) - 20, len(data))]:
        path.write_bytes(data[:size])
        with case(), pytest.raises(ArtifactDamaged, match="faiss cannot read it"):
            VectorIndex.load(path)
    path.write_bytes(data)
    assert len(VectorIndex.load(path)) == 50


def test_junk_and_nothing_are_damage(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"not an index" * 100)
    for name in ("junk", "absent"):
        with pytest.raises(ArtifactDamaged):
            VectorIndex.load(tmp_path / name)


def test_no_flip_in_a_header_makes_anything_but_our_errors(tmp_path: Path) -> None:
    """In a child: a reader of C++ could end its process. Sizes far beyond the file are bad allocations, caught too."""
    VectorIndex.build(unit(50, 8)).save(tmp_path / "a")
    script = (
        "import sys\nfrom pathlib import Path\nfrom xmap.store.formats import index, index_file\nfrom xmap.store.errors import XmapError\n"
        "path = Path(sys.argv[1])\ndata = path.read_bytes()\n"
        "for position in range(60):\n for bit in range(8):\n"
        "  altered = bytearray(data)\n  altered[position] ^= 1 << bit\n  path.write_bytes(altered)\n"
        "  for size in (0, 1 << 28):\n   index_file.MAPPED_FROM = size\n   try: index.VectorIndex.load(path)\n   except XmapError: pass\n"
        "print('done')"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "done", run.stderr[-2000:]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, disk_with_room) -> None:
    index = VectorIndex.build(unit(200, 16))
    index.save(tmp_path / "control")
    size = (tmp_path / "control").stat().st_size
    for room in (0, 3, 4, 100, size // 2, size - 1):
        with disk_with_room(room), pytest.raises(StoreFull):
            index.save(tmp_path / "a")
        assert [path.name for path in tmp_path.iterdir()] == ["control"]
    with disk_with_room(size):
        index.save(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "control").read_bytes()


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("kind", ["elsewhere", "link", "pipe", "here"])
def test_an_index_opens_no_other_file_that_it_names(tmp_path: Path, kind: str, mapped: bool) -> None:
    import faiss

    keys, secret, folder = unit(300, 8), tmp_path / "secret.lists", tmp_path / "received"
    folder.mkdir()
    written: Any = faiss.index_factory(8, "IVF4,Flat", faiss.METRIC_INNER_PRODUCT)
    written.train(keys)
    lists = faiss.OnDiskInvertedLists(4, written.code_size, str(secret))
    written.replace_invlists(lists)
    written.add(keys)
    faiss.write_index(written, str(folder / "x.index"))
    del written, lists
    if kind == "link":
        (folder / "secret.lists").symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(folder / "secret.lists")
    elif kind == "here":
        secret.rename(folder / "secret.lists")
    try:
        found = VectorIndex.load(folder / "x.index")
    except ArtifactDamaged:
        found = None
    assert found is None or (mapped and kind in ("here", "elsewhere"))
    assert str(secret) not in Path("/proc/self/maps").read_text()


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("link", [-2, 40, 41, 10**6, 2**31 - 1])
def test_links_that_leave_a_graph_are_refused_before_a_search_follows_them(tmp_path: Path, link: int) -> None:
    import faiss

    keys = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    index: Any = faiss.index_factory(4, "HNSW8", faiss.METRIC_INNER_PRODUCT)
    index.add(keys)
    faiss.write_index(index, str(tmp_path / "sound.faiss"))
    assert len(VectorIndex.load(tmp_path / "sound.faiss")) == 40
    links = faiss.vector_to_array(index.hnsw.neighbors)
    links[3] = link
    faiss.copy_array_to_vector(links, index.hnsw.neighbors)
    faiss.write_index(index, str(tmp_path / "odd.faiss"))
    with pytest.raises(ArtifactDamaged, match="faiss cannot read it"):
        VectorIndex.load(tmp_path / "odd.faiss")


@pytest.mark.failure("received folder")
def test_an_index_of_another_metric_is_refused(tmp_path: Path) -> None:
    import faiss

    for kind in ("Flat", "HNSW4", "IVF1,Flat", "SQ8", "LSH"):
        index = faiss.index_factory(4, kind, faiss.METRIC_L2)
        index.train(np.eye(4, dtype=np.float32))
        index.add(np.eye(4, dtype=np.float32))
        faiss.write_index(index, str(tmp_path / "odd.faiss"))
        with pytest.raises(ArtifactDamaged, match="does not compare by inner products"):
            VectorIndex.load(tmp_path / "odd.faiss")


def test_ids_beyond_the_keys_are_no_answer(tmp_path: Path) -> None:
    import faiss

    index = faiss.index_factory(4, "IDMap,Flat", faiss.METRIC_INNER_PRODUCT)
    index.add_with_ids(np.eye(4, dtype=np.float32), np.arange(4) + 10**9)
    faiss.write_index(index, str(tmp_path / "odd.faiss"))
    with pytest.raises(InputError, match="finds keys that it does not have"):
        VectorIndex.load(tmp_path / "odd.faiss").search(np.eye(4, dtype=np.float32), 1)
