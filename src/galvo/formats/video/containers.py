"""The outermost layer of MP4, Matroska and AVI files: whether all bytes are there, and what galvo keeps in them.

MP4 and QuickTime (ISO/IEC 14496-12, 4.2): boxes of u32 size, four letters, content, big endian; size 1: u64 size behind
the letters, size 0: to the end of the file. galvo's text is a box ``uuid`` of its own.

Matroska (RFC 8794, RFC 9559): elements of ID, size, content. IDs and sizes begin with zeros and a one that tell their
length; a size of ones only is unknown. galvo's text is an attachment.

AVI (Microsoft, AVI RIFF File Reference): chunks of four letters, u32 size, content padded to even, little endian.
galvo's text is a chunk ``JUNK`` that begins like the box of MP4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from galvo.core.partial import PartialFile
from galvo.core.source import FileSource
from galvo.errors import Malformed

__all__ = [
    "ATTACHMENT",
    "OWN_UUID",
    "Container",
    "Written",
    "ebml_children",
    "ebml_element",
    "examine",
    "kind_of",
    "matroska_segment",
    "mp4_boxes",
    "riff_chunks",
]

OWN_UUID = bytes.fromhex("6f1c3d0e5b7a4c59a4f2d1b86e0937c2")
ATTACHMENT = b"galvo.json"

_MOST_PARTS = 1 << 20
_EBML = 0x1A45DFA3
_SEGMENT = 0x18538067
_ATTACHMENTS = 0x1941A469
_ATTACHED = 0x61A7
_NAME = 0x466E
_DATA = 0x465C
_STILL_IMAGES = {b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"crx "}
_MP4_FIRST = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}


class Bytes(Protocol):
    """What is walked: a file to read, or one in the making."""

    def size(self, file: int) -> int:
        """Its bytes."""

    def read_upto(self, file: int, offset: int, nbytes: int) -> bytes:
        """Bytes at a position."""


class Written:
    """A file in the making, to be walked.

    Parameters
    ----------
    file : PartialFile
    """

    def __init__(self, file: PartialFile) -> None:
        self._file = file

    def size(self, file: int) -> int:
        """Its bytes."""
        return self._file.seek(0, 2)

    def read_upto(self, file: int, offset: int, nbytes: int) -> bytes:
        """Bytes at a position."""
        self._file.seek(offset)
        return self._file.read(nbytes) or b""


@dataclass(frozen=True, slots=True)
class Container:
    """What the outermost layer says.

    Attributes
    ----------
    demuxer : str
        Name that libav has for the format.
    announced_bytes : int
        How long the file says that it is; its real length where it does not say.
    kept : range or None
        Where galvo's text lies.
    """

    demuxer: str
    announced_bytes: int
    kept: range | None = None


def kind_of(head: bytes, suffix: str) -> str | None:
    """Name of the demuxer for a file that begins like this; None for what is no video."""
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[4:8] == b"ftyp":
        return None if head[8:12] in _STILL_IMAGES else "mov"
    # QuickTime before ftyp
    return "mov" if head[4:8] in _MP4_FIRST and suffix in (".mov", ".mp4") else None


def examine(source: FileSource, demuxer: str) -> Container:
    """Walk the outermost layer of a file.

    Raises
    ------
    Malformed
        More parts than any recording has.
    """
    walk = {"mov": _examine_mp4, "matroska": _examine_matroska, "avi": _examine_avi}[demuxer]
    return walk(source)


def _counted(source: Bytes) -> Iterator[None]:
    for _ in range(_MOST_PARTS):
        yield
    raise Malformed("more parts than a video can have", expected=f"at most {_MOST_PARTS}")


# ---- MP4 ------------------------------------------------------------------------------------------------------------


def mp4_boxes(source: Bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[bytes, int, int, int]]:
    """Letters, position, size of the header and size with it of each box; the last may reach beyond the end."""
    at, end = start, source.size(0) if stop is None else stop
    for _ in _counted(source):
        head = source.read_upto(0, at, min(16, max(0, end - at)))
        if len(head) < 8:
            return
        nbytes, header = int.from_bytes(head[:4], "big"), 8
        if nbytes == 1:
            nbytes, header = int.from_bytes(head[8:16], "big"), 16
        elif nbytes == 0:
            nbytes = end - at
        if nbytes < header:
            return
        yield head[4:8], at, header, nbytes
        at += nbytes


def _examine_mp4(source: Bytes) -> Container:
    end, kept = 0, None
    for letters, at, header, nbytes in mp4_boxes(source):
        end = at + nbytes
        if letters == b"uuid" and source.read_upto(0, at + header, 16) == OWN_UUID:
            kept = range(at + header + 16, end)
    return Container("mov", max(end, source.size(0)), kept)


# ---- Matroska -------------------------------------------------------------------------------------------------------


def ebml_element(source: Bytes, at: int) -> tuple[int, int, int] | None:
    """ID, first byte of the content and its size (-1: unknown) of the element there; None where there is none."""
    head = source.read_upto(0, at, 12)
    if not head or not head[0]:
        return None
    id_nbytes = 9 - head[0].bit_length()
    if id_nbytes > 4 or len(head) <= id_nbytes or not head[id_nbytes]:
        return None
    nbytes = 9 - head[id_nbytes].bit_length()
    if len(head) < id_nbytes + nbytes:
        return None
    ones = (1 << 7 * nbytes) - 1
    size = int.from_bytes(head[id_nbytes : id_nbytes + nbytes], "big") & ones
    return int.from_bytes(head[:id_nbytes], "big"), at + id_nbytes + nbytes, -1 if size == ones else size


def ebml_children(source: Bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """ID, first byte of the content and its size of the elements from `start` on, up to one of unknown size."""
    at = start
    for _ in _counted(source):
        found = ebml_element(source, at) if at < stop else None
        if found is None:
            return
        yield found
        if found[2] < 0:
            return
        at = found[1] + found[2]


def _examine_matroska(source: Bytes) -> Container:
    size, announced, kept = source.size(0), source.size(0), None
    for identity, start, nbytes in ebml_children(source, 0, size):
        stop = start + nbytes if nbytes >= 0 else size
        announced = max(announced, stop)
        if identity != _SEGMENT:
            continue
        for child, first, child_nbytes in ebml_children(source, start, min(stop, size)):
            announced = max(announced, first + child_nbytes)
            if child == _ATTACHMENTS:
                kept = _attachment(source, first, first + child_nbytes) or kept
    return Container("matroska", announced, kept)


def matroska_segment(source: Bytes) -> range:
    """Where the content of the first segment lies; nowhere in a file that has none or does not say how long it is."""
    for identity, start, nbytes in ebml_children(source, 0, source.size(0)):
        if identity == _SEGMENT:
            return range(start, start + max(0, nbytes))
    return range(0)


def _attachment(source: Bytes, start: int, stop: int) -> range | None:
    for identity, first, nbytes in ebml_children(source, start, stop):
        if identity != _ATTACHED:
            continue
        parts = {child: (at, size) for child, at, size in ebml_children(source, first, first + nbytes)}
        name, data = parts.get(_NAME), parts.get(_DATA)
        if name and data and name[1] == len(ATTACHMENT) and source.read_upto(0, name[0], name[1]) == ATTACHMENT:
            return range(data[0], data[0] + data[1])
    return None


# ---- AVI ------------------------------------------------------------------------------------------------------------


def riff_chunks(source: Bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Letters, first byte of the content and its size of each chunk; the last may reach beyond what is there."""
    at = start
    for _ in _counted(source):
        head = source.read_upto(0, at, 8) if at < stop else b""
        if len(head) < 8:
            return
        nbytes = int.from_bytes(head[4:], "little")
        yield head[:4], at + 8, nbytes
        at += 8 + nbytes + nbytes % 2


def _examine_avi(source: Bytes) -> Container:
    end, kept = source.size(0), None
    announced = end
    for letters, at, nbytes in riff_chunks(source, 0, end):
        if letters != b"RIFF":
            break
        announced = max(announced, at + nbytes)
        for name, first, content in riff_chunks(source, at + 4, min(end, at + nbytes)):
            if name == b"JUNK" and source.read_upto(0, first, 16) == OWN_UUID:
                kept = range(first + 16, first + content)
    return Container("avi", announced, kept)
