"""Samples of a tar: labels of every form, members that are none, and samples that cannot be used."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.worlds.datasets import read
from tests.worlds.pictures import picture
from tests.worlds.tars import encoded, samples, write_tar
from xmap.store.errors import InputError


def test_labels_of_any_form_are_one_class(tmp_path: Path) -> None:
    forms = [
        ("k.json", b'{"label": 3.0}'),
        ("l.json", b'{"label": "3"}'),
        ("m.cls", b"3.0\n"),
        ("n.cls", b"003"),
        ("o.json", b'{"label": 10}'),
    ]
    images = [(f"{key}.png", PNG) for key in "klmno"]
    write_tar(tmp_path / "a.tar", [*images, *forms])
    found = read(tmp_path)
    assert found.classes == ("3", "10")
    assert [found.classes[sample.label] for sample in sorted(found.samples, key=lambda one: one.sample_id)] == ["3", "3", "3", "3", "10"]


def test_a_class_really_called_nan_is_said(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("nan/1.png", PNG), ("nan/1.cls", b"nan"), ("cat/2.png", PNG), ("cat/2.cls", b"cat")])
    found = read(tmp_path)
    assert found.classes == ("cat", "nan")
    assert "the label 'nan' (1 images) is taken for a name: the images' folders have it" in found.remarks


def label(tmp_path: Path, *members: tuple[str, bytes]) -> str:
    found = read(write_tar(tmp_path / "x.tar", [*samples({"other": "0"}), ("k.png", encoded(picture(1))), *members]))
    return next(found.classes[sample.label] for sample in found.samples if sample.sample_id == "x.tar/k.png")


def test_labels_are_numbers_or_names_in_cls_or_json(tmp_path: Path) -> None:
    assert label(tmp_path, ("k.cls", b"7")) == "7"
    assert label(tmp_path, ("k.cls", b"007\n")) == "7"
    assert label(tmp_path, ("k.cls", b"  tabby cat\n")) == "tabby cat"
    assert label(tmp_path, ("k.cls", unicodedata.normalize("NFD", "café").encode())) == "café"
    assert label(tmp_path, ("k.json", b'{"label": 3, "x": [1]}')) == "3"
    assert label(tmp_path, ("k.json", b'{"label": 3, "class_name": "owl"}')) == "owl"
    assert label(tmp_path, ("k.json", b'{"class": "owl", "label": null}')) == "owl"
    assert label(tmp_path, ("k.json", b'{"label": 3}'), ("k.cls", b"4")) == "4"
    # Beyond what any tool counts: a name.
    assert label(tmp_path, ("k.cls", b"9" * 1000)) == "9" * 1000


def test_other_members_are_counted_and_left_out(tmp_path: Path) -> None:
    extra = [("d/k.txt", b"a caption"), ("d/k.mask.png", b"x"), ("d/._k.png", b"mac"), ("d/lone.cls", b"a"), ("README", b"")]
    found = read(write_tar(tmp_path / "x.tar", [*samples({"d/k": "a", "d/l": "b"}), *extra]))
    assert [sample.sample_id for sample in found.samples] == ["x.tar/d/k.png", "x.tar/d/l.png"]
    assert found.remarks[:2] == (
        "3 members that are not images were left out: 1 .mask.png, 1 .txt, 1 no suffix",
        "1 keys have a label and no image: 'd/lone'",
    )


PNG = encoded(picture(0))
UNFIT = {
    "no label": ([("a/k.png", PNG), ("a/k.txt", b"cat")], "'a/k' has an image and no label; add 'a/k.cls'"),
    "a label elsewhere": ([("a/k.png", PNG), ("b/k.cls", b"cat")], "'a/k' has an image and no label"),
    "json without": ([("k.png", PNG), ("k.json", b'{"caption": "cat"}')], "'k' has an image and no label"),
    "two images": ([("k.png", PNG), ("k.jpg", PNG), ("k.cls", b"0")], "'k.png' and 'k.jpg' share the key 'k'"),
    "dots": ([("k.1.png", PNG), ("k.2.png", PNG), ("k.cls", b"0")], "share the key 'k', which ends at the first dot"),
    "twice": ([*samples({"k": "a"}), ("./k.png", PNG)], "'k.png' is there twice"),
    "twice after NFC": ([("é.png", PNG), ("e\u0301.png", PNG)], "is there twice"),
    "empty label": ([("k.png", PNG), ("k.cls", b" \n")], "'k.cls' holds no class number or name but ' "),
    "a list": ([("k.png", PNG), ("k.json", b'{"label": [1]}')], "holds no class number or name"),
    "an object": ([("k.png", PNG), ("k.json", b'{"label": {"id": 1}}')], "(it is of the kind dict, neither a name nor a number)"),
    "a list as text": ([("k.png", PNG), ("k.cls", b"[0, 1]")], "(it is a list or an object written as text"),
    "not a number": ([("k.png", PNG), ("k.json", b'{"label": NaN}')], "holds no class number or name but 'nan'"),
    "infinite": ([("k.png", PNG), ("k.json", b'{"label": Infinity}')], "holds no class number or name but 'inf'"),
    "a word for none": ([("k.png", PNG), ("k.cls", b"nan")], "holds no class number or name but 'nan'"),
    "Python's none": ([("d/k.png", PNG), ("d/k.cls", b"None\n")], "holds no class number or name but 'None"),
    "no text": ([("k.png", PNG), ("k.cls", b"\xff\xfe")], "'k.cls' is a label that is not UTF-8"),
    "no json": ([("k.png", PNG), ("k.json", b"{")], "'k.json' is no JSON"),
    "deep json": ([("k.png", PNG), ("k.json", b"[" * 100_000)], "'k.json' is no JSON"),
    "long number": ([("k.png", PNG), ("k.json", b'{"label": ' + b"9" * 9999 + b"}")], "'k.json' is no JSON"),
    "no unicode": ([("k.png", PNG), ("k.json", b'{"label": "\\ud800"}')], r"but '\ud800' (it is no UTF-8 text)"),
    "two lines": ([("k.png", PNG), ("k.cls", b"a\nb")], r"but 'a\nb' (it holds a control character or a line end)"),
    "a tab": ([("k.png", PNG), ("k.json", b'{"label": "a\\tb"}')], "it holds a control character"),
    "many digits": ([("k.png", PNG), ("k.cls", b"9" * 5000)], "(it has 5,000 characters, the limit is 1,000)"),
    "two cls": ([("k.png", PNG), ("k.cls", b"a"), ("k.CLS", b"b")], "'k.CLS' is a second .cls of the key 'k'"),
    "two json": ([("k.png", PNG), ("k.JSON", b'{"label": "a"}'), ("k.json", b"{}")], "'k.json' is a second .json of the key 'k'"),
    "long label": ([("k.png", PNG), ("k.cls", bytes(1 << 21))], "is a label of 2,097,152 bytes"),
}


@pytest.mark.failure("hostile tar")
@pytest.mark.parametrize("name", UNFIT)
def test_samples_that_cannot_be_used_are_refused_with_tar_and_key(tmp_path: Path, name: str) -> None:
    members, message = UNFIT[name]
    path = write_tar(tmp_path / "x.tar", members)
    with pytest.raises(InputError) as found:
        read(path)
    assert message in str(found.value)
    assert str(found.value).startswith(str(path))
