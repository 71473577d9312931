"""Draw the house from its imports into docs/architecture.md: `python docs/make_architecture.py`. tests/test_docs.py holds it.

A room is a folder or a file right below a package; a folder of folders is taken apart in its own row. An arrow goes from a room to one that
it imports, imports inside functions counted, imports for type checking alone left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- drawn from the imports: begin -->", "<!-- drawn from the imports: end -->"
PACKAGES = ("cli", "pipeline", "stages", "store")
# Drawn one by one; `cli` is a file a command.
DRAWN = ("stages", "stages/datasets", "pipeline", "store")

Graph = Mapping[str, frozenset[str]]


def _checks_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def imported(node: ast.AST) -> Iterator[str]:
    """The names, without `xmap.`, of all that runs in `node` imports, wherever in it; `from a import b` is both `a` and `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name.removeprefix("xmap.") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = str(node.module).removeprefix("xmap.")
        yield from (name for alias in node.names for name in (module, f"{module}.{alias.name}"))
    elif isinstance(node, ast.If) and _checks_types(node.test):
        for other in node.orelse:
            yield from imported(other)
    else:
        for child in ast.iter_child_nodes(node):
            yield from imported(child)


@cache
def modules() -> Graph:
    """Every module of the four packages, as `stages/names.py`, with the modules that it imports."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if path.name != "__init__.py"]
    names = {path.relative_to(ROOT).as_posix(): path for path in paths}
    dotted = {name.removesuffix(".py").replace("/", "."): name for name in names}
    found = {name: imported(ast.parse(path.read_bytes())) for name, path in names.items()}
    return {name: frozenset(dotted[target] for target in targets if target in dotted) - {name} for name, targets in found.items()}


def rooms(folder: str) -> Graph:
    """The rooms of `folder` (folders and files right below it, by name), each with the other rooms of it that it imports."""
    graph: dict[str, set[str]] = {}
    for name, targets in modules().items():
        if name.startswith(f"{folder}/"):
            room = _room(folder, name)
            graph.setdefault(room, set()).update(_room(folder, target) for target in targets if target.startswith(f"{folder}/"))
    return {room: frozenset(others - {room}) for room, others in sorted(graph.items())}


def _room(folder: str, module: str) -> str:
    return module.removeprefix(f"{folder}/").split("/")[0]


def circles(graph: Graph) -> list[frozenset[str]]:
    """The groups of nodes that reach each other."""
    reached = {node: _reached(graph, node) for node in graph}
    groups = {frozenset(other for other in beyond if node in reached[other]) for node, beyond in reached.items() if node in beyond}
    return sorted(groups, key=sorted)


def _reached(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend(graph[node])
    return seen


def floors(graph: Graph) -> list[list[str]]:
    """The nodes by floor, the lowest first: a node lies one above the highest that it imports. Raises `ValueError` for a circle."""
    if circles(graph):
        raise ValueError(f"these import each other: {', '.join(sorted(circles(graph)[0]))}")
    height: dict[str, int] = {}
    while len(height) < len(graph):
        for node in sorted(graph):
            if node not in height and graph[node] <= height.keys():
                height[node] = 1 + max((height[other] for other in graph[node]), default=-1)
    return [sorted(node for node in graph if height[node] == floor) for floor in range(1 + max(height.values()))]


def figures(folder: str) -> tuple[int, int, int, int]:
    """Rooms, floors, arrows and circles of `folder`; no floors where there is a circle."""
    graph = rooms(folder)
    rounds = circles(graph)
    return len(graph), 0 if rounds else len(floors(graph)), sum(map(len, graph.values())), len(rounds)


def drawing() -> str:
    """The text between the markers: figures, then the floors of each folder with their arrows."""
    rows = [f"| `{folder}/` | {' | '.join(map(str, figures(folder)))} |" for folder in DRAWN]
    head = "Drawn by `python docs/make_architecture.py`; do not edit between the markers.\n"
    table = "| folder | rooms | floors | arrows | circles |\n|---|---:|---:|---:|---:|\n" + "\n".join(rows)
    return "\n".join([head, table, *(f"\n{picture(folder)}" for folder in DRAWN)])


def picture(folder: str) -> str:
    """The floors of `folder`, the highest first, each room with those that it imports."""
    graph = rooms(folder)
    width = max(map(len, graph)) + 1
    lines = [f"{folder}/"]
    for number, floor in reversed(list(enumerate(floors(graph), 1))):
        shown = [f"{_shown(folder, room):<{width}} -> {', '.join(_shown(folder, other) for other in sorted(graph[room]))}" for room in floor]
        lines += [f"  {f'floor {number}' if not place else '':<9}{line.removesuffix(' -> ').rstrip()}" for place, line in enumerate(shown)]
    return "```\n" + "\n".join(lines) + "\n```"


def _shown(folder: str, room: str) -> str:
    return room if room.endswith(".py") else f"{room}/"


def page(text: str) -> str:
    """`text` with the drawing between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has lost a marker: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for folder in DRAWN:
        print(folder, *(f"{count} {what}" for count, what in zip(figures(folder), ("rooms", "floors", "arrows", "circles"), strict=True)))
