"""What the SQL views stand on: files and facts taken from manifests; `selects.py` defines each view over them.

A view reads an explicit list of files, never a pattern, and has the columns and types of `store.sql.columns` whether it has a
million rows or none. No duckdb here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.removed import explained
from xmap.store.disk.headers import parse_json
from xmap.store.errors import ArtifactDamaged, ArtifactRemoved, XmapError
from xmap.store.formats.answers import ANSWERS
from xmap.store.formats.features import ERRORS
from xmap.store.formats.log import AFFINITY, LATER, OUT_OF_SAMPLE, OUT_OF_SAMPLE_TABLE, PREDICTIONS
from xmap.store.formats.packs import all_packs
from xmap.store.formats.pairs import PAIRS
from xmap.store.formats.samples import BAD_TABLE, CONTENT, GROUP, SAMPLES, SOURCE, makers_of, shared_bytes
from xmap.store.formats.sentences import SENTENCES, SENTENCES_TABLE
from xmap.store.formats.tables import read_schema, require_columns

METRICS = "metrics.json"
TABLES = {
    "images": pa.schema([*SAMPLES, ("split", pa.string())]),
    "errors": ERRORS,
    "affinity": AFFINITY,
    "predictions": PREDICTIONS,
    "out_of_sample": OUT_OF_SAMPLE,
    "pairs": PAIRS,
    "answers": ANSWERS,
    "sentences": SENTENCES,
}
# The stages whose tables are all of one view.
OF_ONE_VIEW = ("pairs", "answers")


@dataclass(frozen=True)
class Sources:
    """What the views stand on: rows taken from manifests, and for each view the Parquet files it reads.

    `referring` are the tables of samples whose features lie in packs, `grouped` those of them that tell groups and sources;
    `predicted` are the tables of predictions by those columns that they were written too early to have.
    """

    files: Mapping[str, tuple[Path, ...]]
    referring: tuple[Path, ...]
    grouped: tuple[Path, ...]
    predicted: Mapping[tuple[str, ...], tuple[Path, ...]]
    file_rows: list[dict[str, Any]]
    pack_rows: list[dict[str, Any]]
    class_rows: list[dict[str, Any]]
    artifact_rows: list[dict[str, Any]]
    run_rows: list[dict[str, Any]]
    damaged: tuple[XmapError, ...]


def sources(store: Store) -> Sources:
    """Read all manifests and check all files' sizes. What is damaged is left out, whole artifacts at a time, and named."""
    artifacts, damaged = _sound(store)
    by_print = {artifact.fingerprint: artifact for artifact in artifacts}
    providers = providers_of(artifacts)
    datasets = {artifact.path: dataset_of(artifact, providers) for artifact in artifacts}
    origins = [(artifact, _origin(artifact, by_print)) for artifact in artifacts]
    numbers = {origin.fingerprint: number for number, (_, origin) in enumerate(origins) if origin}
    files: dict[str, list[Path]] = {kind: [] for kind in TABLES}
    file_rows: list[dict[str, Any]] = []
    referring: list[Path] = []
    for artifact, origin in origins:
        for kind, path in _tables(artifact):
            files[kind].append(path)
            makers = makers_of(path) if kind == "images" else ()
            referring += [path] if makers else []
            plain, augmented = makers[0] if makers else ("", "")
            number = numbers[origin.fingerprint] if origin else None
            about = {"artifact": _path(artifact), "dataset": datasets[artifact.path], "plain": plain, "augmented": augmented}
            file_rows.append({"file": str(path), "origin": number, **about})
    packs: dict[Path, str] = {}
    odd: list[ArtifactDamaged] = []
    for found in all_packs(store):
        paths, damages = found.sound()
        packs |= dict.fromkeys(paths, found.name)
        odd += damages
    files["packs"] = list(packs)
    return Sources(
        {kind: tuple(paths) for kind, paths in files.items()},
        tuple(referring),
        tuple(path for path in referring if GROUP.name in read_schema(path).names),
        _by_lack(files["predictions"]),
        file_rows,
        [{"file": str(path), "maker": maker} for path, maker in packs.items()],
        [row for digest, number in numbers.items() for row in _class_rows(by_print[digest], number)],
        [_artifact_row(artifact) for artifact in artifacts],
        [row for artifact in artifacts for row in _run_rows(artifact, datasets[artifact.path], by_print)],
        (*damaged, *odd),
    )


