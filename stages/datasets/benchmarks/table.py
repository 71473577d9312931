"""The eleven CoOp datasets and the four ImageNet variants, as one table. Adding a benchmark is adding an entry.

`--data coop:NAME --root DIR` reads one; DIR holds the folders as CoOp's DATASETS.md lays them out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xmap.stages.config import DataConfig
from xmap.stages.datasets.assemble import assemble
from xmap.stages.datasets.benchmarks.layouts import (
    CLASSNAMES,
    IMAGENET,
    Benchmark,
    read_aircraft,
    read_imagenet,
    read_numbered_target,
    read_split,
    read_target,
)
from xmap.stages.datasets.dataset import SPLITS, TEST, Dataset, rows_of
from xmap.stages.datasets.places.place import Location
from xmap.store.errors import InputError, UnknownName
from xmap.store.memory.notes import Notes

SCHEME = "coop:"
GUIDE = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
PHOTO = ("a photo of a {}.",)
IMAGENET_PROMPTS = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
EXAMPLES = 5

ENTRIES: tuple[Benchmark, ...] = (
    Benchmark(
        IMAGENET, "ImageNet", "imagenet", ("images/train", "images/val"), (CLASSNAMES,), read_imagenet, IMAGENET_PROMPTS,
        1000, (1_281_167, 0, 50_000), "n01440764/*.JPEG and so on, a folder a class, in train and in val", train_per_class=64,
    ),
    Benchmark(
        "caltech101", "Caltech101", "caltech-101", ("101_ObjectCategories",), ("split_zhou_Caltech101.json",), read_split, PHOTO,
        100, (4128, 1649, 2465), "accordion/*.jpg and so on",
    ),
    Benchmark(
        "oxford_pets", "OxfordPets", "oxford_pets", ("images",), ("split_zhou_OxfordPets.json",), read_split,
        ("a photo of a {}, a type of pet.",), 37, (2944, 736, 3669), "*.jpg",
    ),
    Benchmark(
        "stanford_cars", "StanfordCars", "stanford_cars", ("cars_train", "cars_test"), ("split_zhou_StanfordCars.json",), read_split,
        PHOTO, 196, (6509, 1635, 8041), "*.jpg in both",
    ),
    Benchmark(
        "oxford_flowers", "Flowers102", "oxford_flowers", ("jpg",), ("split_zhou_OxfordFlowers.json",), read_split,
        ("a photo of a {}, a type of flower.",), 102, (4093, 1633, 2463), "*.jpg", optional=("cat_to_name.json",),
    ),
    Benchmark(
        "food101", "Food101", "food-101", ("images",), ("split_zhou_Food101.json",), read_split,
        ("a photo of {}, a type of food.",), 101, (50_500, 20_200, 30_300), "apple_pie/*.jpg and so on",
    ),
    Benchmark(
        "fgvc_aircraft", "FGVCAircraft", "fgvc_aircraft", ("images",),
        ("variants.txt", "images_variant_train.txt", "images_variant_val.txt", "images_variant_test.txt"), read_aircraft,
        ("a photo of a {}, a type of aircraft.",), 100, (3334, 3333, 3333), "*.jpg",
    ),
    Benchmark(
        "sun397", "SUN397", "sun397", ("SUN397",), ("split_zhou_SUN397.json",), read_split, PHOTO,
        397, (15_880, 3970, 19_850), "a/abbey/*.jpg and so on",
    ),
    Benchmark(
        "dtd", "DTD", "dtd", ("images",), ("split_zhou_DescribableTextures.json",), read_split, ("{} texture.",),
        47, (2820, 1128, 1692), "banded/*.jpg and so on",
    ),
    Benchmark(
        "eurosat", "EuroSAT", "eurosat", ("2750",), ("split_zhou_EuroSAT.json",), read_split,
        ("a centered satellite photo of {}.",), 10, (13_500, 5400, 8100), "AnnualCrop/*.jpg and so on",
    ),
    Benchmark(
        "ucf101", "UCF101", "ucf101", ("UCF-101-midframes",), ("split_zhou_UCF101.json",), read_split,
        ("a photo of a person doing {}.",), 101, (7639, 1898, 3783), "Apply_Eye_Makeup/*.jpg and so on",
    ),
    Benchmark(
        "imagenetv2", "ImageNet-V2", "imagenetv2", ("imagenetv2-matched-frequency-format-val",), (), read_numbered_target,
        IMAGENET_PROMPTS, 1000, (0, 0, 10_000), "0/*.jpeg to 999/*.jpeg", target=True,
    ),
    Benchmark(
        "imagenet_sketch", "ImageNet-Sketch", "imagenet-sketch", ("images",), (), read_target,
        IMAGENET_PROMPTS, 1000, (0, 0, 50_889), "n01440764/*.JPEG and so on", target=True,
    ),
    Benchmark(
        "imagenet_a", "ImageNet-A", "imagenet-adversarial", ("imagenet-a",), (), read_target,
        IMAGENET_PROMPTS, 200, (0, 0, 7500), "200 folders n01498041/*.jpg and so on", target=True,
    ),
    Benchmark(
        "imagenet_r", "ImageNet-R", "imagenet-rendition", ("imagenet-r",), (), read_target,
        IMAGENET_PROMPTS, 200, (0, 0, 30_000), "200 folders n01443537/*.jpg and so on", target=True,
    ),
)  # fmt: skip
BENCHMARKS: Mapping[str, Benchmark] = {entry.name: entry for entry in ENTRIES}


def benchmark(name: str) -> Benchmark:
    """The entry of a name or title, whatever its case and hyphens. Raises `UnknownName`."""
    wanted = _plain(name)
    for entry in ENTRIES:
        if wanted in (_plain(entry.name), _plain(entry.title)):
            return entry
    raise UnknownName("benchmark", name, tuple(BENCHMARKS))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


class CoopSource:
    """The entry for `coop:NAME`, a benchmark under `root`."""

    def matches(self, data: Location) -> bool:
        return str(data).startswith(SCHEME)

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The benchmark `name`. Raises `UnknownName`, and `InputError` for what is missing or cannot be read.

        A benchmark comes with its published prompts unless `templates` differ from xmap's default.
        """
        entry = benchmark(name.removeprefix(SCHEME))
        root = require_root(config.root)
        missing = missing_parts(entry, root)
        if missing:
            raise InputError(f"{entry.title} is not complete: no {missing[0]}; see `xmap datasets check {entry.name} --root {root}`.")
        listing = entry.reader(entry, root)
        dataset = assemble(entry.name, rows_of(listing.items, listing.keys), listing.keys, config, (), listing.names)
        default = DataConfig.model_fields["templates"].default
        return replace(dataset, templates=entry.templates) if config.templates == default else dataset


