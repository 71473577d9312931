"""`xmap export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from xmap.cli.console import size
from xmap.cli.formats import Destination, Sheet, rows_of
from xmap.cli.options import (
    AdapterOption,
    FormatOption,
    JsonOption,
    MethodOption,
    OutputOption,
    QuietOption,
    SeedOption,
    StoreOption,
    opened,
)
from xmap.cli.progress import progress_on_stderr


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder to write; it must not hold anything yet.")],
    adapter: AdapterOption = "",
    method: MethodOption = "",
    seed: SeedOption = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also one file from pixels to probabilities for onnxruntime, which needs no PyTorch.")
    ] = False,
    store: StoreOption = "",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write one portable folder: adapter, caches, class names, provenance and a README; `xmap predict --adapter DIR` needs no store.

    The encoder's weights come along where they are a file of yours. The images do not.

    Example: xmap export birds-classifier --method xmadapter
    """
    from xmap.pipeline.adapters.choice import load_chosen
    from xmap.pipeline.adapters.export import export, new_folder
    from xmap.pipeline.adapters.onnx_file import require_onnx

    destination = Destination(form, output, json)
    new_folder(Path(folder))
    if onnx:
        require_onnx()
    with progress_on_stderr(quiet) as progress:
        chosen = load_chosen(opened(store, adapter), adapter, method, seed, progress.say)
        target = export(chosen, Path(folder), progress, onnx)
        total = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        progress.say(
            f"exported {chosen.artifact.name} ({len(chosen.classes)} classes, {size(total)}) to {folder}; "
            f"next: xmap predict photo.jpg --adapter {shlex.quote(folder)}"
        )
    if destination.asked:
        facts = {"path": str(target), "adapter": chosen.artifact.name, "fingerprint": chosen.artifact.fingerprint, "bytes": total}
        destination.write(Sheet(rows_of([facts]), facts=facts))
