"""Class folders at a URL: listed once, then read as local ones are."""

from __future__ import annotations

from collections.abc import Sequence

from xmap.stages.datasets.places.images import Images, Inside
from xmap.stages.datasets.places.pictures import PICTURE_SUFFIXES
from xmap.stages.datasets.places.place import Location, Remote, relative
from xmap.stages.datasets.places.remote import files_below, look
from xmap.stages.datasets.places.scan import Scan
from xmap.stages.datasets.sources.folder import FolderSource


class RemoteFolderSource(FolderSource):
    """The entry for URLs that are nothing else: folders of class folders."""

    def matches(self, data: Location) -> bool:
        return isinstance(data, Remote) and look(data) is None

    def scan(self, root: Location) -> Scan:
        return RemoteScan(root, files_below(root)) if isinstance(root, Remote) else Scan(root)


class RemoteScan(Scan):
    """The walk over the listing of a remote folder. Object stores have no links and no empty folders."""

    def __init__(self, root: Remote, files: Sequence[Remote]) -> None:
        super().__init__(root)
        self._all = files
        self._folders: dict[str, dict[str, None]] = {}
        self._files: dict[str, list[Remote]] = {}
        for file in sorted(files, key=lambda file: file.url):
            *above, _ = relative(root, file).split("/")
            for depth, name in enumerate(above):
                self._folders.setdefault("/".join(above[:depth]), {})[name] = None
            self._files.setdefault("/".join(above), []).append(file)

    def again(self) -> Scan:
        return RemoteScan(self.root, self._all) if isinstance(self.root, Remote) else Scan(self.root)

    def entries(self, folder: Location) -> tuple[list[Location], Inside]:
        inside = relative(self.root, folder)
        images: dict[str, Remote] = {}
        for file in self._files.get(inside, []):
            if self._leave(file.name):
                continue
            if file.suffix.lower() in PICTURE_SUFFIXES:
                images[file.name] = file
            else:
                self.ignored[file.suffix.lower() or "no suffix"] += 1
        # A key such as a//b.jpg has a folder without a name, which no path leads to.
        folders = [folder / name for name in self._folders.get(inside, {}) if name and not self._leave(name)]
        names = self._without_doubles(list(images), list(images))
        return folders, Inside(folder, names, [images[name] for name in names])

    def below(self, folder: Location) -> Images:
        folders, inside = self.entries(folder)
        return Images([*([inside] if inside else []), *(part for inner in folders for part in self.below(inner).parts)])
