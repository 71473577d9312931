"""A run with a pool: encoded once, an input of its adapters alone, refused where it holds a test image or its method takes none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import xmap.stages.train.pool
from tests.pipeline.run.test_execute import built, settings
from tests.worlds.commands import call
from tests.worlds.imported import take
from tests.worlds.inputs import CLASSES, write_layout, write_photos
from tests.worlds.pictures import picture
from xmap.pipeline.run.execute import RunResult, run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.upkeep.collect import waste
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.names import ADAPTER, EVAL, IMAGES
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError, MethodRefused

MINE = {"run__methods": "xmadapter", "run__seeds": "1"}


def write_pool(folder: Path, count: int = 7) -> Path:
    """Pictures that are in no data set, one of them twice."""
    folder.mkdir()
    for number in range(count):
        picture(100 + number).save(folder / f"{number}.png")
    shutil.copy(folder / "0.png", folder / "again.png")
    return folder


def adapter_of(result: RunResult) -> Artifact:
    return next(artifact for artifact in result.artifacts.values() if artifact.stage == ADAPTER)


def test_a_pool_is_an_input_of_adapters_alone_and_encoded_once(tmp_path: Path) -> None:
    photos, pool, store = write_photos(tmp_path / "photos"), write_pool(tmp_path / "loose"), Store(tmp_path / "store")
    before = run(store, settings(photos, **MINE))
    with_pool = settings(photos, run__pool=str(pool), **MINE)
    result = run(store, with_pool)
    assert built(result) == {IMAGES, ADAPTER, EVAL}
    made, alone = adapter_of(result), adapter_of(before)
    assert not any("pool" in part for part in (alone.inputs, alone.fields, alone.summary))
    assert made.summary["pool"]["images"] == 7
    assert list(made.summary["pool"]["class_shares"]) == list(CLASSES)
    assert sum(made.summary["pool"]["class_shares"].values()) == pytest.approx(1.0)
    pooled = next(found for found in store.artifacts(IMAGES) if found.fingerprint == made.inputs["pool"])
    assert pooled.summary["counts"] == {"pool": 8}
    assert built(run(store, with_pool)) == set()
    assert not waste(store)
    named = settings(photos, run__pool=pooled.name, **MINE)
    assert built(run(store, named)) == set(), "by the name of its features it is the same pool"
    free = run(store, settings(photos, run__pool=str(pool), run__pool_shares="free", **MINE))
    assert built(free) == {ADAPTER, EVAL}


def test_a_pool_is_encoded_by_extract_and_told_from_the_name_alone_nowhere(tmp_path: Path) -> None:
    photos, pool, at = write_photos(tmp_path / "photos"), write_pool(tmp_path / "loose"), ("--store", tmp_path / "store", "--quiet")
    words = (photos, "--model", "xmap-tiny", "--views", "0", "--workers", "0", "--shots", "1", "--seeds", "1", "--methods", "xmadapter")
    for pooled in ((), ("--pool", pool)):
        for command in ("extract", "build-cache", "train", "eval"):
            done = call(command, *words, *pooled, *at)
            assert done.exit_code == 0, done.output
    assert "made with the pool loose-pool-xmap-tiny" in done.stdout
    status = call("status", *at)
    assert status.stdout.count("the pool loose-pool-xmap-tiny") == 2, "of the adapter and the evaluation"
    facts = json.loads(call("status", *words, "--pool", pool, *at, "--json").stdout)
    assert facts["made_with"] == ["the pool loose-pool-xmap-tiny"]
    alike = [row["made_with"] for row in facts["artifacts"] if row["stage"] == "adapter"]
    assert alike == [[], ["the pool loose-pool-xmap-tiny"]]
    for found in Store(tmp_path / "store").artifacts(IMAGES):
        assert found.manifest["command"].startswith("xmap extract")


def test_images_that_have_labels_are_left_out_and_test_images_refused(tmp_path: Path) -> None:
    photos, pool, store = write_photos(tmp_path / "photos"), write_pool(tmp_path / "loose"), Store(tmp_path / "store")
    learned = next((photos / "train").rglob("*.png"))
    shutil.copy(learned, pool / "learned.png")
    result = run(store, settings(photos, run__pool=str(pool), **MINE))
    assert adapter_of(result).summary["pool"]["images"] == 7
    shutil.copy(next((photos / "test").rglob("*.png")), pool / "tested.png")
    with pytest.raises(InputError, match=r"1 image is a test image in the pool .*; take it out"):
        make_plan(store, settings(photos, run__pool=str(pool), **MINE))
    features = adapter_of(result).name.split("-xmadapter")[0]
    with pytest.raises(InputError, match=r"each image of the pool .* has a label already"):
        run(store, settings(photos, run__pool=features, **MINE))


def test_a_method_without_use_for_it_and_odd_shares_are_refused(tmp_path: Path) -> None:
    photos, pool, store = write_photos(tmp_path / "photos"), write_pool(tmp_path / "loose"), Store(tmp_path / "store")
    with pytest.raises(MethodRefused, match=r"tip-adapter cannot learn from .*: it does not use a pool; name methods that do"):
        make_plan(store, settings(photos, run__pool=str(pool), run__methods="xmadapter,tip-adapter"))
    with pytest.raises(InputError, match=r"^--pool .*/gone does not exist; give a folder of images"):
        make_plan(store, settings(photos, run__pool=str(tmp_path / "gone"), **MINE))
    shares = tmp_path / "shares.csv"
    asked = settings(photos, run__pool=str(pool), run__pool_shares=str(shares), **MINE)
    for text, said in (
        (None, "is neither estimated nor free, nor a file"),
        ("class,share\nnobody,1\n", "line 2: give each class once"),
        (f"class,share\n{CLASSES[0]},-1\n", "line 2: give each class once"),
        (f"class,share\n{CLASSES[0]},1\n", "has no share; give one to every class"),
        ("class,share\n" + "".join(f"{name},0\n" for name in CLASSES), "no class has a share"),
        ("class,share\n" + "".join(f"{name},1e308\n" for name in CLASSES), "line 2: give each class once"),
        (f"class,share\n{CLASSES[0]},{'1' * 200_000}\n", "it has a value of more than 131,072 characters"),
        (f"class,share\n{CLASSES[0]},1\udc81\n", "it is not UTF-8 text"),
        (f"class,amount\n{CLASSES[0]},1\n", "has no column 'share' but class, amount"),
    ):
        if text is not None:
            shares.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(InputError, match=said):
            make_plan(store, asked)
    # As spreadsheets write it.
    shares.write_text("Class;Share\n" + "".join(f"{name};{place + 1}\n" for place, name in enumerate(CLASSES)), "utf-16")
    made = adapter_of(run(store, asked))
    total = len(CLASSES) * (len(CLASSES) + 1) / 2
    assert list(made.summary["pool"]["class_shares"].values()) == pytest.approx([(place + 1) / total for place in range(len(CLASSES))])


def test_imported_vectors_are_known_by_their_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    import_tip_adapter(store, write_layout(tmp_path / "toy"), "toy", 100.0, Silent())
    config = XmapConfig().override({"run.features": "toy", "cache.shots": 2, "run.methods": "xmadapter", "run.seeds": "1"})
    with pytest.raises(InputError, match="imported, so that no encoder is at hand"):
        make_plan(store, config.override({"run.pool": str(write_pool(tmp_path / "loose"))}))
    loose = np.random.default_rng(1).normal(size=(9, 8)).astype(np.float32)
    np.save(tmp_path / "loose.npy", loose)
    take(store, "npy", tmp_path / "loose.npy", name="loose")
    made = adapter_of(run(store, config.override({"run.pool": "loose"})))
    assert made.summary["pool"]["images"] == 9
    with monkeypatch.context() as patch:
        patch.setattr(xmap.stages.train.pool, "count_pointing", pytest.fail)
        # It is remembered.
        make_plan(store, config.override({"run.pool": "loose"}))
    tested = torch.load(tmp_path / "toy" / "test_f.pt", weights_only=True).float()
    np.save(tmp_path / "same.npy", torch.nn.functional.normalize(tested, dim=1).numpy())
    take(store, "npy", tmp_path / "same.npy", name="same")
    with pytest.raises(InputError, match=r"images are test images in the pool 'same'"):
        make_plan(store, config.override({"run.pool": "same"}))
    np.save(tmp_path / "half.npy", np.concatenate([loose, 3 * tested.numpy()]).astype(np.float16))
    take(store, "npy", tmp_path / "half.npy", name="half")
    with pytest.raises(InputError, match=f"{len(tested)} images are test images in the pool 'half'"):
        make_plan(store, config.override({"run.pool": "half"}))
    np.save(tmp_path / "other.npy", loose[:, :5])
    take(store, "npy", tmp_path / "other.npy", name="other")
    with pytest.raises(InputError, match=r"the pool 'other' has features of width 5, those that are trained on 8; name a pool"):
        run(store, config.override({"run.pool": "other"}))
    tested = torch.load(tmp_path / "toy" / "test_f.pt", weights_only=True)
    np.save(tmp_path / "leak.npy", np.concatenate([loose, tested[:2].float().numpy()]))
    take(store, "npy", tmp_path / "leak.npy", name="leak")
    with pytest.raises(InputError, match="2 images are test images in the pool 'leak'"):
        make_plan(store, config.override({"run.pool": "leak"}))
