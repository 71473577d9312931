"""Wrong labels planted on purpose, and which question finds them: on the digits and on features in Tip-Adapter's layout.

One support and one validation label in twenty is made wrong, two quick methods are trained on what is then said (`xmap train`, which
opens no test split), and the labels are ranked by what the store says of them: as `label-suspects` did before, by the neighbours' vote, by
the probability out of sample, and by the rule of confident learning (Northcutt et al., JAIR 2021).

python -m benchmarks.suspects [FOLDER]        rewrites a table of docs/calibration.md; FOLDER is ../shared/data/caltech69-b32
"""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize, one_hot

from benchmarks.calibration import DATA, PAGE
from benchmarks.page import replace_between
from xmap.cli.main import app
from xmap.stages.datasets.digits import write_digits
from xmap.stages.imports.tensor_files import read_labels, read_matrix
from xmap.store.formats.tables import Array
from xmap.store.sql.connection import connect
from xmap.store.sql.questions import IMPROBABLE

METHODS = {"extract": (), "build-cache": (), "train": ("--methods", "zero-shot,tip-adapter-f")}
COMMAND = "python -m benchmarks.suspects"
SHARE, PLANTINGS, SHUFFLES = 0.05, 3, 20
DIGITS = ("--model", "xmap-tiny", "--views", "0", "--shots", "1000", "--short", "keep")
KINDS = {"any": "any other class", "near": "the nearest other class"}
QUESTIONS = ("no neighbour has it", "share of neighbours that have it", "probability out of sample", "confident learning")
SAID = """
select o.sample_id, o.class_name as label, avg(o.label_probability) as probability, arg_max(o.likely_name, o.likely_probability) as likely,
  avg(o.likely_probability) as likely_probability, avg(a.neighbor_agreement) as vote
from out_of_sample o left join (select * from affinity where epoch <= 1) a using (artifact, split, sample_id)
where o.split = '{split}' group by o.sample_id, o.class_name order by o.sample_id"""


@dataclass(frozen=True)
class Said:
    """What a store says of the labels of a split, sorted by sample (B): which are wrong, the columns of `SAID`, and the rankings."""

    wrong: Array
    columns: Mapping[str, Array]

    def rankings(self) -> Iterator[tuple[str, Array, Array]]:
        """Of each question its name, how suspect (B,) each label is to it, and which (B,) it names."""
        probability, vote = self.columns["probability"], self.columns["vote"]
        if not np.isnan(vote).any():
            yield QUESTIONS[0], (vote == 0).astype(float), vote == 0
            yield QUESTIONS[1], -vote, vote == 0
        yield QUESTIONS[2], -probability, probability < IMPROBABLE
        named = self._confidently_wrong()
        yield QUESTIONS[3], named - probability, named

    def _confidently_wrong(self) -> Array:
        """Less probable than labels of its class are, while another class is as probable as its own labels are."""
        names, place = np.unique(np.concatenate([self.columns["label"], self.columns["likely"]]), return_inverse=True)
        label, likely = np.split(place, 2)
        counts, sums = np.bincount(label, minlength=len(names)), np.bincount(label, self.columns["probability"], len(names))
        usual = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
        return (label != likely) & (self.columns["probability"] < usual[label]) & (self.columns["likely_probability"] >= usual[likely])


def xmap(words: list[str]) -> None:
    """Do what `xmap WORDS` does, here: a process of its own would take longer to start than to work."""
    if app([*words, "--quiet"], prog_name="xmap", standalone_mode=False):
        raise SystemExit(f"xmap {words[0]} failed.")


def planted(features: torch.Tensor, labels: torch.Tensor, kind: str, seed: int) -> torch.Tensor:
    """The labels (B,), a share of them made wrong: any other class, or the one whose mean is the nearest; `none` leaves them."""
    if kind == "none":
        return labels
    draw, found, classes = np.random.default_rng(seed), labels.clone(), int(labels.max()) + 1
    means = normalize(one_hot(labels, classes).float().T @ features, dim=1)
    near = (features @ means.T).scatter(1, labels[:, None], -2.0).argmax(1)
    for row in draw.choice(len(labels), round(SHARE * len(labels)), replace=False).tolist():
        others = [label for label in range(classes) if label != int(labels[row])]
        found[row] = near[row] if kind == "near" else int(draw.choice(others))
    return found


def digits(folder: Path) -> Callable[[str, int], Path]:
    """Extract the digits once; then a store trained on them with labels planted by kind and seed."""
    root, plain = folder / "digits", folder / "plain"
    write_digits(root)
    flags = ["--data", str(root), *DIGITS]
    xmap(["extract", *flags[:6], "--store", str(plain)])
    with connect(plain) as connection:
        rows = connection.query(
            "select sample_id, label, class_name, split, feature from features where view = 0 and split <> 'test' order by sample_id"
        ).to_pylist()

    def store(kind: str, seed: int) -> Path:
        root, table = folder / f"digits-{kind}-{seed}", folder / f"digits-{kind}-{seed}.csv"
        names = {row["label"]: row["class_name"] for row in rows}
        shutil.copytree(plain, root)
        with table.open("w", encoding="utf-8", newline="") as file:
            whole = csv.writer(file)
            whole.writerow(["sample_id", "label"])
            for split in ("train", "val"):
                own = [row for row in rows if row["split"] == split]
                features = normalize(torch.tensor([row["feature"] for row in own]), dim=1)
                found = planted(features, torch.tensor([row["label"] for row in own]), kind, seed)
                whole.writerows((row["sample_id"], names[int(label)]) for row, label in zip(own, found, strict=True))
        for command in ("extract", "build-cache", "train"):
            given = flags[:6] if command == "extract" else [*flags, "--seeds", "1"]
            xmap([command, *given, *METHODS[command], "--labels", str(table), "--store", str(root)])
        return root

    return store


