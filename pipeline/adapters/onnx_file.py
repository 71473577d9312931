"""An adapter and its encoder written as one ONNX file into an exported folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.encoder import is_at_hand, recorded_encoders
from xmap.stages.fewshot.cached import VALUES
from xmap.stages.onnx.form import FILE, About
from xmap.store.disk.files import system_errors
from xmap.store.errors import InputError

EXTRA = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Raise `InputError` where the extra `onnx` is not installed: before anything is loaded or written."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise InputError(f"--onnx needs {', '.join(missing)}; run `pip install 'xmap[onnx]'`.")


def write_onnx(adapter: Adapter, folder: Path) -> None:
    """Write `model.onnx` into `folder`, and run it against torch before it is called good.

    Raises `InputError` where the encoder cannot be had, method or encoder cannot be traced, or the file says something else than torch.
    """
    from xmap.stages.onnx.check import require_agreement
    from xmap.stages.onnx.network import REMEDY, Network
    from xmap.stages.onnx.write import write_network
    from xmap.stages.predict.encoders import Encoders

    artifact, widths = adapter.artifact, adapter.scorer.cache.widths or ()
    if len(widths) > 1:
        raise InputError(f"{artifact.name} takes the features of {len(widths)} encoders, an ONNX file those of one; {REMEDY}.")
    if not is_at_hand(adapter.store, recorded_encoders(adapter.texts, adapter.cache_artifact)[0]):
        raise InputError(f"the encoder of {artifact.name} is not at hand, and an ONNX file holds it; {REMEDY}.")
    encoder = Encoders.of(adapter.encoder(device="cpu")).each[0]
    network = Network(artifact, adapter.scorer.cache, encoder)
    preprocess = encoder.identity.preprocess
    about = About(
        fingerprint=artifact.fingerprint,
        method=str(artifact.summary["method"]),
        labels=adapter.classes,
        temperature=adapter.scorer.fitted.calibration.temperature,
        preprocess=preprocess,
        cached=f"{adapter.cache_artifact.stage}/{adapter.cache_artifact.path.name}/{VALUES}",
    )
    height, width = preprocess["size"]
    with system_errors(folder / FILE):
        write_network(network, about, (height, width), folder)
    require_agreement(network, folder)
