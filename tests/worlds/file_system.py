"""A model of a file system: what processes see of it, and what of that is on the disk, as recorded system calls leave both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.worlds.strace import Call


@dataclass(eq=False)
class File:
    """Its bytes on the disk, and as processes see them."""

    synced: bytes = b""
    now: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Change:
    """One change of a folder's entries: a name that goes, and a name that is then another node's."""

    gone: str = ""
    name: str = ""
    node: Node | None = None

    def touches(self, suffix: str) -> bool:
        return (self.name or self.gone).endswith(suffix)

    def apply(self, entries: dict[str, Node]) -> None:
        entries.pop(self.gone, None)
        if self.node is not None:
            entries[self.name] = self.node


@dataclass(eq=False)
class Folder:
    """Its entries on the disk, and the changes since, in order."""

    synced: dict[str, Node] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def entries(self, kept: Callable[[Change], bool] = lambda change: True) -> dict[str, Node]:
        entries = dict(self.synced)
        for change in filter(kept, self.changes):
            change.apply(entries)
        return entries


Node = File | Folder


class Disk:
    """A file system below `root`, as the calls leave it; what lies elsewhere is none of its concern."""

    def __init__(self, root: Path, cwd: Path) -> None:
        self.root, self._cwd = os.fspath(root), os.fspath(cwd)
        self.top = Folder()
        # Of each descriptor the path it was opened by, what it is, and where it stands.
        self._open: dict[int, tuple[str, Node | None]] = {}
        self._at: dict[int, int] = {}
        for path in sorted(root.rglob("*")):
            data = None if path.is_dir() else path.read_bytes()
            node = Folder() if data is None else File(data, bytearray(data))
            self._folder(str(path.parent)).synced[path.name] = node

    def pending(self) -> list[Change]:
        """All changes of folders that are not synced, those in folders that are not even known to the disk too.

        Not those of locks, which nobody syncs and a cut makes meaningless.
        """
        return [change for folder in self._folders(self.top) for change in folder.changes if not change.touches(".lock")]

    def _folders(self, folder: Folder) -> Iterator[Folder]:
        yield folder
        for node in {id(node): node for node in (*folder.synced.values(), *folder.entries().values())}.values():
            if isinstance(node, Folder):
                yield from self._folders(node)

    # ---- paths

    def _path(self, call: Call, place: int, text: str, at: bool) -> str:
        base = self._cwd
        if at and not call.arguments[place].startswith("AT_FDCWD"):
            base = self._open[call.number(place)][0]
        return os.path.normpath(os.path.join(base, text))

    def _inside(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + "/")

    def _node(self, path: str) -> Node | None:
        node: Node | None = self.top
        for name in os.path.relpath(path, self.root).split("/") if path != self.root else ():
            node = node.entries().get(name) if isinstance(node, Folder) else None
        return node

    def _folder(self, path: str) -> Folder:
        node = self._node(path)
        assert isinstance(node, Folder), path
        return node

    # ---- calls

    def play(self, call: Call) -> bool:
        """Do what a call did; whether that changed the file system or what of it is synced."""
        name = call.name.removesuffix("64").removesuffix("at2").removesuffix("at")
        at = call.name.endswith(("at", "at2")) and call.name != "creat"
        texts = [os.fsdecode(text) for text in call.texts()] if name not in ("write", "pwrite") else []
        if name in ("open", "creat"):
            return self._opened(self._path(call, 0, texts[0], at), call)
        if name in ("mkdir", "unlink", "rmdir"):
            path = self._path(call, 0, texts[0], at)
            change = Change(name=_last(path), node=Folder()) if name == "mkdir" else Change(_last(path))
            return self._inside(path) and self._change(path, change)
        if name == "rename":
            return self._renamed(self._path(call, 0, texts[0], at), self._path(call, 2 if at else 1, texts[1], at))
        if name in ("link", "symlink", "truncate"):
            assert not self._inside(self._path(call, 0, texts[-1], False)), f"{call.name} is not modelled"
            return False
        if name == "chdir":
            self._cwd = os.path.normpath(os.path.join(self._cwd, texts[0]))
            return False
        if name in ("fork", "vfork", "clone", "clone3"):
            assert "CLONE_THREAD" in call.arguments[0] + ", ".join(call.arguments), "another process is not modelled"
            return False
        return self._of_descriptor(name, call)

    def _opened(self, path: str, call: Call) -> bool:
        flags = next((argument for argument in call.arguments if argument.startswith("O_")), "")
        self._at[call.result] = 0
        self._open[call.result] = path, None
        if not self._inside(path):
            return False
        node, fresh = self._node(path), False
        if node is None:
            assert "O_CREAT" in flags, path
            node, fresh = File(), True
            self._change(path, Change(name=_last(path), node=node))
        if "O_TRUNC" in flags and isinstance(node, File):
            node.now.clear()
        self._open[call.result] = path, node
        return fresh or "O_TRUNC" in flags

    def _of_descriptor(self, name: str, call: Call) -> bool:
        if name in ("sync", "syncfs", "copy_file_range", "sendfile", "writev", "pwritev", "pwritev2", "fallocate"):
            place = {"copy_file_range": 2}.get(name, 0)
            inside = call.arguments and self._open.get(call.number(place), ("", None))[1]
            assert not inside, f"{name} is not modelled"
            return False
        number = call.number(0)
        path, node = self._open.get(number, ("", None))
        if name in ("dup", "dup2", "dup3") or (name == "fcntl" and "DUPFD" in call.arguments[1]):
            self._open[call.result], self._at[call.result] = (path, node), self._at.get(number, 0)
        elif name == "close":
            self._open.pop(number, None)
        elif name == "lseek":
            self._at[number] = call.result
        elif name in ("fsync", "fdatasync") and node is not None:
            return _synced(node)
        elif isinstance(node, File) and name in ("write", "pwrite", "ftruncate"):
            return self._written(name, call, number, node)
        return False

    def _written(self, name: str, call: Call, number: int, file: File) -> bool:
        if name == "ftruncate":
            size = call.number(1)
            file.now[:] = file.now[:size].ljust(size, b"\0")
            return True
        start = call.number(3) if name == "pwrite" else self._at[number]
        data = next(call.texts())[: call.result]
        file.now[:] = file.now.ljust(start, b"\0")
        file.now[start : start + len(data)] = data
        if name == "write":
            self._at[number] = start + len(data)
        return True

    def _renamed(self, old: str, new: str) -> bool:
        if not self._inside(old) and not self._inside(new):
            return False
        assert os.path.dirname(old) == os.path.dirname(new), "a rename across folders is not modelled"
        return self._change(new, Change(_last(old), _last(new), self._node(old)))

    def _change(self, path: str, change: Change) -> bool:
        self._folder(os.path.dirname(path)).changes.append(change)
        return True


def _last(path: str) -> str:
    return os.path.basename(path)


def _synced(node: Node) -> bool:
    """Make what a descriptor is known by stand on the disk; whether there was something to be done."""
    if isinstance(node, File):
        changed, node.synced = node.synced != node.now, bytes(node.now)
        return changed
    changed = bool(node.changes)
    node.synced, node.changes = node.entries(), []
    return changed
