"""The real photographs through every stage with real open_clip models, and a folder as people really have them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from xmap.cli.main import app
from xmap.store.artifacts.artifact import Store

METHODS = "zero-shot,tip-adapter,tip-adapter-f,xmadapter"


def save_random_model(name: str, folder: Path) -> str:
    """An open_clip architecture with random weights, as `local-dir:`; no claim on accuracy follows from it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None)
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def run(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, [*arguments, "--json", "--quiet"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)["results"]
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", ["xmap-tiny", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("RN50", "ViT-B-32"))])
def test_real_photographs_go_through_every_stage(model: str, shared_data: Path, tmp_path: Path) -> None:
    name = model if model == "xmap-tiny" else save_random_model(model, tmp_path / "model")
    arguments = [
        "--data",
        str(shared_data / "photos"),
        "--model",
        name,
        "--views",
        "1",
        "--shots",
        "4",
        "--methods",
        METHODS,
        "--seeds",
        "1",
    ]
    for command in ("extract", "build-cache", "train"):
        result = CliRunner().invoke(app, [command, *arguments, "--quiet"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    rows = run("eval", *arguments)
    assert [row["method"] for row in rows] == METHODS.split(",")
    assert all(0.0 <= float(str(row["accuracy_mean"])) <= 100.0 for row in rows)


def test_a_folder_as_people_have_them(tmp_path: Path, own_store: Path) -> None:
    """One truncated JPEG, one text file named .png, an empty class folder, a name with spaces, quotes and emoji."""
    data = tmp_path / "mine"
    for label in ("cat", 'it\'s a "dog" 🐶'):
        (data / label).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (24, 24), (40 * number, 90, 10)).save(data / label / f'my "best" photo 📷 {number}.jpg')
    (data / "empty class").mkdir()
    whole = (data / "cat" / 'my "best" photo 📷 0.jpg').read_bytes()
    (data / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (data / "cat" / "text.png").write_text("this is no picture")
    result = CliRunner().invoke(app, ["extract", "--data", str(data), "--model", "xmap-tiny", "--views", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "2 " in result.stderr
    assert "empty class" in result.stderr
    images = Store(own_store).artifacts("images")[0]
    errors = pq.read_table(images.file("errors.parquet")).to_pylist()
    assert {Path(row["path"]).name: row["kind"] for row in errors}.keys() == {"cut.jpg", "text.png"}
    assert sum(images.summary["counts"].values()) == 12
    shutil.rmtree(data)