def layout(data: Path, shots: int, folder: Path) -> Callable[[str, int], Path]:
    """A store trained on features in Tip-Adapter's layout with labels planted by kind and seed; its test split is validation's features."""

    def store(kind: str, seed: int) -> Path:
        place, root = folder / f"{shots}-{kind}-{seed}", folder / f"store-{shots}-{kind}-{seed}"
        place.mkdir()
        for name in ("text_weights.pt", "classnames.json", f"keys_{shots}shots.pt", "val_f.pt"):
            shutil.copyfile(data / name, place / name)
        keys = normalize(read_matrix(data / f"keys_{shots}shots.pt").T.float(), dim=1)
        values = read_matrix(data / f"values_{shots}shots.pt")
        torch.save(
            one_hot(planted(keys, values.argmax(1), kind, seed), values.shape[1]).to(values.dtype), place / f"values_{shots}shots.pt"
        )
        features = normalize(read_matrix(data / "val_f.pt").float(), dim=1)
        labels = read_labels(data / "val_l.pt", len(features), values.shape[1])
        torch.save(planted(features, labels, kind, seed), place / "val_l.pt")
        for name in ("f", "l"):
            shutil.copyfile(place / f"val_{name}.pt", place / f"test_{name}.pt")
        xmap(["import", "tip-adapter", str(place), "--name", "caltech", "--store", str(root)])
        for command in ("build-cache", "train") if kind != "none" else ():
            given = ["--features", "caltech", "--shots", str(shots), "--seeds", "1"]
            xmap([command, *given, *METHODS[command], "--store", str(root)])
        return root

    return store


def said(store: Path, truth: Mapping[str, str], split: str) -> Said:
    """What the store says of a split whose right classes are known by sample."""
    with connect(store) as connection:
        table = connection.query(SAID.format(split=split))
    columns = {name: table[name].to_numpy() for name in table.column_names if name not in ("label", "likely", "sample_id")}
    text = {name: np.asarray(table[name].to_pylist()) for name in ("label", "likely")}
    right = np.asarray([truth[sample] for sample in table["sample_id"].to_pylist()])
    return Said(text["label"] != right, {**columns, **text})


def classes_of(store: Path) -> dict[str, str]:
    """The class of each sample of a store whose labels are right."""
    with connect(store) as connection:
        return {row["sample_id"]: row["class_name"] for row in connection.query("select sample_id, class_name from samples").to_pylist()}


def found_early(suspect: Array, wrong: Array) -> tuple[float, float]:
    """The share of wrong labels among as many of the most suspect, and average precision; means over orders of those that are alike."""
    draw, firsts, averages = np.random.default_rng(0), [], []
    for _ in range(SHUFFLES):
        hits = wrong[np.lexsort((draw.random(len(wrong)), -suspect))]
        firsts.append(hits[: wrong.sum()].mean())
        averages.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return float(np.mean(firsts)), float(np.mean(averages))


def line_of(title: str, found: list[Said]) -> str:
    """A row of the table: a cell a question, means over plantings."""
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in QUESTIONS}
    for one in found:
        for name, suspect, named in one.rankings():
            numbers = (*found_early(suspect, one.wrong), float(named.sum()), float((named & one.wrong).sum() / one.wrong.sum()))
            measured[name].append(numbers)
    cells = []
    for rows in measured.values():
        first, average, count, part = np.mean(rows, 0) if rows else (0.0,) * 4
        cells.append(f"{first:.2f}, {average:.3f}; {count:.0f}, {part:.0%}" if rows else "")
    return f"| {title} | {found[0].wrong.sum()} of {len(found[0].wrong):,} | {' | '.join(cells)} |"


def main() -> None:
    """Plant, train, rank, print, and write the table where the data is at hand."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not data.is_dir():
        sys.exit(f"{data} is not there; name a folder of features in Tip-Adapter's layout.")
    torch.set_num_threads(1)
    lines = [f"| labels | wrong | {' | '.join(QUESTIONS)} |", f"|---|---|{'---|' * len(QUESTIONS)}"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        worlds = {"digits": digits(place), **{f"Caltech, {shots} shots": layout(data, shots, place) for shots in (4, 16)}}
        for title, store in worlds.items():
            truth = classes_of(place / "plain" if title == "digits" else store("none", 0))
            for kind, words in KINDS.items():
                stores = [store(kind, seed) for seed in range(PLANTINGS)]
                for split, what in (("train", "support"), ("val", "validation")):
                    lines.append(line_of(f"{title}, {what}, {words}", [said(root, truth, split) for root in stores]))
                    print(lines[-1], file=sys.stderr, flush=True)
    replace_between(PAGE, COMMAND, {"wrong labels": lines})


if __name__ == "__main__":
    main()
