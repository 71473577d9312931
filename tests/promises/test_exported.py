"""An exported folder is as it was written, or it is refused: changed, cut, added to, swapped, or mixed of two."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import xmap
from tests.worlds.commands import call
from tests.worlds.exported import seal_export
from tests.worlds.faults import Case
from tests.worlds.inputs import repaint, write_photos
from tests.worlds.unplain import put
from xmap.stages.encoder import identity
from xmap.store.artifacts.exported import Export, require_whole
from xmap.store.artifacts.manifest import MANIFEST, seal
from xmap.store.artifacts.root import EXPORT
from xmap.store.disk.files import hash_file
from xmap.store.errors import ArtifactDamaged, SchemaMismatch, XmapError

RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` and `two`, exports of adapters for other images, and an image. Not to be changed by tests."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("exports")
    photos = write_photos(folder / "photos", test=1)
    for name, prompt in (("one", "a photo of a {}."), ("two", "the {}.")):
        store = ("--store", folder / f"store-{name}")
        assert call("run", "--data", photos, *RUN, "--template", prompt, "--methods", "tip-adapter", *store).exit_code == 0
        assert call("export", folder / name, *store).exit_code == 0
        for image in sorted(photos.rglob("*.png")):
            repaint(image)
    return folder


@pytest.fixture
def one(exports: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exports / "one", tmp_path / "one")


def refusal(folder: Path) -> str:
    """Why loading the adapter, or its encoder, is refused, which `verify` says too."""
    with pytest.raises(XmapError) as told:
        xmap.load(str(folder)).encoder_identity()
    done = call("verify", "--store", folder)
    assert done.exit_code == 1, done.output
    return str(told.value)


def sound(folder: Path) -> None:
    xmap.load(str(folder)).encoder_identity()
    done = call("verify", "--store", folder)
    assert done.exit_code == 0, done.output


def names(folder: Path) -> list[str]:
    """What lies in it, but for what is for people."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "README.md"]


def stages(folder: Path) -> dict[str, Path]:
    return {path.parent.parent.name: path.parent for path in folder.glob(f"*/*/{MANIFEST}")}


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "one bit": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b" ",
    "empty": lambda data: b"",
}


def test_reading_it_adds_nothing_to_it(one: Path) -> None:
    before = names(one)
    sound(one)
    assert names(one) == before
    done = call("verify", "--subset", "1/2", "--store", one)
    assert done.exit_code == 2
    assert "cannot remember; leave it out to read all" in " ".join(done.output.split())


@pytest.mark.failure("exported folder")
def test_each_file_is_as_it_was_exported(one: Path, case: Case) -> None:
    found = names(one)
    assert len(found) > 10
    for name in found:
        path, data = one / name, (one / name).read_bytes()
        for change in CHANGES.values():
            path.write_bytes(change(data))
            with case():
                assert refusal(one)
        path.unlink()
        with case():
            assert name == EXPORT or refusal(one)
        path.write_bytes(data)
    sound(one)


def test_what_is_for_people_is_theirs_to_change(one: Path) -> None:
    (one / "README.md").write_text("# Mine\n")
    (one / "LICENSE").write_text("MIT")
    (one / ".git").mkdir()
    (one / ".git" / "config").write_text("x")
    (one / "encoder.md").write_text("x")
    sound(one)
    (one / "README.md").unlink()
    sound(one)
    one.rename(one.with_name("another name"))
    sound(one.with_name("another name"))
    (one.parent / "link").symlink_to(one.with_name("another name"))
    sound(one.parent / "link")


@pytest.mark.failure("exported folder")
@pytest.mark.parametrize("part", ["adapter", "cache", "texts", "encoder", EXPORT])
def test_two_exports_mixed_are_refused(one: Path, exports: Path, part: str) -> None:
    source, target = exports / "two" / part, one / part
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    if part == "encoder":
        # The same encoder is in both.
        sound(one)
    else:
        assert refusal(one)


@pytest.mark.failure("exported folder")
@pytest.mark.parametrize("part", ["adapter", "cache", "texts"])
def test_artifacts_that_were_added_are_refused(one: Path, exports: Path, part: str) -> None:
    """One of the same fingerprint too, whose folder comes first."""
    own = stages(one)[part]
    shutil.copytree(own, own.with_name("aaa"))
    assert refusal(one).count("was added to the export" if part != "adapter" else "holds 2 adapters, not one") == 1
    shutil.rmtree(own.with_name("aaa"))
    other = stages(exports / "two")[part]
    shutil.copytree(other, one / part / other.name)
    assert refusal(one)


@pytest.mark.failure("exported folder")
def test_a_forged_artifact_of_the_same_name_is_refused(one: Path) -> None:
    """Sealed by whoever forged it, as anybody can; the export lists another."""
    path = stages(one)["adapter"] / "adapter.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    manifest = json.loads((path.parent / MANIFEST).read_bytes())
    entry = next(entry for entry in manifest["files"] if entry["name"] == path.name)
    entry["blake3"] = hash_file(path)
    (path.parent / MANIFEST).write_bytes(seal(json.dumps({**manifest, "checksum": ""}).encode()))
    assert "differ from those that were exported" in refusal(one)


