"""What other installed packages offer to xmap by entry points: methods, and sources of images.

Names are read from the metadata of what is installed, and a module is imported when the user names what it offers. Nothing that is
received can name a module: a name in a store or a folder is looked up here, among what this user has installed.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from xmap.store.errors import PluginError, XmapError, is_of_memory

METHODS, SOURCES = "xmap.methods", "xmap.sources"
KINDS: Mapping[str, str] = {METHODS: "method", SOURCES: "source"}
# Sources of xmap's own that are named as those of others are, `NAME:PATH`.
OWN_SOURCES = ("coop",)
# As the built-in ones are called: names stand on command lines, in settings and in file names.
NAME = re.compile(r"[a-z0-9][a-z0-9+_-]{0,39}")
_NAMED = re.compile(rf"({NAME.pattern}):(?!//)(.+)", re.DOTALL)


@dataclass(frozen=True)
class Plugin:
    """What a package offers under a name: the package, its version, and where the object is that the name stands for."""

    kind: str
    name: str
    package: str
    version: str
    point: EntryPoint

    def load(self) -> Any:
        """The object, its module imported; what that prints goes to stderr, apart from results. Raises `PluginError`."""
        with self.blamed("cannot be loaded"), redirect_stdout(sys.stderr):
            return self.point.load()

    @contextmanager
    def blamed(self, failed: str) -> Iterator[None]:
        """Whatever its code raises becomes a `PluginError` with this package in it; refused memory stays what it is."""
        try:
            yield
        except XmapError:
            raise
        except (Exception, SystemExit) as error:
            if is_of_memory(error):
                raise
            said = next(iter(str(error).strip().splitlines()), "")[:200]
            raise self.problem(f"{failed} ({type(error).__name__}{said and f': {said}'})") from error

    def problem(self, problem: str, remedy: str = "") -> PluginError:
        """The error that says what is wrong with it."""
        remedy = remedy or f"tell who wrote it, or choose another {self.kind}."
        return PluginError(self.kind, self.name, f"{self.package} {self.version}", problem, remedy)


@cache
def installed(group: str) -> Mapping[str, tuple[Plugin, ...]]:
    """All that installed packages offer in a group, by name; nothing is imported."""
    found: dict[str, list[Plugin]] = defaultdict(list)
    for point in entry_points(group=group):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("of no name", "0")
        if NAME.fullmatch(point.name):
            found[point.name].append(Plugin(KINDS[group], point.name, str(package), str(version), point))
    return {name: tuple(found[name]) for name in sorted(found)}


def plugin_called(group: str, name: str, own: Collection[str]) -> Plugin | None:
    """What is offered under a name; None where nobody does. Raises `PluginError` for a name of xmap's `own`, and one of two packages."""
    offers = installed(group).get(name, ())
    if not offers:
        return None
    first = offers[0]
    if name in own:
        raise first.problem(f"has the name of a {first.kind} of xmap's own", "uninstall the package, or rename what it offers.")
    if len(offers) > 1:
        raise first.problem(f"is offered by {offers[1].package} {offers[1].version} too", "uninstall one of the two.")
    return first


def source_named(data: str) -> tuple[Plugin | None, str]:
    """The source that a place names, as in `NAME:PATH`, and the path or URL after it; none, and all of `data`, where it names none.

    Raises `PluginError`, as `plugin_called`.
    """
    found = _NAMED.fullmatch(data)
    plugin = plugin_called(SOURCES, found[1], OWN_SOURCES) if found else None
    return (plugin, found[2]) if found and plugin else (None, data)


def said_of_source(data: str) -> str:
    """What to say beside that a place is not there: that it may name a source which no package here has."""
    found = _NAMED.fullmatch(data)
    return f", and no installed package has the source {found[1]!r}" if found else ""
