"""Settings that a method chooses on validation samples, and what may be given for one. No torch here.

Nothing given: the method's own grid is searched. One value: it is used, and not chosen. Several: they are the grid, which is not
widened. A field becomes such a setting by its declaration alone: `Annotated[Given[Positive], Search(...)]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from xmap.stages.config import Config
from xmap.stages.several import NAMES
from xmap.store.artifacts.fingerprint import Json

# Grids of several settings multiply.
MOST = 100
GRIDS = "grids"

T = TypeVar("T")


@dataclass(frozen=True)
class Grid:
    """The values of one setting in rising order; `widen` continues it geometrically beyond either edge."""

    values: tuple[float, ...] = ()
    widen: bool = True


@dataclass(frozen=True)
class Search:
    """What holds where nothing is given: the value without validation samples, and the grid with some.

    A method that derives one of them from its task declares None or no grid here.
    """

    start: float | None = None
    grid: Grid = Grid()


def _rising(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if values is not None and len(set(values)) < len(values):
        raise ValueError("give each value of a grid once")
    return None if values is None else tuple(sorted(values))


Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Given = Annotated[
    Annotated[tuple[T, ...], Field(min_length=1, max_length=MOST)] | None, BeforeValidator(NAMES.values), AfterValidator(_rising)
]


class MethodOptions(Config):
    """Options of a method. Those that it chooses on validation samples are None until they are given."""

    @classmethod
    def searches(cls) -> dict[str, Search]:
        """The settings that may be searched, by name."""
        declared = {name: [part for part in info.metadata if isinstance(part, Search)] for name, info in cls.model_fields.items()}
        return {name: found[0] for name, found in declared.items() if found}

    def searched(self) -> dict[str, Search]:
        """The settings that are searched with these options; another one of `searches` takes one value, and keeps it."""
        return self.searches()

    def initial(self, name: str, derived: float | None = None) -> float:
        """The value of a setting before any choice: that by declaration, or of those given the nearest to it."""
        declared = self.searches()[name].start if derived is None else derived
        given: tuple[float, ...] | None = getattr(self, name)
        if declared is None:
            raise ValueError(f"the method derives the start of {name}, and did not hand it over")
        return declared if given is None else min(given, key=lambda value: (abs(value - declared), value))

    def grid(self, name: str, scale: float = 1.0, derived: Grid | None = None) -> Grid:
        """What is searched for a setting: what is given (one value leaves nothing to choose), else the method's own grid.

        Values are multiplied by `scale`; a `derived` grid is taken as it is.
        """
        given: tuple[float, ...] | None = getattr(self, name)
        if given is None and derived is not None:
            return derived
        grid = self.searches()[name].grid if given is None else Grid(given, widen=False)
        return Grid(tuple(scale * value for value in grid.values), grid.widen)

    def declared(self) -> dict[str, Json]:
        """The options as a fingerprint knows them: a searched setting by its start, and apart from these the grids given."""
        fields: dict[str, Json] = self.model_dump(mode="json")
        searched = self.searched()
        given = {name: fields[name] for name in searched if fields[name] is not None}
        starts: Mapping[str, Json] = {
            name: search.start if name in searched else self.initial(name) for name, search in self.searches().items()
        }
        return {**fields, **starts, **({GRIDS: given} if given else {})}

    @classmethod
    def restored(cls, declared: Mapping[str, object]) -> Self:
        """The options that `declared` gave. Raises `ValidationError` for what they never do."""
        given = declared.get(GRIDS)
        plain = {name: value for name, value in declared.items() if name != GRIDS}
        return cls.model_validate(plain | dict.fromkeys(cls.searches()) | (dict(given) if isinstance(given, Mapping) else {}))

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        for name in self.searches().keys() - self.searched().keys():
            if len(getattr(self, name) or ()) > 1:
                raise ValueError(f"{name} takes one value with these options: it is not searched")
        return self
