"""A made-up format, in a package that is not galvo.

Byte layout::

    0   b"DUMMY1\0\0"
    8   u32 T, C, Z, Y, X, little endian
    28  4 bytes: NumPy type code in ASCII, padded with spaces
    32  pixels, T slowest, no gaps
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from galvo.core.detect import Probe
from galvo.core.index import EvenPages, FrameIndex, PageOrder
from galvo.core.metadata import Metadata
from galvo.core.read import IndexedReader
from galvo.core.recording import Recording
from galvo.core.registry import Format
from galvo.core.sink import FileSink
from galvo.core.source import opening_source
from galvo.errors import Malformed, Truncated
from galvo.limits import DEFAULT_LIMITS

MAGIC = b"DUMMY1\0\0"
HEADER = struct.Struct("<8s5I4s")
TYPES = {"u1", "i1", "<u2", "<i2", "<i4", "<f4", "<f8"}


def detect(probe: Probe) -> bool:
    return probe.head.startswith(MAGIC)


def open_dummy(paths, *, shout=False, damaged="raise", limits=DEFAULT_LIMITS):
    (path,) = paths
    with opening_source([path]) as source:
        _, t, c, z, y, x, code = HEADER.unpack(source.read(0, 0, HEADER.size))
        text = code.decode("ascii", "replace").strip()
        if text not in TYPES or not t * c * z * y * x:
            raise Malformed("impossible header", path=path, found=f"{(t, c, z, y, x)} {text}")
        dtype = np.dtype(text)
        nbytes = y * x * dtype.itemsize
        limits.check("frame_bytes", nbytes, path=path)
        limits.check("page_count", t * c * z, path=path)
        end = HEADER.size + t * c * z * nbytes
        if source.size(0) < end:
            raise Truncated("pixels are missing", path=path, found=source.size(0), expected=end)
        run = EvenPages(t * c * z, nbytes, np.array([HEADER.size]), np.array([nbytes]))
        index = FrameIndex((t, c, z, y, x), dtype, (1, 1, 1, y, x), "YX", PageOrder(0, c * z, z, 1), (run,))
        metadata = Metadata(format="dummy", version="LOUD" if shout else None)
        return Recording(IndexedReader(source, index), metadata, files=[path])


class DummySink(FileSink):
    def __init__(self, pad: int = 0) -> None:
        self._pad = pad

    @property
    def compresses(self):
        return False

    def estimate(self, plan):
        return HEADER.size + plan.recording.nbytes + self._pad

    def prepare(self, plan):
        self._shape, self._dtype = plan.recording.shape, plan.recording.dtype

    def begin(self, output):
        self.reopen(output)
        self._file.write(HEADER.pack(MAGIC, *self._shape, self._dtype.str.lstrip("|").ljust(4).encode()))

    def reopen(self, output):
        (self._file,) = output.files

    def encode(self, index, block):
        return block

    def put(self, index: Any, block: Any) -> None:
        t, c, z = (part.start for part in index[:3])
        frame = math.prod(self._shape[3:]) * block.itemsize
        for k in np.ndindex(block.shape[:3]):
            number = ((t + k[0]) * self._shape[1] + c + k[1]) * self._shape[2] + z + k[2]
            self._file.seek(HEADER.size + number * frame)
            self._file.write(np.ascontiguousarray(block[k]).tobytes())

    def finish(self, checksums):
        pass


FORMAT = Format(
    name="dummy",
    title="A made-up format",
    suffixes=(".dummy",),
    detect=detect,
    open=open_dummy,
    sink=DummySink,
    options=("shout",),
    write_options=("pad",),
)
