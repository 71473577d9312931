"""Wall time of whole processes: `xmap --help`, a run of the demo's digits that builds nothing, commands that need torch, a photograph.

python -m benchmarks.startup        rewrites its section of docs/benchmarks.md
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.page import write_section
from benchmarks.process import COMMAND

RUNS, TURN = 7, "{turn}"
# What one answer takes by itself: torch and open_clip imported, the encoder loaded, one forward pass.
BARE = """
import sys
import torch, open_clip
from PIL import Image
model, _, crop = open_clip.create_model_and_transforms(sys.argv[1])
with torch.inference_mode():
    model.eval().encode_image(crop(Image.open(sys.argv[2]).convert("RGB"))[None])
"""


def seconds(arguments: list[str]) -> list[float]:
    """Wall times of `RUNS` processes, after one that is not counted."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([*COMMAND, *arguments], check=True, capture_output=True)  # noqa: S603  (our own command)
        times.append(time.perf_counter() - started)
    return times[1:]


def photograph(folder: Path, model: str) -> dict[str, list[float]]:
    """Times of one photograph with an encoder, each process in turn: bare, by torch from an exported folder, by its ONNX file."""
    data, store, photo = folder / "data", ["--store", str(folder / "store")], folder / "photo.jpg"
    random = write_few(data)
    Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((1600, 1200)).save(photo)
    made = save_random(model, folder / "model")
    run = ["run", "--data", str(data), "--model", made, "--views", "0", "--shots", "2", "--seeds", "1", "--methods", "xmadapter"]
    for words in (run, ["export", str(folder / "torch")], ["export", str(folder / "onnx"), "--onnx"]):
        subprocess.run([*COMMAND, *words, *store], check=True, capture_output=True)  # noqa: S603  (our own command)
    ways = {
        f"torch, open_clip, {model} loaded, one forward pass": [sys.executable, "-c", BARE, made, str(photo)],
        f"xmap predict ({model})": [*COMMAND, "predict", str(photo), "--adapter", str(folder / "torch")],
        f"xmap predict ({model}, ONNX file)": [*COMMAND, "predict", str(photo), "--adapter", str(folder / "onnx")],
    }
    return in_turn(ways)


def with_torch(folder: Path) -> dict[str, list[float]]:
    """Times of commands that need torch and have next to nothing to do, beside the imports alone."""
    data, store = folder / "few", ["--store", str(folder / "few-store")]
    write_few(data)
    plain = ["--data", str(data), "--model", "xmap-tiny", "--views", "0", "--shots", "2", "--methods", "tip-adapter", "--seeds"]
    subprocess.run([*COMMAND, "run", *plain, "1", *store], check=True, capture_output=True)  # noqa: S603  (our own command)
    photo = next(data.rglob("*.png"))
    return in_turn({
        "import torch, open_clip": [sys.executable, "-c", "import torch, open_clip"],
        "xmap predict (xmap-tiny)": [*COMMAND, "predict", str(photo), *store],
        "xmap run (8 images, another seed)": [*COMMAND, "run", *plain, f"1{TURN}", *store],
    })  # fmt: skip


def write_few(data: Path) -> np.random.Generator:
    """Eight small images of two classes; the generator that drew them."""
    random = np.random.default_rng(0)
    for number in range(8):
        path = data / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    return random


def in_turn(ways: dict[str, list[str]]) -> dict[str, list[float]]:
    """Wall times of `RUNS` turns of whole processes, after one that is not counted; words may hold the number of the turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(RUNS + 1):
        for name, words in ways.items():
            started = time.perf_counter()
            subprocess.run([word.replace(TURN, str(turn)) for word in words], check=True, capture_output=True)  # noqa: S603
            times[name].append(time.perf_counter() - started)
    return {name: found[1:] for name, found in times.items()}


def save_random(name: str, folder: Path) -> str:
    """An open_clip architecture with random weights, as `local-dir:`."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}))
    model = open_clip.create_model(name, pretrained=None)
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def rows_of(times: dict[str, list[float]]) -> list[str]:
    """A row a process, against the first of them."""
    base = statistics.median(next(iter(times.values())))
    rows = []
    for name, found in times.items():
        middle = statistics.median(found)
        rows.append(f"| `{name}` | {middle:.2f} | {min(found):.2f} | {max(found):.2f} | {middle / base:.2f} |")
    return rows


def main() -> None:
    """Measure, print and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        images, store = Path(folder) / "digits", Path(folder) / "store"
        from xmap.stages.datasets.digits import write_digits

        write_digits(images)
        run = ["run", "--data", str(images), "--model", "xmap-tiny", "--views", "0", "--store", str(store)]
        subprocess.run([*COMMAND, *run], check=True, capture_output=True)  # noqa: S603  (our own command)
        python = [sys.executable, "-c", "pass"]
        bare = []
        for _ in range(RUNS):
            started = time.perf_counter()
            subprocess.run(python, check=True)  # noqa: S603  (an empty Python)
            bare.append(time.perf_counter() - started)
        rows = {"python -c pass": bare, "xmap --help": seconds(["--help"]), "xmap run (1,797 images, nothing to build)": seconds(run)}
    with tempfile.TemporaryDirectory() as folder:
        torch, photo = with_torch(Path(folder)), photograph(Path(folder), "ViT-B-32")
    head = ["| whole process | median s | min s | max s | x the first |", "|---|---|---|---|---|"]
    needing = [f"Commands that need torch, {RUNS} times each in turn:", "", *head, *rows_of(torch), ""]
    lines = [
        *head,
        *rows_of(rows),
        "",
        *needing,
        f"One photograph, {RUNS} times each in turn, on a warm file cache:",
        "",
        *head,
        *rows_of(photo),
    ]
    write_section("Start-up", "python -m benchmarks.startup", lines)


if __name__ == "__main__":
    main()
