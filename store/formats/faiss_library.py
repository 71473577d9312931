"""Loading FAISS, by the one module that imports it, with a kernel of its OpenBLAS that fits the processor.

FAISS's wheels carry an OpenBLAS of 2021: to a processor that it does not know it gives its slowest kernel. `OPENBLAS_CORETYPE` names
another, and is read when the library is loaded, once; the BLAS of torch and of NumPy are others, and loaded before. Old builds are
known to be wrong or to crash on some processors: so what OpenBLAS takes by itself, and what is asked for in its place, is tried in a
process of its own first, and what came of it is noted for this user. `python -m xmap.store.formats.faiss_library NAME` is such a trial.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from xmap.store.disk.processor import processor_flags
from xmap.store.errors import InputError
from xmap.store.memory.hashes import file_stamp
from xmap.store.memory.notes import Notes
from xmap.store.memory.sources import state_folders

# What OpenBLAS reads the name of a kernel from.
VARIABLE = "OPENBLAS_CORETYPE"
# Kernels to ask for, the fastest first, and the flags of Linux that each needs.
KERNELS: Mapping[str, frozenset[str]] = {
    "SkylakeX": frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}),
    "Haswell": frozenset({"avx2", "fma"}),
}
# Kernels that are left where OpenBLAS takes them by itself: no other would be faster, and answers keep their last bits.
FAST = ("SkylakeX", "Cooperlake", "SapphireRapids", "Haswell", "Zen")
# Where trials are noted, the note for "as OpenBLAS chooses", and the seconds that a trial may take.
NOTES, PLACE, OWN, PATIENCE = "kernels.sqlite", "kernel of FAISS's OpenBLAS", "own", 60
# How a process ends whose kernel the processor does not have, or whose kernel is broken.
CRASHES = tuple(-number for number in (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE))
MAPS = Path("/proc/self/maps")
# Keys and queries of a trial and their width: more queries than FAISS multiplies one by one, and no multiples of a kernel's tiles.
KEYS, QUERIES, WIDTH, FOUND = 1031, 203, 115, 8
# Bytes of address space that loading faiss with its CUDA libraries takes, and as much again.
ROOM = 1 << 30


def load_faiss() -> Any:
    """The library. Raises `MemoryError` where `ulimit -v` leaves no room for it, and `InputError` where it lacks what it needs."""
    # Imported late: planning and `--help` need no index. torch goes first, the order in which the two OpenMP runtimes agree.
    import torch  # noqa: F401

    if "faiss" in sys.modules:
        return sys.modules["faiss"]
    _require_address_space()
    try:
        with _asking(kernel()):
            import faiss
    # Its GPU build looks for the libraries of CUDA itself, and says what it misses in a RuntimeError.
    except (ImportError, OSError, RuntimeError) as error:
        from xmap.store.formats.tables import first_line

        raise InputError(f"FAISS cannot be loaded ({first_line(error)}); install xmap anew, with all that it needs.") from error
    return faiss


def kernel() -> str:
    """The kernel to ask for; empty where OpenBLAS is to choose: where the user has said one, where its own is fast, or none holds."""
    flags = processor_flags()
    allowed = [name for name, needed in KERNELS.items() if needed <= flags]
    spec = find_spec("faiss")
    if VARIABLE in os.environ or not allowed or spec is None or spec.origin is None:
        return ""
    folders = state_folders()
    notes, stamps = Notes(folders[0] / NOTES if folders else None), {PLACE: _stamp(Path(spec.origin))}
    known = notes.recall(stamps).get(PLACE)
    if known is None:
        known = _tried(allowed)
        if known:
            notes.remember(stamps, {PLACE: known})
    return known if known in allowed else ""


def running() -> str:
    """The kernel that the loaded FAISS multiplies with; empty where its BLAS does not tell. NumPy's own OpenBLAS has other names."""
    try:
        lines = MAPS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for path in dict.fromkeys(line.split(maxsplit=5)[-1] for line in lines if "openblas" in line):
        try:
            told = ctypes.CDLL(path).openblas_get_corename
        except (OSError, AttributeError):
            continue
        told.restype = ctypes.c_char_p
        return str(told().decode())
    return ""


@contextmanager
def _asking(name: str) -> Iterator[None]:
    """Ask OpenBLAS for a kernel while it is loaded, and no child of this process afterwards."""
    if name:
        os.environ[VARIABLE] = name
    try:
        yield
    finally:
        if name:
            os.environ.pop(VARIABLE, None)


def _stamp(origin: Path) -> str:
    """Another FAISS, or another processor, is tried anew."""
    what = " ".join([file_stamp(origin)[0], *sorted(processor_flags())])
    return blake3(what.encode()).hexdigest()


def _tried(allowed: list[str]) -> str:
    """The first kernel that runs as asked and agrees with NumPy, or `OWN`; empty where a trial said nothing, which is tried again."""
    own = _trial("")
    if own is None or own["kernel"] in ("", *FAST):
        return OWN if own else ""
    for name in allowed:
        answer = _trial(name)
        if answer is None or answer == {"kernel": name, "agrees": True}:
            return name if answer else ""
    return OWN


def _trial(name: str) -> Mapping[str, Any] | None:
    """What a process says that asked for this kernel; None where it said nothing and did not crash either."""
    command = [sys.executable, "-P", "-m", "xmap.store.formats.faiss_library", name]
    try:
        done = subprocess.run(  # noqa: S603  (our own module)
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )
        answer = {"kernel": name, "agrees": False} if done.returncode in CRASHES else json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return answer if isinstance(answer, dict) and answer.keys() == {"kernel", "agrees"} else None


def try_kernel(name: str) -> dict[str, Any]:
    """A search as FAISS makes it with the kernel `name` (empty: its own) beside NumPy's in double precision."""
    # What crashes leaves no file behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with _asking(name):
        import faiss

    draw = np.random.default_rng(0)
    keys, queries = (draw.standard_normal((count, WIDTH), np.float32) for count in (KEYS, QUERIES))
    index = faiss.IndexFlatIP(WIDTH)
    index.add(keys)
    scores, _ = index.search(queries, FOUND)
    exact = np.sort(queries.astype(np.float64) @ keys.T.astype(np.float64), axis=1)[:, : -FOUND - 1 : -1]
    return {"kernel": running(), "agrees": bool(np.allclose(scores, exact, rtol=1e-5, atol=1e-4))}


def _require_address_space() -> None:
    """Raise `MemoryError` where `ulimit -v` leaves no room for faiss, which dies of that without a word."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    statistics = Path("/proc/self/statm")
    if limit == resource.RLIM_INFINITY or not statistics.exists():
        return
    left = limit - int(statistics.read_text().split()[0]) * resource.getpagesize()
    if left < ROOM:
        raise MemoryError(f"the limit of address space leaves {max(left, 0):,} bytes for faiss")


if __name__ == "__main__":
    print(json.dumps(try_kernel(sys.argv[1])))
