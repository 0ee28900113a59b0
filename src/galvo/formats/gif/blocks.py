"""The blocks of a GIF: where every image is, what it is shown with, and what galvo keeps beside them.

::

    header          "GIF87a" or "GIF89a", u16 width, height, flags (0x80: a table of 2 << (flags & 7) colors follows),
                    background, aspect
    extensions      0x21, kind, sub-blocks: u8 size and so many bytes, until size 0
                    0xF9: flags (disposal << 2, 1: transparent), u16 delay in 10 ms, transparent index
                    0xFF: an application's; "GALVOREC1.0" is galvo's JSON
    image           0x2C, u16 left, top, width, height, flags (0x80: own colors, 0x40: interlaced), u8 LZW code size,
                    sub-blocks
    trailer         0x3B

Little endian. Source: GRAPHICS INTERCHANGE FORMAT, version 89a (CompuServe, 1990).
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galvo.core.source import FileSource
from galvo.errors import Malformed, Truncated
from galvo.limits import Limits

__all__ = ["APPLICATION", "Image", "Layout", "read_layout", "sub_blocks"]

APPLICATION = b"GALVOREC1.0"
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_HEAD = struct.Struct("<6sHH3B")
_IMAGE = struct.Struct("<HHHHB")
_CONTROL = struct.Struct("<BHB")
_WINDOW_BYTES = 1 << 20


class Image(NamedTuple):
    """One image of a GIF.

    Attributes
    ----------
    left, top, width, height : int
        Where it lies on the canvas.
    interlaced : bool
    colors_at, color_count : int
        Position and length of its own color table; 0 colors: the file's.
    data_at, data_nbytes : int
        Image data: code size, sub-blocks, terminator.
    delay : int
        How long it is shown, in 10 ms.
    disposal : int
        2: what it covers becomes background, 3: as it was before; otherwise it stays.
    transparent : int
        Index that leaves what is below, -1 for none.
    """

    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    colors_at: int
    color_count: int
    data_at: int
    data_nbytes: int
    delay: int
    disposal: int
    transparent: int


_COLUMNS = len(Image._fields)


@dataclass(slots=True)
class Layout:
    """All of a GIF but its pixels.

    Attributes
    ----------
    width, height : int
        Of the canvas.
    background : int
        Index of a color.
    colors : ndarray of uint8, (N, 3)
        The file's own table; black where it has none.
    images : ndarray of int64, (N, 12)
        Rows are `Image`.
    loop : int or None
        How often it is repeated, 0 for ever; None: not said.
    kept : bytes
        galvo's JSON.
    end : int
        Position behind the trailer; where the walk stopped when something is missing.
    missing : str or None
        What is missing at the end.
    """

    width: int
    height: int
    background: int
    colors: NDArray[np.uint8]
    images: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, _COLUMNS), np.int64))
    loop: int | None = None
    kept: bytes = b""
    end: int = 0
    missing: str | None = None

    def image(self, number: int) -> Image:
        """One image."""
        return Image(*self.images[number].tolist())


class _Bytes:
    """Forward through a file, a window at a time."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.at = 0
        self._start = 0
        self._window = b""

    def take(self, nbytes: int) -> bytes:
        """The next bytes; fewer where the file ends."""
        first = self.at - self._start
        if first + nbytes > len(self._window):
            self._start, first = self.at, 0
            self._window = self.source.read_upto(0, self.at, max(nbytes, _WINDOW_BYTES))
        data = self._window[first : first + nbytes]
        self.at += len(data)
        return data

    def need(self, nbytes: int) -> bytes:
        """The next bytes, all of them."""
        data = self.take(nbytes)
        if len(data) < nbytes:
            raise EOFError
        return data

    def skip_sub_blocks(self) -> None:
        """To behind the terminator."""
        while True:
            window, at, end = self._window, self.at - self._start, len(self._window)
            while at < end:
                size = window[at]
                at += 1 + size
                if not size:
                    self.at = self._start + at
                    return
            self.at = self._start + at
            if self.at >= self.source.size(0):
                self.at = self.source.size(0)
                raise EOFError
            self._start, self._window = self.at, self.source.read_upto(0, self.at, _WINDOW_BYTES)

    def sub_blocks(self, limits: Limits) -> bytes:
        """What sub-blocks hold."""
        start = self.at
        self.skip_sub_blocks()
        limits.check("text_bytes", self.at - start, path=self.source.paths[0], offset=start)
        data = self.source.read(0, start, self.at - start)
        parts, at = [], 0
        while data[at]:
            parts.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        return b"".join(parts)


