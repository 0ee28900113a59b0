"""Where a ScanImage file keeps its header and ROI text."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from galvo.core.source import FileSource
from galvo.errors import Malformed
from galvo.formats.scanimage import MAGIC_NUMBER
from galvo.formats.scanimage.header import Header, is_header
from galvo.formats.tiff.ifd import Ifd
from galvo.limits import Limits

__all__ = ["StaticTexts", "read_static", "text_behind_pages"]

_START_CHARACTERS = 4096
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class StaticTexts:
    """The texts that describe a whole file.

    Attributes
    ----------
    header : Header
    roi : str
        ROI groups as the file keeps them (JSON from TIFF_FORMAT_VERSION 2 on), "" where there are none.
    tiff_format_version : int or None
        As the static block states it.
    """

    header: Header
    roi: str
    tiff_format_version: int | None


def read_static(source: FileSource, file: int, first: Ifd, limits: Limits) -> StaticTexts:
    """Header and ROI text of a file.

    Parameters
    ----------
    source : FileSource
    file : int
    first : Ifd
        Page 0.
    limits : Limits

    Raises
    ------
    Malformed
        No ScanImage text, or a static block larger than the file.
    """
    path = source.paths[file]
    head = source.read_upto(file, 0, 32)
    if first.header.big and len(head) == 32 and struct.unpack_from("<I", head, 16)[0] == MAGIC_NUMBER:
        version, header_nbytes, roi_nbytes = struct.unpack_from("<III", head, 20)
        if 32 + header_nbytes + roi_nbytes > source.size(file):
            raise Malformed(
                "the header block reaches beyond the end of the file",
                path=path,
                offset=24,
                found=f"{header_nbytes} + {roi_nbytes} bytes",
                expected=f"within {source.size(file)} bytes",
            )
        limits.check("text_bytes", header_nbytes, path=path, offset=24)
        limits.check("text_bytes", roi_nbytes, path=path, offset=28)
        header = _decode(source.read(file, 32, header_nbytes))
        return StaticTexts(Header(header, path), _decode(source.read(file, 32 + header_nbytes, roi_nbytes)), version)
    software = first.text(305)
    if is_header(software[:_START_CHARACTERS]):
        artist = first.text(315)
        return StaticTexts(Header(software, path), artist if artist.startswith("{") else "", None)
    description = first.description
    if is_header(description[:_START_CHARACTERS]):
        return StaticTexts(Header(description, path), "", None)
    raise Malformed("no ScanImage header", path=path, offset=first.offset)


def text_behind_pages(source: FileSource, file: int, order: str, end: int, limits: Limits) -> str:
    """The ROI groups that TIFF_FORMAT_VERSION 1 and 2 append: their text, then its length, u32, ends the file.

    Parameters
    ----------
    source : FileSource
    file : int
    order : str
        "<" or ">".
    end : int
        Where the pages end; the text lies behind.
    limits : Limits

    Returns
    -------
    str
        "" where the file does not end so.
    """
    size = source.size(file)
    if size - end <= 4:
        return ""
    nbytes = struct.unpack(order + "I", source.read(file, size - 4, 4))[0]
    begin = size - 4 - nbytes
    if not nbytes or begin < end:
        return ""
    limits.check("text_bytes", nbytes, path=source.paths[file], offset=size - 4)
    text = _decode(source.read(file, begin, nbytes)).rstrip(" ")
    # other programs leave bytes behind the pages too
    return "" if _NO_TEXT.search(text) else text


def _decode(data: bytes) -> str:
    data = data.rstrip(b"\0")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
