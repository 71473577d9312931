"""CSV files as Excel, pandas and Windows write them say the same as a plain one, or are refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.datasets import read, touch
from xmap.stages.datasets.classes.labels import label_of
from xmap.stages.datasets.dataset import Dataset
from xmap.store.errors import InputError

ROWS = [(f"img/{name}/{number}.jpg", name) for name in ("cat", "dog") for number in range(4)]
PLAIN = "path,label\n" + "".join(f"{path},{label}\n" for path, label in ROWS)


def told(found: Dataset) -> list[tuple[str, str, str]]:
    return [(sample.sample_id, found.classes[sample.label], sample.split) for sample in found.samples]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return touch(tmp_path, *(path for path, _ in ROWS))


def each(form: str) -> str:
    return "path,label\n" + "".join(form.format(path, label) + "\n" for path, label in ROWS)


DIALECTS: dict[str, bytes] = {
    "semicolons": PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "bars": PLAIN.replace(",", "|").encode(),
    "Excel's own line": b"sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n").encode(),
    "a mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.replace(",", "\t").encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-32": PLAIN.encode("utf-32"),
    "line ends of Windows": PLAIN.replace("\n", "\r\n").encode(),
    "line ends of old Macs": PLAIN.replace("\n", "\r").encode(),
    "no last line end": PLAIN.rstrip().encode(),
    "blank lines": b"\n\n" + PLAIN.replace("\n", "\n\n").encode(),
    "rows of commas at the end": PLAIN.encode() + b",\n,\n",
    "commas at the end of rows": (each("{},{},,")).encode(),
    "backslashes": each("{},{}").replace("/", "\\").encode(),
    "spaces after": each("{} ,{} ").encode(),
    "spaces before": each(" {}, {}").encode(),
    "quotes": each('"{}","{}"').encode(),
    "quotes after spaces": each('"{}", "{}"').encode(),
    "semicolons and quotes after spaces": each('"{}"; "{}"').replace("path,label", "path; label").encode(),
    "pandas' index": (",path,label\n" + "".join(f"{n},{path},{label}\n" for n, (path, label) in enumerate(ROWS))).encode(),
    "other case": PLAIN.replace("path,label", "Path,LABEL").encode(),
    "spaces in the header": PLAIN.replace("path,label", " path , label ").encode(),
    "Hugging Face": PLAIN.replace("path,label", "file_name,label").encode(),
    "Keras": PLAIN.replace("path,label", "filename,class").encode(),
    "Kaggle": PLAIN.replace("path,label", "Image,Category").encode(),
    "words": PLAIN.replace("path,label", "File Path,Target").encode(),
    "more text": (
        'note,path,label\n"two\nlines, and a ""quote""",' + ",".join(ROWS[0]) + "\n" + "".join(f'"x;y",{p},{c}\n' for p, c in ROWS[1:])
    ).encode(),
    "further columns twice": ("path,label,x,x\n" + "".join(f"{path},{label},1,2\n" for path, label in ROWS)).encode(),
}


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_says_what_a_plain_csv_says(images: Path, dialect: str) -> None:
    (images / "plain.csv").write_text(PLAIN)
    (images / "other.csv").write_bytes(DIALECTS[dialect])
    assert told(read(images / "other.csv")) == told(read(images / "plain.csv"))


def test_the_columns_that_were_read_are_said(images: Path) -> None:
    (images / "t.csv").write_bytes(DIALECTS["Keras"])
    assert "the table's column 'filename' as the path and 'class' as the label was read" in read(images / "t.csv").remarks
    (images / "t.csv").write_text(PLAIN.replace("path,label", "PATH,Label"))
    assert not any("column" in remark for remark in read(images / "t.csv").remarks)


def test_text_of_windows_is_read_and_said(images: Path) -> None:
    touch(images, "img/Tür/1.jpg")
    (images / "t.csv").write_bytes((PLAIN + "img/Tür/1.jpg,Tür\n").encode("cp1252"))
    found = read(images / "t.csv")
    assert ("img/Tür/1.jpg", "Tür", "train") in told(found)
    assert any("is not UTF-8 and was read as Windows-1252, such as 'Tür'" in remark for remark in found.remarks)


def test_a_name_on_disk_comes_before_a_plainer_spelling(images: Path) -> None:
    touch(images, " odd.jpg", "odd.jpg", "a\\b.jpg", "a/b.jpg")
    (images / "t.csv").write_text("path,label,split\n odd.jpg,cat,train\na\\b.jpg,cat,train\nc\\d.jpg ,dog,train\n")
    assert {sample.sample_id for sample in read(images / "t.csv").samples} == {" odd.jpg", "a\\b.jpg", "c/d.jpg"}


