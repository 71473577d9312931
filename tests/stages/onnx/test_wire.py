"""What an ONNX file may ask for is known from its bytes alone, before any library opens it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from xmap.stages.onnx.form import WEIGHTS
from xmap.stages.onnx.wire import require_own
from xmap.store.errors import InputError

Case = Callable[[], AbstractContextManager[None]]


def model(*nodes: onnx.NodeProto, held: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    return helper.make_model(helper.make_graph(list(nodes), "g", [value], [value], list(held)))


def apart(location: str) -> onnx.TensorProto:
    """A tensor whose numbers lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def field(number: int, data: bytes) -> bytes:
    """A field of a message, as it is written."""
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    return node


def test_what_lies_in_it_or_beside_it_passes() -> None:
    require_own(model(helper.make_node("Relu", ["x"], ["y"]), constant(helper.make_tensor("t", 1, [1], [2.0]))).SerializeToString())
    require_own(model(held=(apart(WEIGHTS),)).SerializeToString())


def odd() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Models that ask for more, and what is said of them."""
    for location in ("../secret", "/etc/passwd", "other.data", "", "*/_ORT_MEM_ADDR_/*"):
        yield repr(location), model(held=(apart(location),))
        yield repr(location), model(constant(apart(location)))
    sparse = model()
    sparse.graph.sparse_initializer.add().values.CopyFrom(apart("../secret"))
    yield "'../secret'", sparse
    yield "'com.microsoft'", model(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"))
    branch = helper.make_graph([], "b", [], [])
    yield "branches", model(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    called = model()
    called.functions.add(name="f", domain="")
    yield "branches", called


@pytest.mark.failure("received folder")
def test_what_asks_for_more_is_refused(case: Case) -> None:
    for words, found in odd():
        with case(), pytest.raises(InputError, match=re.escape(words)):
            require_own(found.SerializeToString())


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("before", [b"", field(1, b"x")])
def test_fields_in_another_order_or_twice_hide_nothing(before: bytes, case: Case) -> None:
    """The last field of a number counts, in whatever order."""
    location = before + field(2, b"../s") + field(1, b"location")
    with case(), pytest.raises(InputError, match=r"file '\.\./s'"):
        require_own(model().SerializeToString() + field(7, field(5, field(13, location))))


@pytest.mark.failure("received folder")
def test_a_field_number_that_readers_would_cut_is_refused(case: Case) -> None:
    """A tag of more than 32 bits: some readers would take its lower ones for another field."""
    with case(), pytest.raises(InputError, match="no ONNX file"):
        require_own(b"\xba\x80\x80\x80\x10\x00")


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_or_hold_nothing(data: bytes) -> None:
    try:
        require_own(data)
    except InputError as error:
        assert str(error).endswith(".")  # noqa: PT017  (most bytes are refused, some are an empty model)


def test_one_that_is_cut_off_is_refused() -> None:
    whole = model(constant(helper.make_tensor("t", 1, [64], [2.0] * 64))).SerializeToString()
    for length in range(20, len(whole) - 20, 7):
        with pytest.raises(InputError):
            require_own(whole[:length])
