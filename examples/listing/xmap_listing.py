"""`--data listing:FILE`: a text file with a line `path: class` for each image, whose path begins where the file lies."""

from pathlib import Path

from xmap.stages.config import DataConfig
from xmap.stages.datasets.assemble import assemble
from xmap.stages.datasets.dataset import Dataset, Item, rows_of, unlabelled
from xmap.stages.datasets.places.place import Location
from xmap.store.errors import InputError
from xmap.store.memory.notes import Notes


class Listing:
    """The two functions of a source; with `read_unlabelled` it is one of pools too."""

    def matches(self, data: Location) -> bool:
        return isinstance(data, Path) and data.is_file()

    def read(self, config: DataConfig, data: Path, name: str, notes: Notes) -> Dataset:
        items = self._items(data)
        keys = sorted({item.key for item in items})
        return assemble(name, rows_of(items, keys), keys, config, ())

    def read_unlabelled(self, data: Path, name: str, notes: Notes) -> Dataset:
        items = self._items(data)
        return unlabelled(name, rows_of(items, sorted({item.key for item in items})), ())

    def _items(self, data: Path) -> list[Item]:
        lines = [line.rpartition(": ") for line in data.read_text("utf-8").splitlines() if line]
        if not all(path for path, _, _ in lines):
            raise InputError(f"{data}: a line has no `path: class`; write one for each image.")
        return [Item(path, data.parent / path, label, "") for path, _, label in lines]


SOURCE = Listing()
