"""`xmap predict`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from xmap.cli.answers import (
    NOTHING,
    AnswersOption,
    CopyOption,
    FormOption,
    IntoOption,
    KeepOption,
    LinesOption,
    TopOption,
    Way,
    chosen_way,
    write,
)
from xmap.cli.options import (
    AdapterOption,
    AlsoModelOption,
    CacheDirOption,
    DepthOption,
    DeviceOption,
    MethodOption,
    ModelOption,
    PretrainedOption,
    QuietOption,
    RejectOption,
    SeedOption,
    SetsByOption,
    SetsOption,
    StoreOption,
    WorkersOption,
    opened,
)
from xmap.cli.progress import progress_on_stderr
from xmap.store.disk.new_folder import NewFolder
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.pipeline.adapters.adapter import Adapter


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Images, folders, tables, tars or Parquet of images, patterns of these two, or URLs; - reads one a line from stdin.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str, typer.Option("--data", metavar="DATA", help="The images in any form that extraction takes, labelled or not; path or URL.")
    ] = "",
    features: Annotated[
        str, typer.Option("--features", metavar="NAME", help="Stored features of this name instead: nothing is encoded.")
    ] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the evidence: both caches' affinities, nearest cached images, what each encoder says.")
    ] = False,
    together: Annotated[
        bool,
        typer.Option("--together", help="Learn from all of these images first, without labels: an answer then depends on the others."),
    ] = False,
    sets: SetsOption = None,
    sets_by: SetsByOption = "all",
    reject: RejectOption = None,
    top: TopOption = None,
    adapter: AdapterOption = "",
    method: MethodOption = "",
    seed: SeedOption = None,
    form: FormOption = "",
    output: AnswersOption = "",
    json: LinesOption = False,
    store_as: KeepOption = "",
    into: IntoOption = "",
    copy: CopyOption = False,
    model: ModelOption = "",
    pretrained: PretrainedOption = "",
    also_model: AlsoModelOption = None,
    cache_dir: CacheDirOption = "",
    device: DeviceOption = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", min=1, metavar="N", help="Images in one forward pass. [64; with --data as extracted]", show_default=False
        ),
    ] = None,
    workers: WorkersOption = None,
    depth: DepthOption = "",
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", min=1, metavar="N", help="A larger image is a bad one. [as extracted]", show_default=False)
    ] = None,
    keep: Annotated[
        bool | None,
        typer.Option(
            "--keep-features/--no-keep-features",
            help="Keep features in the store: these images are encoded once. [yes, but for files and folders as PATH]",
            show_default=False,
        ),
    ] = None,
    root: Annotated[str, typer.Option("--root", metavar="DIR", help="With --data coop:NAME, the folder that holds the benchmarks.")] = "",
    engine: Annotated[str, typer.Option("--engine", metavar="ENGINE", help="local or ray, where images are encoded.")] = "local",
    gpus: Annotated[
        float | None,
        typer.Option("--gpus-per-worker", min=0, metavar="N", help="GPUs of a Ray worker. [1 where there are any]", show_default=False),
    ] = None,
    store: StoreOption = "",
    quiet: QuietOption = False,
) -> None:
    """Classify new images with a trained adapter: class probabilities, and the encoder's own zero-shot answer beside them.

    Takes the newest adapter of a store with one data set, the one named, that of a data set named, or a folder that `xmap export`
    wrote. An image that cannot be read is listed and the others go on; a path that is not there is an error.

    Example: xmap predict holiday/ --explain
    """
    chosen, target = chosen_way(form, output, json, explain, bool(store_as or into))
    folders = NewFolder(into, "--into DIR") if into else None
    if copy and not into:
        raise InputError("--copy is for the images that --into sorts; name a folder with it, or leave it out.")
    from xmap.pipeline.adapters.kept_answers import Keeping, kept_answers
    from xmap.pipeline.adapters.labelling import answers_of, load_answering, require_apart, require_one_place
    from xmap.pipeline.adapters.pool import PoolRequest
    from xmap.stages.predict.class_folders import sorted_into

    encoder = {"model": model, "pretrained": pretrained, "cache_dir": cache_dir, "also_model": also_model or ()}
    settings = {
        "extract.batch_size": batch_size, "extract.depth": depth, "extract.max_pixels": max_pixels,
        "run.device": device, "run.workers": workers, "run.engine": engine, "run.gpus_per_worker": gpus,
    }  # fmt: skip
    # Answers that are kept stand on features that are, which no ONNX file gives.
    keep = True if store_as and keep is None and not features else keep
    images = PoolRequest(_listed(paths or []), data, features, root, keep, encoder, settings)
    require_one_place(images, [path for path in paths or () if path != "-"])
    require_apart(images, [place.path for place in (target, folders) if place is not None])
    with progress_on_stderr(quiet) as progress:
        here = opened(store, adapter)
        loaded = load_answering(images, here, adapter, method, seed, progress.say)
        if together:
            from xmap.pipeline.adapters.together import learned_together, require_unpromised

            loaded = learned_together(require_unpromised(loaded, sets, reject), images, here, progress)
        asked = loaded.asked(explain, sets, sets_by, reject)
        progress.say(f"adapter {loaded.artifact.name} of {loaded.artifact.manifest['created']}, {len(loaded.classes)} classes")
        if asked.pool:
            progress.say(f"it learned from {asked.pool} too")
        for promised in (asked.sets, asked.rejection):
            if promised:
                progress.say(str(promised))
        if store_as:
            keeping = Keeping(store_as, top, also=chosen != NOTHING or folders is not None)
            answers = kept_answers(cast("Adapter", loaded), images, here, asked, keeping, progress)
        else:
            answers = answers_of(loaded, images, here, asked, progress)
        if folders:
            answers = sorted_into(answers, folders, copy, progress)
        write(answers, Way(chosen, target, asked, top))


def _listed(paths: list[str]) -> list[str]:
    """The given paths, with `-` replaced by the lines of stdin."""
    listed: list[str] = []
    for path in paths:
        # A name may hold every other sign that parts lines.
        listed += [line.rstrip("\r") for line in sys.stdin.read().split("\n") if line.strip()] if path == "-" else [path]
    return listed
