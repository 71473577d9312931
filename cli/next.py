"""`xmap next`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.formats import Destination, Sheet
from xmap.cli.options import (
    AdapterOption,
    CacheDirOption,
    DeviceOption,
    FormatOption,
    JsonOption,
    MethodOption,
    ModelOption,
    OutputOption,
    PretrainedOption,
    QuietOption,
    SeedOption,
    StoreOption,
    WorkersOption,
    opened,
)
from xmap.cli.progress import progress_on_stderr
from xmap.cli.slips import DATA, place_of
from xmap.stages.adapters.percent import percent
from xmap.store.disk.output import STDOUT, html_page
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.pipeline.studies.choose import Chosen


def command(
    place: Annotated[list[str] | None, typer.Argument(metavar="DATA", help="The pool, as --data names it.", show_default=False)] = None,
    data: Annotated[
        str, typer.Option("--data", metavar="POOL", help="Images without labels: a folder, a table of paths, tars or Parquet; path or URL.")
    ] = "",
    count: Annotated[int, typer.Option("-n", "--count", min=1, metavar="N", help="How many images to label.")] = 50,
    labels: Annotated[
        list[str] | None, typer.Option("--labels", metavar="FILE", help="Table of labels given before: not asked again. Repeatable.")
    ] = None,
    links: Annotated[str, typer.Option("--links", metavar="DIR", help="A new folder to fill with links to the images, in order.")] = "",
    page: Annotated[str, typer.Option("--page", metavar="FILE", help="An HTML page to click labels on; it saves them as labels.csv.")] = "",
    adapter: AdapterOption = "",
    method: MethodOption = "",
    seed: SeedOption = None,
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    model: ModelOption = "",
    pretrained: PretrainedOption = "",
    cache_dir: CacheDirOption = "",
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    store: StoreOption = "",
    quiet: QuietOption = False,
) -> None:
    """Choose from images without labels those whose labels would teach the adapter most, as a table to fill in.

    The images are encoded into the store, once. Those that are labelled already, byte for byte, are left out, and those that cannot be
    read are listed. `xmap run --labels FILE` takes the table once its column label is filled in.

    Example: xmap next pool -n 50 -o next.csv
    """
    given = {DATA: data} if data else {}
    pool = place_of(place or [], given).get(DATA, data)
    if not pool:
        raise InputError("no pool is given; name a folder of images with --data POOL.")
    destination, target = Destination(form, output, json), html_page(page, "--page FILE") if page else None
    from xmap.pipeline.studies.choose import ChoiceRequest, choose, label_page_of, require_unfilled

    if destination.output and destination.output.path:
        require_unfilled(destination.output.path)
    encoder = {"model": model, "pretrained": pretrained, "cache_dir": cache_dir}
    asked = ChoiceRequest(pool, count, labels or (), adapter, method, seed, encoder, device, workers)
    with progress_on_stderr(quiet) as progress:
        progress.start("looking at images and model", 1)
        chosen = choose(opened(store), asked, Path(links) if links else None, progress)
        if target:
            target.write(label_page_of(chosen, pool).encode())
            progress.say(f"open {target.name} in a browser to label the images")
    destination.write(_sheet(chosen, _folder(output)))


def _folder(output: str) -> Path:
    """Where the table lies that is written: in the working directory, as long as it is printed."""
    return Path(output).resolve().parent if output not in ("", STDOUT) else Path.cwd()


def _sheet(chosen: Chosen, folder: Path) -> Sheet:
    rows = [(one.called(folder), "", chosen.classes[one.guess], one.probability, one.why, one.content) for one in chosen.candidates]
    path, label, guess, probability, why, content = map(list, zip(*rows, strict=True))
    values: dict[str, Sequence[Any]] = {
        "path": path, "label": label, "guess": guess, "probability": probability, "why": why, "content": content,
    }  # fmt: skip
    texts = {"image": path, "guess": guess, "probability %": list(map(percent, probability))}
    texts |= {"why": [one.doubt for one in chosen.candidates], "caches": [one.dispute for one in chosen.candidates]}
    return Sheet(values, texts, ("probability %",), _facts(chosen, values), spare=("caches",))


def _facts(chosen: Chosen, values: dict[str, Sequence[Any]]) -> dict[str, Any]:
    return {
        "adapter": chosen.adapter.name,
        "classes": chosen.classes,
        "pool": chosen.total,
        "left_out": chosen.left_out,
        "errors": [asdict(row) for row in chosen.bad],
        "candidates": Sheet(values).rows,
    }
