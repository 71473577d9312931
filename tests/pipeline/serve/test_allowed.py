"""S3 paths that requests name: read below what is allowed, and not said more of than their kind of fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.s3 import Bucket
from tests.worlds.serving import serving
from xmap.pipeline.serve.allowed import Allowed
from xmap.pipeline.serve.limits import Limits
from xmap.pipeline.serve.refusals import Refused
from xmap.store.errors import InputError


@pytest.mark.parametrize(
    "prefix",
    [
        "s3://open",
        "s3://open/a",
        "s3:///a/",
        "s3://open/../",
        "s3://open/a//",
        "s3://o/a/",
        "s3://open/*/",
        "https://open/a/",
        "/a/",
        "s3://",
    ],
)
def test_a_prefix_is_a_bucket_and_ends_with_a_slash(prefix: str) -> None:
    with pytest.raises(InputError, match="ends with a slash"):
        Allowed([prefix])


def test_paths_below_are_taken_letter_by_letter() -> None:
    allowed = Allowed(["s3://open/photos/", "s3://other/"])
    for url in ("s3://open/photos/a.jpg", "s3://open/photos/b/ü 1.jpg", "s3://other/x"):
        assert allowed.place(url).url == url
    with pytest.raises(Refused, match="reads no S3 paths"):
        Allowed().place("s3://open/photos/a.jpg")


@pytest.mark.thorough
def test_an_object_is_answered_as_the_image_itself_is(bucket: Bucket, world: Path, photos: list[Path]) -> None:
    url, other = bucket.put(photos[0], "photos/0.png"), bucket.put(photos[1], "secret/1.png")
    large, empty = Path(world / "large.png"), Path(world / "empty.png")
    large.write_bytes(b"x" * 400_000)
    empty.write_bytes(b"")
    urls = [url, bucket.put(large, "photos/large.png"), bucket.put(empty, "photos/empty.png"), f"s3://{bucket.name}/photos/none.png"]
    with serving(world / "store", Limits(bytes=300_000, images=4), allow=[f"s3://{bucket.name}/photos/"]) as running:
        answers = running.client.post({"images": [{"s3": each} for each in urls]}).json["answers"]
        assert [answer.get("error") for answer in answers] == [None, "too-large", "empty", "missing"]
        (sent,) = running.client.send(photos[0]).json["answers"]
        assert answers[0] == {
            **sent,
            "path": url,
            "probability": answers[0]["probability"],
            "probabilities": answers[0]["probabilities"],
        } | {name: answers[0][name] for name in ("second_probability", "zero_shot_probability")}
        assert answers[0]["probabilities"] == pytest.approx(sent["probabilities"], abs=1e-5)
        assert running.client.post({"images": [{"s3": other}]}).status == 403


@pytest.mark.thorough
def test_a_storage_that_does_not_answer_is_said_without_its_address(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with serving(world / "store", allow=["s3://open/photos/"]) as running:
        reply = running.client.post({"images": [{"s3": "s3://open/photos/a.png"}]})
    assert reply.status == 502
    assert b"127.0.0.1" not in reply.body
