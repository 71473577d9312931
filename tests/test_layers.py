"""Imports go down only, each foreign library has its modules, and nothing runs code that it reads."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("cli", "pipeline", "stages", "store")
# The highest first: a room imports from lower floors alone. A room is a folder or a file right below the package.
FLOORS = {
    "stages": (
        {"ablate", "choose", "report"},
        {"enough", "onnx"},
        {"train", "eval", "pairs", "predict"},
        {"adapters", "tune_texts"},
        {"build_cache", "extract", "imports", "join", "methods", "pages"},
        {"fewshot", "images", "names.py"},
        {"datasets", "encoder"},
        {"config.py", "machine", "plugins.py", "workplace"},
        {"several.py"},
    ),
    "stages/datasets": (
        {"given.py"},
        {"open.py"},
        {"benchmarks", "sources"},
        {"assemble.py"},
        {"splits"},
        {"content"},
        {"classes", "dataset.py"},
        {"digits.py", "places"},
    ),
    "pipeline": (
        {"serve", "studies"},
        {"adapters"},
        {"upkeep"},
        {"run"},
        {"engines"},
        {"settings"},
    ),
    "store": (
        {"sql"},
        {"formats"},
        {"artifacts"},
        {"memory"},
        {"disk"},
        {"errors.py"},
    ),
}
OWNERS = {
    "pyarrow.parquet": {"store/formats/tables.py", "store/formats/row_groups.py"},
    "faiss": {"store/formats/faiss_library.py"},
    "duckdb": {"store/sql/connection.py"},
    "timm": {"stages/encoder/image_models.py"},
    "open_clip": {"stages/encoder/model.py", "stages/encoder/ask.py"},
    "ray": {"pipeline/engines/ray_cluster.py"},
    "fsspec": {"stages/datasets/places/remote.py"},
    "fastapi": {"pipeline/serve/app.py"},
    "uvicorn": {"pipeline/serve/connections.py", "pipeline/serve/server.py"},
    "prometheus_client": {"pipeline/serve/metrics.py"},
    "pillow_heif": {"stages/images/heif.py"},
    "onnx": {"stages/onnx/write.py"},
    "onnxruntime": {"stages/onnx/session.py"},
}
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "pty", "yaml"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("yaml", "load"),
    ("pickle", "loads"),
    ("pickle", "load"),
    ("torch", "load"),
    ("np", "load"),
}
SAFE_OPTIONS = {("torch", "load"): ("weights_only", True), ("np", "load"): ("allow_pickle", False)}


@cache
def modules() -> dict[str, ast.Module]:
    inside = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
    paths = [*inside, *sorted((ROOT / "xmap").glob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_bytes()) for path in paths}


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names of all that a module imports, wherever in it, below `xmap.`; `from a import b` is both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("xmap.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            module = str(node.module).removeprefix("xmap.")
            yield from (name for alias in node.names for name in (module, f"{module}.{alias.name}"))


def test_there_is_something_to_look_at() -> None:
    assert {name.split("/")[0] for name in modules()} >= set(LAYERS)


def test_imports_go_down_only() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, tree in modules().items()
        if (layer := name.split("/")[0]) in LAYERS
        for target in imported(tree)
        if (other := target.split(".")[0]) == "xmap" or (other in LAYERS and LAYERS.index(other) < LAYERS.index(layer))
    ]
    assert wrong == []


@cache
def house() -> Any:
    """The graph of imports, as docs/architecture.md draws it."""
    spec = importlib.util.spec_from_file_location("make_architecture", ROOT / "docs" / "make_architecture.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_modules_import_each_other() -> None:
    """Nor in a circle; imports inside functions count, imports for type checking alone do not."""
    assert len(house().modules()) > 100
    assert house().circles(house().modules()) == []


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_from_lower_floors_only(package: str) -> None:
    rooms = house().rooms(package)
    floor = {room: number for number, together in enumerate(FLOORS[package]) for room in together}
    assert set(floor) == set(rooms), "each room has one floor here"
    assert [f"{room} imports {other}" for room, others in rooms.items() for other in sorted(others) if floor[other] <= floor[room]] == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import xmap.store.disk.files", {"store.disk.files"}),
        ("from xmap.store.disk import files", {"store.disk", "store.disk.files"}),
        ("def f():\n    from xmap.store.disk.files import fsync", {"store.disk.files", "store.disk.files.fsync"}),
        ("class C:\n    def f(self):\n        if self:\n            import xmap.cli", {"cli"}),
        ("if TYPE_CHECKING:\n    import xmap.cli", set()),
        ("if TYPE_CHECKING:\n    import xmap.cli\nelse:\n    import xmap.store", {"store"}),
    ],
)
def test_the_graph_holds_what_runs(code: str, expected: set[str]) -> None:
    assert set(house().imported(ast.parse(code))) == expected


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, [{"a", "b"}]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [{"a", "b", "c"}]),
        ({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c", "a"}}, [{"a", "b"}, {"c", "d"}]),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, []),
    ],
)
def test_circles_are_seen(graph: dict[str, set[str]], expected: list[set[str]]) -> None:
    assert house().circles(graph) == expected


NAMED = re.compile(rf"`((?:{'|'.join(LAYERS)})(?:\.\w+)+)`")


def test_modules_that_are_named_in_words_are_there() -> None:
    def there(dotted: str) -> bool:
        parts = dotted.split(".")
        paths = [ROOT.joinpath(*parts[:length]) for length in range(2, len(parts) + 1)]
        return any(path.with_suffix(".py").is_file() for path in paths) or paths[-1].is_dir()

    named = [(name, found) for name in modules() for found in NAMED.findall((ROOT / name).read_text("utf-8"))]
    assert len(named) > 10
    assert [f"{name} names {found}" for name, found in named if not there(found)] == []


@pytest.mark.parametrize("library", OWNERS)
def test_each_foreign_library_has_its_modules(library: str) -> None:
    users = {
        name for name, tree in modules().items() if any(found == library or found.startswith(f"{library}.") for found in imported(tree))
    }
    assert users == OWNERS[library]


def test_pillow_opens_images_in_one_place() -> None:
    """Where the formats are named that it may open."""
    calls = {name for name, tree in modules().items() for node in ast.walk(tree) if isinstance(node, ast.Attribute)
             and node.attr == "open" and isinstance(node.value, ast.Name) and node.value.id == "Image"}  # fmt: skip
    assert calls == {"stages/images/decode.py"}


def unsafe(tree: ast.Module) -> Iterator[str]:
    yield from (found for found in imported(tree) if found.split(".")[0] in UNSAFE_MODULES)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        options = {option.arg: option.value.value for option in node.keywords if isinstance(option.value, ast.Constant)}
        if options.get("shell") is True or options.get("allow_pickle") is True or options.get("weights_only") is False:
            yield f"line {node.lineno}: an option that runs what it reads"
        if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
            yield f"line {node.lineno}: {node.func.id}()"
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            call = (node.func.value.id, node.func.attr)
            option, value = SAFE_OPTIONS.get(call, (None, None))
            if call in UNSAFE_ATTRIBUTES and (option is None or options.get(option) is not value):
                yield f"line {node.lineno}: {call[0]}.{call[1]}()"


@pytest.mark.promise
def test_no_file_is_read_by_pickle_and_nothing_read_is_run() -> None:
    assert {name: found for name, tree in modules().items() if (found := list(unsafe(tree)))} == {}


def test_modules_are_imported_by_a_name_in_few_places() -> None:
    """Commands by their own table, methods by their entries, plug-ins by what is installed: by no name that was read."""
    calls = {name for name, tree in modules().items() for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)
             and (node.attr if isinstance(node, ast.Attribute) else node.id) in ("import_module", "entry_points")}  # fmt: skip
    assert calls == {"cli/main.py", "stages/methods/protocol.py", "stages/plugins.py", "xmap/testing.py"}


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from pickle import loads", "eval('1')", "import yaml", "import subprocess\nsubprocess.run('x', shell=True)",
     "os.system('x')",
     "torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)"],
)  # fmt: skip
def test_the_check_sees_what_it_looks_for(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


def test_the_check_lets_safe_code_pass() -> None:
    assert list(unsafe(ast.parse("model.eval()\ntorch.load(p, weights_only=True)\nnp.load(p, allow_pickle=False)\nre.compile('x')"))) == []


def test_help_imports_neither_torch_nor_faiss() -> None:
    script = (
        "import sys\nfrom xmap.cli.main import app\nfrom typer.testing import CliRunner\nresult = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\nassert 'extract' in result.output\n"
        "print(sorted({'torch', 'faiss', 'open_clip', 'torchvision', 'ray', 'fsspec'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr
