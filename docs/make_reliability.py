"""Write the table of docs/reliability.md: run every test of a failure, quick and thorough, and count the failures they tried.

python docs/make_reliability.py [FILE] takes the counts from FILE, as `pytest --failures FILE` wrote them, in place of a run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- counted: written by docs/make_reliability.py -->", "<!-- end of counted -->"
WHAT = {
    "at once": "four processes started at a barrier on one store, readers looping meanwhile",
    "changed input": "an image, prompt, class or weight file changed between two runs",
    "changed setting": "a setting changed, or one that must not matter",
    "cut or missing file": "a stored file truncated or gone",
    "disk full": "no byte left after the n-th, for many n, and real disks: too small, or filled to the last byte by others",
    "exported folder": "exported adapters of which a file was changed, cut, added, swapped or replaced by a link, two exports mixed, lists that lead out",
    "flipped bit": "one bit in each 64 KiB of each stored file",
    "history": "changes, kills, damages and collections in a row, on a data set and its store; a run after each, compared with one from nothing",
    "hostile checkpoint": "a pickle that would run code, under each accepted suffix",
    "hostile config": "the config of somebody else's image encoder: sizes beyond its weights, odd fields, pooling, paths and names",
    "hostile images and names": "broken, huge, odd and endless image files; names with every awkward character",
    "hostile manifest": "a manifest or config that points outside, or is no JSON",
    "hostile query": "SQL that would read or write files, attach, install or configure",
    "hostile requests": "to `xmap serve`: pictures that unpack to gigabytes, bodies without end, JSON of any depth, forms of nothing but boundaries, "
    "paths and S3 paths that lead elsewhere, no HTTP at all, connections that send nothing or slowly",
    "hostile tar": "links, devices, paths that climb out, sizes that lie, cut and joined tars, odd samples",
    "interrupted": "SIGINT and SIGTERM in mid-run",
    "killed": "`kill -9` at a write point of a stage, then a rerun compared with an undisturbed control",
    "lost connection": "a storage that stops answering between planning and reading",
    "machine of a cluster killed": "one of three machines of a Ray cluster killed while features are extracted",
    "no permission": "a folder that may not be read or written",
    "odd label": "labels and class names of other kinds, out of range, twice, empty or not finite; features without a direction",
    "odd output": "disks full at a byte of the output, links, devices and pipes in its place, streams that are closed or of another "
    "encoding; names that speak to a terminal or a spreadsheet, through every command and format",
    "odd pixels": "pictures of kinds that are not read, and pixels of odd depths, shapes and profiles",
    "old store": "a store made by the first version, and ones of versions to come",
    "other order": "another listing order, worker count, place or number of shards",
    "passing error": "EIO, ENOSPC, ESTALE, EMFILE or EINTR in answer to the n-th fsync, write, read, rename, open or new folder of a run, "
    "once or from there on",
    "plug-in": "methods and sources of other packages that take xmap's names, cannot be loaded, or fail in use",
    "power lost": "a cut after each system call of a command: what was not synced is absent, zeroed, cut or torn at 512 bytes, in any "
    "combination that POSIX allows",
    "random bytes": "files and words changed at random, read in a child process",
    "received folder": "stores, adapters and model folders of others: links, FIFOs and devices in them, configs that name code or places; artifacts that are odd and sealed",
    "rebuilt": "the command that `xmap verify` names, run on a damaged store",
    "schedule": "three commands at once on one store, drawn by a seed, stopped, continued and killed, some with a clock put back by an hour",
    "verifier": "one bit of every kind of byte: heads, footers, pages, fields of manifests, notes, locks; found, or no answer changes",
    "scarce machine": "every command where few files may be open, little more memory may be mapped, shared memory is small, or a container leaves no memory",
    "wrong layout": "class files of every form, split folders under other names, folders too high, single classes, tables beside images",
}


def main(arguments: list[str]) -> None:
    """Count, print the table, and put it into the page. Ends with pytest's exit code where a test failed."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(arguments[0]) if arguments else count(Path(folder) / "failures.json")
        counts = json.loads(source.read_text("utf-8"))
    rows = ["| failure | what is tried | cases | lost |", "|---|---|---:|---:|"]
    rows += [f"| {kind} | {WHAT[kind]} | {found['cases']:,} | {found.get('lost', 0)} |" for kind, found in sorted(counts.items())]
    total, lost = (sum(found.get(name, 0) for found in counts.values()) for name in ("cases", "lost"))
    rows.append(f"| all | | {total:,} | {lost} |")
    print("\n".join(rows))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text("\n".join([before + BEGIN, *rows, END + rest.partition(END)[2]]), encoding="utf-8")


def count(target: Path) -> Path:
    """Run all tests of failures, the long ones too; where they wrote their counts."""
    command = [sys.executable, "-m", "pytest", "tests", "-n", "2", "--dist", "worksteal", "-q", "-m", "failure", "--failures", str(target)]
    code = subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode  # noqa: S603
    if code:
        raise SystemExit(code)
    return target


if __name__ == "__main__":
    main(sys.argv[1:])
