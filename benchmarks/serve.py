"""Serving beside what it cannot avoid: the time of one request beyond its forward pass, and the rate of 16 clients beside batch prediction.

python -m benchmarks.serve [PHOTOS]        rewrites its section of docs/benchmarks.md; PHOTOS is a folder with train, val, test
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import xmap
from benchmarks.extraction import PHOTOS, write_model
from benchmarks.page import write_section

MODEL, METHOD = "ViT-B-32", "tip-adapter"
# Photographs asked about by many clients, and by one.
CLIENTS, MANY, ALONE = 16, 160, 60
FLAGS = ("--views", "0", "--shots", "4", "--seeds", "1", "--methods", METHOD, "--quiet")
BOUNDARY = "a-boundary"
HEADERS = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def request_of(path: Path) -> bytes:
    """An image as the body of a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n'
    return head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


@contextmanager
def server(store: Path) -> Iterator[int]:
    """The port of a server of the store's adapter, while the block runs."""
    words = [sys.executable, "-m", "xmap", "serve", "--store", str(store), "--port", "0", "--json", "--quiet"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout  # noqa: S101
            yield int(json.loads(process.stdout.readline())["address"].rpartition(":")[2])
        finally:
            process.terminate()


def asked(port: int, bodies: Sequence[bytes]) -> list[tuple[float, float]]:
    """Of each request, one after the other on one connection: milliseconds until its answer, and those of its forward pass."""
    connection, found = http.client.HTTPConnection("127.0.0.1", port), []
    for body in bodies:
        started = time.perf_counter()
        connection.request("POST", "/predict", body, HEADERS)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the server answered {answer.status}.")
        forward = float(answer.getheader("server-timing", "").partition("=")[2].partition(",")[0])
        found.append((1000 * (time.perf_counter() - started), forward))
    connection.close()
    return found


def rate(work: Callable[[], object], images: int) -> float:
    """Images a second."""
    started = time.perf_counter()
    work()
    return images / (time.perf_counter() - started)


def together(port: int, bodies: Sequence[bytes]) -> None:
    """All requests, by as many clients at once as there are."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda first: asked(port, bodies[first::CLIENTS]), range(CLIENTS)))


def main(photos: Path) -> None:
    """Measure, print and write the section."""
    if not photos.is_dir():
        raise SystemExit(f"there are no photographs in {photos}; name a folder with train, val and test.")
    every = sorted(photos.rglob("*.jpg"))
    paths = every[:: max(1, len(every) // MANY)]
    bodies = [request_of(path) for path in paths]
    with tempfile.TemporaryDirectory() as place:
        store, model = Path(place) / "store", write_model(MODEL, Path(place) / MODEL)
        words = [sys.executable, "-m", "xmap", "run", "--data", str(photos), "--model", model, *FLAGS, "--store", str(store)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        adapter = xmap.load(store=store)
        adapter.predict(paths[:64])
        with server(store) as port:
            asked(port, bodies[:10])
            alone = asked(port, bodies[:ALONE])
            before = rate(lambda: adapter.predict(paths), len(paths))
            served = rate(lambda: together(port, bodies), len(paths))
            # Before and after: what else the machine does drifts.
            after = rate(lambda: adapter.predict(paths), len(paths))
    batch = (before + after) / 2
    beyond = statistics.median(total - forward for total, forward in alone)
    forward = statistics.median(forward for _, forward in alone)
    write_section(
        "Serving",
        "python -m benchmarks.serve",
        [
            f"{len(paths):,} photographs, {MODEL} with random weights, {METHOD}; server and clients on one machine, by loopback.",
            "",
            f"One request at a time: {beyond:.1f} ms beyond its forward pass of {forward:.1f} ms, at the median; decoding is among them.",
            "",
            f"{CLIENTS} clients at once: {served:.1f} images/s, `adapter.predict` of all {batch:.1f}: x {served / batch:.2f}.",
        ],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS)
