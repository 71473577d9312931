"""Damaged files and hostile manifests: found at every open, named, and never more than an error of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.artifacts import IDENTITY, fill, make, seal_again
from tests.worlds.faults import Case
from xmap.store.artifacts.artifact import Draft, Store, read_artifact
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import ArtifactDamaged, SchemaMismatch, XmapError
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.tables import write_table
from xmap.store.formats.tensors import write_tensors

# ---- damaged files


def every_kind(folder: Path) -> None:
    """One file of each kind that stages write, each beyond 64 KiB where that is natural."""
    draw = np.random.default_rng(0)
    fill(folder)
    write_table(folder / "large.parquet", pa.table({"x": draw.random(30_000)}), IDENTITY.fingerprint)
    write_tensors(folder / "large.safetensors", {"w": draw.random((200, 100))}, {"epoch": 3})
    VectorIndex.build(draw.random((500, 64), dtype=np.float32)).save(folder / "image.faiss")


@pytest.mark.failure("flipped bit")
def test_verify_finds_every_flip_and_names_the_file_and_the_command(tmp_path: Path, case: Case) -> None:
    with Store(tmp_path).build(IDENTITY) as draft:
        assert isinstance(draft, Draft)
        every_kind(draft.path)
        artifact = draft.commit()
    flips = 0
    for path in artifact.files():
        data = path.read_bytes()
        for block in range(0, len(data), 1 << 16):
            altered = bytearray(data)
            altered[min(len(data) - 1, block + 1234)] ^= 1 << block % 8
            path.write_bytes(altered)
            with case():
                (damage,) = artifact.verify()
                assert damage.path == str(path)
                assert f"run `xmap demo --store {tmp_path}`" in str(damage)
            flips += 1
        path.write_bytes(data)
    assert flips > 10
    assert artifact.verify() == []


@pytest.mark.failure("cut or missing file")
@pytest.mark.parametrize("left", ["nothing", "4", "half", "all but one", "one more", "absent", "a folder"])
def test_a_cut_file_is_found_at_every_open(tmp_path: Path, left: str) -> None:
    artifact = make(tmp_path)
    path = artifact.file("a.parquet")
    data = path.read_bytes()
    cuts = {"nothing": data[:0], "4": data[:4], "half": data[: len(data) // 2], "all but one": data[:-1], "one more": data + b"x"}
    path.unlink()
    if left == "a folder":
        path.mkdir()
    elif left != "absent":
        path.write_bytes(cuts[left])
    with pytest.raises(ArtifactDamaged, match=r"a\.parquet is damaged"):
        artifact.file("a.parquet")
    assert [error.path for error in artifact.verify()] == [str(path)]


def test_an_unlisted_file_is_no_part_of_it(tmp_path: Path) -> None:
    artifact = make(tmp_path)
    (artifact.path / "new").write_bytes(b"")
    with pytest.raises(ArtifactDamaged, match="lists no new"):
        artifact.file("new")


@pytest.mark.failure("flipped bit")
def test_every_flipped_bit_of_a_manifest_is_found(tmp_path: Path, case: Case) -> None:
    path = make(tmp_path).path
    data = (path / MANIFEST).read_bytes()
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1 << position % 8
        (path / MANIFEST).write_bytes(altered)
        with case(), pytest.raises((ArtifactDamaged, SchemaMismatch)):
            read_artifact(path)


# ---- hostile manifests


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    artifact = make(tmp_path_factory.mktemp("template"))
    return artifact.path, dict(artifact.manifest)


def test_the_forged_seal_of_these_tests_fits(template: tuple[Path, dict[str, Any]]) -> None:
    path, manifest = template
    (path / MANIFEST).write_bytes(seal_again(manifest))
    assert read_artifact(path).verify() == []


@pytest.mark.failure("hostile manifest")
@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "..", ".", "", "a\0b"])
def test_a_name_outside_the_folder_is_refused(template: tuple[Path, dict[str, Any]], name: str) -> None:
    path, manifest = template
    forged = {**manifest, "files": [*manifest["files"], {"name": name, "size": 1, "blake3": "00"}]}
    (path / MANIFEST).write_bytes(seal_again(forged))
    with pytest.raises(ArtifactDamaged, match="outside its folder"):
        read_artifact(path)


@pytest.mark.parametrize("version", [0, 2, 10**20])
def test_another_version_is_refused_with_both_and_the_remedy(template: tuple[Path, dict[str, Any]], version: int) -> None:
    path, _ = template
    (path / MANIFEST).write_text(json.dumps({"schema_version": version, "fields_of": "the future"}))
    with pytest.raises(SchemaMismatch, match=f"version {version}, this xmap reads 1; delete"):
        read_artifact(path)


@pytest.mark.failure("hostile manifest")
@pytest.mark.parametrize(
    "command", ["rm -rf /", "xmap run; rm -rf /", "xmap run `rm -rf /`", "xmap run $(rm)", "", "xmap 'run", "xmap  run"]
)
def test_a_command_that_is_not_a_plain_call_of_xmap_is_refused(template: tuple[Path, dict[str, Any]], command: str) -> None:
    """People are told to type it."""
    path, manifest = template
    (path / MANIFEST).write_bytes(seal_again({**manifest, "command": command}))
    with pytest.raises(ArtifactDamaged, match="its command is not one that xmap writes") as caught:
        read_artifact(path)
    assert "rm" not in str(caught.value).replace(str(path), "")


def test_a_manifest_that_is_a_folder_is_damaged(template: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(ArtifactDamaged, match="cannot be read"):
        read_artifact(tmp_path)


@pytest.mark.failure("hostile manifest")
@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'{"schema_version": true}', b'{"schema_version": NaN}']
)
def test_junk_is_damaged(template: tuple[Path, dict[str, Any]], data: bytes) -> None:
    path, _ = template
    (path / MANIFEST).write_bytes(data)
    with pytest.raises(ArtifactDamaged):
        read_artifact(path)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["../x", "a.parquet", "x" * 300, "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "size", "blake3", "images"]), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_no_manifest_makes_anything_but_our_errors(template: tuple[Path, dict[str, Any]], data: st.DataObject) -> None:
    path, manifest = template
    forged = dict(manifest)
    for key in data.draw(st.lists(st.sampled_from(sorted(manifest)), min_size=1, max_size=3)):
        if data.draw(st.booleans()):
            forged[key] = data.draw(anything)
        elif key == "files":
            forged[key] = [{"name": data.draw(anything), "size": data.draw(anything), "blake3": data.draw(anything)}]
        else:
            forged.pop(key, None)
    (path / MANIFEST).write_bytes(seal_again(forged))
    try:
        artifact = read_artifact(path)
        assert all(isinstance(error, ArtifactDamaged) for error in artifact.verify())
        assert artifact.stage, artifact.fields
    except XmapError as error:
        assert "\n" not in str(error)  # noqa: PT017
