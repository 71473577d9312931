"""Every command that answers does so in every format, on stdout and in a file whose suffix says which."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cli.test_forms import BY_COMMAND
from tests.worlds.commands import call
from tests.worlds.inputs import write_layout, write_photos
from xmap.cli.output import SUFFIXES

RUN = (
    "--data",
    "photos",
    "--model",
    "xmap-tiny",
    "--views",
    "0",
    "--shots",
    "2",
    "--seeds",
    "1",
    "--methods",
    "zero-shot,tip-adapter",
    "--workers",
    "0",
)
FEATURES = ("--features", "toy", "--shots", "2", "--seeds", "1", "--methods", "zero-shot,tip-adapter")
ABLATED = (
    "--features",
    "toy",
    "--shots",
    "2",
    "--seeds",
    "1",
    "--set",
    "methods.xmadapter.min_steps=2",
    "--set",
    "methods.xmadapter.epochs=1",
)
WORDS = {
    "run": FEATURES,
    "next": ("pool", "-n", "1", "--adapter", "photos", "--workers", "0"),
    "predict": ("photos/test", "--adapter", "photos", "--workers", "0"),
    "init": ("--force",),
    "extract": RUN,
    "import": ("tip-adapter", "toy"),
    "build-cache": FEATURES,
    "train": FEATURES,
    "eval": FEATURES,
    "export": ("exported-{}", "--adapter", "photos"),
    "bench": FEATURES,
    "enough": ("--features", "toy", "--seeds", "1", "--most", "4", "--method", "tip-adapter"),
    "ablate": ("gamma", *ABLATED),
    "datasets": (),
    "status": (),
    "show": ("eval/toy-2shot",),
    "diff": ("eval/toy-2shot", "eval/photos-xmap-tiny-2shot"),
    "sql": ("methods",),
    "verify": (),
    "gc": (),
    "doctor": ("--model", "xmap-tiny"),
}
# Not of files of images: they leave as they come.
LACKING = {"predict": {".json", ".md", ".tex"}, "next": {".json"}}
# It starts processes: once is enough.
ONCE = {"doctor": {".csv"}}
FORMATS = [
    (name, suffix) for name in WORDS for suffix in SUFFIXES if suffix in ONCE.get(name, SUFFIXES) and suffix not in LACKING.get(name, ())
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a pool, foreign features and a store of runs on both."""
    folder = tmp_path_factory.mktemp("place")
    write_photos(folder / "photos")
    (folder / "pool").mkdir()
    Image.new("RGB", (40, 30), "teal").save(folder / "pool" / "one.png")
    write_layout(folder / "toy", shots=(1, 2, 4), per_class=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in (("import", *WORDS["import"]), ("run", *FEATURES), ("run", *RUN)):
            result = call(*words, "--store", "store", "--quiet")
            assert result.exit_code == 0, result.output
    return folder


def test_every_command_with_formats_is_tried() -> None:
    assert set(WORDS) == {name for name, flags in BY_COMMAND.items() if "--format" in flags}


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "suffix"), FORMATS)
def test_a_file_has_the_format_that_its_suffix_says(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, suffix: str
) -> None:
    monkeypatch.chdir(place)
    target = tmp_path / f"out{suffix}"
    store = () if name == "datasets" else ("--store", "store")
    result = call(name, *(word.format(tmp_path.name) for word in WORDS[name]), *store, "--quiet", "-o", target)
    assert (result.exit_code, result.stdout) in ((0, ""), (1, "")), result.output
    if suffix == ".parquet":
        assert pq.read_table(target).num_columns >= 1
        return
    text = target.read_text("utf-8")
    if suffix == ".csv":
        rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
        assert {len(row) for row in rows} == {len(rows[0])}
    elif suffix == ".json":
        json.loads(text)
    elif suffix in (".jsonl", ".ndjson"):
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    elif suffix == ".md":
        assert len({line.replace("\\|", "").count("|") for line in text.splitlines()}) == 1
    elif suffix == ".tex":
        assert text.count("\\toprule") == text.count("\\bottomrule") == 1
