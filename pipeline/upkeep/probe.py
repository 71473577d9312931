"""What `xmap doctor` tries in a process of its own: it may crash, hang or find no library, and the doctor goes on.

python -m xmap.pipeline.upkeep.probe libraries            torch and faiss together, as a run uses them
python -m xmap.pipeline.upkeep.probe models ENCODER...    models loaded and asked, without the network; ENCODER is a config as JSON
python -m xmap.pipeline.upkeep.probe batches DEVICE SIZE ENCODER    whether rows depend on their neighbours in a batch of SIZE
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmap.stages.encoder.identity import EncoderIdentity

KEYS, WIDTH = 4096, 64
# Width and repeats of what is timed.
MEASURED, REPEATS = 512, 5


def libraries() -> dict[str, Any]:
    """Work in both OpenMP runtimes, one after the other and back; which GPUs each library sees."""
    import torch

    from xmap.store.formats.faiss_library import running
    from xmap.store.formats.index import VectorIndex, gpu_count

    keys = torch.nn.functional.normalize(torch.randn(KEYS, WIDTH, generator=torch.Generator().manual_seed(0)), dim=-1)
    found = VectorIndex.build(keys.numpy()).search(keys[:512].numpy(), 1).rows[:, 0]
    dense = (keys[:512] @ keys.T).argmax(1)
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return {
        "agree": bool((torch.from_numpy(found) == dense).all()),
        "cuda": torch.version.cuda,
        "gpus": names,
        "faiss_gpus": gpu_count(),
        "kernel": running(),
        "speed": _speed(),
    }


def _speed() -> float:
    """How fast FAISS multiplies on the CPU, as a share of torch's speed: one search by both, the least of some seconds each, in turn."""
    import torch

    from xmap.store.formats.index import VectorIndex

    draw = torch.Generator().manual_seed(0)
    keys, queries = (torch.randn(count, MEASURED, generator=draw) for count in (2 * KEYS, KEYS // 8))
    index = VectorIndex.build(keys.numpy())
    ways: dict[str, Callable[[], object]] = {"faiss": lambda: index.search(queries.numpy(), 1), "torch": lambda: (queries @ keys.T).max(1)}
    least = least_seconds(ways, REPEATS)
    return least["torch"] / least["faiss"]


def least_seconds(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least seconds of each over so many turns: what else the machine does meets all alike."""
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            least[name] = min(least[name], time.perf_counter() - started)
    return least


def models(*configs: str) -> dict[str, Any]:
    """Load models and encode an image and a prompt with each; weights that are not on this machine are not fetched."""
    sys.addaudithook(_refuse_network)
    return {"models": [_answer(_model, config) for config in configs]}


def batches(device: str, size: str, config: str) -> dict[str, Any]:
    """Whether rows depend on their neighbours in a batch, and whether one thread would give others."""
    import torch

    from xmap.stages.encoder.model import Encoder
    from xmap.stages.extract.batch_law import holds, trial_rows
    from xmap.stages.machine.kind import this_machine

    sys.addaudithook(_refuse_network)
    machine, identity = this_machine(device), _identity(config, device)
    encoder = Encoder.load(identity, machine.device, texts=False)
    kept, rows, threads = holds(encoder, int(size)), trial_rows(encoder, int(size)), torch.get_num_threads()
    torch.set_num_threads(1)
    alike = machine.device != "cpu" or trial_rows(encoder, int(size)).tobytes() == rows.tobytes()
    return {"name": identity.name, "holds": kept, "device": machine.made_by["device"], "threads": threads, "alike": alike}


def _identity(config: str, device: str) -> EncoderIdentity:
    from xmap.stages.config import EncoderConfig
    from xmap.stages.encoder.identity import resolve
    from xmap.stages.encoder.precision import settled
    from xmap.store.memory.notes import Notes

    with tempfile.TemporaryDirectory(prefix="xmap-doctor-") as folder:
        return resolve(settled(EncoderConfig.model_validate_json(config), device)[0], Notes(Path(folder) / "hashes"), Path(folder))


def _model(config: str) -> dict[str, Any]:
    import torch

    from xmap.stages.encoder.model import Encoder

    identity = _identity(config, "cpu")
    encoder = Encoder.load(identity, "cpu")
    image = encoder.encode_images(torch.zeros(1, 3, *identity.preprocess["size"]))
    return {"name": identity.name, "width": identity.width, "agree": image.shape == encoder.encode_texts(["a"]).shape}


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise ConnectionError("xmap doctor downloads nothing")


def _answer(probe: Callable[..., dict[str, Any]], *arguments: str) -> dict[str, Any]:
    """What a probe answers, or why it cannot."""
    from xmap.store.errors import XmapError

    try:
        return probe(*arguments)
    except (XmapError, ImportError, OSError, RuntimeError) as error:
        return {"error": str(error), "kind": type(error).__name__}


PROBES: Mapping[str, Callable[..., dict[str, Any]]] = {"libraries": libraries, "models": models, "batches": batches}


def main() -> None:
    """Run one probe; its answer is one line of JSON on stdout."""
    print(json.dumps(_answer(PROBES[sys.argv[1]], *sys.argv[2:])))


if __name__ == "__main__":
    main()
