"""Places are plain values: they go to other processes as they are, and name themselves in messages."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from xmap.stages.datasets.places.place import Cell, Container, Member, Place, Remote, is_url, location, relative, shown, unit
from xmap.store.errors import InputError

TAR, TABLE = Container(Path("a/x.tar"), "1:2"), Container(Remote("s3://b/t.parquet", 9, "tag"), "9:tag")
PLACES: list[tuple[Place, str, object]] = [
    (Path("a/b.jpg"), "a/b.jpg", None),
    (Remote("s3://b/c d.jpg", 3, "tag"), "s3://b/c d.jpg", None),
    (Member(TAR, "d/k.jpg", 512, 3, "hash"), "a/x.tar/d/k.jpg", TAR.where),
    (Cell(TABLE, "00000007", "image", 0, 7, None), "s3://b/t.parquet/00000007", TABLE.where),
]


@pytest.mark.parametrize(("place", "text", "shared"), PLACES)
def test_a_place_is_a_value_that_names_itself(place: Place, text: str, shared: object) -> None:
    again = pickle.loads(pickle.dumps(place))  # noqa: S301
    assert (again, hash(again), str(again)) == (place, hash(place), text)
    assert unit(place) == shared


def test_a_remote_answers_to_what_a_path_is_asked() -> None:
    folder = Remote("s3://b/pets.v2/")
    assert [str(place) for place in (folder / "a.PNG", (folder / "a.PNG").parent, folder)] == [
        "s3://b/pets.v2/a.PNG", "s3://b/pets.v2", "s3://b/pets.v2/",
    ]  # fmt: skip
    assert (folder.name, (folder / "a.PNG").suffix, (folder / "a.PNG").stem) == ("pets.v2", ".PNG", "a")
    assert relative(folder, folder / "x/y.jpg") == relative(Path("."), Path("x/y.jpg")) == "x/y.jpg"
    assert (Remote("s3://b/x").stamp, Remote("s3://b/x", 1).stamp, Remote("s3://b/x", 0, "t").stamp) == ("", "", "0:t")


def test_what_is_a_url() -> None:
    for text in ("s3://b", "https://x/y", "abfs://c@a.net/x", "simplecache::s3://b"):
        assert is_url(text)
        assert location(text) == Remote(text)
    for text in ("", "a/b", "/a/b", "coop:dtd", "C:\\x", "://x", "a b://c", "./s3://b"):
        assert not is_url(text)
        assert location(text) == Path(text)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://KEY:secret@bucket/x", "s3://bucket/x"),
        ("s3://KEY:se/cr+et@bucket/x", "s3://bucket/x"),
        ("https://user:secret@host/x.tar", "https://host/x.tar"),
        ("https://secret@host:80/x.tar", "https://host:80/x.tar"),
        ("sftp://user:secret@host/x", "sftp://host/x"),
        ("simplecache::s3://KEY:secret@bucket/x", "simplecache::s3://bucket/x"),
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str, said: str) -> None:
    with pytest.raises(InputError, match=r"leave them out, credentials come from the environment") as found:
        location(url)
    assert str(found.value).startswith(f"{said} has")
    assert "secret" not in str(found.value)
    assert shown(url) == said


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a:b@2x.png",
        "s3://arn:aws:s3:eu-west-1:1:accesspoint/x/a@2x.png",
        "abfs://container@account.dfs.core.windows.net/x",
        "sftp://user@host/x",
        "http://127.0.0.1:80/a@b.png",
        "s3://bucket/data-?.tar",
        "a/b?c=d@e",
    ],
)
def test_what_only_looks_like_credentials_stays(url: str) -> None:
    assert str(location(url)) == shown(url) == url


def test_a_signature_is_used_and_not_said() -> None:
    signed = location("https://host/a/x.tar?X-Amz-Signature=secret/=")
    assert isinstance(signed, Remote)
    assert signed.url.endswith("secret/=")
    assert (str(signed), signed.name, signed.suffix, str(signed.parent)) == ("https://host/a/x.tar", "x.tar", ".tar", "https://host/a")
