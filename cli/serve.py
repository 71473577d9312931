"""`xmap serve`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from xmap.cli.console import json_line, say, warn
from xmap.cli.options import (
    AdapterOption,
    AlsoModelOption,
    CacheDirOption,
    DepthOption,
    DeviceOption,
    JsonOption,
    MethodOption,
    ModelOption,
    PretrainedOption,
    QuietOption,
    RejectOption,
    SeedOption,
    SetsByOption,
    SetsOption,
    StoreOption,
    opened,
)
from xmap.store.disk.files import read_plain
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.pipeline.serve.loaded import LoadedAdapter

TOKEN = "XMAP_TOKEN"  # noqa: S105
SHORTEST_TOKEN = 16
LONGEST_TOKEN = 4096
NEEDED = ("fastapi", "uvicorn", "prometheus_client")
LIMITS = "Limits"


def command(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen. Other than loopback takes a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="And at which port; 0 takes one that is free.")
    ] = 8000,
    token_file: Annotated[
        str,
        typer.Option("--token-file", metavar="FILE", help=f"The token that requests must bear. [{TOKEN} in the environment, else none]"),
    ] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="s3://BUCKET/PREFIX/", help="Below it requests may name S3 paths. Repeatable.", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="Classes in `probabilities`, where a request says nothing.")] = 5,
    sets: SetsOption = None,
    sets_by: SetsByOption = "all",
    reject: RejectOption = None,
    adapter: AdapterOption = "",
    method: MethodOption = "",
    seed: SeedOption = None,
    model: ModelOption = "",
    pretrained: PretrainedOption = "",
    also_model: AlsoModelOption = None,
    cache_dir: CacheDirOption = "",
    device: DeviceOption = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, metavar="N", help="Most images in one forward pass.")] = 64,
    workers: Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Threads that decode images.")] = 2,
    depth: DepthOption = "",
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, metavar="N", help="A larger image is a bad one.", rich_help_panel=LIMITS)
    ] = 50_000_000,
    max_bytes: Annotated[
        int, typer.Option("--max-bytes", min=1024, metavar="N", help="Of a request, and of an S3 object.", rich_help_panel=LIMITS)
    ] = 32 << 20,
    max_images: Annotated[int, typer.Option("--max-images", min=1, metavar="N", help="In one request.", rich_help_panel=LIMITS)] = 64,
    queue: Annotated[
        int, typer.Option("--queue", min=1, metavar="N", help="Images that wait; further requests get 503.", rich_help_panel=LIMITS)
    ] = 256,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, metavar="SECONDS", help="To receive a request, and again to answer it.", rich_help_panel=LIMITS),
    ] = 30.0,
    connections: Annotated[
        int, typer.Option("--connections", min=1, metavar="N", help="Held open; then the idlest gives way.", rich_help_panel=LIMITS)
    ] = 512,
    store: StoreOption = "",
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Answer requests over HTTP with a trained adapter: POST /predict, GET /adapter, /health, /metrics and /openapi.json.

    Takes the adapter that predict takes. SIGHUP looks for it again, and takes a new one without a dropped request; SIGTERM
    finishes what is in hand. Needs the extra serve. With --json the address is printed once it listens.

    Example: xmap serve --adapter birds-classifier
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"xmap serve needs {', '.join(missing)}; do `pip install 'xmap[serve]'`.")
    from xmap.pipeline.serve.allowed import Allowed
    from xmap.pipeline.serve.limits import Limits
    from xmap.pipeline.serve.questions import wanted_of
    from xmap.pipeline.serve.server import Serving, bound, require_files
    from xmap.pipeline.serve.service import Setup

    limits = Limits(max_bytes, max_pixels, max_images, queue, timeout, connections)
    wanted = wanted_of(top=top, sets=sets, sets_by=sets_by, reject=reject)
    told = (lambda line: None) if quiet else say
    setup = Setup(limits, wanted, Allowed(allow or ()), _token(token_file), batch_size, workers, told, warn)
    listener = bound(host, port, setup.token)
    require_files(connections)

    def load(before: LoadedAdapter | None) -> LoadedAdapter:
        from xmap.pipeline.adapters.choice import load_chosen
        from xmap.pipeline.serve.loaded import load_served

        chosen = load_chosen(opened(store, adapter), adapter, method, seed, told)
        recorded = chosen.rules(depth)
        rules = chosen.rules(depth, min(max_pixels, recorded.max_pixels))
        encoder = {"model": model, "pretrained": pretrained, "cache_dir": cache_dir, "also_model": also_model or ()}
        loaded = load_served(chosen, encoder, device, rules, before)
        made = chosen.artifact.manifest["created"]
        told(f"adapter {chosen.artifact.name} of {made}, {len(chosen.classes)} classes, on {loaded.encoders.device}")
        return loaded

    def listening() -> None:
        told(f"listening on {listener.address}")
        if json:
            typer.echo(json_line({"address": listener.address, "process": os.getpid()}))
            sys.stdout.flush()

    Serving(listener, setup, load, listening).run()


def _token(path: str) -> bytes:
    """The token of the file, or of the environment; empty where there is none. Raises `InputError` for one that is soon guessed."""
    source = f"--token-file {path}" if path else TOKEN
    if path:
        try:
            found = read_plain(path, LONGEST_TOKEN).strip()
        except OSError as error:
            raise InputError(f"{source} cannot be read ({error.strerror}); name a file that holds the token.") from error
    else:
        # The process that later starts from here need not know it.
        found = os.environ.pop(TOKEN, "").strip().encode("utf-8", "surrogateescape")
        if not found:
            return b""
    if len(found) < SHORTEST_TOKEN or not found.isascii() or b" " in found:
        raise InputError(
            f"the token of {source} is no {SHORTEST_TOKEN} signs of ASCII without blanks; make one, as by `openssl rand -hex 32`."
        )
    return found