def _sound(store: Store) -> tuple[list[Artifact], tuple[XmapError, ...]]:
    """The artifacts whose manifests and sizes hold, and what is wrong with the others."""
    survey = store.survey()
    sound, damaged = [], list(survey.damaged.values())
    for artifact in survey.artifacts:
        try:
            _require_tables(artifact)
            _results(artifact)
            sound.append(artifact)
        except ArtifactDamaged as error:
            if not isinstance(explained(error), ArtifactRemoved):
                damaged.append(error)
    return sound, tuple(damaged)


def _require_tables(artifact: Artifact) -> None:
    """Raise `ArtifactDamaged` where a table is not one that the views can read: it would be in the way of all others."""
    for kind, path in _tables(artifact):
        refers = kind == "images" and bool(makers_of(path))
        about = (GROUP, SOURCE) if refers and GROUP.name in read_schema(path).names else ()
        types = pa.schema([*TABLES[kind], CONTENT, *about]) if refers else TABLES[kind]
        if kind == "predictions":
            types = pa.schema([field for field in types if field.name not in _lacking(path)])
        require_columns(path, types, "feature" if kind == "images" and not refers else "")


def _lacking(path: Path) -> tuple[str, ...]:
    """The columns that a table of predictions was written too early to have."""
    names = read_schema(path).names
    return tuple(name for name in LATER if name not in names)


def _by_lack(paths: Iterable[Path]) -> dict[tuple[str, ...], tuple[Path, ...]]:
    """Tables of predictions by the columns that they lack, in order."""
    found: dict[tuple[str, ...], tuple[Path, ...]] = {}
    for path in sorted(paths):
        lacking = _lacking(path)
        found[lacking] = (*found.get(lacking, ()), path)
    return found


def _tables(artifact: Artifact) -> Iterable[tuple[str, Path]]:
    if artifact.stage == "images":
        return (("errors" if path.name == BAD_TABLE else "images", path) for path in artifact.files(suffix=".parquet"))
    if artifact.stage in ("adapter", "eval"):
        logs = [("affinity", path) for path in artifact.files("affinity/", ".parquet")]
        logs += [("predictions", path) for path in artifact.files("predictions", ".parquet")]
        return logs + [("out_of_sample", path) for path in artifact.files(OUT_OF_SAMPLE_TABLE)]
    if artifact.stage == "cache":
        return [("sentences", path) for path in artifact.files(SENTENCES_TABLE)]
    if artifact.stage in OF_ONE_VIEW:
        return [(artifact.stage, path) for path in artifact.files(suffix=".parquet")]
    return ()


def _origin(artifact: Artifact, by_print: Mapping[str, Artifact]) -> Artifact | None:
    """The artifact that names the classes: itself or, breadth first, what it was made from."""
    return next((found for found in _sources(artifact, by_print) if isinstance(found.summary.get("classes"), list)), None)


def dataset_of(artifact: Artifact, providers: Mapping[str, Sequence[Artifact]]) -> str | None:
    """The name of the data set that an artifact comes from; None where what it was made from is gone.

    Data sets share what is the same in them, such as the texts of the same classes or one split: images tell more than texts, and of
    several data sets the one whose name the artifact's begins with.
    """
    own = _dataset(artifact)
    if own:
        return own
    reached = _reached(artifact, providers)
    names = [name for found in reached if found.stage == "images" and (name := _dataset(found))]
    names = names or [name for found in reached if (name := _dataset(found))]
    begun = [name for name in names if artifact.name.startswith(f"{name}-")]
    return max(begun, key=len) if begun else next(iter(names), None)


def providers_of(artifacts: Iterable[Artifact]) -> Mapping[str, Sequence[Artifact]]:
    """The artifacts behind each fingerprint by which others refer to them, their own or that of a part; the newest first."""
    found: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        for digest in dict.fromkeys((artifact.fingerprint, *dict(artifact.summary.get("parts") or {}).values())):
            found.setdefault(digest, []).insert(0, artifact)
    return found


