"""Data at URLs, on a real S3-compatible server: the same features as from the disk and from tables and tars."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import xmap.stages.datasets.content.hashing
import xmap.stages.datasets.sources.webdataset
from tests.worlds.datasets import read
from tests.worlds.extraction import Plan, tree
from tests.worlds.pictures import write_images
from tests.worlds.s3 import Bucket
from tests.worlds.tars import samples, write_tar
from xmap.stages.datasets.places.place import Remote
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import read_place
from xmap.store.errors import InputError
from xmap.store.formats.features import read_errors


@pytest.mark.promise
@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_images_at_a_url_give_the_same_bytes(bucket: Bucket, photos: Path, plan: Plan, workers: int) -> None:
    (photos / "train" / "dog" / "web.png").write_text("<html>")
    (photos / "train" / "dog" / "none.gif").touch()
    local, remote = plan(photos, "local").run(), plan(bucket.put(photos), "remote").run(workers)
    assert remote.fingerprint == local.fingerprint
    assert tree(remote) == tree(local)
    assert [row.path for row in read_errors(remote.file("errors.parquet"))] == ["train/dog/none.gif", "train/dog/web.png"]


@pytest.mark.parametrize("kind", ["tars", "images in Parquet", "CSV", "Parquet"])
def test_tars_and_tables_at_a_url_give_the_same_bytes(bucket: Bucket, photos: Path, plan: Plan, tmp_path: Path, kind: str) -> None:
    root, data = tmp_path / "data", ""
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.*"))]
    if kind == "tars":
        write_tar(root / "train/a.tar", samples({"1": "0", "2": "1", "3": "0"}))
        write_tar(root / "test/a.tar", samples({"1": "0", "2": "1"}, 4), tarfile.PAX_FORMAT)
        (root / "classnames.txt").write_text("cat\ndog\n")
    elif kind == "images in Parquet":
        images = [(photos / name).read_bytes() for name in names]
        for split in ("train", "test"):
            root.mkdir(exist_ok=True)
            part = [image for name, image in zip(names, images, strict=True) if name.startswith(split)]
            labels = [name.split("/")[1] for name in names if name.startswith(split)]
            pq.write_table(pa.table({"image": part, "label": labels}), root / f"{split}-0.parquet", row_group_size=2)
    else:
        shutil.copytree(photos, root)
        rows = {"path": names, "label": [name.split("/")[1] for name in names], "split": [name.split("/")[0] for name in names]}
        data = "t.csv" if kind == "CSV" else "t.parquet"
        if kind == "CSV":
            lines = [",".join(row) for row in zip(*rows.values(), strict=True)]
            (root / data).write_text("\n".join(["path,label,split", *lines]))
        else:
            pq.write_table(pa.table(rows), root / data)
    url = bucket.put(root)
    local, remote = plan(root / data, "local").run(), plan(f"{url}/{data}".rstrip("/"), "remote").run(2)
    assert remote.fingerprint == local.fingerprint
    assert tree(remote) == tree(local)
    assert local.summary["classes"] == remote.summary["classes"] == ["cat", "dog"]


def test_folders_at_a_url_are_read_as_local_ones(bucket: Bucket, tmp_path: Path) -> None:
    names = [
        "b/x.png",
        "b/it's [1] *?.png",
        "a/deep/er/é.jpg",
        "a/deep/y.JPG",
        ".hidden/z.png",
        "a/.z.png",
        "a/notes.txt",
        "stray.png",
        "é/1.png",
    ]
    root = write_images(tmp_path / "pets.v2", [name for name in names if not name.endswith(".txt")])
    (root / "a" / "notes.txt").touch()
    local, remote = read(str(root)), read(bucket.put(root))
    assert (remote.name, remote.classes, remote.remarks) == (local.name, local.classes, local.remarks) == (
        "pets.v2", ("a", "b", "é"), local.remarks,
    )  # fmt: skip
    told = [(sample.sample_id, sample.label, sample.split) for sample in local.samples]
    assert [(sample.sample_id, sample.label, sample.split) for sample in remote.samples] == told
    for here, there in zip(local.samples, remote.samples, strict=True):
        assert read_place(here.place) == read_place(there.place)
    write_images(tmp_path / "more", ["train/a/1.png", "train/b/1.png", "test/a/1.png"])
    with pytest.raises(InputError, match="the splits differ in their classes: test lacks 'b'"):
        read(bucket.put(tmp_path / "more"))


def test_patterns_and_single_files_at_a_url(bucket: Bucket, tmp_path: Path) -> None:
    for number in range(4):
        write_tar(tmp_path / "shards" / f"data-{number:03}.tar", samples({"k": "a", "l": "b"}, number))
    url = bucket.put(tmp_path / "shards")
    whole = read(url)
    assert len(whole.samples) == 8
    assert read(f"{url}/data-*.tar").samples == read(f"{url}/data-{{000..003}}.tar").samples == whole.samples
    assert read(f"{url}/data-{{000..003}}.tar").name == "shards"
    one = read(f"{url}/data-001.tar")
    assert (one.name, {sample.sample_id for sample in one.samples}) == ("data-001", {"data-001.tar/k.png", "data-001.tar/l.png"})
    for pattern in ("data-{000..009}.tar", "none-*.tar"):
        with pytest.raises(InputError, match="where no file is; correct the pattern"):
            read(f"{url}/{pattern}")


def test_an_empty_member_of_a_tar_at_a_url_is_one_bad_image(bucket: Bucket, tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("none.png", b""), ("none.cls", b"a"), *samples({"1": "a", "2": "b"})])
    found = {sample.sample_id: read_place(sample.place) for sample in read(bucket.put(tmp_path / "x.tar")).samples}
    assert found["x.tar/none.png"] == BadImage("empty", "the file has 0 bytes")
    assert isinstance(found["x.tar/1.png"], bytes)


def test_an_unchanged_object_is_read_once(
    bucket: Bucket, photos: Path, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put(photos)
    write_tar(tmp_path / "tars/a.tar", samples({"1": "a", "2": "b", "3": "a", "4": "b"}))
    tars = bucket.put(tmp_path / "tars")
    first = [plan(place, "store").hashes for place in (url, tars)]
    with monkeypatch.context() as patch:
        patch.setattr(xmap.stages.datasets.content.hashing, "read_bytes", None)
        patch.setattr(xmap.stages.datasets.sources.webdataset, "list_tar", None)
        assert [plan(place, "store").hashes for place in (url, tars)] == first
    write_images(photos, ["train/cat/0.jpg"], 50)
    bucket.put(photos / "train/cat/0.jpg", "photos/train/cat/0.jpg")
    changed = {
        place.url for place, digest in plan(url, "store").hashes.items() if isinstance(place, Remote) and first[0].get(place) != digest
    }
    assert changed == {f"{url}/train/cat/0.jpg"}


def test_rows_may_name_urls(bucket: Bucket, photos: Path, tmp_path: Path) -> None:
    url = bucket.put(photos)
    (tmp_path / "t.csv").write_text(f"path,label\n{url}/train/cat/0.jpg,cat\nphotos/train/cat/1.jpg,dog\n{url}/no.jpg,cat\n")
    found = {sample.sample_id: sample.place for sample in read(str(tmp_path / "t.csv")).samples}
    assert set(found) == {f"{url}/train/cat/0.jpg", "photos/train/cat/1.jpg", f"{url}/no.jpg"}
    known = found[f"{url}/train/cat/0.jpg"]
    assert isinstance(known, Remote)
    assert known.stamp
    assert read_place(known) == (photos / "train/cat/0.jpg").read_bytes()
    assert read_place(found[f"{url}/no.jpg"]) == BadImage("missing", "there is no such file, or it is a link to none")
    there = bucket.put(tmp_path / "t.csv", "t.csv")
    assert {sample.sample_id for sample in read(there).samples} == {"photos/train/cat/0.jpg", "photos/train/cat/1.jpg", "photos/no.jpg"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", "leads out of the storage"),
        ("../../../x.jpg", "leads out of the storage"),
        ("../../other/x.jpg", "leads out of the storage"),
        ("file:///etc/x.jpg", "is a file of this machine"),
        ("local:///etc/x.jpg", "is a file of this machine"),
        ("FILE:///etc/x.jpg", "is a file of this machine"),
        ("simplecache::file:///etc/x.jpg", "is a file of this machine"),
    ],
)
def test_a_table_at_a_url_stays_in_its_storage(bucket: Bucket, tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(f"path,label\n{path},a\n")
    url = bucket.put(tmp_path / "t.csv", "a/t.csv")
    with pytest.raises(InputError, match=f"row 2 has the path .* which {message}"):
        read(url)