def test_paths_start_at_the_table_or_else_at_the_working_directory(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (images / "sub").mkdir()
    (images / "sub" / "t.csv").write_text(PLAIN)
    monkeypatch.chdir(images)
    found = read(Path("sub/t.csv"))
    assert all(sample.place.is_file() for sample in found.samples)
    assert any("start at the working directory" in remark for remark in found.remarks)
    touch(images, "sub/img/cat/0.jpg")
    beside = read(Path("sub/t.csv"))
    assert sum(sample.place.is_file() for sample in beside.samples) == 1
    assert not any("working directory" in remark for remark in beside.remarks)
    # Files that are not there have no content, and are drawn by their ids: splits may differ.
    assert sorted(row[:2] for row in told(beside)) == sorted(row[:2] for row in told(found))


REFUSED: dict[str, tuple[bytes, str]] = {
    "no header": (PLAIN.partition("\n")[2].encode(), "has no column 'path', 'label' but img/cat/0.jpg, cat"),
    "control characters": (PLAIN.encode("utf-16-le"), "it holds control characters; save it as a UTF-8 CSV"),
    "neither UTF-8 nor Windows-1252": (PLAIN.encode() + b"\x81\x8d", "it is not UTF-8 text; save it"),
    "cut UTF-16": (PLAIN.encode("utf-16")[:-1], "it is not utf-16 text"),
    "two labels in other cases": (b"path,Label,LABEL\na.jpg,x,y\n", "several columns 'Label'"),
    "a row too long": (PLAIN.encode() + b"a.jpg,cat,more\n", "row 10 has more or fewer values"),
    "a row too short": (PLAIN.encode() + b"a.jpg\n", "row 10 has more or fewer values"),
}


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_sentence(images: Path, name: str) -> None:
    data, message = REFUSED[name]
    (images / "t.csv").write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(images / "t.csv")
    assert message in str(caught.value)


def labelled(*labels: object) -> str:
    return "path,label,split\n" + "".join(f"img/{n}.jpg,{label},train\n" for n, label in enumerate(labels))


@pytest.mark.failure("odd label")
@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("3.0", "1.0", "10.0"), ("1", "3", "10")),
        (("3.0", "3", "1"), ("1", "3")),
        (("9", "10", "-1"), ("-1", "9", "10")),
        (("007", "10"), ("007", "10")),
        (("1.5", "1.0", "10.0"), ("1.0", "1.5", "10.0")),
        (("3.0", "cat"), ("3.0", "cat")),
        (("true", "FALSE"), ("FALSE", "true")),
        (("none", "na"), ("na", "none")),
    ],
)
def test_labels_that_are_numbers(tmp_path: Path, labels: tuple[str, ...], classes: tuple[str, ...]) -> None:
    (tmp_path / "t.csv").write_text(labelled(*labels))
    assert read(tmp_path / "t.csv").classes == classes


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("cat", "Cat", "dog"), "classes that differ by case alone: 'Cat', 'cat'"),
        (("7", "007", "8"), "classes that are one number: '007', '7'"),
        (("1.5", "1.50", "2.5"), "classes that are one number: '1.5', '1.50'"),
    ],
)
def test_classes_that_may_be_meant_as_one_are_said(tmp_path: Path, labels: tuple[str, ...], said: str) -> None:
    (tmp_path / "t.csv").write_text(labelled(*labels))
    found = read(tmp_path / "t.csv")
    assert len(found.classes) == 3
    assert said in found.remarks


@pytest.mark.failure("odd label")
@pytest.mark.parametrize("word", ["", " ", "nan", "NaN", "None", "NULL", "<NA>", "N/A"])
def test_rows_without_a_label_are_counted_and_refused(tmp_path: Path, word: str) -> None:
    (tmp_path / "t.csv").write_text(labelled("cat", word, "dog", word, word))
    with pytest.raises(InputError, match=r"row 3 has no usable label \('.*'\) \(it says none\), nor have 2 other rows; fill it in"):
        read(tmp_path / "t.csv")


@pytest.mark.parametrize("word", ["nan", "None", "null", "NULL"])
def test_a_folder_may_really_be_called_nan(tmp_path: Path, word: str) -> None:
    (tmp_path / "t.csv").write_text(
        f"path,label,split\na/cat/1.jpg,cat,train\na\\{word}\\2.jpg,{word},train\nb/{word}/3.jpg,{word},train\n"
    )
    found = read(tmp_path / "t.csv")
    assert word in found.classes
    assert f"the label {word!r} (2 images) is taken for a name: the images' folders have it" in found.remarks
    assert label_of(word, f"{word}.jpg")[0] == ""


SEVERAL = ("[1]", "[0, 1]", "[]", "['cat' 'dog']", '["cat"]', '{"id": 3}', "[0. 1.]", "['a',\u2009'b']")