def _reached(artifact: Artifact, providers: Mapping[str, Sequence[Artifact]]) -> list[Artifact]:
    """All that an artifact may have been made from, the nearest first."""
    queue, seen = [artifact], set(artifact.inputs.values())
    waiting = list(artifact.inputs.values())
    for digest in waiting:
        for found in providers.get(digest, ()):
            queue.append(found)
            fresh = [inner for inner in found.inputs.values() if inner not in seen]
            seen.update(fresh)
            waiting += fresh
    return queue[1:]


def _sources(artifact: Artifact, by_print: Mapping[str, Artifact]) -> Iterator[Artifact]:
    """An artifact and, breadth first, all that it was made from."""
    queue, seen = [artifact], {artifact.fingerprint}
    for current in queue:
        yield current
        fresh = [digest for digest in current.inputs.values() if digest in by_print and digest not in seen]
        seen.update(fresh)
        queue.extend(by_print[digest] for digest in fresh)


def _class_rows(origin: Artifact, number: int) -> list[dict[str, Any]]:
    """The class names of an artifact that has them, under a number: joining millions of rows on text would take seconds."""
    return [{"origin": number, "label": label, "class_name": str(name)} for label, name in enumerate(origin.summary["classes"])]


def _dataset(artifact: Artifact) -> str | None:
    name = artifact.summary.get("dataset")
    return name if isinstance(name, str) else None


def _artifact_row(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    facts = {key: manifest[key] for key in ("stage", "name", "fingerprint", "created")}
    sizes = {"bytes": sum(entry["size"] for entry in manifest["files"]), "shared_bytes": shared_bytes(artifact)}
    return {
        **facts,
        "used": artifact.used,
        "seconds": float(manifest["seconds"]),
        **sizes,
        "path": _path(artifact),
        "artifact": _path(artifact),
    }


def _run_rows(artifact: Artifact, dataset: str | None, by_print: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """One row a method and seed; facts of the method stand in the rows of all its seeds."""
    if artifact.stage != "eval":
        return []
    shared = {"created": artifact.manifest["created"], "dataset": dataset, "artifact": _path(artifact)}
    rows = []
    for result in _results(artifact):
        ends = dict(_ends(result))
        accuracies, temperatures = _listed(result, "accuracies"), _listed(result, "temperatures")
        for number, seed in enumerate(_listed(result, "seeds")):
            adapter = by_print.get(artifact.inputs.get(f"adapter {result.get('method')} seed {seed}", ""))
            own = {"run": adapter.path.name if adapter else artifact.path.name, "seed": seed}
            rows.append({**result, **ends, **own, "accuracy": _at(accuracies, number), "temperature": _at(temperatures, number), **shared})
    return rows


def _ends(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The ends of each interval of a result, as columns."""
    for name in ("accuracy", "coverage"):
        yield from zip((f"{name}_low", f"{name}_high"), (*_listed(result, f"{name}_ci95"), None, None), strict=False)


def _listed(result: Mapping[str, Any], name: str) -> list[Any]:
    found = result.get(name)
    return found if isinstance(found, list) else []


def _at(values: Sequence[Any], number: int) -> Any:
    return values[number] if number < len(values) else None


def _results(artifact: Artifact) -> list[dict[str, Any]]:
    """The list `results` of the summary, else of metrics.json; an evaluation without it has no rows."""
    results: Any = artifact.summary.get("results")
    if results is None and any(entry["name"] == METRICS for entry in artifact.manifest["files"]):
        try:
            metrics = parse_json(artifact.read(METRICS))
        except (ValueError, RecursionError) as error:
            raise ArtifactDamaged(artifact.path / METRICS, "it is not JSON", artifact.remedy) from error
        results = metrics.get("results") if isinstance(metrics, dict) else None
    return [entry for entry in results if isinstance(entry, dict)] if isinstance(results, list) else []


def _path(artifact: Artifact) -> str:
    return f"{artifact.path.parent.name}/{artifact.path.name}"
