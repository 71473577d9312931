"""`xmap predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from xmap.cli.answers import AnswersOption, FormOption, LinesOption, TopOption, Way, chosen_way, write
from xmap.cli.options import AdapterOption, MethodOption, QuietOption, SeedOption, StoreOption, opened
from xmap.cli.progress import progress_on_stderr
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.predict.answers import Answers
    from xmap.stages.workplace.progress import Progress


def command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Images or folders of images; - reads one path a line from stdin.")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the evidence: both caches' affinities and the nearest cached images.")
    ] = False,
    sets: Annotated[
        float | None,
        typer.Option(
            "--sets",
            metavar="SHARE",
            help="Also the set of classes that has the right one for SHARE of images, as 0.9.",
            show_default=False,
        ),
    ] = None,
    sets_by: Annotated[
        str,
        typer.Option("--sets-by", metavar="WHAT", help="all, or class: SHARE holds for each class that has samples enough."),
    ] = "all",
    reject: Annotated[
        float | None,
        typer.Option(
            "--reject",
            metavar="SHARE",
            help="No class for an image of none of the classes, where SHARE of the others is accepted, as 0.95.",
            show_default=False,
        ),
    ] = None,
    top: TopOption = None,
    adapter: AdapterOption = "",
    method: MethodOption = "",
    seed: SeedOption = None,
    form: FormOption = "",
    output: AnswersOption = "",
    json: LinesOption = False,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The encoder, where the adapter comes without it, or from elsewhere.")
    ] = "",
    pretrained: Annotated[str, typer.Option("--pretrained", metavar="TAG", help="Its weights.")] = "",
    cache_dir: Annotated[str, typer.Option("--cache-dir", metavar="DIR", help="Where open_clip keeps downloaded weights.")] = "",
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu or cuda.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images in one forward pass.")] = 64,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads that decode images.")] = 4,
    depth: Annotated[str, typer.Option("--depth", metavar="BITS", help="Bits of the values in images of more than 8. [as extracted]")] = "",
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", min=1, metavar="N", help="A larger image is a bad one. [as extracted]", show_default=False)
    ] = None,
    store: StoreOption = "",
    quiet: QuietOption = False,
) -> None:
    """Classify new images with a trained adapter: class probabilities, and the encoder's own zero-shot answer beside them.

    Takes the newest adapter of a store with one data set, the one named, that of a data set named, or a folder that `xmap export`
    wrote. An image that cannot be read is listed and the others go on; a path that is not there is an error.

    Example: xmap predict holiday/ --explain
    """
    chosen, target = chosen_way(form, output, json, explain)
    from xmap.pipeline.adapters.choice import load_chosen
    from xmap.pipeline.adapters.given_images import image_paths, require_there

    require_there([path for path in paths if path != "-"])
    with progress_on_stderr(quiet) as progress:
        found = image_paths(_listed(paths), progress)
        loaded = load_chosen(opened(store, adapter), adapter, method, seed, progress.say)
        asked = loaded.asked(explain, sets, sets_by, reject)
        rules = loaded.rules(depth, max_pixels)
        encoder = loaded.encoder(model, pretrained, cache_dir, device)
        made = loaded.artifact.manifest["created"]
        progress.say(f"adapter {loaded.artifact.name} of {made}, {len(loaded.classes)} classes, on {encoder.device}")
        for promised in (asked.sets, asked.rejection):
            if promised:
                progress.say(str(promised))
        answers = loaded.stream(found, encoder, progress, batch_size, workers, asked, rules)
        write(_noticed(answers, progress, len(found)), Way(chosen, target, asked, top))


def _listed(paths: list[str]) -> list[str]:
    """The given paths, with `-` replaced by the lines of stdin."""
    listed: list[str] = []
    for path in paths:
        # A name may hold every other sign that parts lines.
        listed += [line.rstrip("\r") for line in sys.stdin.read().split("\n") if line.strip()] if path == "-" else [path]
    return listed


def _noticed(answers: Iterable[Answers], progress: Progress, total: int) -> Iterator[Answers]:
    """The same answers, and a line for each image that could not be read. Raises `InputError` where none could be."""
    bad = 0
    for batch in answers:
        for row, error in batch.bad.items():
            progress.say(f"{batch.names[row]}: {error.kind}, {error.message}")
        bad += len(batch.bad)
        yield batch
    if bad:
        progress.say(f"{bad:,} of {total:,} images could not be read")
    if bad == total:
        raise InputError(f"none of the {total:,} images could be read; check the paths above.")
