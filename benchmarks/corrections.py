"""Wrong labels on the digits, from `xmap sql label-suspects` to corrected results: what it takes, and what it gives on validation.

python -m benchmarks.corrections        rewrites its section of docs/benchmarks.md
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.changes import rows_in
from benchmarks.page import write_section
from benchmarks.process import Cost, measure
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import TRAIN, VAL
from xmap.stages.datasets.digits import write_digits
from xmap.stages.datasets.open import open_dataset
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import split_files
from xmap.stages.fewshot.load import labelled
from xmap.stages.names import EVAL, IMAGES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.formats.features import read_images

SHARE = 0.05
# All training images are in the cache: one that is not has no neighbours that could speak against its label.
RUN = ("--model", "xmap-tiny", "--views", "0", "--shots", "1000", "--short", "keep")


def write_wrong(plain: Path, root: Path) -> dict[str, str]:
    """The digits in folders of splits, a share of the training images in a wrong class: the right classes of these, by sample id."""
    write_digits(plain)
    found, draw, right = open_dataset(DataConfig(data=str(plain))), np.random.default_rng(1), {}
    train = [sample.sample_id for sample in found.split(TRAIN)]
    wrong = set(draw.choice(train, round(SHARE * len(train)), replace=False).tolist())
    for sample in found.samples:
        label, name = found.classes[sample.label], Path(sample.sample_id).name
        given = str(draw.choice([other for other in found.classes if other != label])) if sample.sample_id in wrong else label
        path = root / sample.split / given / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((plain / sample.sample_id).read_bytes())
        right |= {f"{sample.split}/{given}/{name}": label} if given != label else {}
    return right


def correct(table: Path, right: Mapping[str, str]) -> tuple[int, int]:
    """Put the labels of a table of suspects right, as a person would: how many it names, and how many of these were wrong."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", encoding="utf-8", newline="") as file:
        whole = csv.DictWriter(file, list(rows[0]))
        whole.writeheader()
        whole.writerows({**row, "label": right.get(row["sample_id"], row["label"])} for row in rows)
    return len(rows), sum(row["sample_id"] in right for row in rows)


def accuracies(store: Store) -> dict[str, float]:
    """Accuracy of each method of the newest evaluation on all validation images, in percent, mean over seeds."""
    by_print = {artifact.fingerprint: artifact for artifact in store.artifacts()}
    images, evaluation = store.artifacts(IMAGES)[-1], store.artifacts(EVAL)[-1]
    samples = labelled(read_images(split_files(images, VAL)))
    hits: dict[str, list[float]] = {}
    for name, digest in evaluation.inputs.items():
        if name.startswith("adapter "):
            adapter: Artifact = by_print[digest]
            cache = OpenCache(by_print[adapter.inputs["cache"]], by_print[evaluation.inputs["texts"]])
            predicted = Scorer(adapter, cache).scores(samples.features).logits.argmax(1)
            hits.setdefault(str(adapter.summary["method"]), []).append(float((predicted == samples.labels).double().mean()))
    return {method: 100.0 * float(np.mean(values)) for method, values in hits.items()}


def main() -> None:
    """Make the labels wrong, correct those that are named, and write the tables."""
    with tempfile.TemporaryDirectory() as folder:
        root, store, table = Path(folder) / "digits", Path(folder) / "store", Path(folder) / "suspects.csv"
        right = write_wrong(Path(folder) / "plain", root)
        run = ["run", "--data", str(root), *RUN, "--store", str(store)]
        costs: dict[str, Cost] = {"xmap run": measure(run)}
        there, before = rows_in(store), accuracies(Store(store))
        costs["xmap sql label-suspects -o suspects.csv"] = measure(["sql", "label-suspects", "-o", str(table), "--store", str(store)])
        named, found = correct(table, right)
        costs["xmap run --labels suspects.csv"] = measure([*run, "--labels", str(table)])
        encoded, after = rows_in(store) - there, accuracies(Store(store))
    lines = [
        f"{len(right)} labels of the digits' training images ({SHARE:.0%}) were made wrong. `label-suspects` names {named} images, and "
        f"{found} of these were wrong: {found / len(right):.0%} of the wrong labels. These got their right class, and the run with them "
        f"encoded {encoded} images.",
        "",
        "| whole process | s | processor s |",
        "|---|---:|---:|",
        *(f"| `{name}` | {cost.seconds:.1f} | {cost.processor:.1f} |" for name, cost in costs.items()),
        "",
        f"The machine's load was {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
        "",
        "| method | accuracy % on validation, before | after |",
        "|---|---:|---:|",
        *(f"| {method} | {value:.2f} | {after[method]:.2f} |" for method, value in before.items()),
        "",
        "All validation images, whose labels were right throughout, mean over three seeds; at most 4 a class of them chose settings.",
    ]
    write_section("Corrected labels", "python -m benchmarks.corrections", lines)


if __name__ == "__main__":
    main()
