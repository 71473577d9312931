"""Limits of containers and services, in trees of files as Linux shows them to a process."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

import xmap.store.disk.headers
from xmap.store.disk.headers import require_room
from xmap.store.disk.memory_limit import memory_bytes, unclaimed_bytes
from xmap.store.errors import NotPlain

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
STAT = "anon 100\ninactive_file 30\nactive_file 20\ntotal_inactive_file 30\ntotal_active_file 20\n"


def write(tree: Path, own: str, groups: dict[str, str]) -> tuple[Path, Path]:
    """A tree of groups and the file that tells a process its own."""
    for name, text in groups.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{text}\n")
        (tree / name).with_name("memory.stat").write_text(STAT)
    (tree / "own").write_text(own)
    return tree, tree / "own"


@pytest.mark.parametrize(
    ("own", "groups", "limit", "left"),
    [
        pytest.param("0::/\n", {"memory.max": "1000", "memory.current": "400"}, 1000, 650, id="container"),
        pytest.param("0::/a/b\n", {"a/memory.max": "1000", "a/memory.current": "950", "a/b/memory.max": "max"}, 1000, 100, id="outer"),
        pytest.param("0::/a/b\n", {"a/memory.max": "1000", "a/memory.current": "250", "a/b/memory.max": "700"}, 700, 700, id="both"),
        pytest.param("0::/a\n", {"a/memory.max": "1000", "a/memory.current": "2000"}, 1000, 0, id="over"),
        pytest.param("0::/a\n", {"a/memory.max": "max", "a/memory.current": "9"}, MACHINE, None, id="without-limit"),
        pytest.param("0::/../b\n", {"memory.max": "1000", "memory.current": "400"}, 1000, 650, id="outside-of-what-is-seen"),
        pytest.param(
            "4:memory:/docker/x\n0::/\n",
            {"memory/memory.limit_in_bytes": "1000", "memory/memory.usage_in_bytes": "400"},
            1000,
            650,
            id="version-1-container",
        ),
        pytest.param(
            "7:blkio:/\n4:cpu,memory:/a\n",
            {"memory/a/memory.limit_in_bytes": "1000", "memory/a/memory.usage_in_bytes": "400", "memory/memory.limit_in_bytes": "2000"},
            1000,
            650,
            id="version-1-service",
        ),
        pytest.param("4:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, MACHINE, 2**63 - 4096, id="version-1-none"),
        pytest.param("", {}, MACHINE, None, id="no-groups"),
    ],
)
def test_the_least_limit_holds(tmp_path: Path, own: str, groups: dict[str, str], limit: int, left: int | None) -> None:
    where = write(tmp_path, own, groups)
    assert memory_bytes(*where) == limit
    assert unclaimed_bytes(*where) == left


def test_where_there_are_no_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path / "none", tmp_path / "nothing") == MACHINE
    assert unclaimed_bytes(tmp_path / "none", tmp_path / "nothing") is None


def test_a_table_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = write(tmp_path, "0::/box\n", {"box/memory.max": "1000"})
    monkeypatch.setattr(xmap.store.disk.headers, "memory_bytes", partial(memory_bytes, *where))
    table = tmp_path / "table"
    table.write_bytes(b"x" * 100)
    require_room(table, 1000)
    with pytest.raises(NotPlain, match=r"it would unpack from 100 bytes to 1,001"):
        require_room(table, 1001)
