"""Class files as people have them, for every kind of data: an order, keys with names, or names by label; or they are refused."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.benchmarks import make_all
from tests.worlds.tars import write_tar
from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.names_file import Names, read_names
from xmap.stages.datasets.dataset import Dataset
from xmap.stages.datasets.open import open_dataset
from xmap.store.errors import InputError

ANIMALS = ("cat", "dog", "great_white_shark", "tench")
WNIDS = ("n01440764", "n01443537", "n01484850", "n01491361")
NAMES = ("tench", "goldfish", "great white shark", "tiger shark")


def lines(path: Path, *written: str) -> Path:
    path.write_text("\n".join(written) + "\n", encoding="utf-8")
    return path


def named(tmp_path: Path, keys: tuple[str, ...], *written: str) -> Names:
    return read_names(lines(tmp_path / "names.txt", *written), Names(keys, keys))


def meaning(tmp_path: Path, keys: tuple[str, ...], *written: str) -> dict[str, str]:
    found = named(tmp_path, keys, *written)
    return dict(zip(found.keys, found.names, strict=True))


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    "written",
    [
        ("tench", "great_white_shark", "dog", "cat"),
        ("0 tench", "1 great_white_shark", "2 dog", "3 cat"),
        ("3 cat", "1,great_white_shark", "2\tdog", "0: tench"),
        ("1 tench", "2 great_white_shark", "3 dog", "4 cat"),
        ("index,name", "0,tench", "1,great_white_shark", "2,dog", "3,cat"),
        ("tench", "great_white_shark", "", "  dog ", "cat"),
        ("tench\ttench", "great_white_shark\tgreat_white_shark", "dog\tdog", "cat\tcat"),
    ],
    ids=lambda written: "; ".join(written)[:40],
)
def test_the_classes_in_another_order_are_an_order(tmp_path: Path, written: tuple[str, ...]) -> None:
    found = named(tmp_path, ANIMALS, *written)
    assert list(found.keys) == list(found.names) == ["tench", "great_white_shark", "dog", "cat"]
    assert found.remarks == ()


@pytest.mark.failure("wrong layout")
def test_classes_spelled_otherwise_get_this_spelling_and_keep_their_images(tmp_path: Path) -> None:
    found = meaning(tmp_path, ANIMALS, "Tench", "Great white-shark", "Dog", "CAT")
    assert found == {"tench": "Tench", "great_white_shark": "Great white-shark", "dog": "Dog", "cat": "CAT"}


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    "form",
    [
        "{key}\t{name}", "{key} {name}", "{key},{name}", "{key}, {name}", "{key}: {name}", "{key};{name}", '"{key}","{name}"',
        "{index} {name}", "{index},{name}", "{index}: {name}", "{place}. {name}", "{index}\t{name}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("heading", [(), ("id,name",)])
def test_keys_and_names_in_every_form(tmp_path: Path, form: str, heading: tuple[str, ...]) -> None:
    rows = [
        form.format(key=key, name=name, index=index, place=index + 1) for index, (key, name) in enumerate(zip(WNIDS, NAMES, strict=True))
    ]
    mixed = random.Random(3).sample(rows, len(rows))  # noqa: S311
    assert meaning(tmp_path, WNIDS, *heading, *mixed) == dict(zip(WNIDS, NAMES, strict=True))


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("keys", "written", "expected"),
    [
        (("cat", "cat fish"), ("cat fish swimmer", "cat pet"), {"cat fish": "swimmer", "cat": "pet"}),
        (("French bulldog", "pug"), ("French bulldog, Frenchie", "pug, Mops"), {"French bulldog": "Frenchie", "pug": "Mops"}),
        (WNIDS[:2], ('n01440764,"tench, Tinca tinca"', "n01443537,goldfish"), {WNIDS[0]: "tench, Tinca tinca", WNIDS[1]: "goldfish"}),
        (("zero", "one"), ("zero\t0", "one\t1"), {"zero": "0", "one": "1"}),
        (("001", "002", "010"), ("2 two", "1 one", "10 ten"), {"002": "two", "001": "one", "010": "ten"}),
        (("0", "1", "2"), ("0 A", "1 B", "2 C"), {"0": "A", "1": "B", "2": "C"}),
        (("0", "1", "2"), ("2", "1", "0"), {"2": "2", "1": "1", "0": "0"}),
        (("0", "1", "2"), ("zero", "one", "two"), {"0": "zero", "1": "one", "2": "two"}),
        (("0.0", "1.0", "10.0"), ("0 A", "1 B", "10 C"), {"0.0": "A", "1.0": "B", "10.0": "C"}),
        (("0", "5", "17"), ("name", "zero", "five", "seventeen"), {"0": "zero", "5": "five", "17": "seventeen"}),
        (("0", "1"), ("n01440764 tench", "n01443537 goldfish"), {"0": "tench", "1": "goldfish"}),
        (("0", "1"), ("tench, Tinca tinca", "goldfish, Carassius"), {"0": "tench, Tinca tinca", "1": "goldfish, Carassius"}),
        (("café", "thé"), ("thé", "cafe\u0301"), {"thé": "thé", "café": "café"}),
        (("cat", "dog"), ("# ours", "dog", "#", "cat"), {"dog": "dog", "cat": "cat"}),
        (("cat", "dog"), ("- dog", "- cat"), {"dog": "dog", "cat": "cat"}),
        (("cat", "dog"), ("* dog Hund", "* cat Katze"), {"dog": "Hund", "cat": "Katze"}),
        (("cat", "dog"), ("dog -> Hund", "cat => Katze"), {"dog": "Hund", "cat": "Katze"}),
        (("cat", "dog"), ("dog|Hund", "cat | Katze"), {"dog": "Hund", "cat": "Katze"}),
        (("-1", "0"), ("-1 none", "0 some"), {"-1": "none", "0": "some"}),
        (("0", "1"), ("# names", "zero", "one"), {"0": "zero", "1": "one"}),
        (("#1", "#2"), ("#2", "#1"), {"#2": "#2", "#1": "#1"}),
    ],
    ids=lambda value: "; ".join(value)[:40],
)  # fmt: skip
def test_what_a_line_means_is_told_by_the_classes(
    tmp_path: Path, keys: tuple[str, ...], written: tuple[str, ...], expected: dict[str, str]
) -> None:
    found = meaning(tmp_path, keys, *written)
    assert list(found.items()) == list(expected.items())


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("keys", "written", "message"),
    [
        (WNIDS, NAMES, "lacks 'n01440764', 'n01443537', 'n01484850', 'n01491361' and names 'tench', 'goldfish', 'great white shark'"),
        (ANIMALS, ("Katze", "Hund", "Hai", "Schleie"), "and names 'Katze', 'Hund', 'Hai', 'Schleie', which the data has not; write every"),
        (WNIDS[:2], ("n01440764 a",), "lacks 'n01443537'"),
        (WNIDS[:2], ("n01440764\ta", "n01443537\tb", "n03\tc"), "names 'n03', which the data has not"),
        (WNIDS[:2], ("n01440764 a", "n01443537"), "mixes lines of a class alone with"),
        (WNIDS[:2], ("n01440764 a", "n01443537 b", "n01443537 c"), "names a class twice: 'n01443537'"),
        (("cat", "dog"), ("dog", "dog"), "lacks 'cat' and names a class twice: 'dog'"),
        (("cat", "dog"), ("dog", "cat", "bird"), "names 'bird', which the data has not"),
        (("cat", "dog"), ("0 Katze", "2 Hund"), "lacks 'cat', 'dog'"),
        (WNIDS[:2], ("n01440764 crane", "n01443537 crane"), "gives several classes one name: 'crane'; make them different"),
        (("0", "1"), ("crane", "crane"), "gives several classes one name: 'crane'"),
        (("0", "1"), ("zero",), "names 1 classes, the data has 2"),
        (("1", "2", "3"), ("0 A", "1 B", "2 C"), "lacks '3' and names '0 A'"),
        (("0", "1"), ("a\tzero", "b\tone"), "lacks '0', '1' and names 'a', 'b'"),
        (("cat", "dog"), ("cat,0", "dog,1"), "gives classes numbers for names; write `0 class`"),
        (("cat", "dog"), (), "lacks 'cat', 'dog'"),
        (("0", "1", "2"), ("1", "2", "3"), "lacks '0' and names '3', which the data has not"),
        (("0", "1", "2"), ("zero", "2", "two"), "names 'zero', 'two', which the data has not"),
        (ANIMALS, ("0 dog", "1 cat", "2 Hai", "3 Schleie"), "and names '0 dog', '1 cat', '2 Hai', '3 Schleie', which the data has not"),
        (("0", "1", "2"), ("name", "one", "two"), "names 2 classes, the data has 3"),
        (("0", "1", "2"), ("# zero", "one", "two"), "names 2 classes, the data has 3"),
        (("cat", "dog"), ("cat # the small one", "dog # the other"), "'# the small one' cannot be used (it begins as a comment does)"),
        (WNIDS[:2], ("n01440764,0,tench", "n01443537,1,goldfish"), "more than two columns: class 'n01440764' would be '0,tench'"),
        (WNIDS[:2], ("0,n01440764,tench", "1,n01443537,goldfish"), "more than two columns: class 'n01440764' would be 'n01440764,tench'"),
        (("0", "1"), ("0,n01440764,tench", "1,n01443537,goldfish"), "more than two columns: class '0' would be 'n01440764,tench'"),
    ],
    ids=lambda value: "; ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_does_not_fit_is_refused_with_both_lists(
    tmp_path: Path, keys: tuple[str, ...], written: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        named(tmp_path, keys, *written)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.failure("wrong layout")
@given(
    names=st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1).map(str.strip).filter(bool),
                   min_size=2, max_size=6, unique=True),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_no_order_of_the_names_ever_renames_a_class(tmp_path_factory: pytest.TempPathFactory, names: list[str], seed: int) -> None:
    keys = tuple(dict.fromkeys(unicodedata.normalize("NFC", name) for name in names))
    mixed = random.Random(seed).sample(keys, len(keys))  # noqa: S311
    path = tmp_path_factory.mktemp("names") / "names.txt"
    path.write_text("\n".join(mixed), encoding="utf-8")
    found = read_names(path, Names(keys, keys))
    assert list(found.keys) == list(found.names) == mixed


def test_a_names_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_names(tmp_path / "absent.txt", Names("ab", "ab"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="not UTF-8"):
        read_names(tmp_path / "latin.txt", Names("ab", "ab"))


def test_names_by_label_are_said_aloud(tmp_path: Path) -> None:
    found = named(tmp_path, ("0", "2", "10", "11"), "zero", "two", "ten", "eleven")
    assert found.remarks == ("class names in label order: '0' is 'zero', '2' is 'two', '10' is 'ten', and so on",)
    assert named(tmp_path, ("ant", "bee"), "bee insect", "ant animal").remarks == ("class names: 'bee' is 'insect', 'ant' is 'animal'",)


# ---- the same file for every kind of data


def folder(root: Path, keys: tuple[str, ...]) -> Path:
    for key in keys:
        for number in range(3):
            path = root / "data" / key / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root / "data"


def table(root: Path, keys: tuple[str, ...]) -> Path:
    return lines(root / "data.csv", "path,label", *(f"{key}/{number}.png,{key}" for key in keys for number in range(3)))


def paths_in_parquet(root: Path, keys: tuple[str, ...]) -> Path:
    paths = [f"{key}/{number}.png" for key in keys for number in range(3)]
    pq.write_table(pa.table({"path": paths, "label": [path.split("/")[0] for path in paths]}), root / "data.parquet")
    return root / "data.parquet"


def images_in_parquet(root: Path, keys: tuple[str, ...]) -> Path:
    labels = [key for key in keys for _ in range(3)]
    pq.write_table(pa.table({"image": [b"x" * row for row, _ in enumerate(labels, 1)], "label": labels}), root / "data.parquet")
    return root / "data.parquet"


def tar(root: Path, keys: tuple[str, ...]) -> Path:
    members = [(f"{key}{number}{suffix}", key.encode()) for key in keys for number in range(3) for suffix in (".png", ".cls")]
    return write_tar(root / "data.tar", members)


KINDS = [folder, table, paths_in_parquet, images_in_parquet, tar]


def called(data: Path, classes: Path) -> tuple[Dataset, dict[str, set[str]]]:
    """The names that the images of each class without a names file have with it."""
    plain, found = open_dataset(DataConfig(data=str(data))), open_dataset(DataConfig(data=str(data), classes=str(classes)))
    keys = {sample.sample_id: plain.classes[sample.label] for sample in plain.samples}
    names: dict[str, set[str]] = {}
    for sample in found.samples:
        names.setdefault(keys[sample.sample_id], set()).add(found.classes[sample.label])
    return found, names


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("make", KINDS)
def test_every_kind_of_data_reads_class_files_alike(tmp_path: Path, make: Callable[[Path, tuple[str, ...]], Path]) -> None:
    data = make(tmp_path, WNIDS)
    found, names = called(data, lines(tmp_path / "order.txt", *reversed(WNIDS)))
    assert found.classes == WNIDS[::-1]
    assert names == {key: {key} for key in WNIDS}
    found, names = called(data, lines(tmp_path / "names.txt", *(f"{key} {name}" for key, name in zip(WNIDS, NAMES, strict=True))))
    assert found.classes == NAMES
    assert names == {key: {name} for key, name in zip(WNIDS, NAMES, strict=True)}
    with pytest.raises(InputError, match="lacks 'n01440764'"):
        called(data, lines(tmp_path / "wrong.txt", *NAMES))


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("make", KINDS)
def test_names_by_label_go_to_the_number_they_stand_at(tmp_path: Path, make: Callable[[Path, tuple[str, ...]], Path]) -> None:
    numbers = tuple(map(str, range(12)))
    found, names = called(make(tmp_path, numbers), lines(tmp_path / "names.txt", *"ABCDEFGHIJKL"))
    assert found.classes == tuple("ABCDEFGHIJKL")
    assert names == {number: {letter} for number, letter in zip(numbers, "ABCDEFGHIJKL", strict=True)}


@pytest.mark.failure("wrong layout")
def test_a_benchmark_and_named_tars_keep_their_classes_in_another_order(tmp_path: Path) -> None:
    make_all(tmp_path)
    config = DataConfig(data="coop:dtd", root=str(tmp_path))
    plain = open_dataset(config)
    found = open_dataset(config.model_copy(update={"classes": str(lines(tmp_path / "order.txt", *reversed(plain.classes)))}))
    assert found.classes == plain.classes[::-1]
    assert {s.sample_id: plain.classes[s.label] for s in plain.samples} == {s.sample_id: found.classes[s.label] for s in found.samples}
    data = tar(tmp_path, ("0", "1", "2"))
    lines(tmp_path / "classnames.txt", "ant", "bee", "cat")
    found = open_dataset(DataConfig(data=str(data), classes=str(lines(tmp_path / "order.txt", "cat", "bee", "ant"))))
    assert {s.sample_id.split("/")[1][0]: found.classes[s.label] for s in found.samples} == {"0": "ant", "1": "bee", "2": "cat"}
    lines(tmp_path / "classnames.txt", "one line too few")
    assert open_dataset(DataConfig(data=str(data), classes=str(tmp_path / "order.txt"))).classes == ("cat", "bee", "ant")
