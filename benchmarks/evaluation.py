"""`xmap eval` over a million stored test rows beside what it cannot avoid: its matrix products, reading rows and writing its log.

python -m benchmarks.evaluation [ROWS]        rewrites its section of docs/benchmarks.md
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.load import CLASSES, WIDTH, write_features
from benchmarks.page import write_section
from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute, run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.adapters.neighbors import BATCH
from xmap.stages.eval import stage
from xmap.stages.names import ADAPTER, CACHE, EVAL, PAIRS
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.index import VectorIndex

ROWS, SHOTS, METHOD = 1_000_000, 4, "tip-adapter"
KEYS = SHOTS * CLASSES


def products(rows: int, nearest: int) -> Counter[str]:
    """Seconds of the products alone, in batches as they are scored: those of the formula, and those of what is shown beside it."""
    draw = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(BATCH, WIDTH, generator=draw), dim=-1)
    keys, texts, root = (torch.randn(count, WIDTH, generator=draw) for count in (KEYS, CLASSES, WIDTH))
    index = VectorIndex.build(keys.numpy())
    # Of what is shown, zero-shot's answer and how strange a row is take a product with all classes each, and the latter a map.
    ways: dict[str, Callable[[], object]] = {
        "formula": lambda: (features @ keys.T, features @ texts.T),
        "shown": lambda: (features @ texts.T, (features @ root) @ texts.T, index.search(features.numpy(), nearest)),
    }
    spent: Counter[str] = Counter()
    for _ in range(-(-rows // BATCH)):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            spent[name] += time.perf_counter() - started  # type: ignore[assignment]
    return spent


def evaluation(store: Store, config: XmapConfig) -> Counter[str]:
    """Seconds of an evaluation whose adapters are there, and of its reading and writing."""
    spent: Counter[str] = Counter()

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def work(*arguments: Any) -> Any:
            started = time.perf_counter()
            found = call(*arguments)
            spent[name] += time.perf_counter() - started  # type: ignore[assignment]
            return found

        return work

    plan = make_plan(store, config, EVAL)
    # Whether images are there twice is looked for beside it, and is no part of what an evaluation is.
    plan = replace(plan, steps=tuple(step for step in plan.steps if step.stage != PAIRS))
    with patch.multiple(stage, _read_test=timed("reading", stage._read_test), _write=timed("writing", stage._write)):
        timed("all", execute)(workplace_of(store, config.run, Silent()), plan)
    return spent


def main() -> None:
    """Measure, print and write the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    settings = {"run.features": "load", "run.methods": METHOD, "run.seeds": "1", "cache.shots": SHOTS}
    config = XmapConfig().override(settings)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        write_features(store, rows, {"train": KEYS / rows, "val": KEYS / rows, "test": 1.0})
        run(store, config, build=(CACHE, ADAPTER))
        # Before and after: what else the machine does drifts.
        before = products(rows // 2, config.eval.neighbors)
        found = evaluation(store, config)
        bare = before + products(rows // 2, config.eval.neighbors)
    base = bare["formula"] + bare["shown"] + found["reading"] + found["writing"]
    cells = [bare["formula"], bare["shown"], found["reading"], found["writing"], found["all"]]
    lines = [
        f"{METHOD}, {rows:,} test rows of width {WIDTH}, {CLASSES:,} classes, {KEYS:,} keys, {torch.get_num_threads()} threads; seconds.",
        "",
        "| products of the formula | products of what is shown beside it | reading | writing | the evaluation | beside all these |",
        "|---|---|---|---|---|---|",
        f"| {' | '.join(f'{seconds:.1f}' for seconds in cells)} | **{found['all'] / base:.2f}** |",
        "",
        f"Shown beside it: zero-shot's answer, how strange a row is, and its {config.eval.neighbors} nearest keys.",
    ]
    write_section(f"Evaluation: {rows:,} rows", f"python -m benchmarks.evaluation {rows}", lines)


if __name__ == "__main__":
    main()
