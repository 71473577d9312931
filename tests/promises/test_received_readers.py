"""Files that people name, or that lie in a folder of others, are read where they are plain, and refused at once where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.worlds.faults import Case
from tests.worlds.inputs import write_layout, write_photos
from xmap.cli.main import app

PUT: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a folder": os.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "an endless text": lambda path: path.write_bytes(b"# " + b"x" * (65 << 20)),
}
# Each with the file that it reads; nothing of them waits, whatever lies there.
READERS: dict[str, tuple[str, list[str]]] = {
    "a config": ("x.toml", ["status", "--config", "x.toml"]),
    "the config that lies here": ("xmap.toml", ["status"]),
    "a query": ("x.sql", ["sql", "-f", "x.sql"]),
    "class names": ("names.txt", ["run", "--data", "photos", "--model", "xmap-tiny", "--classes", "names.txt"]),
    "the config of a model": ("model/open_clip_config.json", ["run", "--data", "photos", "--model", "local-dir:model"]),
    "names of imported features": ("layout/classnames.json", ["import", "tip-adapter", "layout"]),
}
# The longest list of names that there is would be among the small ones of these.
LONG = ("the config that lies here", "a config", "a query")


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("what", READERS)
def test_what_is_no_file_is_refused_by_each_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, case: Case) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", train=2, val=1, test=1)
    name, argv = READERS[what]
    path = tmp_path / name
    if name.startswith("layout"):
        write_layout(tmp_path / "layout")
        path.unlink()
    path.parent.mkdir(exist_ok=True)
    for kind, put in PUT.items():
        if kind == "an endless text" and what not in LONG:
            continue
        put(path)
        with case():
            ended = CliRunner().invoke(app, argv)
            assert ended.exit_code == 2, (kind, ended.output)
            said = "it has more than" if kind == "an endless text" else "not a file"
            assert any(words in " ".join(ended.stderr.split()) for words in (said, "no file", "lacks")), (kind, ended.stderr)
        path.rmdir() if kind == "a folder" else path.unlink()
