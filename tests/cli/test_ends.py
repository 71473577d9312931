"""How commands end: closed streams, odd encodings, refused memory and stores that are not there are one sentence and code 2."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from tests.worlds.commands import call
from tests.worlds.faults import Case
from xmap.cli.ends import EXITS, sentences
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import LocksMissing

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("ant", "bée", "猫", "🦊")
QUERY = "select * from (values ('ant'), ('bée'), ('猫'), ('🦊')) names(name)"


def ended(words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command line as a shell gives it to `xmap`, redirections too."""
    command = f'exec "{sys.executable}" -c "from xmap.cli.main import main; main()" {words}'
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(["/bin/sh", "-c", command], env=given, capture_output=True, timeout=60)


def is_one_sentence(done: subprocess.CompletedProcess[bytes]) -> None:
    text = done.stderr.decode()
    assert done.returncode == 2, text
    assert text.startswith("xmap: ")
    assert text.count("\n") == 1
    assert text.endswith(".\n")


STREAMS = {
    "stdout closed": ("datasets >&-", "stdout is closed"),
    "stdout and stdin closed": ("datasets <&- >&-", "stdout is closed"),
    "stdin closed where names come from it": ("predict - <&-", "no images are named"),
    "a full device": ("datasets > /dev/full", "No space left"),
    "a full device and much to say": ("datasets --json > /dev/full", "No space left"),
    "help to a full device": ("--help > /dev/full", "No space left"),
    "stdout for reading": ("datasets 1< /dev/null", "Bad file descriptor"),
}


@pytest.mark.failure("odd output")
def test_streams_that_take_nothing_are_one_sentence(case: Case) -> None:
    for words, said in STREAMS.values():
        with case():
            done = ended(words)
            is_one_sentence(done)
            assert said in done.stderr.decode()


@pytest.mark.failure("odd output")
def test_a_closed_stderr_or_stdin_changes_nothing_else(case: Case) -> None:
    for words in ("datasets 2>&-", "datasets <&-", "datasets <&- 2>&-"):
        with case():
            done = ended(words)
            assert done.returncode == 0
            assert b"oxford_pets" in done.stdout


@pytest.mark.failure("odd output")
def test_where_nothing_can_be_said_the_exit_code_says_it(case: Case) -> None:
    for words in ("status --store /nowhere 2> /dev/full", "datasets > /dev/full 2>&1", "unknown 2> /dev/full"):
        with case():
            done = ended(words)
            assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


@pytest.mark.failure("odd output")
def test_every_name_is_said_in_every_encoding(tmp_path: Path, case: Case) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "names.sql").write_text(QUERY, "utf-8")
    for encoding in ("ascii", "cp1252", "utf-8"):
        with case():
            words = f"sql -f {tmp_path / 'names.sql'} --store {tmp_path / 'store'}"
            done = ended(f"{words} --json", PYTHONIOENCODING=encoding)
            assert done.returncode == 0, done.stderr
            assert [row["name"] for row in json.loads(done.stdout.decode(encoding if encoding != "ascii" else "utf-8"))] == list(NAMES)
    done = ended(words, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0
    assert b"ant" in done.stdout


@pytest.mark.failure("odd output")
def test_texts_that_are_not_utf_8_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.chdir(tmp_path)
    texts = {"latin.{}": "café".encode("latin-1"), "utf16.{}": "café".encode("utf-16"), "bytes.{}": bytes(range(128, 256))}
    for kind, words in (("toml", ("status", "--config")), ("sql", ("sql", "-f"))):
        for name, data in texts.items():
            path = Path(name.format(kind))
            path.write_bytes(data)
            with case():
                result = call(*words, str(path))
                assert result.exit_code == 2
                assert len(result.stderr.splitlines()) == 1
                assert str(path) in result.stderr
                assert "UTF-8" in result.stderr


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("xmap.toml").write_bytes(b"\xef\xbb\xbf[cache]\nshots = 3\n")
    Path("one.sql").write_bytes(b"\xef\xbb\xbfselect 1 as n")
    assert call("status", "--config", "xmap.toml").exit_code == 0
    assert call("sql", "-f", "one.sql", "--format", "csv").stdout.split() == ["n", "1"]


NOSUCH = [
    ("verify",),
    ("status",),
    ("sql", "from runs"),
    ("show", "x"),
    ("diff", "x", "y"),
    ("gc",),
    ("report",),
    ("predict", "."),
    ("export", "out"),
]


@pytest.mark.parametrize("name", ["nosuch", "no/such", "file", "x" * 300])
def test_a_store_that_is_not_there_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(b"")
    (tmp_path / "file").write_bytes(b"")
    for words in NOSUCH:
        result = call(*words, "--store", name)
        assert result.exit_code == 2, words
        assert f"there is no store at {name}" in result.stderr
        assert result.stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["file", "photo.png"]
    assert "there is no store" in call("verify").stderr
    assert call("status").exit_code == 0, "one that nobody named is what a first run would make"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    identity = Identity("stage", "name", {})
    with pytest.raises(LocksMissing, match=r"has no file locks, .* --store DIR") as caught, Store(tmp_path).build(identity):
        pass
    assert "\n" not in str(caught.value)


def raising(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


REFUSED = [
    MemoryError(),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.\nand more"),
    RuntimeError("can't start new thread"),
    RuntimeError("std::bad_alloc"),
]


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: type(error).__name__)
def test_refused_memory_is_one_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    for work in (raising(error), lambda: chained(error)):
        with pytest.raises(typer.Exit) as caught, sentences():
            work()
        assert caught.value.exit_code == 2
        said = capsys.readouterr().err
        assert said.startswith("xmap: there is not enough memory (")
        assert said.count("\n") == 1


def chained(error: Exception) -> None:
    try:
        raise error
    except Exception as first:
        raise ImportError("numpy cannot be imported") from first


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("x"), OSError(errno.ENOENT, "No such file")])
def test_a_bug_is_no_sentence(error: Exception) -> None:
    with pytest.raises(type(error)), sentences():
        raise error


@pytest.mark.failure("odd output")
def test_a_limit_of_address_space_is_one_sentence(tmp_path: Path, case: Case) -> None:
    for limit in (300, 900, 1800):
        with case():
            done = limited(limit, tmp_path)
            is_one_sentence(done)
            assert b"not enough memory" in done.stderr


def limited(megabytes: int, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """A command that imports torch, in so much address space."""
    command = [sys.executable, "-c", "from xmap.cli.main import main; main()", "import", "tip-adapter", str(folder), "--quiet"]
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    bound = megabytes << 20
    return subprocess.run(
        command, env=given, capture_output=True, timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    )


def test_the_exit_codes_are_documented_from_one_list() -> None:
    page = (ROOT / "docs/cli.md").read_text("utf-8")
    assert all(f"| {code} | {about} |" in page for code, about in EXITS.items())
