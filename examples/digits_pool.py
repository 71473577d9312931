"""Divide the demo's digits as a person has them who begins to label: a few with labels, a test set, and a pool without any.

`python examples/digits_pool.py` writes digits/ (train, val and test), pool/ and answers.csv; with `answer FILE` it fills in the labels of
FILE from there, in place of a person.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

from xmap.stages.datasets.digits import CLASSES, write_digits

PARTS = {"digits/train": 4, "digits/val": 12, "digits/test": 60}
ANSWERS = Path("answers.csv")


def write() -> None:
    """Of each digit 4 to train, 12 to choose settings on and 60 to test; all others have no label and lie in one folder."""
    write_digits(Path("all"))
    Path("pool").mkdir(exist_ok=True)
    answers: list[tuple[str, str]] = []
    for digit in CLASSES:
        files = sorted(Path("all", digit).iterdir())
        for part, count in PARTS.items():
            Path(part, digit).mkdir(parents=True, exist_ok=True)
            for file in files[:count]:
                file.rename(Path(part, digit, file.name))
            files = files[count:]
        answers += [(file.rename(Path("pool", file.name)).as_posix(), digit) for file in files]
    shutil.rmtree("all")
    with open(ANSWERS, "w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("path", "label"), *answers])


def answer(name: str) -> None:
    """Give each image of the table its label."""
    with open(ANSWERS, encoding="utf-8", newline="") as table:
        known = {row["path"]: row["label"] for row in csv.DictReader(table)}
    with open(name, encoding="utf-8-sig", newline="") as table:
        rows = [{**row, "label": known[row["path"]]} for row in csv.DictReader(table)]
    with open(name, "w", encoding="utf-8-sig", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    answer(sys.argv[2]) if sys.argv[1:2] == ["answer"] else write()
