"""A finished artifact is complete or absent: after kills, and with several builders at once."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.artifacts import IDENTITY, data_of, fill, make
from tests.worlds.faults import KILL, Case, Points, in_child
from xmap.store.artifacts.artifact import Artifact, Draft, Store, read_artifact
from xmap.store.artifacts.identity import Identity, safe_name
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.artifacts.root import store_root
from xmap.store.errors import ArtifactDamaged, ArtifactMissing, InputError, SchemaMismatch, StoreDenied
from xmap.store.formats.tables import read_table

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
    for odd in ("a\0b", "\ud800"):
        with pytest.raises(InputError, match=r"the store .* has a sign that no path can hold"):
            store_root(odd)


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
