"""What a file of descriptions says of the classes: read with care, and refused in one sentence where it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.datasets import read, touch
from xmap.store.errors import InputError

IDS = [f"{split}/{name}/{number}.jpg" for split in ("train", "test") for name in ("red ant", "bee", "cat") for number in range(2)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return touch(tmp_path / "data", *IDS)


def written(root: Path, name: str, text: str | bytes) -> str:
    path = root.parent / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"bee": ["Small.", "Striped,\\n  and  it flies.", "Small."], "Red_Ant": ["Has six legs."], "cat": []}'),
        ("a.json", '\ufeff{"red ant": ["Has six legs."], "bee": ["Small.", "Striped, and it flies."]}'),
        ("a.csv", 'class,sentence\nbee,Small.\nred ant,Has six legs.\nbee,"Striped, and it flies."\n'),
        ("a.tsv", "label\tdescription\nbee\tSmall.\nbee\tStriped, and it flies.\nred ant\tHas six legs.\n\n"),
        ("a.csv", '"class";"text"\r\n"bee";"Small."\r\n"bee";"Striped, and it flies."\r\n"RED ANT";"Has six legs."\r\n'.encode("utf-16")),
    ],
)
def test_each_form_says_the_same(root: Path, name: str, text: str | bytes) -> None:
    found = read(root, descriptions=written(root, name, text))
    assert dict(zip(found.classes, found.sentences, strict=True)) == {
        "bee": ("Small.", "Striped, and it flies."), "cat": (), "red ant": ("Has six legs.",)
    }  # fmt: skip
    assert found.text_remarks[-1].endswith("has 3 sentences of 2 of 3 classes; by the templates alone is told 'cat'")
    prompts = list(found.prompts())
    assert prompts[0] == (0, "a photo of a {}.", "a photo of a bee.")
    assert [text for label, _, text in prompts if label == 0][1:] == ["Small.", "Striped, and it flies."]
    assert [text for label, _, text in prompts if label == 1] == ["a photo of a cat."]


def test_without_a_file_there_are_no_sentences_and_a_filled_template_is_not_said_twice(root: Path) -> None:
    plain = read(root)
    assert plain.sentences == ()
    same = read(root, descriptions=written(root, "a.json", '{"cat": ["a photo of a cat."], "bee": ["a photo of a bee."]}'))
    assert list(same.prompts()) == list(plain.prompts())


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.txt", "bee", "is neither .json nor .csv nor .tsv; give a JSON file"),
        ("a.json", "{", "is not JSON"),
        ("a.json", b'{"bee": ["\xff"]}', "is not JSON"),
        ("a.json", '["bee"]', "holds no JSON object; give a JSON file"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.json", '{"bee": "Small."}', "has no list of sentences for 'bee'; give a JSON file"),
        ("a.json", '{"bee": {"Small.": 1}}', "has no list of sentences for 'bee'"),
        ("a.json", '{"bee": [3]}', "class 'bee' has 3 for a sentence, which is no text; write one, or take it out"),
        ("a.json", '{"bee": [' + '{"a":' * 800 + "1" + "}" * 800 + "]}", "for a sentence, which is no text; write one, or take it out"),
        ("a.json", '{"bee": ["a"], "bee": ["b"]}', "names 'bee' twice, of which JSON keeps the last; put all"),
        ("a.json", '{"bees": ["a"]}', "class 'bees' is of 'bees', which is no class of the data; the nearest class is 'bee'"),
        ("a.json", '{"zebra": []}', "which is no class of the data; write one of 'bee', 'cat', 'red ant'"),
        ("a.json", '{"bee": [" \\n "]}', "has an empty sentence; write one, or take it out"),
        ("a.json", '{"bee": ["a\\u0007b"]}', "has a sentence that cannot be used (it holds a control character or a line end)"),
        ("a.json", '{"bee": ["\\ud800"]}', "(it is no UTF-8 text)"),
        ("a.json", '{"bee": ["' + "long " * 250 + '"]}', "(it has 1,249 characters, the limit is 1,000)"),
        ("a.json", '{"bee": ["a small {}"]}', "has {} in a sentence, which stands as it is: 'a small {}'; write the class's name"),
        ("a.json", '{"bee": []}', "holds no sentence; give a JSON file"),
        ("a.csv", "class,words\nbee,Small.\n", "has no column 'sentence' but class, words; rename its columns"),
        ("a.csv", "class,sentence\nbee,\n", "row 2 has an empty sentence"),
        ("a.csv", "class,sentence\n,Small.\n", "row 2 is of '', which is no class of the data (it says none)"),
        ("a.csv", "class,sentence\nbee,Small, striped.\n", "row 2 has more or fewer values than the header; quote commas"),
        ("a.csv", b"class,sentence\nbee,\x00\n", "it holds control characters"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(root: Path, name: str, text: str | bytes, why: str) -> None:
    with pytest.raises(InputError) as error:
        read(root, descriptions=written(root, name, text))
    assert why in str(error.value)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_too_large_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\); give a JSON file"):
        read(root, descriptions=str(root / "nothing.json"))
    with (root / "large.json").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(InputError, match=r"cannot be read \(it has more than 67,108,864 bytes\)"):
        read(root, descriptions=str(root / "large.json"))


def test_a_class_that_corrections_emptied_is_no_class_to_describe(root: Path) -> None:
    labels = root.parent / "right.csv"
    labels.write_text("sample_id,label\n" + "".join(f"{name},bee\n" for name in IDS if "cat" in name))
    found = read(root, labels=str(labels), descriptions=written(root, "a.json", '{"red ant": ["Red."]}'))
    assert (found.classes, found.sentences) == (("bee", "red ant"), ((), ("Red.",)))
