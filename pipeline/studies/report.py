"""A report of evaluations: what they were made from is found again in the store."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from xmap.pipeline.adapters.adapter import INPUTS
from xmap.pipeline.run.source import stated
from xmap.pipeline.studies.growth import growth_of
from xmap.pipeline.studies.learning import has_curve, picture
from xmap.pipeline.studies.pictures import pictures_of
from xmap.pipeline.upkeep.named import find_evaluation, raise_damage
from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import TEST
from xmap.stages.names import ADAPTER, ANSWERS, EVAL, IMAGES, JOINED, PAIRS, numbered
from xmap.stages.report.gather import Run, gather
from xmap.stages.report.logs import require_logs, require_pairs, require_training_log
from xmap.stages.report.page import page
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.usable import usable
from xmap.store.disk.files import make_folder
from xmap.store.disk.output import Output, html_page
from xmap.store.errors import ArtifactMissing
from xmap.store.sql.connection import connect

FOLDER = "reports"


@dataclass(frozen=True)
class Report:
    """A report that was written: where (`-` is stdout), how many bytes, what it cannot show, and where its images were taken from."""

    path: str
    bytes: int
    remarks: tuple[str, ...]
    images: tuple[str, ...]


def report(
    store: Store,
    names: Sequence[str] = (),
    output: Path | str | None = None,
    data: str = "",
    limit: int = 1000,
    max_pixels: int | None = None,
) -> Report:
    """Write the report of the evaluations called `names` (default: the newest).

    `output` defaults to a file in the store's folder `reports`. `data` says where the images are; without it those are shown that
    this store extracted on this machine. Larger ones than `max_pixels` have no picture. Raises `XmapError`.
    """
    target = html_page(output) if output else None
    evaluations = _evaluations(store, names)
    by_print = {artifact.fingerprint: artifact for artifact in store.artifacts()}
    labels = _labels(evaluations)
    runs = [_run(store, evaluation, by_print, label, data, max_pixels) for evaluation, label in zip(evaluations, labels, strict=True)]
    with connect(store.root) as connection:
        found = gather(connection, runs, limit)
    found["learning"] = _learning(runs)
    title = f"xmap report: {', '.join(dict.fromkeys(run.name for run in runs))}"
    made = datetime.now(UTC).isoformat(timespec="seconds")
    whole = page(title, {"title": title, "made": made, **found}).encode()
    target = target or _in_store(store, runs)
    target.write(whole)
    remarks = dict.fromkeys(remark for run in runs for remark in run.pictures.remarks)
    return Report(target.name, len(whole), tuple(remarks), tuple(dict.fromkeys(run.pictures.place for run in runs if run.pictures.place)))


def _learning(runs: Sequence[Run]) -> str:
    """Accuracy against shots as the address of a picture; empty where the evaluations are no curve."""
    names = {run.evaluation.inputs["test"]: run.texts.name for run in runs}
    twice = len(set(names.values())) < len(names)
    titles = {test: f"{name}, test images {test[:8]}" if twice else name for test, name in names.items()}
    results = [(titles[run.evaluation.inputs["test"]], row) for run in runs for row in usable(run.evaluation).summary["results"]]
    return f"data:image/svg+xml;base64,{b64encode(picture(results).encode()).decode()}" if has_curve(results) else ""


def _in_store(store: Store, runs: Sequence[Run]) -> Output:
    path = store.root / FOLDER / f"{'+'.join(run.evaluation.path.name for run in runs[:3])}.html"
    make_folder(path.parent)
    return Output(path, "--store DIR")


def _evaluations(store: Store, names: Sequence[str]) -> list[Artifact]:
    if names:
        found = [find_evaluation(store, name) for name in names]
        return list({artifact.fingerprint: artifact for artifact in found}.values())
    survey = store.survey(EVAL)
    newest = survey.artifacts[-1:]
    if not newest:
        for damage in survey.damaged.values():
            raise damage
        raise ArtifactMissing(EVAL, "newest", "run `xmap run` first.")
    return newest


def _labels(evaluations: Sequence[Artifact]) -> list[str]:
    """What tells runs of one name apart: when each was made, to the day, to the minute, or with its fingerprint; else nothing."""
    made = [str(found.manifest["created"]).replace("T", " ") for found in evaluations]
    names = [found.name for found in evaluations]
    days, minutes = [when[:10] for when in made], [when[:16] for when in made]
    certain = [f"{when} {found.fingerprint[:8]}" for when, found in zip(minutes, evaluations, strict=True)]
    marks = next(marks for marks in (days, minutes, certain) if len(set(zip(names, marks, strict=True))) == len(names) or marks is certain)
    return ["" if names.count(name) == 1 else mark for name, mark in zip(names, marks, strict=True)]


def _run(store: Store, evaluation: Artifact, by_print: Mapping[str, Artifact], label: str, data: str, max_pixels: int | None) -> Run:
    texts = by_print.get(usable(evaluation).inputs["texts"])
    if texts is None or texts.stage not in INPUTS["texts"]:
        raise_damage(store.survey(), evaluation.inputs["texts"])
        raise ArtifactMissing("texts", evaluation.inputs["texts"][:8], f"run `{evaluation.manifest['command']}` again.")
    require_logs(evaluation, len(usable(texts).summary["classes"]))
    parts = (found for found in by_print.values() if found.summary.get("parts", {}).get(TEST) == evaluation.inputs["test"])
    images = next(parts, None)
    named = {name: by_print.get(digest) for name, digest in evaluation.inputs.items() if name.startswith("adapter ")}
    adapters = {name: usable(found) for name, found in named.items() if found is not None and found.stage == ADAPTER}
    for adapter in adapters.values():
        require_training_log(adapter)
    pictures = pictures_of(store, _seen_by_one(images, by_print), data, max_pixels)
    pairs = _pairs(evaluation, adapters.values(), by_print)
    growth, remarks = growth_of(adapters.values(), by_print)
    pictures = replace(pictures, remarks=(*pictures.remarks, *remarks))
    kept = _kept(adapters.values(), by_print.values())
    return Run(evaluation, texts, images, adapters, pictures, pairs, label, stated(evaluation, DataConfig).labels, growth, kept)


def _seen_by_one(images: Artifact | None, by_print: Mapping[str, Artifact]) -> Artifact | None:
    """Where features of several encoders were joined, those of the first: they know where the images are."""
    if images is None or images.stage != JOINED:
        return images
    return by_print.get(images.inputs[numbered(IMAGES, 1)])


def _kept(adapters: Iterable[Artifact], artifacts: Iterable[Artifact]) -> Sequence[Artifact]:
    """Of each name the answers of these adapters that were used last."""
    prints = {adapter.fingerprint for adapter in adapters}
    found = {answers.name: answers for answers in artifacts if answers.stage == ANSWERS and answers.inputs.get("adapter") in prints}
    return [usable(answers) for answers in found.values()]


def _pairs(evaluation: Artifact, adapters: Iterable[Artifact], by_print: Mapping[str, Artifact]) -> Artifact | None:
    """The newest pairs among the images that were scored and those that the adapters learned from."""
    caches = (by_print.get(adapter.inputs["cache"]) for adapter in adapters)
    learned = {cache.inputs.get("support") for cache in caches if cache is not None}
    compared = (found for found in by_print.values() if found.stage == PAIRS and found.inputs.get("test") == evaluation.inputs["test"])
    found = [pairs for pairs in compared if pairs.inputs.get("training") in learned]
    if not found:
        return None
    require_pairs(found[-1])
    return usable(found[-1])