def require_root(root: str) -> Path:
    """The root folder. Raises `InputError` where there is none."""
    if not root:
        raise InputError("a benchmark needs --root DIR, the folder that holds the datasets in CoOp's layout.")
    path = Path(os.path.expanduser(root))
    if not os.path.isdir(path):
        raise InputError(f"--root {path} is not a folder; give the one that holds the datasets in CoOp's layout.")
    return path


def missing_parts(entry: Benchmark, root: Path) -> tuple[str, ...]:
    """The files and folders of a benchmark that are not there."""
    folder = entry.at(root)
    found = [str(folder / name) for name in entry.files if not (folder / name).is_file()]
    if entry.target and not any((place / CLASSNAMES).is_file() for place in (root / IMAGENET, folder)):
        found.append(str(root / IMAGENET / CLASSNAMES))
    return (*found, *(f"{folder / name}/" for name in entry.images if not (folder / name).is_dir()))


@dataclass(frozen=True)
class Check:
    """What is there of a benchmark: missing files and folders, what is wrong with its files, images listed and images missing.

    `images` counts those listed and present in each split; `absent` are ids of listed images without a file.
    """

    entry: Benchmark
    missing: tuple[str, ...]
    problem: str
    classes: int
    images: Mapping[str, int]
    absent: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not (self.missing or self.problem or self.absent)

    @property
    def remarks(self) -> tuple[str, ...]:
        """How a readable benchmark differs from the published one."""
        if self.missing or self.problem:
            return ()
        listed = Counter(self.images)
        sizes = ((split, listed[split], size) for split, size in zip(SPLITS, self.entry.sizes, strict=True))
        found = [f"{count:,} {split} images, published are {size:,}" for split, count, size in sizes if count != size]
        return (*[f"{self.classes:,} classes, published are {self.entry.classes:,}"] * (self.classes != self.entry.classes), *found)


def check(entry: Benchmark, root: Path) -> Check:
    """Look at every file that a benchmark needs; nothing is decoded."""
    missing = missing_parts(entry, root)
    if missing:
        return Check(entry, missing, "", 0, {}, ())
    try:
        listing = entry.reader(entry, root)
    except InputError as error:
        return Check(entry, (), str(error), 0, {}, ())
    absent = tuple(sorted(item.sample_id for item in listing.items if not (isinstance(item.place, Path) and item.place.is_file())))
    gone = set(absent)
    images = Counter(item.split for item in listing.items if item.sample_id not in gone)
    classes = len({item.key for item in listing.items if item.split == TEST}) if entry.target else len(listing.keys)
    return Check(entry, (), "", classes, dict(images), absent)


def layout(entry: Benchmark) -> tuple[str, ...]:
    """The lines that show how a benchmark lies under the root, and where it comes from."""
    images = [f"    {name}/    {entry.inside if name == entry.images[0] else ''}".rstrip() for name in entry.images]
    files = [f"    {name}" for name in entry.files]
    files += [f"    {CLASSNAMES}    a copy of imagenet/{CLASSNAMES}; not needed where imagenet/ is beside it"] * entry.target
    files += [f"    {name}    (not read)" for name in entry.optional]
    return ("DIR/", f"  {entry.folder}/", *images, *files, f"where to get it: {GUIDE}")
