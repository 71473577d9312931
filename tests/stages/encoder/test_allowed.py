"""The config of a model says sizes and options, whoever wrote it and however it comes: in a folder, from a hub, in a record."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import xmap.stages.encoder.ask
from tests.worlds.faults import Case
from tests.worlds.models import MODEL, PREPROCESS
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.allowed import require_fitting, require_plain_config
from xmap.stages.encoder.identity import EncoderIdentity, resolve
from xmap.stages.encoder.model import Encoder
from xmap.stages.encoder.names import builtin_config, open_clip_folder
from xmap.store.errors import InputError
from xmap.store.memory.notes import Notes

# Where a value stands in the config, and the value: each leads open_clip or a library under it to code, a place or all the memory.
HOSTILE: list[tuple[str, Any]] = [
    ("model_cfg.text_cfg.tokenizer_kwargs", {"trust_remote_code": True}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"trust_remote_code": False, "code_revision": "main"}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"bpe_path": "/etc/passwd"}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"reduction_mask": "syntax"}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"vocab_file": "/etc/passwd"}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"tokenizer_file": "../secret.json"}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"gguf_file": "x.gguf"}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"cache_dir": "/"}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"subfolder": "../.."}),
    ("model_cfg.text_cfg.tokenizer_kwargs", {"clean": "import os"}),
    ("model_cfg.text_cfg.hf_tokenizer_name", "/evil"),
    ("model_cfg.text_cfg.hf_tokenizer_name", "../evil"),
    ("model_cfg.text_cfg.hf_tokenizer_name", "a/b/c"),
    ("model_cfg.text_cfg.hf_model_name", "./evil"),
    ("model_cfg.text_cfg.hf_model_name", "a/.."),
    ("model_cfg.text_cfg.hf_model_name", "http://127.0.0.1/x"),
    ("model_cfg.text_cfg.hf_model_name", "org/name\n"),
    ("model_cfg.text_cfg.hf_model_pretrained", True),
    ("model_cfg.text_cfg.act_kwargs", {"approximate": "tanh", "inplace": "x"}),
    ("model_cfg.text_cfg.norm_kwargs", {"device": "cuda:9"}),
    ("model_cfg.text_cfg.vocab_size", 10**12),
    ("model_cfg.text_cfg.width", "512"),
    ("model_cfg.text_cfg.trust_remote_code", True),
    ("model_cfg.vision_cfg.timm_model_name", "hf-hub:org/model"),
    ("model_cfg.vision_cfg.timm_model_name", "hf_hub:org/model"),
    ("model_cfg.vision_cfg.timm_model_name", "local-dir:/evil"),
    ("model_cfg.vision_cfg.timm_model_name", "/evil"),
    ("model_cfg.vision_cfg.timm_model_pretrained", True),
    ("model_cfg.vision_cfg.timm_model_pretrained", "https://127.0.0.1/weights.pth"),
    ("model_cfg.vision_cfg.timm_pool", "avg;import os"),
    ("model_cfg.vision_cfg.pretrained_cfg_overlay", {"file": "/etc/passwd"}),
    ("model_cfg.vision_cfg.image_size", 10**9),
    ("model_cfg.vision_cfg.layers", 10**6),
    ("model_cfg.vision_cfg", None),
    ("model_cfg.multimodal_cfg", {"hf_model_name": "org/name"}),
    ("model_cfg.pretrained", "openai"),
    ("model_cfg.pretrained_image_path", "/etc/passwd"),
    ("model_cfg.cast_dtype", "float16"),
    ("model_cfg.embed_dim", True),
    ("model_cfg.init_logit_scale", float("nan")),
    ("model_cfg", []),
    ("preprocess_cfg.mean", [0.5]),
    ("preprocess_cfg.std", [0, 0, 0]),
    ("preprocess_cfg.mode", "eval"),
    ("preprocess_cfg.interpolation", "os.system"),
]
WRITTEN = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
identified = pytest.mark.parametrize(("place", "value"), HOSTILE, ids=[f"{place}={str(value)[:40]}" for place, value in HOSTILE])


def changed(place: str, value: Any) -> dict[str, Any]:
    written: Any = deepcopy(WRITTEN)
    *above, last = place.split(".")
    part = written
    for name in above:
        part = part[name]
    part[last] = value
    return dict(written)


def lookup(tmp_path: Path, model: str, pretrained: str = "openai") -> EncoderIdentity:
    return resolve(EncoderConfig(model=model, pretrained=pretrained), Notes(), tmp_path / "records")


def write(folder: Path, written: dict[str, Any], weights: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    shutil.copy(weights / "open_clip_model.safetensors", folder)
    return folder


@pytest.mark.failure("received folder")
@identified
def test_a_config_that_says_more_is_refused_by_every_road(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, place: str, value: Any, case: Case
) -> None:
    written = changed(place, value)
    folder = write(tmp_path / "m", written, tiny_model_dir)
    weights = str(folder / "open_clip_model.safetensors")
    answer = {"model": written["model_cfg"], "preprocess": written["preprocess_cfg"], "quick_gelu": None, "weights": weights}
    monkeypatch.setattr(xmap.stages.encoder.ask, "ask_open_clip", lambda config: answer)
    for model in (f"local-dir:{folder}", "hf-hub:org/name", "hf-hub:org/name"):
        with case(), pytest.raises(InputError, match=r"config of model '[\w/]+' is refused: its field 'model_cfg|preprocess_cfg"):
            lookup(tmp_path, model)
    # The last answer came from the record.
    assert len(list((tmp_path / "records").iterdir())) == 1


def test_every_config_that_open_clip_has_is_let_through() -> None:
    names = sorted(path.stem for path in (open_clip_folder() / "model_configs").glob("*.json"))
    assert len(names) > 100
    for name in names:
        require_plain_config(name, builtin_config(name), {})


# Numbers in the real weights, in millions: as many bytes are fewer than any file of them has.
REAL = {"ViT-B-32": 151, "RN50": 102, "RN50x64": 623, "ViT-L-14": 427, "coca_ViT-B-32": 253, "ViT-B-16-SigLIP": 203, "EVA02-B-16": 149}


@pytest.mark.parametrize("name", REAL)
def test_no_real_weights_are_called_too_small(tmp_path: Path, name: str) -> None:
    for size, fits in ((REAL[name] * 1_000_000, True), (REAL[name] * 1000, False)):
        with open(tmp_path / "weights", "wb") as file:
            file.truncate(size)
        if fits:
            require_fitting(name, builtin_config(name), tmp_path / "weights")
        else:
            with pytest.raises(InputError, match="describes at least"):
                require_fitting(name, builtin_config(name), tmp_path / "weights")


@pytest.mark.failure("received folder")
@pytest.mark.parametrize(
    ("place", "value"),
    [("vision_cfg.width", 16_384), ("text_cfg.layers", 256), ("text_cfg.vocab_size", 4_000_000), ("text_cfg.width", 16_384),
     ("text_cfg.mlp_ratio", 64.0)],
)  # fmt: skip
def test_a_model_larger_than_its_weights_is_not_allocated(tmp_path: Path, tiny_model_dir: Path, place: str, value: int) -> None:
    found = lookup(tmp_path, f"local-dir:{write(tmp_path / 'm', changed(f'model_cfg.{place}', value), tiny_model_dir)}")
    with pytest.raises(InputError, match=r"describes at least [\d,]+ numbers|cannot load model"):
        Encoder.load(found, "cpu")


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("size", [10**18, 2**63, 17 << 20])
def test_a_header_of_gigabytes_is_not_parsed(tmp_path: Path, tiny_model_dir: Path, size: int) -> None:
    folder = write(tmp_path / "m", WRITTEN, tiny_model_dir)
    with open(folder / "open_clip_model.safetensors", "r+b") as file:
        file.write(size.to_bytes(8, "little"))
    found = lookup(tmp_path, f"local-dir:{folder}")
    with pytest.raises(InputError, match="its list of tensors claims"):
        Encoder.load(found, "cpu")


@pytest.mark.failure("received folder")
def test_a_name_of_the_hub_is_no_folder_that_lies_here(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "m", changed("model_cfg.text_cfg.hf_model_name", "org/name"), tiny_model_dir)
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="a file or folder of that name lies here"):
        Encoder.load(lookup(tmp_path, f"local-dir:{folder}"), "cpu")


# ---- tokenizers of transformers

TRANSFORMERS = """
import json, os
class AutoTokenizer:
    @staticmethod
    def from_pretrained(name, **options):
        with open({record!r}, "a") as file:
            file.write(json.dumps([str(name), sorted(os.listdir(name)) if os.path.isdir(name) else None, options]) + "\\n")
        return AutoTokenizer()
