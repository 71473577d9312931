"""What real open_clip text towers give before their projection, and that projection."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.models import MODEL, write_model
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.identity import resolve
from xmap.stages.encoder.model import Encoder
from xmap.store.errors import InputError
from xmap.store.memory.notes import Notes

NAMES = ["cat", "striped dog", "a very long name of a bird"]
KINDS: dict[str, dict[str, Any]] = {
    "clip": {},
    "custom": {"custom_text": True},
    "class embedding": {"custom_text": True, "text_cfg": {"embed_cls": True}},
}


def encoder(folder: Path, changes: dict[str, Any]) -> Encoder:
    model = {**deepcopy(MODEL), **changes, "embed_dim": 24, "text_cfg": {**MODEL["text_cfg"], **changes.get("text_cfg", {})}}
    written = write_model(folder / "model", model=model)
    return Encoder.load(resolve(EncoderConfig(model=f"local-dir:{written}"), Notes(None), None), "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_the_projection_leads_from_one_to_the_other(tmp_path: Path, kind: str) -> None:
    model = encoder(tmp_path, KINDS[kind])
    whole, before, projection = model.encode_texts(NAMES), model.unprojected(NAMES), model.text_projection()
    assert (before.shape, projection.shape, str(projection.dtype)) == ((3, 32), (32, 24), "float32")
    np.testing.assert_allclose(before @ projection, whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.encode_texts(NAMES), whole)


@pytest.mark.parametrize(
    ("text", "said"),
    [({"proj_type": "none", "width": 24}, "has no projection"), ({"proj_bias": True}, "does not end in a linear projection")],
)
def test_a_tower_that_ends_otherwise_is_refused(tmp_path: Path, text: dict[str, Any], said: str) -> None:
    model = encoder(tmp_path, {"custom_text": True, "text_cfg": text})
    with pytest.raises(InputError, match=said):
        model.text_projection()
