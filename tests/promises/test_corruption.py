"""A flipped bit, a cut file and a missing one are found in every kind of artifact, and the command that is named makes it whole again."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control
from tests.worlds.faults import Case
from tests.worlds.inputs import write_layout
from tests.worlds.runs import METHODS, RUN, tree
from xmap.store.artifacts.artifact import Artifact, Store, read_artifact
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import ArtifactDamaged, SchemaMismatch
from xmap.store.formats.packs import all_packs
from xmap.store.formats.tables import read_table

BLOCK = 1 << 16
KINDS = ("images", "texts", "cache", "adapter", "eval")
REBUILD = re.compile(r"^(\S+) is damaged: .*; delete this file and (\S+), then run `(xmap [^`]+)` to build it again\.$")


@pytest.fixture(scope="module")
def large(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose features and indexes are some blocks long. Left as it was by each test."""
    folder = tmp_path_factory.mktemp("large")
    write_layout(folder / "layout", shots=(32,), width=256, per_class=200)
    steps = (["import", "tip-adapter", "layout"], ["run", "--features", "layout", *METHODS, "--shots", "32"])
    for argv in steps:
        assert commands(*argv, cwd=folder, store=folder / "store").code == 0
    return folder / "store"


@contextmanager
def altered(path: Path, change: Callable[[bytearray], object]) -> Iterator[None]:
    """`path` with other bytes while the block lasts."""
    data = path.read_bytes()
    other = bytearray(data)
    change(other)
    path.write_bytes(other)
    try:
        yield
    finally:
        path.write_bytes(data)


def flip(position: int) -> Callable[[bytearray], object]:
    def change(data: bytearray) -> None:
        data[position % len(data)] ^= 1 << position % 8

    return change


def of_kind(store: Path, kind: str) -> Artifact:
    """The artifact of a kind with the most files."""
    return max(Store(store).artifacts(kind), key=lambda artifact: len(artifact.files()))


@pytest.mark.promise
@pytest.mark.failure("flipped bit")
@pytest.mark.parametrize("kind", KINDS)
def test_verify_finds_a_flipped_bit_in_every_block_of_every_kind_of_artifact(large: Path, case: Case, kind: str) -> None:
    artifact = of_kind(large, kind)
    assert artifact.verify() == []
    blocks = 0
    for path in artifact.files():
        for start in range(0, path.stat().st_size, BLOCK):
            length = min(BLOCK, path.stat().st_size - start)
            with altered(path, flip(start + (1009 * (blocks + 1)) % length)), case():
                (damage,) = artifact.verify()
                assert damage.path == str(path)
                assert REBUILD.search(str(damage))
            blocks += 1
    for position in range(0, (artifact.path / MANIFEST).stat().st_size, 101):
        with altered(artifact.path / MANIFEST, flip(position)), case(), pytest.raises((ArtifactDamaged, SchemaMismatch)):
            read_artifact(artifact.path)
    assert kind not in ("images", "cache", "adapter") or blocks > len(artifact.files())


