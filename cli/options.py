"""Flags that several commands share, each declared once, and the store that they name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from xmap.cli.columns import METHOD, RESULTS
from xmap.cli.console import plain
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.root import VARIABLE, is_exported, require_store, store_root

# The heading in help of what all commands have.
GENERAL = "Store, settings and output"

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar=VARIABLE,
        show_envvar=False,
        help="The store. [XMAP_STORE, else .xmap]",
        rich_help_panel=GENERAL,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as --format json.", rich_help_panel=GENERAL)]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.", rich_help_panel=GENERAL)]
RehashOption = Annotated[
    bool,
    typer.Option("--rehash", help="Read every input file again instead of trusting its size and times.", rich_help_panel=GENERAL),
]
ConfigOption = Annotated[
    str, typer.Option("--config", metavar="FILE", help="Config file. [xmap.toml, where there is one]", rich_help_panel=GENERAL)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.FIELD=VALUE",
        help="Any setting, such as methods.tip-adapter-f.epochs=50.",
        rich_help_panel=GENERAL,
    ),
]
AdapterOption = Annotated[
    str,
    typer.Option(
        "--adapter", metavar="NAME", help="An adapter, a data set, an evaluation, or an exported folder. [newest of the one data set]"
    ),
]


def one(value: str) -> str:
    """The one name that is meant where other commands take several. Raises `typer.BadParameter`."""
    if "," in value or value == "all":
        raise typer.BadParameter(f"one at a time here, not {value}")
    return value


MethodOption = Annotated[
    str,
    typer.Option("--method", "--methods", metavar="METHOD", callback=one, help="Take the newest adapter of this method. [xmadapter]"),
]
SeedOption = Annotated[int | None, typer.Option("--seed", "--seeds", metavar="N", help="And of this seed. [the first]", show_default=False)]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, csv, json, jsonl, markdown, latex, or parquet with -o. [that of FILE's suffix, else table]",
        show_default=False,
        rich_help_panel=GENERAL,
    ),
]
ColumnsOption = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help=f"Columns of the table, of: {', '.join(name for name in RESULTS if name != METHOD)}. [a few of them]",
        show_default=False,
        rich_help_panel=GENERAL,
    ),
]
OutputOption = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of stdout.", show_default=False, rich_help_panel=GENERAL),
]
# The encoder and the machine, where an adapter says all else.
ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", help="The encoder, where the adapter comes without it, or from elsewhere.")
]
PretrainedOption = Annotated[str, typer.Option("--pretrained", metavar="TAG", help="Its weights.")]
AlsoModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--also-model", metavar="MODEL", help="A further encoder, where the adapter takes several. Repeatable.", show_default=False
    ),
]
CacheDirOption = Annotated[str, typer.Option("--cache-dir", metavar="DIR", help="Where open_clip keeps downloaded weights.")]
DeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu or cuda.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, metavar="N", help="Threads that decode images. [4; more for a GPU]", show_default=False),
]
DepthOption = Annotated[str, typer.Option("--depth", metavar="BITS", help="Bits of the values in images of more than 8. [as extracted]")]
PlaceArgument = Annotated[list[str] | None, typer.Argument(metavar="DATA", help="The images, as --data names them.", show_default=False)]


def opened(store: str, adapter: str = "") -> Store:
    """The store to read. Raises `StoreMissing` where --store names one that is not there and `adapter` is no exported folder.

    One that nobody named is the one that a first run would make: it holds nothing yet.
    """
    root = store_root(store or None)
    if store not in ("", os.environ.get(VARIABLE)) and not (adapter and is_exported(Path(adapter))):
        require_store(root)
    return Store(root)


def artifact_names(incomplete: str) -> list[str]:
    """The artifacts of the store whose name or fingerprint begins so, for shell completion."""
    from xmap.store.artifacts.fingerprint import SHORT

    found = Store(store_root(None)).artifacts()
    names = (word for artifact in found for word in (artifact.name, artifact.fingerprint[:SHORT]))
    # A shell prints them as they are.
    return sorted({name for name in names if name.startswith(incomplete) and name == plain(name)})


SetsOption = Annotated[
    float | None,
    typer.Option(
        "--sets",
        metavar="SHARE",
        help="Also the set of classes that has the right one for SHARE of images, as 0.9.",
        show_default=False,
    ),
]
SetsByOption = Annotated[
    str, typer.Option("--sets-by", metavar="WHAT", help="all, or class: SHARE holds for each class that has samples enough.")
]
RejectOption = Annotated[
    float | None,
    typer.Option(
        "--reject",
        metavar="SHARE",
        help="No class for an image of none of the classes, where SHARE of the others is accepted, as 0.95.",
        show_default=False,
    ),
]
