"""What changed in the data since their newest extraction is said in one sentence before the work begins, and how much that leaves to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.worlds.commands import call
from tests.worlds.inputs import repaint, write_photos

FLAGS = ("--model", "xmap-tiny", "--views", "0", "--batch-size", "4", "--workers", "0", "--shots", "1", "--data", "photos")


def told(command: str, *flags: str) -> str:
    """What a command says of the changes."""
    done = call(command, *FLAGS, *flags)
    assert done.exit_code == 0, done.stderr
    (line,) = (line for line in (done.stdout + done.stderr).splitlines() if " extraction of photos" in line)
    return line


@pytest.mark.failure("changed input")
def test_status_and_extract_say_the_same_before_the_work(tmp_path: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos = write_photos(tmp_path / "photos", train=2, val=1, test=1)

    def both(said: str) -> None:
        assert told("status").endswith(said)
        assert told("extract").endswith(said)
        assert told("status").endswith("since the last extraction of photos: nothing changed")

    both("first extraction of photos: 12 images new, 12 to encode")
    shutil.copy(photos / "train/ant/0.png", photos / "train/ant/again.png")
    both("photos: 1 image new: nothing to encode")
    (photos / "train/ant/again.png").rename(photos / "train/ant/other.png")
    (photos / "train/cat/0.png").rename(photos / "train/bee/was cat.png")
    (photos / "val/ant/0.png").unlink()
    repaint(photos / "test/ant/0.png")
    shutil.copy(photos / "test/ant/0.png", photos / "train/ant/same.png")
    both("photos: 1 image new, 1 changed, 1 relabelled, 1 renamed, 1 gone: 1 to encode")

    # Of other settings, not of the data; an image that another data set has is there.
    assert told("status", "--batch-size", "2").endswith("photos: no image changed: 11 to encode")
    shutil.copytree(photos, tmp_path / "more/photos")
    assert "since the last extraction of photos: nothing changed" in call("status", *FLAGS, "--data", "more/photos").stdout

    (photos / "train/bee/bad.png").write_text("no image")
    changes = json.loads(call("status", *FLAGS, "--json").stdout)["changes"]
    assert (changes["new"], changes["gone"], changes["to_encode"]) == (1, 0, 1)
    assert changes["since"].startswith("images/photos-xmap-tiny-")
    assert json.loads(call("extract", *FLAGS, "--json").stdout)[0]["changes"] == changes
    both("photos: nothing changed")
    # A new machine or library encodes all of it anew.
    monkeypatch.setattr("xmap.stages.machine.kind.versions", lambda: {"torch": "another"})
    shutil.copy(photos / "train/ant/0.png", photos / "train/ant/once more.png")
    assert told("status").endswith("photos: 1 image new: 12 to encode")


def test_stored_features_have_no_images_to_compare(own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(call("status", "--json").stdout)["changes"] is None
