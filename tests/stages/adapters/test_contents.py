"""What an adapter of each method holds, held against what methods write and against what they never do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.worlds.faults import Case
from xmap.stages.adapters.contents import CONTENTS, TYPES, misfit
from xmap.stages.methods.registry import METHODS

SIZES = {"M": 6, "N": 3, "C": 8}


def fitting(method: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and settings as an adapter of this method has them."""
    known = CONTENTS[method]
    sizes = {**SIZES, "I": 8, "T": 8, "D": 5, "R": 2, "Q": 4}
    tensors = {name: np.zeros([sizes[letter] for letter in shape], TYPES.get(name, np.float32)) for name, shape in known.tensors.items()}
    return tensors, {name: "exp" if name == "kernel" else 1.0 for name in known.settings}


CHANGES: Mapping[str, Any] = {
    "another name": lambda tensors, name: {**{key: value for key, value in tensors.items() if key != name}, "x": tensors[name]},
    "one more": lambda tensors, name: {**tensors, "x": tensors[name]},
    "one less": lambda tensors, name: {key: value for key, value in tensors.items() if key != name},
    "a deeper one": lambda tensors, name: {**tensors, name: tensors[name][None]},
    "one of another type": lambda tensors, name: {**tensors, name: tensors[name].astype(np.int32)},
    "an empty one": lambda tensors, name: {**tensors, name: np.zeros((0, *tensors[name].shape[1:]), tensors[name].dtype)},
}


def test_every_method_declares_what_its_adapters_hold() -> None:
    assert CONTENTS.keys() == METHODS.keys()


@pytest.mark.parametrize("method", CONTENTS)
def test_what_fits_is_let_through(method: str) -> None:
    tensors, settings = fitting(method)
    assert misfit(method, tensors, settings, SIZES) is None


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("change", CHANGES)
def test_tensors_of_other_names_shapes_and_types_are_named(case: Case, change: str) -> None:
    for method in CONTENTS:
        tensors, settings = fitting(method)
        for name in tensors:
            with case():
                said = misfit(method, CHANGES[change](tensors, name), settings, SIZES)
                assert said is not None, (method, name)
                assert "tensor" in said


@pytest.mark.failure("received folder")
def test_sizes_must_agree_with_classes_keys_and_width(case: Case) -> None:
    for sizes in ({"M": 7}, {"N": 4}, {"C": 9}):
        for method, known in CONTENTS.items():
            if any(letter in shape for letter in sizes for shape in known.tensors.values()):
                tensors, settings = fitting(method)
                with case():
                    assert misfit(method, tensors, settings, {**SIZES, **sizes}) is not None, method


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("value", [None, "x", True, [1.0], {}])
def test_settings_must_be_numbers_or_known_words(case: Case, value: Any) -> None:
    for method, known in CONTENTS.items():
        for name in known.settings:
            tensors, settings = fitting(method)
            with case():
                assert f"its setting {name} is" in str(misfit(method, tensors, {**settings, name: value}, SIZES))


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("channel", [-1, 8, 2**40])
def test_channels_must_be_those_of_the_features(channel: int) -> None:
    tensors, settings = fitting("ape")
    tensors["channels"][0] = channel
    assert misfit("ape", tensors, settings, SIZES) == "its channels are not those of features of width 8"


@pytest.mark.failure("received folder")
@pytest.mark.parametrize(
    ("method", "top_k"),
    [("taskres", 5), ("xmadapter", 5), ("tip-adapter", "abc"), ("tip-adapter", 0), ("tip-adapter", True), ("gda", None)],
)
def test_a_number_of_keys_where_none_is_asked_for_is_said(method: str, top_k: object) -> None:
    _, settings = fitting(method)
    assert "top_k" in str(misfit(method, {}, {**settings, "top_k": top_k}, SIZES))
