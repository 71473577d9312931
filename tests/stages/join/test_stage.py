"""Joined features: rows side by side by sample, from tables that hold them and from packs; what does not belong together is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worlds.image_models import MODEL, write_weights
from tests.worlds.inputs import write_layout, write_photos
from xmap.pipeline.run.execute import run
from xmap.pipeline.run.features import features_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError
from xmap.store.formats.arrays import side_by_side
from xmap.store.formats.features import read_images

CACHES = ("images", "texts", "joined", "cache")


def imported(tmp_path: Path, also: str = "also") -> tuple[Store, Path]:
    """Features of one encoder with texts, and a folder of another without, of the same rows, that is to be imported."""
    store, folder = Store(tmp_path / "store"), tmp_path / also
    import_tip_adapter(store, write_layout(tmp_path / "first"), "first", 100.0, Silent())
    write_layout(folder, width=5)
    (folder / "text_weights.pt").unlink()
    return store, folder


def joined(store: Store, **settings: object) -> list[Artifact]:
    given = {"run.features": "first", "run.also_features": "also", "cache.shots": 2, "run.seeds": "1", **settings}
    return list(run(store, XmapConfig().override(given), build=CACHES).artifacts.values())


def of(artifacts: list[Artifact], stage: str) -> Artifact:
    return next(artifact for artifact in artifacts if artifact.stage == stage)


def test_a_folder_without_texts_is_of_an_image_encoder(tmp_path: Path) -> None:
    store, folder = imported(tmp_path)
    (images,) = import_tip_adapter(store, folder, "also", 100.0, Silent())
    assert (images.summary["width"], "logit_scale" in images.summary) == (5, False)
    with pytest.raises(InputError, match="join them to features that have texts with --also-features also"):
        features_of(store, XmapConfig().override({"run.features": "also"}))


def test_imported_rows_lie_side_by_side(tmp_path: Path) -> None:
    store, folder = imported(tmp_path)
    import_tip_adapter(store, folder, "also", 100.0, Silent())
    artifacts = joined(store)
    wide, cache = of(artifacts, "joined"), of(artifacts, "cache")
    parts = [read_images(images.files("val-")).features for images in artifacts if images.stage == "images"]
    rows = read_images(wide.files("val-"))
    assert np.array_equal(rows.features, side_by_side(parts))
    assert np.allclose(np.linalg.norm(rows.features[:, :8], axis=1), 0.5**0.5)
    opened = OpenCache(cache, of(artifacts, "texts"))
    assert (opened.widths, opened.width, opened.more_texts) == ((8, 5), 13, (None,))
    assert opened.index.keys().shape == (6, 13)
    support = opened.support(wide)
    assert torch.allclose(support.keys, torch.from_numpy(opened.index.keys()))
    # What an encoder alone sees is as it was, and nothing of it is made again.
    again = joined(store, **{"run.also_features": ""})
    assert of(again, "images").fingerprint == of(artifacts, "images").fingerprint
    assert of(again, "cache").fingerprint != cache.fingerprint


def _moved(at: Path) -> None:
    labels = torch.load(at / "val_l.pt", weights_only=True)
    torch.save(labels.roll(1), at / "val_l.pt")


def _fewer(at: Path) -> None:
    for kind in "fl":
        values = torch.load(at / f"val_{kind}.pt", weights_only=True)
        torch.save(values[1:].clone(), at / f"val_{kind}.pt")


def _renamed(at: Path) -> None:
    (at / "classnames.json").write_text('["ant", "bee", "dog"]')


ODD = {
    "labels": (_moved, "label 12 images differently, such as 'val/00000'"),
    "rows": (_fewer, "are not of the same val images: 'val/00011' is not in both"),
    "classes": (_renamed, "are of other classes"),
}


@pytest.mark.parametrize("fault", ODD)
def test_rows_of_other_images_are_refused(tmp_path: Path, fault: str) -> None:
    store, folder = imported(tmp_path)
    change, said = ODD[fault]
    change(folder)
    import_tip_adapter(store, folder, "also", 100.0, Silent())
    with pytest.raises(InputError) as caught:
        joined(store)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"run.also_features": "first"}, "the features 'first' are named twice"),
        ({"run.also_model": "xmap-tiny"}, "--also-model encodes images"),
        ({"text.text": "coop"}, "--text coop tunes the texts of one encoder"),
        ({"run.also_features": "absent"}, "no images artifact 'absent'"),
    ],
)
def test_what_cannot_be_joined_is_one_sentence(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    store, folder = imported(tmp_path)
    import_tip_adapter(store, folder, "also", 100.0, Silent())
    with pytest.raises(Exception, match=said):
        joined(store, **settings)


def test_extracted_rows_are_referred_to_and_not_copied(tmp_path: Path) -> None:
    photos, store = write_photos(tmp_path / "photos"), Store(tmp_path / "store")
    weights = write_weights(tmp_path / "vit.safetensors")
    settings = {
        "data.data": str(photos), "encoder.model": "xmap-tiny", "extract.views": 1, "cache.shots": 2, "run.seeds": "1",
        "run.also_model": ["xmap-tiny-vit", f"timm:{MODEL}={weights}"],
    }  # fmt: skip
    result = run(store, XmapConfig().override(settings), build=CACHES)
    artifacts = list(result.artifacts.values())
    images, wide, cache = [found for found in artifacts if found.stage == "images"], of(artifacts, "joined"), of(artifacts, "cache")
    texts = next(found for found in artifacts if found.fingerprint == cache.inputs["texts"])
    parts, rows = [read_images(found.files("train-")) for found in images], read_images(wide.files("train-"))
    assert np.array_equal(rows.features, side_by_side([part.features for part in parts]))
    assert (rows.sample_ids, rows.contents) == (parts[0].sample_ids, parts[0].contents)
    assert sum(path.stat().st_size for path in wide.files()) < rows.features.nbytes
    opened = OpenCache(cache, texts)
    vit, image = opened.more_texts
    assert vit is not None
    assert (vit.weights.shape, image, len(opened.widths)) == ((3, opened.widths[1]), None, 3)
    # The support is that of one encoder: it is drawn by content.
    alone = run(store, XmapConfig().override({**settings, "run.also_model": ""}), build=CACHES).artifacts.values()
    assert OpenCache(of(list(alone), "cache"), texts).values.sample_ids == opened.values.sample_ids
    assert [step.state for step in run(store, XmapConfig().override(settings), build=CACHES).outcomes] == ["reused"] * len(artifacts)
    shutil.rmtree(tmp_path / "store")