def sub_blocks(data: bytes) -> bytes:
    """Bytes in sub-blocks, with a terminator."""
    parts = [data[first : first + 255] for first in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def read_layout(source: FileSource, limits: Limits) -> Layout:
    """Walk a file.

    Raises
    ------
    Malformed
        Something that is no block.
    Truncated
        Not even the header is whole.
    LimitExceeded
    """
    path, stream = source.paths[0], _Bytes(source)
    try:
        _, width, height, flags, background, _ = _HEAD.unpack(stream.need(_HEAD.size))
        colors = _table(stream.need(3 * _color_count(flags))) if flags & 0x80 else np.zeros((2, 3), np.uint8)
    except EOFError:
        raise Truncated("the header is cut off", path=path, offset=stream.at) from None
    layout = Layout(width, height, background, colors)
    rows = array("q")
    try:
        _walk(stream, layout, rows, limits)
    except EOFError:
        layout.missing = "the file ends too early"
    layout.end = stream.at
    limits.check("page_count", len(rows) // _COLUMNS, path=path)
    layout.images = np.array(rows, np.int64).reshape(-1, _COLUMNS)
    return layout


def _color_count(flags: int) -> int:
    return 2 << (flags & 7)


def _table(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8).reshape(-1, 3)


def _walk(stream: _Bytes, layout: Layout, rows: array[int], limits: Limits) -> None:
    control = (0, 0, -1)
    while True:
        kind = stream.need(1)
        if kind == b"\x3b":
            return
        if kind == b"\x21":
            label = stream.need(1)
            if label == b"\xf9":
                flags, delay, index = _CONTROL.unpack(_control(stream))
                control = (delay, flags >> 2 & 7, index if flags & 1 else -1)
            elif label == b"\xff":
                _application(stream, layout, limits)
            else:
                stream.skip_sub_blocks()
        elif kind == b"\x2c":
            number = len(rows) // _COLUMNS
            limits.check("page_count", number, path=stream.source.paths[0])
            rows.extend(_image(stream, layout, control, number))
            control = (0, 0, -1)
        elif kind != b"\0":
            raise Malformed(
                "no block of a GIF", path=stream.source.paths[0], offset=stream.at - 1, found=f"byte {kind.hex()}"
            )


def _control(stream: _Bytes) -> bytes:
    size = stream.need(1)[0]
    content = stream.need(size)
    if size:
        stream.skip_sub_blocks()
    if size < _CONTROL.size:
        raise Malformed("a control block is too short", path=stream.source.paths[0], offset=stream.at, found=size)
    return content[: _CONTROL.size]


def _application(stream: _Bytes, layout: Layout, limits: Limits) -> None:
    size = stream.need(1)[0]
    if not size:
        return
    name = stream.need(size)
    if name == APPLICATION:
        layout.kept = stream.sub_blocks(limits)
    elif name in _LOOPS:
        content = stream.sub_blocks(limits)
        if len(content) >= 3 and content[0] == 1:
            layout.loop = int.from_bytes(content[1:3], "little")
    else:
        stream.skip_sub_blocks()


def _image(stream: _Bytes, layout: Layout, control: tuple[int, int, int], number: int) -> Image:
    left, top, width, height, flags = _IMAGE.unpack(stream.need(_IMAGE.size))
    if not width or not height or left + width > layout.width or top + height > layout.height:
        raise Malformed(
            f"image {number} does not lie on the canvas",
            path=stream.source.paths[0],
            offset=stream.at,
            found=f"{width} x {height} at {left}, {top}",
            expected=f"within {layout.width} x {layout.height}",
        )
    count = _color_count(flags) if flags & 0x80 else 0
    colors_at = stream.at
    stream.need(3 * count)
    data_at = stream.at
    stream.need(1)
    stream.skip_sub_blocks()
    interlaced = bool(flags & 0x40)
    place = (left, top, width, height, interlaced, colors_at, count, data_at, stream.at - data_at)
    return Image(*place, *control)
