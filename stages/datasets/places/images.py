"""The images that a walk over folders found, a folder at a time: what is true of a folder is true of all in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xmap.stages.datasets.places.place import Location, Remote, relative


@dataclass(frozen=True)
class Inside:
    """The images directly in one folder by name; of a remote one as their listing told them."""

    folder: Location
    names: Sequence[str]
    remote: Sequence[Remote] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Location]:
        return iter(self.remote) if self.remote else (self.folder / name for name in self.names)


@dataclass(frozen=True)
class Images:
    """The images of some folders, none of which has none."""

    parts: Sequence[Inside] = ()

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Location]:
        return (image for part in self.parts for image in part)

    def ways(self, root: Location) -> list[list[str]]:
        """The path below `root` of the first image of each folder, by its parts."""
        return [relative(root, next(iter(part))).split("/") for part in self.parts]


Classes = Mapping[str, Images]