"""
Asked = Callable[[], list[tuple[str, list[str] | None, dict[str, Any]]]]


@pytest.fixture
def transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """A library of that name which writes down how a tokenizer is asked for."""
    record, place = tmp_path / "asked", tmp_path / "library" / "transformers"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(TRANSFORMERS.format(record=str(record)))
    monkeypatch.syspath_prepend(place.parent)
    yield lambda: [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    # What was imported of it would be the library of later tests.
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
        del sys.modules[name]


@pytest.mark.failure("received folder")
def test_a_tokenizer_is_loaded_from_its_hashed_files_without_their_code(tmp_path: Path, tiny_model_dir: Path, transformers: Asked) -> None:
    written = changed("model_cfg.text_cfg.hf_tokenizer_name", "org/name")
    written["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"clean": "lower", "strip_sep_token": True}
    folder = write(tmp_path / "m", written, tiny_model_dir)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["other.T", None]}, "vocab_file": "/etc/passwd"})
    )
    (folder / "other.py").write_text("raise SystemExit")
    found = lookup(tmp_path, f"local-dir:{folder}")
    Encoder.load(found, "cpu", texts=False)
    assert transformers() == []
    Encoder.load(found, "cpu")
    ((name, files, options),) = transformers()
    assert files == ["tokenizer_config.json"]
    assert options["trust_remote_code"] is False
    assert not name.startswith(str(folder))
    # Of the hub, the same.
    Encoder.load(EncoderIdentity(**{**found.__dict__, "tokenizer": {"kind": "hub", "name": "org/name"}}), "cpu")
    name, files, options = transformers()[1]
    assert (name, files, options["trust_remote_code"]) == ("org/name", None, False)
