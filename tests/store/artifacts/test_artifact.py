"""A finished artifact is complete or absent: after kills, with several builders at once, on hostile manifests."""

from __future__ import annotations

import json
import multiprocessing
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tests.faults import KILL, Case, Points, in_child
from xmap.store.artifacts.artifact import Artifact, Draft, Identity, Store, read_artifact, safe_name
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.artifacts.root import store_root
from xmap.store.errors import ArtifactDamaged, ArtifactMissing, InputError, SchemaMismatch, StoreDenied, XmapError
from xmap.store.files import make_folder, write_bytes
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.tables import read_table, write_table
from xmap.store.formats.tensors import write_tensors

IDENTITY = Identity("demo", "pets", {"shots": 4}, {"images": "ab" * 32}, command="xmap demo")


def fill(folder: Path) -> None:
    """Three files of three kinds, one in a folder of its own."""
    write_table(folder / "a.parquet", pa.table({"x": np.arange(1000)}), IDENTITY.fingerprint)
    write_bytes(folder / "b.json", b"{}")
    make_folder(folder / "affinity")
    write_tensors(folder / "affinity" / "c.safetensors", {"w": np.ones(10, np.float32)}, {})


def make(root: Path, identity: Identity = IDENTITY) -> Artifact:
    with Store(root).build(identity) as draft:
        if isinstance(draft, Artifact):
            return draft
        fill(draft.path)
        return draft.commit({"rows": 1000})


def data_of(artifact: Artifact) -> dict[str, bytes]:
    """All that is under the folder, except the manifest, which holds times."""
    files = [path for path in artifact.path.rglob("*") if path.is_file() and path.name != MANIFEST]
    return {path.relative_to(artifact.path).as_posix(): path.read_bytes() for path in files}


# ---- plain use


def test_what_was_built_is_found_and_whole(tmp_path: Path) -> None:
    built = make(tmp_path)
    found = Store(tmp_path).require(IDENTITY)
    assert found == built
    assert found.path == tmp_path / "demo" / f"pets-{IDENTITY.fingerprint[:8]}"
    assert [entry["name"] for entry in found.manifest["files"]] == ["a.parquet", "affinity/c.safetensors", "b.json"]
    assert found.summary == {"rows": 1000}
    assert found.verify() == []
    assert found.files("affinity/", ".safetensors") == [found.path / "affinity" / "c.safetensors"]


def test_one_is_found_by_its_fingerprint_and_no_other_manifest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, other = make(tmp_path), make(tmp_path, Identity("demo", "another", {}))
    read: list[Path] = []

    def noted(path: Path) -> Artifact:
        read.append(path)
        return read_artifact(path)

    monkeypatch.setattr("xmap.store.artifacts.artifact.read_artifact", noted)
    assert Store(tmp_path).by_fingerprint(built.fingerprint, ["none", "demo"]) == built
    assert read == [built.path]
    renamed = other.path.rename(other.path.with_name("mine"))
    found = Store(tmp_path).by_fingerprint(other.fingerprint, ["demo"])
    assert found is not None
    assert found.path == renamed
    assert Store(tmp_path).by_fingerprint("0" * 64, ["demo"]) is None


def test_a_second_build_is_handed_the_first(tmp_path: Path) -> None:
    first = make(tmp_path)
    with Store(tmp_path).build(IDENTITY) as again:
        assert again == first


def test_without_a_manifest_there_is_no_artifact(tmp_path: Path) -> None:
    with Store(tmp_path).build(IDENTITY) as draft:
        assert isinstance(draft, Draft)
        fill(draft.path)
    assert Store(tmp_path).find(IDENTITY) is None
    assert Store(tmp_path).artifacts() == []
    with pytest.raises(ArtifactMissing, match="run `xmap demo` first"):
        Store(tmp_path).require(IDENTITY)
    with pytest.raises(ArtifactMissing):
        read_artifact(draft.path)


def test_removed_is_gone(tmp_path: Path) -> None:
    artifact = make(tmp_path)
    Store(tmp_path).remove(artifact)
    assert Store(tmp_path).find(IDENTITY) is None
    assert not artifact.path.exists()


def test_an_artifact_removed_while_listing_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = make(tmp_path)
    kept = make(tmp_path, Identity("demo", "other", {}))
    listed = list(tmp_path.glob("*/*/manifest.json"))
    Store(tmp_path).remove(artifact)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(listed))
    assert Store(tmp_path).artifacts() == [kept]


