"""A plan of images that nobody has: ids, labels and contents as a table might list them, and no file behind any.

python -m benchmarks.listing COUNT        plans so many and says what that took
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from xmap.stages.config import DataConfig, EncoderConfig, ExtractConfig
from xmap.stages.datasets.content.repeats import repeats
from xmap.stages.datasets.dataset import Dataset, Samples
from xmap.stages.datasets.places.columns import TEXT, Files
from xmap.stages.datasets.splits.divide import divide
from xmap.stages.encoder.identity import resolve
from xmap.stages.extract.identity import ExtractSpec, image_identity
from xmap.stages.extract.wanted import Library, lacking, shards_of, wanted
from xmap.store.memory.hashes import DIGEST
from xmap.store.memory.notes import Notes

CLASSES, ROWS = 1000, 1024


def made_up(count: int) -> Dataset:
    """A data set of so many images in class folders, each of its own bytes."""
    ids = np.empty(count, TEXT)
    for start in range(0, count, 1 << 16):
        stop = min(count, start + (1 << 16))
        ids[start:stop] = [f"class{number * CLASSES // count:04d}/{number:010d}.jpg" for number in range(start, stop)]
    labels = (np.arange(count) * CLASSES // count).astype(np.int32)
    contents = np.random.default_rng(1).integers(0, 256, (count, DIGEST.itemsize), np.uint8).view(DIGEST).reshape(-1)
    samples = Samples(ids, Files("listed", ids), labels, np.full(count, -1, np.int8), np.full(count, "", TEXT), contents)
    return Dataset("listed", samples, tuple(f"class {label}" for label in range(CLASSES)), ("a photo of a {}.",))


def peak() -> float:
    """Resident bytes of this process at the highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def processor() -> float:
    """Seconds of the processor so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Plan and print."""
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        encoder = resolve(EncoderConfig(model="xmap-tiny"), Notes(), Path(name))
        start = peak()
        listed = made_up(count)
        before = processor()
        divided = divide(listed, DataConfig(), lambda places: np.zeros(len(places), DIGEST))
        divided = replace(divided, remarks=(*divided.remarks, *repeats(divided)))
        del listed
        spec = ExtractSpec(divided, encoder, ExtractConfig(views=0))
        image_identity(spec)
        pending = lacking(wanted(spec), Library.of(Path(name), spec, {}), {})
        shards = sum(1 for _ in shards_of(pending, ROWS))
    print(json.dumps({"shards": shards, "seconds": processor() - before, "start": start, "peak": peak()}))


if __name__ == "__main__":
    main()
