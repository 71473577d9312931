"""Which column of a table says what of an image, its path, its label, its split, its group: by the names that tools and people use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xmap.store.disk.plain import named
from xmap.store.errors import InputError

PATH, LABEL, SPLIT, GROUP, CONTENT, DATASET = "path", "label", "split", "group", "content", "dataset"
_NAMES: Mapping[str, Sequence[str]] = {
    PATH: (
        "path", "file_name", "filename", "file_path", "filepath", "image_path", "imagepath", "image", "image_file", "image_name",
        "img_path", "img", "file", "sample_id",
    ),
    LABEL: ("label", "class", "class_name", "label_name", "category", "category_name", "target", "labels"),
}  # fmt: skip
_SPLITS = ("split", "subset", "partition", "data_split", "dataset_split", "split_name", "set", "data_set", "dataset", "phase", "usage")
_GROUPS = ("group", "group_id")


@dataclass(frozen=True)
class Roles:
    """What the columns of a kind of table say: the names of each role, of which the first that a table has is taken.

    Of each of `required` a table has one role or another.
    """

    names: Mapping[str, Sequence[str]]
    required: Sequence[Sequence[str]]


IMAGES = Roles({**_NAMES, SPLIT: _SPLITS, GROUP: _GROUPS}, ((PATH,), (LABEL,)))
# Of images whose labels nobody asks for.
UNLABELLED = Roles({PATH: _NAMES[PATH]}, ((PATH,),))
CORRECTIONS = Roles({**_NAMES, CONTENT: ("content", "blake3"), DATASET: ("dataset",)}, ((PATH, CONTENT), (LABEL,)))
SENTENCE = "sentence"
_SENTENCES = ("sentence", "sentences", "description", "descriptions", "text")
DESCRIPTIONS = Roles({LABEL: _NAMES[LABEL], SENTENCE: _SENTENCES}, ((LABEL,), (SENTENCE,)))
SHARE = "share"
SHARES = Roles({LABEL: _NAMES[LABEL], SHARE: ("share", "shares", "proportion")}, ((LABEL,), (SHARE,)))
# What says splits in numbers.
FLAGS = frozenset(("is_train", "is_training", "is_training_image", "is_test", "is_val", "is_valid", "fold", "kfold"))


def roles_of(columns: Sequence[str], roles: Roles = IMAGES) -> dict[str, list[int]]:
    """The places of the columns of each role; several where they have one name, none of a role that no column has."""
    plain = [_plain(column) for column in columns]
    found = {}
    for role, names in roles.names.items():
        name = next((name for name in names if name in plain), None)
        if name is not None:
            exact = [place for place, column in enumerate(columns) if column == name]
            found[role] = exact or [place for place, column in enumerate(plain) if column == name]
    return found


def lacking(columns: Sequence[str], roles: Roles) -> list[Sequence[str]]:
    """The roles that a table with these columns must have, and has not."""
    found = roles_of(columns, roles)
    return [some for some in roles.required if not found.keys() & set(some)]


def chosen(table: str, columns: Sequence[str], roles: Roles) -> dict[str, int]:
    """The place of each role's column in the table called `table`. Raises `InputError` where one lacks or is there twice."""
    missing = lacking(columns, roles)
    if missing:
        wanted = ", ".join(map(" or ".join, map(_quoted, missing)))
        if not any(column.strip() for column in columns):
            raise InputError(f"{table} is empty; give it a first row with column {wanted} and a row for each image.")
        raise InputError(f"{table} has no column {wanted} but {', '.join(columns)[:300]}; rename its columns.")
    found = roles_of(columns, roles)
    for places in found.values():
        if len(places) > 1:
            raise InputError(f"{table} has several columns {named([columns[places[0]]])}; rename all but one.")
    return {role: places[0] for role, places in found.items()}


def said_of_columns(columns: Mapping[str, str]) -> tuple[str, ...]:
    """A remark on columns (by role) that are called otherwise than their roles."""
    others = [f"{column!r} as the {role}" for role, column in columns.items() if _plain(column) != role]
    return (f"the table's column {' and '.join(others)} was read",) if others else ()


def said_of_unread(columns: Sequence[str]) -> tuple[str, ...]:
    """A remark on columns that sound like splits and are not read as such."""
    found = [column for column in columns if _plain(column) in FLAGS] if SPLIT not in roles_of(columns) else []
    return (f"the table's column {named(found)} was not read: if it divides the images, add a column split with train, val, test",) * bool(
        found
    )


def _quoted(roles: Sequence[str]) -> list[str]:
    return [repr(role) for role in roles]


def _plain(column: str) -> str:
    return column.strip().casefold().replace(" ", "_").replace("-", "_")
