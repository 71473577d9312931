"""xmap.toml: the configs of all stages in one file, read, overridden by flags, and written with what each field means."""

from __future__ import annotations

import difflib
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from xmap.pipeline.settings.usual import FOUR, fitting
from xmap.stages.config import (
    CacheConfig,
    Config,
    DataConfig,
    Device,
    EncoderConfig,
    EvalConfig,
    ExtractConfig,
    PairsConfig,
    Protocol,
    TextConfig,
)
from xmap.stages.datasets.places.place import shown
from xmap.stages.methods.registry import all_names, method_entry
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.several import MODELS, NAMES, NUMBERS, every, several_of
from xmap.store.disk.files import read_plain
from xmap.store.errors import InputError, XmapError

FILE = "xmap.toml"
# Bytes; `xmap init` writes 5 kB.
FILE_LIMIT = 1 << 20

Seed = Annotated[int, Field(ge=0)]
Tables = Mapping[str, Any]
# How a setting, `section.field`, is called where it was given: on a command line its flag.
Said = Callable[[str], str]
Model = TypeVar("Model", bound=Config)


def _defaults(model: type[Config]) -> Any:
    return Field(default_factory=model)


class RunConfig(Config):
    """Which methods and seeds, on which features. Device, workers and engine never change what is stored."""

    methods: Annotated[tuple[str, ...], Field(min_length=1), NAMES] = Field(FOUR, description="Methods to train and compare.")
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), NUMBERS] = Field(
        (1, 2, 3), description="Each draws a support, validation samples, a start and an order."
    )
    protocol: Protocol = Field("few", description="Validation: min(shots, 4) samples a class, or the whole split as in many papers.")
    features: str = Field("", description="Name of imported or extracted features to use instead of [data] and [encoder].")
    pool: str = Field("", description="Images without labels to learn from too: data of any form, or the name of stored features.")
    pool_shares: str = Field(
        "estimated", description="Shares of the classes in the pool: estimated, free, or a CSV file with the columns class and share."
    )
    also_model: Annotated[tuple[str, ...], MODELS] = Field(
        (),
        description="Another encoder of the same images: a model as --model has it, MODEL=WEIGHTS, or timm:MODEL; give it again for more.",
    )
    also_features: Annotated[tuple[str, ...], NAMES] = Field(
        (), description="Names of stored features of the same images by other encoders, which join the first."
    )
    device: Device = Field("auto", description="auto takes a GPU where there is one.")
    workers: int | None = Field(
        None,
        ge=0,
        description="Threads that decode images, on Ray those of each worker; default 4, for a GPU and many images one a core, to 16.",
    )
    engine: Literal["local", "ray"] = Field(
        "local", description="Where shards are encoded and adapters trained: here, or on a Ray cluster."
    )
    gpus_per_worker: float | None = Field(None, ge=0, description="GPUs of a Ray worker; default 1 where there are any.")

    @field_validator("gpus_per_worker")
    @classmethod
    def _share(cls, value: float | None) -> float | None:
        # What Ray can count.
        if value is not None and (value != round(value, 4) or (value > 1 and value != int(value))):
            raise ValueError("give a whole number of GPUs, or a share of one with at most four decimals")
        return value

    @field_validator("methods")
    @classmethod
    def _every(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return every(names, all_names())

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        # The model is frozen for everybody else.
        object.__setattr__(self, "methods", fitting(self.methods, self))
        return self


class XmapConfig(Config):
    """All of xmap.toml. `methods` holds options of methods, by name; a method that is not in it has its defaults."""

    data: DataConfig = _defaults(DataConfig)
    encoder: EncoderConfig = _defaults(EncoderConfig)
    extract: ExtractConfig = _defaults(ExtractConfig)
    text: TextConfig = _defaults(TextConfig)
    cache: CacheConfig = _defaults(CacheConfig)
    eval: EvalConfig = _defaults(EvalConfig)
    pairs: PairsConfig = _defaults(PairsConfig)
    run: RunConfig = _defaults(RunConfig)
    methods: Mapping[str, SerializeAsAny[MethodOptions]] = Field(default_factory=dict)

    def options(self, method: str) -> MethodOptions:
        """The options of a method. Raises `UnknownName`."""
        default = method_entry(method).options
        return self.methods.get(method) or default()

    def flags(self) -> str:
        """The flags that repeat this config on any command, but for the methods, seeds and shots: what differs from the defaults."""
        words: list[str] = []
        for section, model in SECTIONS.items():
            table = getattr(self, section)
            for field, info in model.model_fields.items():
                value = getattr(table, field)
                if f"{section}.{field}" not in SPOKEN and value != info.default:
                    words += _typed(field, info, value)
        for name, options in self.methods.items():
            changed = options.model_dump(mode="json", exclude_defaults=True)
            words += [word for field, value in changed.items() for word in ("--set", f"methods.{name}.{field}={_text(value)}")]
        return shlex.join(words)

    def override(self, settings: Mapping[str, Any], said: Said | None = None) -> XmapConfig:
        """This config with other values, keyed `section.field`. Raises `InputError`."""
        tables = self.model_dump(mode="json")
        for name, value in settings.items():
            _put(tables, name, value, said or _flag)
        return _validate(tables, "the config", set(settings), said or _flag)


SECTIONS: Mapping[str, type[Config]] = {
    "data": DataConfig,
    "encoder": EncoderConfig,
    "extract": ExtractConfig,
    "text": TextConfig,
    "cache": CacheConfig,
    "eval": EvalConfig,
    "pairs": PairsConfig,
    "run": RunConfig,
}


# Each stage's command states these itself; the last four belong to a machine.
SPOKEN = ("cache.shots", "run.methods", "run.seeds", "run.device", "run.workers", "run.engine", "run.gpus_per_worker")
# How a flag is called where it is given with one value.
ONE = {"--templates": "--template"}


def _typed(field: str, info: FieldInfo, value: Any) -> list[str]:
    """A field and its value as words of a command line."""
    flag = _dashed(field)
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    several = several_of(info.metadata)
    each = value if several and several.apart else (value,)
    # What repeats a command is written down, and goes on to others.
    return [word for one in each for word in (ONE.get(flag, flag), shown(_text(one)))]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def load_config(
    path: Path | str | None = None, overrides: Mapping[str, Any] | None = None, read: bool = True, said: Said | None = None
) -> XmapConfig:
    """Read `path` (default: xmap.toml where there is one; nothing if `read` is false), then apply overrides, keyed `section.field`.

    An override may be text as typed on a command line: numbers are read, lists are split. Raises `InputError`
    naming the file or flag (or what `said` calls a setting), the field, and the nearest field there is; `UnknownName` for a method.
    """
    file = Path(path or FILE)
    tables = _read(file) if read and (path or file.exists()) else {}
    given = dict(overrides or {})
    for name, value in given.items():
        _put(tables, name, value, said or _flag)
    return _validate(tables, str(file), set(given), said or _flag)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_plain(file, FILE_LIMIT).decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"no config file {file}; write one with `xmap init`, or name another with --config.") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); name another config file with --config.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text; save it as such.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not TOML: {error}.") from error