@pytest.mark.failure("odd label")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, float("nan"), float("nan")], r"row 2 has no usable label \(nan\) \(it says none\), nor have 1 other rows"),
        ([1.0, float("inf"), 2.0], r"row 2 has no usable label \(inf\) \(it is of the kind float"),
        ([[1], [2], [1, 2]], r"row 1 has no usable label \(\[1\]\) \(it is of the kind list"),
        ([{"name": "cat"}] * 3, r"row 1 has no usable label .* \(it is of the kind dict"),
        ([["cat"], [], ["dog"]], r"row 1 has no usable label \(\['cat'\]\) \(it is of the kind list"),
        *((["cat", text], r"\(it is a list or an object written as text") for text in SEVERAL),
        (["cat", None, "nan"], r"row 2 has no usable label \(None\) \(it says none\), nor have 1 other rows"),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_labels_of_other_kinds_are_refused(tmp_path: Path, values: list[object], message: str, form: str) -> None:
    paths = [f"{number}.jpg" for number in range(len(values))]
    if form == "parquet":
        pq.write_table(pa.table({"path": paths, "label": values}), tmp_path / "t.parquet")
    else:
        lines = [json.dumps({"path": path, "label": value}) for path, value in zip(paths, values, strict=True)]
        (tmp_path / "t.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        read(tmp_path / f"t.{form}")


@pytest.mark.parametrize("text", ["[misc]", "cat [1]", "{", "[a] and [b]", "(1, 2)"])
def test_names_with_brackets_are_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(f'path,label\na.jpg,"{text}"\nb.jpg,dog\n')
    assert text in read(tmp_path / "t.csv").classes


def test_labels_of_bytes_and_dates_are_refused(tmp_path: Path) -> None:
    for values in ([b"cat", b"dog"], pa.array([1, 2], pa.date32())):
        pq.write_table(pa.table({"path": ["a.jpg", "b.jpg"], "label": values}), tmp_path / "t.parquet")
        with pytest.raises(InputError, match=r"row 1 has no usable label .* \(it is of the kind (bytes|date), neither a name nor a number"):
            read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "values",
    [
        [3.0, 1.0, 10.0],
        pa.array([3, 1, 10], pa.float16()),
        pa.array([3, 1, 10]).cast(pa.decimal128(21, 2)),
        [3, 1, 10],
        ["3.0", "1.0", "10.0"],
    ],
)
def test_numbers_of_any_kind_are_the_same_classes(tmp_path: Path, values: list[object]) -> None:
    pq.write_table(pa.table({"path": ["a.jpg", "b.jpg", "c.jpg"], "label": values}), tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet")
    assert found.classes == ("1", "3", "10")
    assert {sample.sample_id: sample.label for sample in found.samples} == {"a.jpg": 1, "b.jpg": 0, "c.jpg": 2}


def _csv(path: Path, column: str) -> None:
    path.with_suffix(".csv").write_text(f"{column},label\n" + "".join(f"{n}.jpg,{'ab'[n % 2]}\n" for n in range(4)))


def _parquet(path: Path, column: str) -> None:
    pq.write_table(pa.table({column: [f"{n}.jpg" for n in range(4)], "label": list("abab")}), path.with_suffix(".parquet"))


def _lines(path: Path, column: str) -> None:
    path.with_suffix(".jsonl").write_text("".join(json.dumps({column: f"{n}.jpg", "label": "ab"[n % 2]}) + "\n" for n in range(4)))


WRITERS = (_csv, _parquet, _lines)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("write", WRITERS)
def test_flat_images_with_a_table_beside_are_read_by_it(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    flat = touch(tmp_path / "flat", *(f"{n}.jpg" for n in range(4)))
    write(flat / "metadata", "file_name")
    found = read(flat)
    assert (found.name, found.classes, len(found.samples)) == ("flat", ("a", "b"), 4)
    assert all(sample.place.is_file() for sample in found.samples)


@pytest.mark.parametrize("write", WRITERS)
def test_class_folders_with_a_table_beside_stay_class_folders(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    root = touch(tmp_path / "pets", "cat/1.jpg", "dog/1.jpg")
    write(root / "metadata", "file_name")
    assert read(root).classes == ("cat", "dog")


def test_one_parquet_table_of_paths_named_by_its_folder_or_a_pattern(tmp_path: Path) -> None:
    one = touch(tmp_path / "one", *(f"{n}.jpg" for n in range(4)))
    _parquet(one / "part-0", "path")
    tables = [read(one / "part-0.parquet"), read(one), read(one / "*.parquet"), read(one / "part-{0..0}.parquet")]
    assert all(told(table) == told(tables[0]) for table in tables)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c"])
def test_lines_of_json_end_where_json_ends_them(images: Path, sign: str) -> None:
    lines = [json.dumps({"path": path, "label": label, "text": f"one{sign}two"}, ensure_ascii=False) for path, label in ROWS]
    (images / "d.jsonl").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    (images / "plain.csv").write_text(PLAIN, encoding="utf-8")
    assert told(read(images / "d.jsonl")) == told(read(images / "plain.csv"))