@pytest.mark.thorough
@pytest.mark.failure("exported folder")
@pytest.mark.parametrize("kind", ["a FIFO", "a link", "a device", "a folder"])
def test_what_is_no_plain_file_is_refused(one: Path, kind: str, case: Case) -> None:
    (one / "kept").mkdir()
    for name in (name for name in names(one) if name != EXPORT or kind != "a folder"):
        path = one / name
        kept = path.rename(one / "kept" / path.name)
        put(kind, path, kept)
        with case():
            assert refusal(one)
        path.rmdir() if kind == "a folder" else path.unlink()
        kept.rename(path)
    for part in ("adapter", "encoder"):
        moved = (one / part).rename(one / "kept" / part)
        (one / part).symlink_to(moved)
        with case():
            assert refusal(one)
        (one / part).unlink()
        moved.rename(one / part)
    sound(one)


@pytest.mark.failure("exported folder")
@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "", ".", "encoder/../../outside", "a\0b"])
def test_a_list_that_leads_out_is_refused(one: Path, name: str) -> None:
    (one.parent / "outside").write_text("x")
    facts = json.loads((one / EXPORT).read_bytes())
    facts["files"].append({"name": name, "size": 1, "blake3": hash_file(one.parent / "outside")})
    (one / EXPORT).write_bytes(seal(json.dumps({**facts, "checksum": ""}).encode()))
    assert "it names a file outside its folder" in refusal(one)


ODD: dict[str, Any] = {
    "no list": {"files": None}, "a list of words": {"files": ["x"]}, "a list of halves": {"files": [{"name": "x"}]},
    "no adapter": {"adapter": 3},
    "no seal": {"checksum": "0" * 64}, "a schema of nobody": {"schema": "2"}, "another adapter": {"adapter": "0" * 64},
    "a name in surrogates": {"files": [{"name": "\ud800", "size": 1, "blake3": "0"}]},
    "a name too long": {"files": [{"name": "x" * 5000, "size": 1, "blake3": "0"}]},
}  # fmt: skip


@pytest.mark.failure("exported folder")
@pytest.mark.parametrize("kind", ODD)
def test_odd_facts_are_refused(one: Path, kind: str) -> None:
    facts = {**json.loads((one / EXPORT).read_bytes()), "checksum": "", **ODD[kind]}
    data = json.dumps(facts).encode()
    (one / EXPORT).write_bytes(data if kind == "no seal" else seal(data))
    assert str(one) in refusal(one)


@pytest.mark.failure("exported folder")
@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000, b'{"schema": 2}'])
def test_facts_that_are_none_are_refused(one: Path, data: bytes) -> None:
    (one / EXPORT).write_bytes(data)
    assert EXPORT in refusal(one)


def test_an_export_of_a_version_to_come_is_told(one: Path) -> None:
    facts = json.loads((one / EXPORT).read_bytes())
    (one / EXPORT).write_text(json.dumps({**facts, "schema": 3}))
    with pytest.raises(SchemaMismatch, match="has schema version 3, this xmap reads 2; update xmap"):
        require_whole(one)


def test_an_export_of_before_is_read_and_its_artifacts_are_checked(one: Path) -> None:
    facts = json.loads((one / EXPORT).read_bytes())
    (one / EXPORT).write_text(json.dumps({**{name: facts[name] for name in facts if name not in ("checksum", "files")}, "schema": 1}))
    sound(one)
    path = stages(one)["cache"] / "values.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "its bytes differ from those written" in refusal(one)


def test_code_that_was_added_is_not_run(one: Path) -> None:
    for place in (one, one / "encoder", stages(one)["adapter"]):
        for name in ("sitecustomize.py", "tip_adapter.py", "__init__.py", "hubconf.py", "conftest.py"):
            (place / name).write_text("raise SystemExit('this was run')")
    xmap.load(str(one))
    done = call("verify", "--store", one)
    assert (done.exit_code, done.stdout.count("encoder/") > 0) == (1, True)


@pytest.fixture
def sealed_off(exports: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the export and an image, in which nobody but root may write."""
    with tempfile.TemporaryDirectory(prefix="xmap-") as name:
        # This environment may lie where root alone may look: what is needed of it is read before, or lies here.
        xmap.load(str(exports / "one")).predict(str(next((exports / "photos/test").rglob("*.png"))))
        shutil.copy(identity.open_clip_folder() / "bpe_simple_vocab_16e6.txt.gz", name)
        monkeypatch.setattr(identity, "open_clip_folder", lambda: Path(name))
        shutil.copytree(exports / "one", Path(name, "one"))
        shutil.copy(next((exports / "photos/test").rglob("*.png")), Path(name, "image.png"))
        for path in [Path(name), *Path(name).rglob("*")]:
            os.chmod(path, 0o555 if path.is_dir() else 0o444)
        yield Path(name)
        for path in [Path(name), *Path(name).rglob("*")]:
            os.chmod(path, 0o700)


def test_a_folder_that_may_only_be_read_is_read(sealed_off: Path, unprivileged: Path) -> None:
    sound(sealed_off / "one")
    (found,) = xmap.load(str(sealed_off / "one")).predict(str(sealed_off / "image.png"))
    assert found.error is None


def test_other_files_are_asked_by_name(one: Path) -> None:
    (one / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(ArtifactDamaged, match=r"it lists no model\.onnx"):
        Export.read(one).file("model.onnx")
    seal_export(one)
    assert Export.read(one).file("model.onnx").read_bytes() == b"onnx"
    (one / "model.onnx").write_bytes(b"onny")
    with pytest.raises(ArtifactDamaged, match="its bytes differ from those that were exported"):
        Export.read(one).file("model.onnx")
    assert "model.onnx" in call("verify", "--store", one).stdout
