"""Multipart forms (RFC 7578), taken apart whole: a body that is in memory needs no reader of pieces."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from xmap.pipeline.serve.refusals import Refused

FORM = "multipart/form-data"
LONGEST_HEAD = 4096
LONGEST_BOUNDARY = 70
LONGEST_TYPE = 1024


@dataclass(frozen=True)
class FormPart:
    """One field of a form; a file has a `filename`."""

    name: str
    filename: str | None
    content: bytes


def media_type(header: str) -> str:
    """The kind of a body by its content-type header; empty where that says none."""
    return header[:LONGEST_TYPE].partition(";")[0].strip().lower()


def parts_of(body: bytes, header: str, most: int) -> list[FormPart]:
    """The parts of a form whose content-type is `header`, at most `most`. Raises `Refused`."""
    delimiter = b"\r\n--" + _boundary(header)
    whole = b"\r\n" + body
    # Counted first: a body of nothing but boundaries would be a list of millions.
    if whole.count(delimiter) > most + 1:
        raise Refused("too-large", f"the form has more than {most:,} parts; send several requests.")
    # Before the first boundary is nothing to read, and after the last one neither.
    _, *pieces = whole.split(delimiter)
    if not pieces or not pieces[-1].startswith(b"--"):
        raise Refused("malformed", "the form does not end with its boundary; send it whole.")
    return [_part(piece) for piece in pieces[:-1]]


def _boundary(header: str) -> bytes:
    message = Message()
    message["content-type"] = header[:LONGEST_TYPE].replace("\r", " ").replace("\n", " ")
    found = message.get_param("boundary")
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_BOUNDARY or not found.isascii():
        raise Refused(
            "malformed", f"the content-type names no boundary of 1 to {LONGEST_BOUNDARY} signs; send the form as RFC 7578 has it."
        )
    return found.encode("ascii")


def _part(piece: bytes) -> FormPart:
    start = piece.find(b"\r\n")
    end = piece.find(b"\r\n\r\n", start, start + LONGEST_HEAD)
    if start < 0 or end < 0 or piece[:start].strip(b" \t"):
        raise Refused("malformed", "a part of the form has no head; send the form as RFC 7578 has it.")
    head = HeaderParser().parsestr(piece[start + 2 : end].decode("utf-8", "replace"))
    name = head.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise Refused("malformed", "a part of the form has no name; send the form as RFC 7578 has it.")
    return FormPart(name, head.get_filename(), piece[end + 4 :])
