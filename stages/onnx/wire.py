"""What an ONNX file asks for beside its own bytes, read from these without any library: files of weights, operations, pieces of program.

A file may come from anybody, and onnxruntime follows the paths in it. So it is walked before it is loaded: weights may lie in one file
of one name beside it, operations are those of the standard, and nothing in it branches or loops, as nothing that xmap writes does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xmap.stages.onnx.form import WEIGHTS
from xmap.store.errors import InputError

# The messages of the format: which fields of each hold which other message, by number; `text` is read, what is not here is skipped.
TEXT, PROGRAM = "text", "program"
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: PROGRAM, 25: PROGRAM},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute", 7: TEXT},
    "attribute": {5: "tensor", 6: PROGRAM, 10: "tensor", 11: PROGRAM, 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: TEXT, 2: TEXT},
}
DOMAIN, KEY, VALUE = 7, 1, 2
STANDARD = ("", "ai.onnx")
VARINT, LENGTH, FIXED = 0, 2, {1: 8, 5: 4}
# Numbers of fields have 29 bits; of a larger one readers disagree what it is.
LARGEST = 1 << 32
REMEDY = "ask for the folder again, or export it again with --onnx"


class _Malformed(Exception):
    """Bytes that are no message."""


def require_own(data: bytes) -> None:
    """Raise `InputError` for an ONNX file that asks for more than itself and the weights beside it, and for what is none."""
    try:
        for kind, texts in _texts("model", memoryview(data)):
            domain, location = texts.get(DOMAIN, ""), texts.get(VALUE, "")
            if kind == "node" and domain not in STANDARD:
                raise InputError(f"it asks for operations of {domain!r}, which are not the standard's; {REMEDY}.")
            if kind == "entry" and texts.get(KEY) == "location" and location != WEIGHTS:
                raise InputError(f"it asks for the file {location!r}, and weights are taken from {WEIGHTS} alone; {REMEDY}.")
    except (_Malformed, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"it is no ONNX file; {REMEDY}.") from error


def _texts(kind: str, data: memoryview) -> Iterator[tuple[str, dict[int, str]]]:
    """The messages in a message and itself, each as its kind and its texts by the numbers of their fields: the last of a number counts."""
    texts = {}
    for number, value in _fields(data):
        inner = MESSAGES[kind].get(number)
        if inner == PROGRAM:
            raise InputError(f"it branches, loops or calls, which no file does that xmap writes; {REMEDY}.")
        if inner == TEXT:
            texts[number] = bytes(value).decode()
        elif inner is not None:
            yield from _texts(inner, value)
    yield kind, texts


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that hold bytes. Raises `_Malformed` and `IndexError` for what is no message."""
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        number, form = tag >> 3, tag & 7
        if tag >= LARGEST:
            raise _Malformed("a field without a number")
        if form == LENGTH:
            length, place = _number(data, place)
            if length > len(data) - place:
                raise _Malformed("cut off")
            yield number, data[place : place + length]
            place += length
        elif form == VARINT:
            _, place = _number(data, place)
        else:
            place += FIXED.get(form) or _unknown(form)


def _number(data: memoryview, place: int) -> tuple[int, int]:
    """A number at a place, seven bits a byte, the lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _Malformed("a number without an end")


def _unknown(form: int) -> int:
    raise _Malformed(f"a field of form {form}")
