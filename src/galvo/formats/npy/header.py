"""The first bytes of a .npy file."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from galvo.core.source import FileSource
from galvo.errors import Malformed, Truncated, Unsupported

__all__ = ["Header", "encode_header", "read_header"]

_MAGIC = b"\x93NUMPY"
_MOST_BYTES = 64 << 10
_LENGTHS = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}
# one of the three entries; numbers of more digits than any size has do not match, nor do escapes
_ENTRY = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*
        (?:(['"])(?P<text>[^'"\\]*)\3|(?P<fields>\[)|(?P<flag>True|False)
          |\(\s*(?P<lengths>(?:\d{1,19}L?\s*,\s*)*(?:\d{1,19}L?)?)\s*\))
        \s*(?P<more>,?)""",
    re.VERBOSE,
)
_TYPE = re.compile(r"(?P<order>[<>|=]?)(?P<kind>[biufc])(?P<nbytes>\d{1,2})")
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
_ALIGNMENT = 64
_MOST_DIGITS = 21


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its array.

    Attributes
    ----------
    dtype : numpy.dtype
        As stored, byte order included.
    shape : tuple of int
    is_fortran : bool
        The first axis is the fastest.
    end : int
        Offset of the first value.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool
    end: int


def read_header(source: FileSource) -> Header:
    """The header of a file.

    Raises
    ------
    Truncated
        The file ends within it.
    Malformed
        It is not what NumPy writes.
    Unsupported
        A version that does not exist yet, or values that are no pixels.
    """
    path = source.paths[0]
    head = source.read_upto(0, 0, 12)
    if len(head) < 12:
        raise Truncated("the file ends within its header", path=path, found=f"{len(head)} bytes")
    if not head.startswith(_MAGIC):
        raise Malformed("no .npy file", path=path, found=f"first bytes {head[:6].hex(' ')}")
    length = _LENGTHS.get((head[6], head[7]))
    if length is None:
        raise Unsupported(
            "a version of .npy that galvo does not read",
            path=path,
            offset=6,
            found=f"{head[6]}.{head[7]}",
            expected="1.0, 2.0 or 3.0",
        )
    start = 8 + struct.calcsize(length)
    (nbytes,) = struct.unpack_from(length, head, 8)
    if nbytes > _MOST_BYTES:
        raise Malformed(
            "the header is longer than that of an array of numbers",
            path=path,
            offset=8,
            found=f"{nbytes} bytes",
            expected=f"at most {_MOST_BYTES}",
        )
    text = source.read(0, start, nbytes).decode("utf-8" if head[6] == 3 else "latin-1", "replace")
    entries = _entries(text, path, start)
    return Header(
        _type(entries["descr"], path, start),
        tuple(int(length.rstrip("L")) for length in re.findall(r"\d+L?", entries["shape"]["lengths"])),
        entries["fortran_order"]["flag"] == "True",
        start + nbytes,
    )


def _entries(text: str, path: str, offset: int) -> dict[str, dict[str, str | Any]]:
    """The three entries by key, each with what its value is."""

    def wrong(found: str) -> Malformed:
        return Malformed(
            "the header is not what NumPy writes",
            path=path,
            offset=offset,
            found=repr(found[:60]),
            expected="{'descr': ..., 'fortran_order': ..., 'shape': (...), }",
        )

    text = text.strip()
    if not text.startswith("{"):
        raise wrong(text)
    found: dict[str, dict[str, str | Any]] = {}
    at, has_more = 1, True
    while has_more:
        entry = _ENTRY.match(text, at)
        if entry is None:
            break
        if entry["fields"]:
            raise Unsupported(
                "an array of records holds no pixels",
                path=path,
                offset=offset,
                found=text[at : at + 60],
                hint="Save one of its fields as an array of its own",
            )
        kind = {"descr": "text", "fortran_order": "flag", "shape": "lengths"}[entry["key"]]
        if entry[kind] is None or entry["key"] in found:
            raise wrong(text[at:])
        found[entry["key"]] = entry.groupdict()
        at, has_more = entry.end(), bool(entry["more"])
    if text[at:].strip() != "}" or len(found) < 3:
        raise wrong(text[at:] if text[at:].strip() != "}" else text)
    return found


def _type(entry: dict[str, str | Any], path: str, offset: int) -> np.dtype[Any]:
    text = entry["text"]
    match = _TYPE.fullmatch(text)
    if match is None or int(match["nbytes"]) not in _SIZES[match["kind"]]:
        is_pickle = text.lstrip("<>|=").startswith("O")
        raise Unsupported(
            "an array of Python objects is a pickle, which galvo never runs"
            if is_pickle
            else "the values of the array are no pixels",
            path=path,
            offset=offset,
            found=repr(text),
            expected="whole, real or complex numbers or truth values",
            hint="If you trust the file: numpy.load(path, allow_pickle=True), and give galvo the array of numbers in it"
            if is_pickle
            else None,
        )
    if match["order"] in ("|", "=", "") and int(match["nbytes"]) > 1:
        raise Malformed("the type does not tell the order of its bytes", path=path, offset=offset, found=repr(text))
    return np.dtype(text)


def encode_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header of an array in C order, byte for byte as NumPy writes it.

    Room for the first axis to grow, then spaces up to a multiple of 64 bytes.
    """
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * (_MOST_DIGITS - len(repr(shape[0])))
    nbytes = len(_MAGIC) + 4 + len(text) + 1
    text += " " * (-nbytes % _ALIGNMENT) + "\n"
    return _MAGIC + bytes((1, 0)) + struct.pack("<H", len(text)) + text.encode("latin-1")