def _put(tables: dict[str, Any], name: str, value: Any, said: Said) -> None:
    *sections, field = name.split(".")
    if not sections or not all([*sections, field]):
        raise InputError(f"--set {name}: write --set section.field=value, for example --set cache.shots=4.")
    table = tables
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"{said(name)}: {section} is a field, not a section; known sections: {', '.join(SECTIONS)}, methods.NAME.")
        table = inner
    table[field] = value


def _validate(tables: Tables, file: str, flags: Iterable[str], said: Said) -> XmapConfig:
    rest = {name: table for name, table in tables.items() if name != "methods"}
    chosen = tables.get("methods", {})
    if not isinstance(chosen, dict):
        raise InputError(f"{file}: methods is a section of options, [methods.NAME]; the methods to run are listed in [run] methods.")
    options = {}
    for name, table in chosen.items():
        model = method_entry(name).options
        options[name] = _checked(model, table, file, flags, ("methods", name), said)
    config = _checked(XmapConfig, rest, file, flags, (), said)
    for name in config.run.methods:
        method_entry(name)
    return config.model_copy(update={"methods": options})


def read_flags(model: type[Model], given: Mapping[str, Any]) -> Model:
    """A config whose fields are flags alone, in no section of xmap.toml. Raises `InputError`."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        raise InputError(f"{_dashed(field)} {_text(given[field])}: {_wrong(first['type'], first['msg'])}.") from error


def _checked(model: type[Model], table: Any, file: str, flags: Iterable[str], above: tuple[str, ...], said: Said) -> Model:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise _problem(error, model, file, set(flags), above, said) from error


def _problem(error: ValidationError, model: type[Config], file: str, flags: set[str], above: tuple[str, ...], said: Said) -> XmapError:
    """The first problem as one sentence: where, which field, what is wrong, and the nearest field there is."""
    problems = error.errors(include_url=False)
    first = problems[0]
    # What follows the field says which of its forms was tried; a number, which of its values is wrong.
    loc = first["loc"][: 1 if above else 2]
    path = [*above, *(str(part) for part in loc)]
    same = [other for other in problems if other["loc"][: len(loc)] == loc]
    forms = [other for other in same if any(isinstance(part, str) for part in other["loc"][len(loc) :])] or [first]
    wrong = " or ".join(dict.fromkeys(_wrong(other["type"], str(other["msg"])) for other in forms))
    section, field = path[:-1] or path, path[-1] if path else ""
    name = ".".join(path)
    flag = next((flag for flag in sorted(flags) if f"{name}.".startswith(f"{flag}.") or flag.startswith(f"{name}.")), None)
    source = said(flag) if flag else file
    if first["type"] == "extra_forbidden":
        if len(path) == 1:
            return InputError(f"{source}: unknown section [{field}]; {nearest(field, [*SECTIONS, 'methods'])}.")
        owner = model if above else SECTIONS[path[0]]
        return InputError(f"{source}: unknown field {field!r} in [{'.'.join(section)}]; {nearest(field, list(owner.model_fields))}.")
    place = f"[{'.'.join(section)}] {field}" if len(path) > 1 else f"[{name}]"
    return InputError(f"{source}: {place} = {first['input']!r}: {wrong}.")


def _wrong(kind: str, message: str) -> str:
    if kind == "string_pattern_mismatch":
        return "a prompt needs {} where the class name goes"
    if kind in ("model_type", "dict_type"):
        return "it is a section of fields, not a value"
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _flag(name: str) -> str:
    section, _, field = name.partition(".")
    known = section in SECTIONS and field in SECTIONS[section].model_fields
    return _dashed(field) if known else f"--set {name}"


def _dashed(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def nearest(name: str, known: list[str]) -> str:
    """The known name that is most like `name`, or all of them, in words."""
    close = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    return f"the nearest known is {close[0]!r}" if close else f"known: {', '.join(known) or 'none'}"
