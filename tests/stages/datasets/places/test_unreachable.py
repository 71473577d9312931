"""Data at URLs that cannot be used, is lost meanwhile or changes: one sentence each, and no image bad that is only out of reach."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from s3fs import S3FileSystem
from typer.testing import CliRunner

from tests.worlds.datasets import read
from tests.worlds.extraction import Plan, tree
from tests.worlds.s3 import Bucket, environment, server
from tests.worlds.tars import END, header, samples, write_tar
from xmap.cli.main import app
from xmap.stages.datasets.content.hashing import hash_places
from xmap.stages.datasets.dataset import TRAIN
from xmap.store.artifacts.root import store_root
from xmap.store.errors import EmptyInput, InputError
from xmap.store.memory.notes import Notes

ROOT = Path(__file__).resolve().parents[4]


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
            hash_places(job.dataset.samples.places, Notes(Path("none")))
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