def test_a_damaged_artifact_hides_no_other(tmp_path: Path) -> None:
    kept = make(tmp_path)
    cut, newer = (make(tmp_path, Identity("demo", name, {})).path for name in ("cut", "newer"))
    (cut / MANIFEST).write_bytes((cut / MANIFEST).read_bytes()[:-9])
    (newer / MANIFEST).write_text('{"schema_version": 2}')
    survey = Store(tmp_path).survey()
    assert survey.artifacts == Store(tmp_path).artifacts() == [kept]
    assert {path: type(error) for path, error in survey.damaged.items()} == {cut: ArtifactDamaged, newer: SchemaMismatch}
    assert Store(tmp_path).survey("other").damaged == {}


def test_a_store_that_is_a_file_or_closed_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="a file is where the folder"):
        make(tmp_path / "file")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreDenied):
        make(tmp_path / "closed")


def test_store_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMAP_STORE", "/from/environment")
    assert store_root("given") == Path("given")
    assert store_root(None) == Path("/from/environment")
    monkeypatch.delenv("XMAP_STORE")
    assert store_root(None) == Path(".xmap")


@given(st.text(max_size=120))
def test_any_name_makes_one_folder_name(name: str) -> None:
    folder = safe_name(name)
    assert folder not in ("", ".", "..")
    assert not set(folder) & set("/\\\0'\"*?[] \n")
    assert len(folder.encode()) <= 80
    assert safe_name(folder) == folder


# ---- interruption


@pytest.mark.failure("killed")
def test_killed_at_every_write_point_a_rerun_ends_as_if_undisturbed(tmp_path: Path, case: Case) -> None:
    control = data_of(make(tmp_path / "control"))
    kills = 0
    while True:
        root = tmp_path / str(kills)

        def work(root: Path = root, point: int = kills) -> None:
            Points(point, KILL).install()
            make(root)

        code = in_child(work)
        with case():
            found = Store(root).find(IDENTITY)
            if found is not None:
                assert found.verify() == []
            if code == 0:
                break
            assert code == -signal.SIGKILL
            again = make(root)
            assert data_of(again) == control
            assert again.verify() == []
        kills += 1
    # 4 files: open, half written, and before and after each of fsync, replace and the folder's fsync.
    assert kills >= 4 * 8


def test_killed_while_holding_the_lock_the_next_goes_on(tmp_path: Path) -> None:
    def work() -> None:
        with Store(tmp_path).build(IDENTITY):
            KILL()

    assert in_child(work) == -signal.SIGKILL
    assert make(tmp_path).verify() == []


# ---- concurrency


@pytest.mark.failure("at once")
def test_four_builders_and_a_reader_meet_one_whole_artifact(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, waited = context.Barrier(5), context.Value("i", 0)

    def work(number: int) -> None:
        def on_wait(_: str) -> None:
            with waited.get_lock():
                waited.value += 1

        barrier.wait(30)
        with Store(tmp_path / "store").build(IDENTITY, on_wait) as draft:
            if isinstance(draft, Draft):
                (tmp_path / f"built-{number}").touch()
                fill(draft.path)
                import time

                time.sleep(0.4)
                draft.commit({"rows": 1000})

    builders = [context.Process(target=work, args=(number,)) for number in range(4)]
    for builder in builders:
        builder.start()
    barrier.wait(30)
    looked = 0
    while any(builder.is_alive() for builder in builders):
        found = Store(tmp_path / "store").find(IDENTITY)
        if found is not None:
            assert found.verify() == []
            assert len(read_table(found.file("a.parquet"))) == 1000
        looked += 1
    for builder in builders:
        builder.join(30)
        assert builder.exitcode == 0
    assert looked > 1
    assert waited.value == 3
    assert len(list(tmp_path.glob("built-*"))) == 1
    (artifact,) = Store(tmp_path / "store").artifacts()
    assert artifact.verify() == []
    assert list((tmp_path / "store").rglob("*.partial")) == []


# ---- corruption


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


def seal_again(manifest: object) -> bytes:
    """A manifest as an attacker would write it: the seal fits."""
    if isinstance(manifest, dict):
        manifest = {**manifest, "checksum": ""}
        manifest = {"checksum": manifest.pop("checksum"), **manifest}
    data = json.dumps(manifest).encode()
    return data.replace(b'"checksum": ""', b'"checksum": "%s"' % blake3(data).hexdigest().encode(), 1)


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
