"""A report of evaluations: what they were made from is found again in the store, their images where the recorded command says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.adapters import INPUTS
from pipeline.commands import config_of
from pipeline.features import HASHES
from pipeline.lineage import find_artifact, raise_damage
from stages.datasets.dataset import TEST
from stages.datasets.open import open_dataset
from stages.datasets.places import Place
from stages.identities import ADAPTER, EVAL
from stages.report.gather import Run, gather
from stages.report.logs import require_logs, require_training_log
from stages.report.page import page
from store.artifact import Artifact, Store
from store.errors import ArtifactMissing, XmapError
from store.files import make_folder
from store.notes import Notes
from store.output import Output
from store.schemas import usable
from store.sql import connect

FOLDER = "reports"


@dataclass(frozen=True)
class Report:
    """A report that was written: where (`-` is stdout), how many bytes, and what it cannot show."""

    path: str
    bytes: int
    remarks: tuple[str, ...]


def report(store: Store, names: Sequence[str] = (), output: Path | str | None = None, data: str = "", limit: int = 1000) -> Report:
    """Write the report of the evaluations called `names` (default: the newest).

    `output` defaults to a file in the store's folder `reports`; `data` overrides where the images are. Raises `XmapError`.
    """
    target = Output(output) if output else None
    evaluations = _evaluations(store, names)
    by_print = {artifact.fingerprint: artifact for artifact in store.artifacts()}
    titles = _titles(evaluations)
    runs = [_run(store, evaluation, by_print, title, data) for evaluation, title in zip(evaluations, titles, strict=True)]
    with connect(store.root) as connection:
        found = gather(connection, runs, limit)
    title = f"xmap report: {', '.join(dict.fromkeys(run.name for run in runs))}"
    made = datetime.now(UTC).isoformat(timespec="seconds")
    whole = page(title, {"title": title, "made": made, **found}).encode()
    target = target or _in_store(store, runs)
    target.write(whole)
    return Report(target.name, len(whole), tuple(dict.fromkeys(remark for run in runs for remark in run.remarks)))


def _in_store(store: Store, runs: Sequence[Run]) -> Output:
    path = store.root / FOLDER / f"{'+'.join(run.evaluation.path.name for run in runs[:3])}.html"
    make_folder(path.parent)
    return Output(path, "--store DIR")


def _evaluations(store: Store, names: Sequence[str]) -> list[Artifact]:
    if names:
        found = [find_artifact(store, name, EVAL) for name in names]
        return list({artifact.fingerprint: artifact for artifact in found}.values())
    survey = store.survey(EVAL)
    newest = survey.artifacts[-1:]
    if not newest:
        for damage in survey.damaged.values():
            raise damage
        raise ArtifactMissing(EVAL, "newest", "run `xmap run` first.")
    return newest


def _titles(evaluations: Sequence[Artifact]) -> list[str]:
    """Names that tell the runs apart."""
    count = Counter(evaluation.name for evaluation in evaluations)
    return [found.name if count[found.name] == 1 else f"{found.name} {found.fingerprint[:8]}" for found in evaluations]


def _run(store: Store, evaluation: Artifact, by_print: Mapping[str, Artifact], title: str, data: str) -> Run:
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
    paths, remarks = _images(images, data, Notes(store.root / HASHES))
    return Run(evaluation, texts, images, adapters, paths, title, remarks)


def _images(images: Artifact | None, data: str, notes: Notes) -> tuple[Mapping[str, Place], tuple[str, ...]]:
    """Where each sample's image is, and a remark where that cannot be known."""
    if images is None or (not data and "content" not in images.fields):
        return {}, ("the features were imported, so there are no images to show",) if images else ()
    try:
        config = config_of(str(images.manifest["command"]), ("data",)).data
        dataset = open_dataset(config.model_copy(update={"data": data}) if data else config, notes=notes)
    except XmapError as error:
        return {}, (f"the images are not shown: {error} Name their folder with --data DIR.",)
    found = {sample.sample_id: sample.place for sample in dataset.samples}
    return found, ()
