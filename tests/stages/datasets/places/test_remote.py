"""Data at URLs, on a real S3-compatible server: the same features as from the disk, and one sentence for whatever fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem
from typer.testing import CliRunner

import xmap.stages.datasets.content.hashing
import xmap.stages.datasets.places.remote
import xmap.stages.datasets.sources.listings
import xmap.stages.datasets.sources.webdataset
import xmap.stages.images.read
from tests.s3 import Bucket, environment, server
from tests.stages.conftest import write_images
from tests.stages.extraction_world import SMALL, Job, tree
from tests.stages.tars import END, header, samples, write_tar
from xmap.cli.main import app
from xmap.stages.config import DataConfig, EncoderConfig, ExtractConfig
from xmap.stages.datasets.content.hashing import hash_places
from xmap.stages.datasets.dataset import TRAIN, Dataset
from xmap.stages.datasets.open import open_dataset
from xmap.stages.datasets.places.place import Container, Member, Remote
from xmap.stages.encoder.model import resolve
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import read_place
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.root import store_root
from xmap.store.errors import EmptyInput, InputError
from xmap.store.formats.features import read_errors
from xmap.store.memory.hashes import HashMemory
from xmap.store.memory.notes import Notes

Plan = Callable[..., Job]
ROOT = Path(__file__).resolve().parents[4]


def read(data: str, **config: object) -> Dataset:
    return open_dataset(DataConfig(data=data, **config))


@pytest.fixture
def plan(tiny_model_dir: Path, tmp_path: Path) -> Plan:
    """`plan(data, store)`: an extraction, all inputs resolved as a run would."""

    def planned(data: str | Path, store: str, config: ExtractConfig = SMALL) -> Job:
        made, memory = Store(tmp_path / store), HashMemory(tmp_path / store / "hashes.sqlite")
        notes = Notes(tmp_path / store / "hashes.sqlite")
        dataset = open_dataset(DataConfig(data=str(data)), notes=notes)
        encoder = resolve(EncoderConfig(model=f"local-dir:{tiny_model_dir}"), memory, tmp_path / store / "encoders")
        return Job(made, dataset, hash_places([sample.place for sample in dataset.samples], memory, notes), encoder, config)

    return planned


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


# ---- what fails


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("s3://no-such-bucket/pets", "s3://no-such-bucket/pets is not there; check the bucket and the path"),
        ("s3://no-such-bucket/a.tar", "is not there; check the bucket"),
        ("odd://x/y", r"Protocol not known: odd\); give a URL such as s3://bucket/folder"),
        ("gs://bucket/x", r"needs a library that is not installed .*; for S3 do `pip install 'xmap\[remote\]'`"),
        ("simplecache::s3://bucket/x", "chains several storages"),
        ("s3://KEY:secret@bucket/x", "s3://bucket/x has a user or password in it"),
        ("http://127.0.0.1:1/x.tar?X-Amz-Signature=secret", "http://127.0.0.1:1/x.tar cannot be reached"),
        ("http://127.0.0.1:1/x.tar", "cannot be reached .* run the same command again"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_sentence(bucket: Bucket, data: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        read(data)
    assert "\n" not in str(found.value)
    assert "secret" not in str(found.value)
    result = CliRunner().invoke(app, ["extract", "--data", data, "--model", "xmap-tiny"])
    assert result.exit_code == 2


def test_an_empty_folder_and_a_file_of_no_kind(bucket: Bucket, photos: Path) -> None:
    with pytest.raises(EmptyInput, match="found no files"):
        read(f"s3://{bucket.name}/empty")
    url = bucket.put(photos / "test/cat/t.jpg", "t.jpg")
    with pytest.raises(InputError, match=r"is neither a folder nor a \.csv"):
        read(url)


def test_without_credentials_it_is_said(bucket: Bucket, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.put(photos)
    S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(InputError, match=r"may not be read \(Unable to locate credentials\); check the credentials"):
        read(url)
    S3FileSystem.clear_instance_cache()


def test_without_the_library_the_remedy_is_said() -> None:
    script = "import sys; sys.modules['s3fs'] = None; from xmap.cli.main import main; main()"
    command = [sys.executable, "-c", script, "extract", "--data", "s3://bucket/x"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert ended.returncode == 2
    assert ended.stderr.strip().endswith("install it; for S3 do `pip install 'xmap[remote]'`.")


def test_a_hostile_tar_at_a_url_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(header("../a.png") + END)
    with pytest.raises(InputError, match=r"x.tar: the member '../a.png' climbs out"):
        read(bucket.put(tmp_path / "x.tar"))
    whole = write_tar(tmp_path / "x.tar", samples({"1": "a"})).read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[:2000])
    with pytest.raises(InputError, match="is cut short"):
        read(bucket.put(tmp_path / "x.tar"))


@pytest.mark.failure("lost connection")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_lost_connection_is_one_sentence_and_no_bad_image(
    photos: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    with server() as address:
        for name, value in environment(address).items():
            monkeypatch.setenv(name, value)
        job = plan(Bucket().put(photos), "store")
    with pytest.raises(InputError, match=r"train/cat/0.jpg cannot be reached any more .*; run the same command again") as found:
        job.run(workers)
    assert "\n" not in str(found.value)
    with pytest.raises(InputError, match="cannot be reached"):
        plan(str(job.dataset.split(TRAIN)[0].place).partition("/train")[0], "other")


@pytest.mark.failure("lost connection")
@pytest.mark.parametrize("workers", [0, 2])
def test_credentials_that_run_out_make_no_image_bad(
    bucket: Bucket, photos: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    url = bucket.put(photos)
    job = plan(url, "store")
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        S3FileSystem.clear_instance_cache()
        with pytest.raises(InputError, match=r"cannot be reached any more \(Unable to locate credentials\); run the same command again"):
            job.run(workers)
        with pytest.raises(InputError, match="Unable to locate credentials"):
            hash_places([sample.place for sample in job.dataset.samples], HashMemory(Path("none")))
    S3FileSystem.clear_instance_cache()
    assert tree(job.run(workers)) == tree(plan(photos, "local").run())


@pytest.mark.failure("changed input")
def test_an_object_that_changes_during_the_work_is_noticed(bucket: Bucket, photos: Path, plan: Plan) -> None:
    job = plan(bucket.put(photos), "store")
    bucket.put(photos / "train/cat/1.jpg", "photos/train/cat/0.jpg")
    with pytest.raises(InputError, match=r"train/cat/0.jpg (changed while|was there when)"):
        job.run()
    bucket.files.rm_file(f"{bucket.name}/photos/train/cat/0.jpg")
    with pytest.raises(InputError, match=r"train/cat/0.jpg (changed while|was there when)"):
        job.run()


def test_the_store_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["status", "--store", "s3://bucket/store"])
    assert result.exit_code == 2
    with pytest.raises(InputError, match="--store s3://bucket/x is a URL, but the store is a folder of this machine"):
        store_root("s3://bucket/x")
    monkeypatch.setenv("XMAP_STORE", "s3://bucket/y")
    with pytest.raises(InputError, match="s3://bucket/y"):
        store_root(None)


class WholeFiles(SimpleHTTPRequestHandler):
    """A web server that knows no parts of files."""

    def log_message(self, *_: object) -> None:
        return None


class Endless(BaseHTTPRequestHandler):
    """A web server that says no length, knows no parts of files and does not end; `sent` are the pieces that were taken."""

    protocol_version = "HTTP/1.1"
    sent = 0

    def do_HEAD(self) -> None:
        self.send_response(403 if "secret" in self.path else 200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.close_connection = True
        try:
            while "secret" not in self.path:
                self.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
                type(self).sent += 1
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def web_server(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_a_server_that_gives_no_parts_of_files_is_not_believed(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", samples({"1": "a", "2": "b"}))
    with web_server(partial(WholeFiles, directory=str(tmp_path))) as url:
        found = read(f"{url}/x.tar")
        assert {sample.sample_id for sample in found.samples} == {"x.tar/1.png", "x.tar/2.png"}
        assert read_place(found.samples[0].place) == BadImage("unreachable", "it gives whole files only, no parts of them")


@pytest.mark.failure("lost connection")
def test_what_does_not_end_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (xmap.stages.datasets.places.remote, xmap.stages.datasets.content.hashing, xmap.stages.images.read):
        monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    with web_server(Endless) as url:
        image = Remote(f"{url}/x.png")
        assert read_place(image) == BadImage("too-large", "the file has more than 1,048,576 bytes, which is the limit")
        assert hash_places([image], HashMemory(Path("none"))) == {}
        member = Member(Container(Remote(f"{url}/x.tar")), "k.png", 512, 100, "hash")
        assert read_place(member) == BadImage("unreachable", "it gives whole files only, no parts of them")
    # What the sockets' buffers hold was sent too.
    assert Endless.sent < 1000


def test_a_signed_url_is_read_and_its_signature_said_nowhere(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", samples({"1": "a", "2": "b"}))
    with web_server(partial(WholeFiles, directory=str(tmp_path))) as url:
        found = read(f"{url}/x.tar?X-Amz-Signature=abc")
    assert (found.name, {sample.sample_id for sample in found.samples}) == ("x", {"x.tar/1.png", "x.tar/2.png"})
    with web_server(Endless) as url, pytest.raises(InputError, match=r"/x.tar cannot be reached \(403") as refused:
        read(f"{url}/x.tar?X-Amz-Signature=secret")
    assert "secret" not in str(refused.value)
