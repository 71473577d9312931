"""`xmap report`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from xmap.cli.console import plain, print_json, size
from xmap.cli.options import JsonOption, QuietOption, StoreOption, artifact_names, opened
from xmap.cli.progress import progress_on_stderr
from xmap.store.disk.output import STDOUT


def command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EVAL", help="Evaluations by name or fingerprint, or data sets. [the newest]", autocompletion=artifact_names
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The HTML file. [reports/NAME.html in the store]")] = "",
    data: Annotated[str, typer.Option("--data", metavar="DIR", help="Where the images are. [where this store extracted them here]")] = "",
    samples: Annotated[int, typer.Option("--samples", min=2, metavar="N", help="Most test images listed one by one.")] = 1000,
    max_pixels: Annotated[
        int | None,
        typer.Option("--max-pixels", min=1, metavar="N", help="A larger image has no picture. [as extracted]", show_default=False),
    ] = None,
    store: StoreOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write one HTML file that shows where the methods are right and wrong, and the evidence of each prediction.

    It opens from disk and loads nothing. Several evaluations are compared in one report.

    Example: xmap report -o report.html
    """
    from xmap.pipeline.studies.report import report

    with progress_on_stderr(quiet) as progress:
        made = report(opened(store), names or (), output, data, samples, max_pixels)
        for remark in made.remarks:
            progress.say(remark)
        for place in made.images:
            progress.say(f"images from {place}")
        progress.say(f"{size(made.bytes)}; open it in a browser:")
    if output == STDOUT:
        return
    if json:
        print_json(asdict(made))
    else:
        typer.echo(plain(made.path))
