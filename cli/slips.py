"""What people type where one word or one value is meant: understood where it can be, and told what was meant where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xmap.store.errors import InputError

# The setting that a word without a flag is.
DATA = "data.data"
# Settings of one value of which `xmap bench` takes several.
ONE = ("cache.shots", "run.features")


def require_one(chosen: Mapping[str, Any]) -> None:
    """Refuse a list where one value is meant, with the command that takes lists."""
    from xmap.pipeline.studies.grid import GridConfig
    from xmap.stages.several import several_of

    for setting in ONE:
        name, value = setting.partition(".")[2], chosen.get(setting, "")
        several = several_of(GridConfig.model_fields[name].metadata)
        if several and len(several.values(value)) > 1:
            raise InputError(
                f"--{name} {value}: one at a time here; `xmap bench --{name} {value}` runs several and prints them side by side."
            )


def place_of(words: Sequence[str], chosen: Mapping[str, Any]) -> dict[str, str]:
    """The one word that stands without a flag as the place of the images. Raises `InputError` for words that cannot be it."""
    if not words:
        return {}
    from xmap.stages.methods.registry import method_names

    shown = " ".join(words)
    if any(word.strip(",") in method_names() for word in words):
        raise InputError(f"{shown}: write methods with commas and no blanks, such as --methods zero-shot,xmadapter.")
    if all(word.strip(",").isdigit() for word in words):
        raise InputError(f"{shown}: write numbers with commas and no blanks, such as --seeds 1,2,3.")
    if len(words) > 1:
        raise InputError(f"{shown}: images come from one place; name it with --data, and put a pattern such as 'shards/*.tar' in quotes.")
    if DATA in chosen:
        raise InputError(f"{shown}: --data names {chosen[DATA]} already; leave one of the two out.")
    return {DATA: words[0]}