CUTS: dict[str, Callable[[bytearray], object]] = {
    "0 bytes": bytearray.clear,
    "4 bytes": lambda data: data.__delitem__(slice(4, None)),
    "half": lambda data: data.__delitem__(slice(len(data) // 2, None)),
    "one less": bytearray.pop,
    "one more": lambda data: data.append(0),
}


@pytest.mark.failure("cut or missing file")
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_or_missing_file_of_every_kind_is_found_at_the_next_open(large: Path, case: Case, kind: str) -> None:
    artifact = of_kind(large, kind)
    for path in artifact.files():
        name = path.relative_to(artifact.path).as_posix()
        for change in CUTS.values():
            with altered(path, change), case(), pytest.raises(ArtifactDamaged, match=r"is damaged: it has \d+ bytes, the manifest says"):
                artifact.file(name)
        moved = path.rename(path.with_suffix(".away"))
        with case(), pytest.raises(ArtifactDamaged, match="is damaged: it is missing"):
            artifact.file(name)
        moved.rename(path)
    assert artifact.verify() == []


@pytest.mark.promise
@pytest.mark.failure("rebuilt")
def test_the_command_that_verify_names_makes_the_artifact_whole_again(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    for kind in KINDS:
        with case():
            path = of_kind(store, kind).files()[-1]
            flip(77)(data := bytearray(path.read_bytes()))
            path.write_bytes(data)
            found = commands("verify", cwd=world, store=store)
            assert found.code == 1
            named = REBUILD.search(found.stdout.splitlines()[0])
            assert named, found.stdout
            for name in named.groups()[:2]:
                Path(name).unlink()
            again = commands(*shlex.split(named[3])[1:], cwd=world, store=store)
            assert again.code == 0, again.stderr
            assert kind != "images" or "encode images: 12 of 12 are there from an earlier run" in again.stderr, again.stderr
            assert commands("verify", cwd=world, store=store).code == 0
            assert {name: content for name, content in tree(store).items() if "manifest" not in name} == {
                name: content for name, content in control.tree.items() if "manifest" not in name
            }


PACK = re.compile(
    r"^(\S+) is damaged: its bytes differ from those written; delete this file, (.*), and run `(xmap [^`]+)` to build it again: .*"
)


@pytest.mark.promise
@pytest.mark.failure("rebuilt")
@pytest.mark.parametrize("change", ["flip", "half", "0 bytes"])
def test_a_damaged_pack_is_named_alone_and_its_images_alone_are_encoded_again(
    commands: Commands, world: Path, control: Control, tmp_path: Path, change: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    path = max((path for packs in all_packs(Store(store)) for path in packs.paths()), key=lambda path: path.stat().st_size)
    CUTS.get(change, flip(path.stat().st_size // 2))(data := bytearray(path.read_bytes()))
    lost = len(read_table(path))
    path.write_bytes(data)
    found = commands("verify", cwd=world, store=store)
    assert found.code == 1
    named = PACK.search(found.stdout.splitlines()[0])
    assert named, found.stdout
    assert len(found.stdout.splitlines()) == 2
    assert named[1] == str(path)
    for name in (named[1], *named[2].split(", ")):
        Path(name).unlink()
    again = commands(*shlex.split(named[3])[1:], cwd=world, store=store)
    assert again.code == 0, again.stderr
    assert f"encode images: {12 - lost} of 12 are there from an earlier run" in again.stderr
    assert commands("verify", cwd=world, store=store).code == 0
    assert {name: content for name, content in tree(store).items() if "manifest" not in name} == {
        name: content for name, content in control.tree.items() if "manifest" not in name
    }


# What makes a command open artifacts of each kind.
READERS = {
    "images": ["build-cache", "--shots", "1"],
    "texts": ["build-cache", "--shots", "1"],
    "cache": ["train", "--methods", "tip-x"],
    "adapter": ["eval", "--neighbors", "2"],
}


@pytest.mark.failure("cut or missing file")
@pytest.mark.parametrize("kind", READERS)
def test_a_stage_that_meets_damage_says_so_in_one_sentence(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, kind: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    command, *flags = READERS[kind]
    for path in of_kind(store, kind).files():
        if path.name.startswith(("errors", "test-", "val-", "text.faiss", "out_of_sample")) or path.parent.name == "affinity":
            continue
        with altered(path, bytearray.pop), case():
            ended = commands(command, *RUN[1:], *flags, cwd=world, store=store)
            assert ended.code == 2, (path.name, ended.stderr)
            assert f"{path.name} is damaged: it has" in ended.stderr.splitlines()[-1]
            assert REBUILD.search(ended.stderr.splitlines()[-1].removeprefix("xmap: "))
            assert "Traceback" not in ended.stderr


# Who asks for the tables of an adapter that no stage reads, and how it ends: a question is answered by what holds.
ASKING = {
    "kept.parquet": (2, ["predict", "photos/test", "--sets", "0.9", "--model", "local-dir:model", "--device", "cpu", "--adapter"]),
    "out_of_sample.parquet": (0, ["sql", "label-suspects"]),
}


@pytest.mark.failure("cut or missing file")
@pytest.mark.parametrize("name", ASKING)
def test_who_asks_for_a_damaged_table_is_told(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, name: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    adapter = of_kind(store, "adapter")
    code, argv = ASKING[name]
    argv = [*argv, adapter.fingerprint] if argv[-1] == "--adapter" else argv
    assert commands(*argv, cwd=world, store=store).code == 0
    for change in CUTS.values():
        with altered(adapter.path / name, change), case():
            ended = commands(*argv, cwd=world, store=store)
            assert ended.code == code, ended.stderr
            assert not (code and ended.stdout)
            assert f"{name} is damaged: it has" in ended.stderr.splitlines()[-1]
            assert "Traceback" not in ended.stderr


@pytest.mark.failure("cut or missing file")
def test_damage_in_one_artifact_closes_no_other(commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case) -> None:
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    path = of_kind(store, "eval").path / MANIFEST
    path.write_bytes(path.read_bytes()[:-9])
    said = {}
    for argv in (["sql", "select count(*) as n from samples"], ["status"], ["gc"]):
        with case():
            ended = commands(*argv, cwd=world, store=store)
            assert ended.code == 0, ended.stderr
            assert "is damaged: it is not JSON; delete" in ended.stdout + ended.stderr
            said[argv[0]] = ended.stdout
    assert "12" in said["sql"]
    assert "tip-adapter" in said["status"]
