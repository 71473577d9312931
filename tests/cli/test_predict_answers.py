"""How answers leave `xmap predict`: kept under a name, as sorted images, in folders of Parquet files, as lines with their promises."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.worlds.browser import Visit, launched, needs_browser
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from xmap.store.artifacts.artifact import Artifact, Store

RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, the `store` of a run on them, and a `pool`, of which one image is none."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    photos = write_photos(folder / "photos", test=4)
    done = call("run", "--data", photos, *RUN, "--methods", "tip-adapter,xmadapter", "--store", folder / "store")
    assert done.exit_code == 0, done.output
    shutil.copytree(photos / "test", folder / "pool")
    (folder / "pool/ant/=broken.png").write_text("no picture")
    return folder


@pytest.fixture
def store(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world / "store", tmp_path / "store"))


def kept(store: Path) -> list[Artifact]:
    return Store(store).artifacts("answers")


def predict(*words: object, store: Path) -> str:
    done = call("predict", *words, "--store", store, "--workers", "0")
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    return done.stderr


def test_the_same_question_is_answered_once(world: Path, store: Path) -> None:
    words = ("--data", world / "pool", "--store-as", "holiday", "--sets", "0.9")
    assert "answers holiday: kept, 13 images, 1 of which cannot be read" in predict(*words, store=store)
    again = predict(*words, store=store)
    assert "nothing changed, kept before" in again
    assert "label" not in again.replace("labelled", "")
    predict(*words[:-2], store=store)
    predict(*words[:-2], "--method", "tip-adapter", store=store)
    assert len(kept(store)) == 3
    (first, *_) = kept(store)
    assert first.manifest["command"].startswith("xmap predict --data ")
    assert call(*shlex.split(first.manifest["command"])[1:], "--store", store).exit_code == 0
    assert len(kept(store)) == 3
    assert call("gc", "--keep", "1", "--yes", "--store", store).exit_code == 0
    assert [artifact.fingerprint for artifact in kept(store)] == [first.fingerprint], "asked again last"


def test_sql_status_verify_and_gc_know_them(world: Path, store: Path) -> None:
    predict("--data", world / "pool", "--store-as", "holiday", store=store)
    rows = json.loads(call("sql", "select * from answers order by path", "--json", "--store", store).stdout)
    said = json.loads(f"[{','.join(call('predict', '--data', world / 'pool', '--json', '--store', store).stdout.splitlines())}]")
    assert [(row["path"], row["class"], row["error"]) for row in rows] == [
        (line["path"], line.get("class"), line.get("error")) for line in sorted(said, key=lambda line: str(line["path"]))
    ]
    assert {row["dataset"] for row in rows} == {"photos"}
    assert "answers" in call("sql", "--list", "--store", store).stdout
    assert "cannot be read" in call("sql", "answers", "--store", store).stdout
    assert "└─ answers" in call("status", "--store", store).stdout
    assert call("verify", "--store", store).exit_code == 0
    assert call("gc", "--yes", "--store", store).exit_code == 0
    assert [artifact.name for artifact in kept(store)] == ["holiday"]
    assert call("verify", "--store", store).exit_code == 0
    assert call("gc", "holiday", "--yes", "--store", store).exit_code == 0
    assert kept(store) == []


def test_answers_go_where_else_they_are_wanted(world: Path, store: Path, tmp_path: Path) -> None:
    words = (world / "pool", "--store-as", "holiday", "-o", tmp_path / "a.csv", "--into")
    for number in (1, 2):
        assert "answers holiday" in predict(*words, tmp_path / f"out{number}", store=store)
        rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8-sig").splitlines()))
        links = sorted(path for path in (tmp_path / f"out{number}").rglob("*") if path.is_symlink())
        assert sorted(str(path.readlink()) for path in links) == sorted(row["path"] for row in rows if not row["error"])
        assert {path.parent.name for path in links} == {row["class"] for row in rows if row["class"]}
    assert len(kept(store)) == 1


def test_images_in_a_tar_are_written_out(world: Path, store: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "pool"), "tar", world / "pool")
    predict("--data", tmp_path / "pool.tar", "--into", tmp_path / "out", store=store)
    found = sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*.png"))
    assert found == sorted(path.read_bytes() for path in (world / "pool").rglob("*.png") if "broken" not in path.name)


def test_stored_features_are_labelled_and_kept(store: Path) -> None:
    assert "answers known: kept, " in predict("--features", "photos", "--store-as", "known", store=store)
    counted = "select count(*) filter (known) as known, count(*) as n from answers"
    (row,) = json.loads(call("sql", counted, "--json", "--store", store).stdout)
    assert 0 < row["known"] < row["n"]
    done = call("predict", "--features", "photos", "--into", store / "out", "--store", store)
    assert (done.exit_code, "where their images are is not known" in done.stderr) == (2, True)
    assert not (store / "out").exists()


def test_each_name_keeps_answers_of_its_own(world: Path, store: Path) -> None:
    for name in ("a/b", "a\nb", "..", "-x", "x"):
        predict("--data", world / "pool", "--store-as", name, store=store)
    rows = json.loads(call("sql", "select name, count(*) as n from answers group by name", "--json", "--store", store).stdout)
    assert sorted((row["name"], row["n"]) for row in rows) == [(name, 13) for name in ("-x", "..", "a\nb", "a/b", "x")]
    assert len({artifact.fingerprint for artifact in kept(store)}) == 5


def test_what_is_learned_from_since_makes_other_answers(world: Path, store: Path, tmp_path: Path) -> None:
    photos = Path(shutil.copytree(world / "photos", tmp_path / "photos"))
    pool = ("--data", world / "pool", "--store-as", "holiday", "--method", "tip-adapter")
    predict(*pool, store=store)
    # The same adapter, by the same cache: another image to choose by that it makes no use of.
    shutil.copy(photos / "test/ant/0.png", photos / "val/ant/new.png")
    (photos / "test/ant/0.png").unlink()
    assert call("extract", "--data", photos, *RUN[:-5], "--store", store).exit_code == 0
    assert "answers holiday: kept, 13" in predict(*pool, store=store)
    counts = [artifact.summary["known"] for artifact in kept(store)]
    assert counts == [0, 1]


def test_the_report_shows_what_was_labelled(world: Path, store: Path, tmp_path: Path) -> None:
    predict("--data", world / "pool", "--store-as", "<b>pool</b>", "--reject", "0.5", store=store)
    assert call("report", "-o", tmp_path / "r.html", "--store", store).exit_code == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    (pool,) = data["runs"][0]["labelled"]
    assert (pool["name"], pool["samples"], pool["bad"], "<b>pool" in page) == ("<b>pool</b>", 13, 1, False)
    assert sum(count for _, count in pool["answered"]) + pool["rejected"] == 12
    assert len(pool["unsure"]) == 12 - pool["rejected"]
    assert len(pool["strangers"]) == pool["rejected"]


@needs_browser
def test_a_browser_draws_it(world: Path, store: Path, tmp_path: Path) -> None:
    predict("--data", world / "pool", "--store-as", "<b>pool</b>", "--reject", "0.5", "--sets", "0.5", store=store)
    assert call("report", "-o", tmp_path / "r.html", "--store", store).exit_code == 0
    with launched(tmp_path) as browser:
        visit = Visit(browser, tmp_path / "r.html")
        text = visit.page.locator("#labelled").inner_text()
        visit.leave()
    assert "<b>pool</b>" in text
    assert "13 images, 1 of which cannot be read" in text
    assert "least sure answers" in text


def test_an_exported_folder_keeps_none(world: Path, store: Path, tmp_path: Path) -> None:
    assert call("export", tmp_path / "portable", "--store", store).exit_code == 0
    words = ("predict", world / "pool", "--adapter", tmp_path / "portable", "--store-as", "holiday", "--store")
    done = call(*words, tmp_path / "portable")
    assert (done.exit_code, "is an exported folder and keeps no answers" in done.stderr) == (2, True)
    done = call("predict", world / "pool", "--copy", "--store", store)
    assert (done.exit_code, "--copy is for the images that --into sorts" in done.stderr) == (2, True)


def test_a_folder_gets_the_rows_of_a_file(world: Path, tmp_path: Path) -> None:
    words = ("predict", world / "photos/test", "--store", world / "store", "--quiet", "--sets", "0.9")
    assert call(*words, "-o", tmp_path / "one.parquet").exit_code == 0
    (tmp_path / "empty").mkdir()
    for named, folder in ((f"{tmp_path}/new/", "new"), (tmp_path / "empty", "empty")):
        done = call(*words, "-o", named)
        assert done.exit_code == 0, done.output
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["answers-00000.parquet"]
        assert pq.read_table(tmp_path / folder / "answers-00000.parquet").equals(pq.read_table(tmp_path / "one.parquet"))
    assert b"sets of 90 %" in pq.read_schema(tmp_path / "one.parquet").metadata[b"xmap.sets"]
    again = call(*words, "-o", tmp_path / "new")
    assert (again.exit_code, "it is not empty" in again.stderr) == (2, True)
    wrong = call(*words, "-o", f"{tmp_path}/other/", "--json")
    assert (wrong.exit_code, "a folder, which gets Parquet files, and jsonl was asked for" in wrong.stderr) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new", "one.parquet"]


def test_nothing_is_left_of_a_folder_that_fails(world: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    done = call("predict", tmp_path / "text.png", "--store", world / "store", "-o", f"{tmp_path}/answers/")
    assert (done.exit_code, "none of the 1 images" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["text.png"]


def test_lines_list_the_classes_asked_for_and_say_the_level(world: Path) -> None:
    image = world / "photos/test/bee/0.png"
    words = ("predict", image, "--store", world / "store", "--json", "--quiet")
    whole, best = (json.loads(call(*words, *more).stdout) for more in ((), ("--top", "2", "--sets", "0.9")))
    assert list(whole["probabilities"]) == ["ant", "bee", "cat"]
    assert list(best["probabilities"].items()) == sorted(whole["probabilities"].items(), key=lambda item: -item[1])[:2]
    assert (best["set_level"], "set_level" in whole) == (0.9, False)
