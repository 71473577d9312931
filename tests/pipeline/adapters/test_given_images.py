"""Images handed to an adapter from Python: files and what lies in memory give one answer, a typing error is an error."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import xmap
from tests.worlds.inputs import write_photos
from xmap.pipeline.adapters.adapter import Adapter
from xmap.store.errors import InputError

Case = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("given") / "photos")


@pytest.fixture(scope="module")
def adapter(photos: Path) -> Adapter:
    torch.set_num_threads(1)
    store = photos.parent / "store"
    settings: dict[str, Any] = {"encoder": {"model": "xmap-tiny"}, "extract": {"views": 0, "batch_size": 4}, "cache": {"shots": 2}}
    xmap.run(store=store, data={"data": str(photos)}, run={"methods": ["tip-adapter"], "seeds": [1], "workers": 0}, **settings)
    return xmap.load(store=store)


def forms(path: Path) -> dict[str, Any]:
    image = Image.open(path)
    return {
        "path": path,
        "text": str(path),
        "pillow": image,
        "array": np.asarray(image),
        "view of an array": np.asarray(image)[:, ::-1][:, ::-1],
        "bytes": path.read_bytes(),
        "bytearray": bytearray(path.read_bytes()),
        "with alpha": image.convert("RGBA"),
    }


def test_every_form_of_an_image_has_the_same_answer(adapter: Adapter, photos: Path) -> None:
    given = forms(photos / "test/bee/0.png")
    together = adapter.predict(list(given.values()))
    assert [found.error for found in together] == [None] * len(given)
    for alone, among in zip((adapter.predict(one)[0] for one in given.values()), together, strict=True):
        np.testing.assert_allclose(alone.probabilities, together[0].probabilities, atol=1e-6)
        np.testing.assert_allclose(among.probabilities, together[0].probabilities, atol=1e-6)
    assert together[2].path == "image 2"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "RGBa"])
def test_an_image_of_any_mode_is_taken(adapter: Adapter, photos: Path, mode: str) -> None:
    image = Image.open(photos / "test/ant/0.png")
    grey = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    given = {"I;16": grey, "RGBa": image.convert("RGBA").convert("RGBa")}.get(mode) or (
        Image.new("LAB", (32, 32)) if mode == "LAB" else image.convert(mode)
    )
    (found,) = adapter.predict(given)
    assert found.error is None
    assert found.probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_turned_photograph_in_memory_is_turned_as_its_file(adapter: Adapter, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (20, 40, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    file, memory = adapter.predict([tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")])
    np.testing.assert_allclose(memory.probabilities, file.probabilities, atol=1e-6)


@pytest.mark.failure("odd output")
def test_a_path_that_is_not_there_is_an_error(adapter: Adapter, photos: Path, case: Case) -> None:
    there = photos / "test/bee/0.png"
    for given in ("nosuch.jpg", Path("no/such.jpg"), [there, "nosuch.jpg"], f"{photos}/test/bee/*.png", "a\0b", "x" * 5000, ""):
        with case(), pytest.raises(InputError, match="there is no image or folder"):
            adapter.predict(given)
    with pytest.raises(InputError, match="patterns of images are not expanded"):
        adapter.predict(f"{photos}/test/*/0.png")


@pytest.mark.failure("odd output")
def test_what_is_no_image_is_one_sentence(adapter: Adapter, photos: Path, case: Case) -> None:
    there = photos / "test/bee/0.png"
    cut = Image.open(io.BytesIO(there.read_bytes()[:200]))
    odd: list[Any] = [None, 3, {"image": there}, [there, 4], [[there]]]
    odd += [io.BytesIO(there.read_bytes()), io.StringIO("bee"), there.open("rb"), there.open("rb", buffering=0), [io.BytesIO(b"")]]
    for given in [*odd, set, cut]:
        with case(), pytest.raises(InputError) as caught:
            adapter.predict(given)
        assert "taken are paths" in str(caught.value) or "Pillow can load" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bad_files_are_rows_with_a_reason(adapter: Adapter, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.jpg").write_text("no picture")
    (tmp_path / "folder/b.png").write_bytes((photos / "test/bee/0.png").read_bytes())
    found = adapter.predict([tmp_path / "folder", b"", b"no picture"])
    assert [one.error.kind if one.error else "" for one in found] == ["not-an-image", "", "not-an-image", "not-an-image"]
    with pytest.raises(InputError, match=r"a\.jpg cannot be read: not-an-image"):
        adapter.encode(tmp_path / "folder")


def test_encoded_images_have_the_probabilities_of_prediction(adapter: Adapter, photos: Path) -> None:
    given = list(forms(photos / "test/cat/0.png").values())
    features = adapter.encode(given)
    assert features.shape == (len(given), 128)
    assert features.dtype == np.float32
    expected = np.stack([found.probabilities for found in adapter.predict(given)])
    np.testing.assert_allclose(adapter.predict_proba(features), expected, atol=1e-6)


def test_an_adapter_says_what_it_is(adapter: Adapter) -> None:
    said = repr(adapter)
    assert all(text in said for text in ("tip-adapter", "seed 1", "3 classes of photos", adapter.artifact.fingerprint[:8]))


@pytest.mark.failure("odd output")
def test_what_are_no_features_is_one_sentence(adapter: Adapter, case: Case) -> None:
    width = adapter.scorer.cache.width
    odd: list[Any] = ["x", None, [[1.0], [1.0, 2.0]], {"a": 1}, [[object()] * width], np.full((1, width), np.nan), np.ones(width), 3]
    for features in [
        *odd,
        np.ones((1, width + 1)),
        np.full((1, width), np.inf),
        [["a"] * width],
        np.zeros((2, width)),
        np.eye(2, width, 1)[::-1] * [[0], [1]],
    ]:
        with case(), pytest.raises(InputError, match=rf"shape \(B, {width}\)"):
            adapter.predict_proba(features)
