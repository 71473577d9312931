"""Runs whose classes are described: one sentence equal to the prompt changes no bit, others weigh, and everything downstream knows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

import xmap
from tests.pipeline.run.test_execute import built, settings
from tests.worlds.inputs import COLOURS, write_layout, write_photos
from xmap.pipeline.adapters.export import export
from xmap.pipeline.run.execute import RunResult, run
from xmap.pipeline.run.made_with import made_with
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.report.gather import _prompts
from xmap.stages.report.samples import sentences
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError

RUN = {
    "run__methods": "zero-shot,tip-adapter,xmadapter",
    "run__seeds": "1",
    "methods.xmadapter.min_steps": 5,
    "methods.xmadapter.epochs": 2,
}
SENTENCES = {"ant": ["seven", "a dark zero", "the letter k"], "bee": ["eight"]}


def of(result: RunResult, stage: str) -> list[Artifact]:
    return [artifact for artifact in result.artifacts.values() if artifact.stage == stage]


def write(folder: Path, name: str, sentences: dict[str, list[str]]) -> str:
    path = folder / name
    path.write_text(json.dumps(sentences))
    return str(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path, dict[str, RunResult]]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("described")
    photos, store = write_photos(folder / "photos"), Store(folder / "store")
    same = write(folder, "same.json", {name: [f"a photo of a {name}."] for name in COLOURS})
    other = write(folder, "other.json", SENTENCES)
    files = {"plain": "", "same": same, "other": other}
    return store, photos, {name: run(store, settings(photos, data__descriptions=file, **RUN)) for name, file in files.items()}


def test_a_sentence_equal_to_the_prompt_changes_no_bit(world: tuple[Store, Path, dict[str, RunResult]]) -> None:
    _, _, runs = world
    assert built(runs["same"]) == {"texts", "cache", "adapter", "eval"}, "no image is encoded again"
    plain, same = runs["plain"], runs["same"]
    for stage, name in (("texts", "texts.parquet"), ("eval", "predictions.parquet")):
        one, other = (pq.read_table(of(result, stage)[0].file(name)) for result in (plain, same))
        dropped = [column for column in ("run",) if column in one.column_names]
        assert one.drop_columns(dropped).equals(other.drop_columns(dropped))
    for one, other in zip(of(plain, "adapter"), of(same, "adapter"), strict=True):
        assert one.file("adapter.safetensors").read_bytes() == other.file("adapter.safetensors").read_bytes()
    assert [row["accuracy_mean"] for row in plain.results] == [row["accuracy_mean"] for row in same.results]


def test_sentences_are_weighed_in_the_cache_and_asked_by_sql(world: tuple[Store, Path, dict[str, RunResult]]) -> None:
    store, _, runs = world
    (cache,), (texts,) = of(runs["other"], "cache"), of(runs["other"], "texts")
    assert texts.summary["sentences"] == 4
    assert made_with(of(runs["other"], "eval")[0], runs["other"].artifacts) == ("4 sentences of classes",)
    assert made_with(of(runs["plain"], "eval")[0], runs["plain"].artifacts) == ()
    opened = OpenCache(cache, texts)
    assert opened.text.sentence_weights is not None
    listed = f"from sentences where artifact = 'cache/{cache.path.name}'"
    with xmap.connect(store.root) as connection:
        rows = [tuple(row.values()) for row in connection.query(f"select class_name, sentence, weight {listed}").to_pylist()]
        assert connection.query("select count(distinct artifact) as found from sentences")["found"].to_pylist() == [2]
    texts_of = {name: [f"a photo of a {name}.", *SENTENCES.get(name, [])] for name in COLOURS}
    prompts = [(name, text) for name in COLOURS for text in texts_of[name]]
    expected = dict(zip(prompts, opened.text.sentence_weights.tolist(), strict=True))
    assert {row[:2]: row[2] for row in rows} == expected
    assert expected["cat", "a photo of a cat."] == 1.0
    assert len(set(expected.values())) == len(expected), "each is weighed by the images"


def test_what_the_encoder_alone_would_say_is_the_answer_of_zero_shot(world: tuple[Store, Path, dict[str, RunResult]]) -> None:
    _, _, runs = world
    rows = pq.read_table(of(runs["other"], "eval")[0].file("predictions.parquet"))
    by_method = {name: rows.filter(pc.equal(rows["method"], name)) for name in ("zero-shot", "xmadapter")}
    assert by_method["zero-shot"]["predicted"].equals(by_method["xmadapter"]["zero_shot"])


def test_an_exported_folder_answers_as_the_store_does(world: tuple[Store, Path, dict[str, RunResult]], tmp_path: Path) -> None:
    store, photos, runs = world
    adapter = next(found for found in of(runs["other"], "adapter") if found.summary["method"] == "xmadapter")
    here = xmap.load(adapter.fingerprint, store.root)
    there = xmap.load(store=export(here, tmp_path / "made", Silent()))
    paths = sorted(photos.rglob("*.png"))[:3]
    np.testing.assert_array_equal(here.predict_proba(here.encode(paths)), there.predict_proba(there.encode(paths)))
    assert "sentences that describe classes | 4, beside the prompts" in (tmp_path / "made" / "README.md").read_text()


def test_what_has_no_place_for_sentences_refuses_them(world: tuple[Store, Path, dict[str, RunResult]], tmp_path: Path) -> None:
    store, photos, _ = world
    file = write(tmp_path, "other.json", SENTENCES)
    with pytest.raises(InputError, match=r"--text coop tunes one prompt .* leave one of them out\."):
        make_plan(store, settings(photos, data__descriptions=file, text__text="coop"))
    own = Store(tmp_path / "store")
    import_tip_adapter(own, write_layout(tmp_path / "toy"), "toy", 100.0, Silent())
    config = XmapConfig().override({"run.features": "toy", "cache.shots": 1, "run.seeds": "1", "data.descriptions": file})
    with pytest.raises(InputError, match=r"'toy' are stored with texts that have no sentences"):
        make_plan(own, config)


def test_a_report_shows_which_sentences_weighed_most(world: tuple[Store, Path, dict[str, RunResult]]) -> None:
    store, _, runs = world
    (cache,), (texts,) = of(runs["other"], "cache"), of(runs["other"], "texts")
    with xmap.connect(store.root) as connection:
        weighed = sentences(connection, {cache.fingerprint})
        assert sentences(connection, {texts.fingerprint}) == {}
    assert [len(weighed[label]) for label in range(3)] == [4, 2, 1]
    assert all(sum(weight for _, weight in found) == pytest.approx(1.0) for found in weighed.values())
    heaviest = [weight for _, weight in weighed[0]]
    assert heaviest == sorted(heaviest, reverse=True)
    shown = _prompts(texts, weighed)
    assert shown[0].startswith(f"{weighed[0][0][0]} ({100 * heaviest[0]:.0f} %); ")
    assert shown[0].endswith("; and 1 more")
    assert shown[2] == "a photo of a cat. (100 %)"
    assert _prompts(texts, {})[1] == "a photo of a bee. (and 1 more)"
