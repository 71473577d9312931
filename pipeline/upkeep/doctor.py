"""What xmap stands on, tried part by part: each finding says what was found and, where it is wrong, how to mend it.

Nothing heavy is imported here: what could crash or hang is tried in child processes (`pipeline.upkeep.probe`).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any, Literal

from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.upkeep.collect import unfinished
from xmap.stages.encoder.names import TINY
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.manifest import LIBRARIES, SCHEMA_VERSION
from xmap.store.disk.files import free_bytes

State = Literal["ok", "note", "problem"]
OLDEST = (3, 11)
# Below these a run of ordinary size is likely to stop.
LITTLE_DISK, LITTLE_TEMPORARY = 2 << 30, 256 << 20
PATIENCE_SECONDS = 180
# Below this share of torch's speed FAISS runs a kernel that does not fit the processor: those that do come to two thirds and more.
SLOW = 0.5


@dataclass(frozen=True)
class Finding:
    """One part and its state; `remedy` is empty where there is nothing to mend."""

    part: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """What is looked at."""

    store: Store
    config: XmapConfig


def checks(store: Store, config: XmapConfig) -> Iterator[tuple[str, Callable[[], list[Finding]]]]:
    """What is tried, in words, and the trial."""
    for what, check in CHECKS.items():
        yield what, partial(_findings, check, Patient(store, config))


def _findings(check: Check, patient: Patient) -> list[Finding]:
    return list(check(patient))


def _python(patient: Patient) -> Iterator[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if sys.version_info[:2] < OLDEST:
        yield Finding("Python", "problem", found, f"install Python {'.'.join(map(str, OLDEST))} or newer")
    else:
        yield Finding("Python", "ok", found)


def _packages(patient: Patient) -> Iterator[Finding]:
    missing, found = [], []
    for name in (library for library in LIBRARIES if not library.startswith("faiss")):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("packages", "problem", f"{', '.join(missing)} not installed", f"pip install {' '.join(missing)}")
    if found:
        yield Finding("packages", "ok", ", ".join(found))


def _faiss(patient: Patient) -> Iterator[Finding]:
    """Several distributions write one package `faiss`: two of them leave a mixture of both."""
    names = sorted(set(packages_distributions().get("faiss", ())))
    found = ", ".join(f"{name} {version(name)}" for name in names)
    usual = "faiss-gpu" if (platform.system(), platform.machine()) == ("Linux", "x86_64") else "faiss-cpu"
    if not names:
        yield Finding("faiss", "problem", "not installed", f"pip install {usual}")
    elif len(names) > 1:
        remedy = f"pip uninstall -y {' '.join(names)} && pip install {usual}"
        yield Finding("faiss", "problem", f"{found} are installed over one another", remedy)
    else:
        yield Finding("faiss", "ok", found)


def _together(patient: Patient) -> Iterator[Finding]:
    """torch and faiss in one process: each brings an OpenMP runtime, and two different ones can crash or never answer."""
    answer = _probe("libraries")
    if "error" in answer:
        remedy = "reinstall both with pip in a fresh environment, not one by conda and one by pip"
        yield Finding("torch with faiss", "problem", str(answer["error"]), remedy)
        return
    if not answer["agree"]:
        yield Finding("torch with faiss", "problem", "they find different nearest neighbours", "reinstall both in a fresh environment")
    else:
        yield Finding("torch with faiss", "ok", "they work in one process and agree")
    yield from _kernel(answer)
    yield from _gpus(answer)


def _kernel(answer: Mapping[str, Any]) -> Iterator[Finding]:
    """What FAISS multiplies with on the CPU, beside torch: its OpenBLAS may not know this processor."""
    by = f"the kernel {answer['kernel']} of its OpenBLAS" if answer["kernel"] else "a BLAS that does not tell its kernel"
    found = f"multiplies by {by}, at {answer['speed']:.1f} times torch's speed"
    if answer["speed"] < SLOW:
        remedy = "name a kernel for this processor in OPENBLAS_CORETYPE, or install another build of FAISS: searches are slow"
        yield Finding("FAISS's kernel", "note", found, remedy)
    else:
        yield Finding("FAISS's kernel", "ok", found)


def _gpus(answer: Mapping[str, Any]) -> Iterator[Finding]:
    gpus, seen = list(answer["gpus"]), int(answer["faiss_gpus"])
    driver = Path("/proc/driver/nvidia/version").exists()
    if gpus and not seen:
        remedy = "pip uninstall -y faiss-cpu && pip install faiss-gpu, for searches on the GPU"
        yield Finding("GPU", "note", f"torch sees {', '.join(gpus)}; faiss sees none and searches on the CPU", remedy)
    elif gpus:
        yield Finding("GPU", "ok", f"{', '.join(gpus)}, CUDA {answer['cuda']}; faiss sees {seen}")
    elif driver:
        remedy = (
            "install a torch build for this driver's CUDA"
            if answer["cuda"] is None
            else "compare the driver (nvidia-smi) with torch's CUDA"
        )
        yield Finding("GPU", "problem", f"there is an NVIDIA driver, but torch (CUDA {answer['cuda']}) sees no GPU", remedy)
    else:
        yield Finding("GPU", "ok", "none; everything runs on the CPU")


def _models(patient: Patient) -> Iterator[Finding]:
    """The model in the package shows whether open_clip works; the one that is set, whether its weights are here."""
    encoder = patient.config.encoder
    names = list(dict.fromkeys((TINY, encoder.model)))
    asked = _probe("models", *(encoder.model_copy(update={"model": name}).model_dump_json() for name in names))
    for name, answer in zip(names, asked.get("models", [asked] * len(names)), strict=True):
        if "error" not in answer:
            yield Finding("model", "ok", f"{answer['name']} loads and encodes, width {answer['width']}")
            if name == encoder.model:
                yield from _batches(patient)
        elif name == TINY:
            yield Finding("model", "problem", str(answer["error"]), "pip install --force-reinstall open_clip_torch, and xmap itself")
        elif answer["kind"] == "InputError" and "cannot get the weights" in answer["error"]:
            remedy = f"they are downloaded by the first run; offline, give --model local-dir:PATH or {TINY}"
            yield Finding("model", "note", f"the weights of {name} are not on this machine", remedy)
        else:
            yield Finding("model", "problem", str(answer["error"]), "choose another --model or --pretrained")


def _batches(patient: Patient) -> Iterator[Finding]:
    """Whether rows of features may be taken from other batches: where not, from none but the very same ones."""
    config = patient.config
    answer = _probe("batches", config.run.device, str(config.extract.batch_size), config.encoder.model_dump_json())
    if answer.get("kind") == "Timeout":
        remedy = "an extraction tries it before it takes rows from a store; on a slow machine that takes minutes, once"
        yield Finding("batches", "note", f"no answer within {PATIENCE_SECONDS} s whether rows depend on their neighbours", remedy)
        return
    if "error" in answer:
        yield Finding("batches", "problem", str(answer["error"]), "choose another --device or --batch-size")
        return
    threads = int(answer["threads"])
    where = f"on {answer['device']}" + (f" with {threads} thread{'s' * (threads != 1)}" if answer["device"] == "cpu" else "")
    rows = f"a row of {answer['name']} in batches of {config.extract.batch_size} {where}"
    alike = "" if answer["alike"] else "; one thread would give other last bits"
    if answer["holds"]:
        yield Finding("batches", "ok", f"{rows} does not depend on its neighbours{alike}")
    else:
        remedy = "features are taken from no extraction but one of the same batches; another --batch-size may not have this, 1 never has"
        yield Finding("batches", "note", f"{rows} depends on its neighbours{alike}", remedy)


def _disk(patient: Patient) -> Iterator[Finding]:
    root = patient.store.root
    there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("disk", "problem", f"{there} may not be written", "change its owner, or choose another store with --store DIR")
    places = [("store", there, LITTLE_DISK), ("temporary files", Path(tempfile.gettempdir()), LITTLE_TEMPORARY)]
    for what, folder, little in places:
        free = free_bytes(folder)
        found = f"{free / 1e9:,.1f} GB free for {what} at {folder}"
        if free < little:
            yield Finding("disk", "note", found, "free some, this is little for ordinary work")
        else:
            yield Finding("disk", "ok", found)


def _store(patient: Patient) -> Iterator[Finding]:
    root, survey = patient.store.root, patient.store.survey()
    yield Finding("store", "ok", f"{len(survey.artifacts)} finished artifacts of schema version {SCHEMA_VERSION} in {root}")
    for error in survey.damaged.values():
        yield Finding("store", "problem", str(error))
    left = list(unfinished(patient.store))
    if left:
        remedy = "the command that was interrupted goes on from them; `xmap gc` removes them"
        yield Finding("store", "note", f"{len(left)} builds were never finished, such as {left[0].parent.name}/{left[0].name}", remedy)


Check = Callable[[Patient], Iterator[Finding]]
CHECKS: Mapping[str, Check] = {
    "Python": _python,
    "packages": _packages,
    "faiss": _faiss,
    "torch with faiss": _together,
    "the model": _models,
    "disk": _disk,
    "the store": _store,
}


def _probe(*arguments: str) -> dict[str, Any]:
    """The answer of a probe; `error` and `kind` where it has none."""
    command = [sys.executable, "-P", "-m", "xmap.pipeline.upkeep.probe", *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(  # noqa: S603  (our own module; a model's name is one argument of it, no shell reads it)
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE_SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {PATIENCE_SECONDS} s", "kind": "Timeout"}
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    if isinstance(answer, dict):
        return answer
    last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
    how = f"died of signal {-done.returncode}" if done.returncode < 0 else f"ended with exit code {done.returncode}"
    return {"error": f"the process {how}: {last}", "kind": "Crash"}
