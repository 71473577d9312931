"""Which weights a name stands for: open_clip is asked once, a mismatch of QuickGELU is refused, and asking again loads nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.encoder.test_model import lookup
from xmap.store.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]


def test_openai_weights_need_a_quickgelu_name(tmp_path: Path) -> None:
    file = tmp_path / "vit_b32_openai.safetensors"
    file.write_bytes(b"x")
    with pytest.raises(InputError, match="use --model ViT-B-32-quickgelu, or --force-quick-gelu"):
        lookup(tmp_path, model="ViT-B-32", pretrained=str(file))
    right = lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained=str(file))
    forced = lookup(tmp_path, model="ViT-B-32", pretrained=str(file), force_quick_gelu=True)
    assert right.fields == forced.fields
    assert right.name == "ViT-B-32-quickgelu-vit_b32_openai"


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """open_clip finds its weights at once; the list holds what it was asked to download."""
    import open_clip

    asked: list[str] = []
    weights = tmp_path / "downloaded.safetensors"
    weights.write_bytes(b"weights")

    def download(known: dict[str, object], cache_dir: str | None = None) -> str:
        asked.append(str(known["hf_hub"]))
        return str(weights)

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    return asked


@pytest.mark.parametrize(
    ("model", "tag", "remedy"),
    [
        ("ViT-B-32", "openai", "use --model ViT-B-32-quickgelu, or --force-quick-gelu"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", None),
    ],
)
def test_a_quickgelu_mismatch_is_refused(tmp_path: Path, downloads: list[str], model: str, tag: str, remedy: str | None) -> None:
    with pytest.raises(InputError, match=remedy or "no pretrained tag"):
        lookup(tmp_path, model=model, pretrained=tag)
    assert downloads == []


def test_force_quick_gelu_on_weights_without_it_is_refused(tmp_path: Path, downloads: list[str]) -> None:
    with pytest.raises(InputError, match=r"trained without QuickGELU.*leave out --force-quick-gelu"):
        lookup(tmp_path, model="ViT-B-32", pretrained="laion2b_s34b_b79k", force_quick_gelu=True)


def test_open_clip_is_asked_once_and_the_weights_are_hashed_each_time(tmp_path: Path, downloads: list[str]) -> None:
    first = lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained="openai")
    assert lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained="openai") == first
    assert downloads == ["timm/vit_base_patch32_clip_224.openai/"]
    assert first.name == "ViT-B-32-quickgelu-openai"
    assert first.fields["model"]["quick_gelu"] is True  # type: ignore[index]
    first.weights.write_bytes(b"other weights")
    assert lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained="openai").weights_hash != first.weights_hash
    assert len(downloads) == 1


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"question": 1, "answer": 2}'])
def test_a_damaged_record_is_asked_for_again(tmp_path: Path, downloads: list[str], damage: bytes) -> None:
    first = lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained="openai")
    (record,) = (tmp_path / "encoders").iterdir()
    record.write_bytes(damage)
    assert lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained="openai") == first
    assert len(downloads) == 2


def test_resolving_again_imports_neither_torch_nor_open_clip(tmp_path: Path, tiny_model_dir: Path, downloads: list[str]) -> None:
    lookup(tmp_path, model="ViT-B-32-quickgelu", pretrained="openai")
    program = f"""
import sys
from pathlib import Path
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.model import resolve
import xmap.stages.extract.stage, xmap.stages.datasets.open
from xmap.store.memory.notes import Notes
for model in ("local-dir:{tiny_model_dir}", "ViT-B-32-quickgelu", "xmap-tiny"):
    resolve(EncoderConfig(model=model), Notes(Path("hashes.sqlite")), Path("encoders"))
print(sorted({{"torch", "open_clip", "faiss", "torchvision", "PIL"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
