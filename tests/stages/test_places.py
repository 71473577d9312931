"""Places are plain values: they go to other processes as they are, and name themselves in messages."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from stages.datasets.places import Cell, Container, Member, Place, Remote, is_url, location, relative, unit

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
