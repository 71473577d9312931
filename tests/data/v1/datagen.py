"""How the store beside this file was made, once: `python -m tests.data.v1.datagen` from the root of the repository.

It stands for the stores of users that were made by the first schema version. It is never made again: a change that cannot read
it has to refuse it with the version and the command that builds it anew (tests/promises/test_old_stores.py).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from tests.worlds.inputs import write_photos
from tests.worlds.models import write_model

HERE = Path(__file__).resolve().parent
RUN = (
    "run --data photos --model local-dir:model --views 1 --batch-size 4 --workers 0 --shots 2 --seeds 1 "
    "--methods zero-shot,tip-adapter-f,xmadapter --set methods.tip-adapter-f.epochs=2 --set methods.xmadapter.min_steps=4 "
    "--set methods.xmadapter.epochs=2 --store store --quiet"
)
QUESTIONS = (
    "SELECT split, count(*) AS images FROM samples GROUP BY split ORDER BY split",
    "SELECT method, sample_id, label, predicted FROM predictions ORDER BY method, sample_id",
    "SELECT method, split, epoch, count(*) AS n FROM affinity GROUP BY ALL ORDER BY ALL",
    "SELECT method, seed, shots, accuracy FROM runs ORDER BY method, seed",
    "SELECT stage, count(*) AS n, CAST(sum(bytes) AS BIGINT) AS bytes FROM artifacts GROUP BY stage ORDER BY stage",
)


def main() -> None:
    """Write `store` and `answers.json`; refuses where they are."""
    from xmap.cli.main import app
    from xmap.store.sql.connection import connect

    if (HERE / "store").exists():
        raise SystemExit("the frozen store is there; it is never made again")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_photos(Path("photos"), train=2, val=1, test=1)
        write_model(Path("model"))
        app(RUN.split(), standalone_mode=False)
        shutil.copytree("store", HERE / "store", ignore=shutil.ignore_patterns("locks", "hashes.sqlite"))
    with connect(HERE / "store") as connection:
        answers = {question: connection.query(question).to_pylist() for question in QUESTIONS}
    (HERE / "answers.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
