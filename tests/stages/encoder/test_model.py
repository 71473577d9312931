"""Resolving and loading encoders: real open_clip models with random weights, and every refusal."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import xmap.stages.encoder.identity
from tests.worlds.models import MODEL, write_model
from tests.worlds.pictures import picture
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder, plain_transform, resolve
from xmap.store.errors import InputError
from xmap.store.memory.notes import Notes


@pytest.fixture
def found(tmp_path: Path, tiny_model_dir: Path) -> EncoderIdentity:
    return lookup(tmp_path, model=f"local-dir:{tiny_model_dir}")


def lookup(tmp_path: Path, **config: object) -> EncoderIdentity:
    return resolve(EncoderConfig(**config), Notes(tmp_path / "hashes.sqlite"), tmp_path / "encoders")


def test_fields_hold_all_that_determines_features_and_no_path(found: EncoderIdentity, tiny_model_dir: Path) -> None:
    assert found.fields["model"] == {**MODEL, "quick_gelu": False}
    assert found.fields["preprocess"] == {
        "size": [32, 32], "mode": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic",
        "resize_mode": "shortest", "fill_color": 0,
    }  # fmt: skip
    assert len(str(found.fields["weights"])) == 64
    assert found.fields["precision"] == "fp32"
    assert str(tiny_model_dir) not in json.dumps(found.fields)
    assert (found.name, found.width) == ("tiny", 32)


def test_a_moved_model_is_the_same_model(tmp_path: Path, tiny_model_dir: Path, found: EncoderIdentity) -> None:
    shutil.copytree(tiny_model_dir, tmp_path / "elsewhere")
    assert lookup(tmp_path, model=f"local-dir:{tmp_path / 'elsewhere'}").fields == found.fields


@pytest.mark.promise
@pytest.mark.parametrize("what", ["weights", "mean", "quick_gelu", "precision", "context"])
def test_a_changed_model_is_another_model(tmp_path: Path, tiny_model_dir: Path, found: EncoderIdentity, what: str) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(tiny_model_dir, folder)
    written = json.loads((folder / "open_clip_config.json").read_text())
    config: dict[str, object] = {}
    if what == "weights":
        data = bytearray((folder / "open_clip_model.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "open_clip_model.safetensors").write_bytes(data)
    elif what == "mean":
        written["preprocess_cfg"]["mean"] = [0.5, 0.5, 0.51]
    elif what == "context":
        written["model_cfg"]["text_cfg"]["context_length"] = 15
    else:
        config = {"quick_gelu": {"force_quick_gelu": True}, "precision": {"precision": "bf16"}}[what]
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    assert lookup(tmp_path, model=f"local-dir:{folder}", **config).fields != found.fields


def test_features_are_what_open_clip_itself_gives(found: EncoderIdentity, tiny_model_dir: Path) -> None:
    import open_clip

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{tiny_model_dir}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tiny_model_dir}")
    encoder = Encoder.load(found, "cpu")
    batch = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        images, texts = model.eval().encode_image(batch), model.encode_text(tokenizer(["a cat", "a dog"]))
    assert np.array_equal(encoder.encode_images(batch), images.numpy())
    assert np.array_equal(encoder.encode_texts(["a cat", "a dog"]), texts.numpy())
    assert encoder.encode_images(batch).dtype == np.float32
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())
    image = picture(3, (90, 70))
    assert torch.equal(transform(image), plain_transform(found.preprocess)(image))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_gives_float32_close_to_full(tmp_path: Path, tiny_model_dir: Path, found: EncoderIdentity, precision: str) -> None:
    encoder = Encoder.load(lookup(tmp_path, model=f"local-dir:{tiny_model_dir}", precision=precision), "cpu")
    batch = torch.rand(2, 3, 32, 32)
    half, full = encoder.encode_images(batch), Encoder.load(found, "cpu").encode_images(batch)
    assert half.dtype == np.float32
    assert np.abs(half - full).max() < 0.05 * np.abs(full).max()


def test_a_transformer_with_a_plain_weight_file(tmp_path: Path) -> None:
    """Weights written by torch.save, which are read with weights_only."""
    small = {**MODEL, "embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}}
    folder = write_model(tmp_path / "small", model=small)
    from safetensors.torch import load_file

    torch.save(load_file(folder / "open_clip_model.safetensors"), folder / "model.pth")
    (folder / "open_clip_model.safetensors").unlink()
    found = lookup(tmp_path, model=f"local-dir:{folder}")
    assert found.weights.name == "model.pth"
    assert Encoder.load(found, "cpu").encode_images(torch.zeros(1, 3, 32, 32)).shape == (1, 16)


def test_prompts_beyond_the_context_are_told(found: EncoderIdentity) -> None:
    encoder = Encoder.load(found, "cpu")
    fits, too_long = " ".join(["cat"] * 14), " ".join(["cat"] * 15)
    assert encoder.too_long([fits, too_long, ""]) == [too_long]


def test_xmap_tiny_is_in_the_package(tmp_path: Path) -> None:
    found = lookup(tmp_path, model="xmap-tiny")
    assert found.name == "xmap-tiny"
    encoder = Encoder.load(found, "cpu")
    assert encoder.encode_texts(["the digit three"]).shape == (1, found.width)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "ViT-B32"}, "unknown model 'ViT-B32'; near names: ViT-B-32"),
        ({"model": "ViT-B-32", "pretrained": "opena"}, "no pretrained tag 'opena'; near tags: openai"),
        ({"model": "ViT-B-32", "pretrained": ""}, "needs weights"),
        ({"model": "ViT-B-32", "pretrained": "./none.pt"}, "there is no weight file none.pt"),
        ({"model": "local-dir:/nowhere"}, "there is no model folder /nowhere"),
        ({"model": "hf-hub:org/repo"}, "cannot get the weights of hf-hub:org/repo .*or give local-dir:PATH or xmap-tiny in its place"),
        ({"model": "ViT-B-32-quickgelu"}, "cannot get the weights of ViT-B-32-quickgelu openai .*go online once"),
    ],
)
def test_what_does_not_exist_is_refused_with_a_remedy(tmp_path: Path, config: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        lookup(tmp_path, **config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("no json", "is not a model config"),
        ("[]", "is not a model config"),
        ("{}", "is not a model config"),
        ('{"model_cfg": {"embed_dim": 3, "vision_cfg": 1, "text_cfg": {}}}', "holds no weight file"),
        (json.dumps({"model_cfg": MODEL}), "holds no weight file"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    (tmp_path / "m").mkdir()
    if text is not None:
        (tmp_path / "m" / "open_clip_config.json").write_text(text)
    with pytest.raises(InputError, match=message):
        lookup(tmp_path, model=f"local-dir:{tmp_path / 'm'}")


def test_weights_of_another_model_are_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    shutil.copytree(tiny_model_dir, tmp_path / "m")
    other = {**MODEL, "embed_dim": 64}
    (tmp_path / "m" / "open_clip_config.json").write_text(json.dumps({"model_cfg": other}))
    with pytest.raises(InputError, match=r"cannot load model 'm' .*RuntimeError"):
        Encoder.load(lookup(tmp_path, model=f"local-dir:{tmp_path / 'm'}"), "cpu")


@pytest.mark.promise
@pytest.mark.parametrize("name", ["model.pth", "pytorch_model.bin", "model.safetensors"])
def test_a_weight_file_that_would_run_code_does_not(tmp_path: Path, name: str) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL}))
    torch.save({"state_dict": Bomb(), "room": torch.zeros(2_000_000, dtype=torch.uint8)}, tmp_path / "m" / name)
    with pytest.raises(InputError, match="cannot load model 'm'"):
        Encoder.load(lookup(tmp_path, model=f"local-dir:{tmp_path / 'm'}"), "cpu")
    assert not (tmp_path / "ran").exists()


def test_a_torchscript_archive_is_refused_before_loading(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ViT-B-32.pt", "w") as archive:
        archive.writestr("ViT-B-32/constants.pkl", b"")
    with pytest.raises(InputError, match="TorchScript archive"):
        lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained=str(tmp_path / "ViT-B-32.pt"))


def test_a_tokenizer_that_is_not_there_is_refused(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_model_dir, folder)
    model = {**MODEL, "text_cfg": {**MODEL["text_cfg"], "hf_tokenizer_name": "org/unknown"}}  # type: ignore[dict-item]
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    with pytest.raises(InputError, match=r"tokenizer 'org/unknown'"):
        lookup(tmp_path, model=f"local-dir:{folder}")
    real = xmap.stages.encoder.identity.find_spec
    monkeypatch.setattr("xmap.stages.encoder.identity.find_spec", lambda name: object() if name == "transformers" else real(name))
    with pytest.raises(InputError, match="its files are not in the folder; copy them there"):
        lookup(tmp_path, model=f"local-dir:{folder}")
    (folder / "tokenizer.json").write_text("{}")
    found = lookup(tmp_path, model=f"local-dir:{folder}")
    assert set(found.tokenizer["files"]) == {"tokenizer.json"}  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot load the tokenizer"):
        Encoder.load(found, "cpu")
