"""Writing version 7.3: HDF5 as MATLAB writes it, one dataset per channel, chunks of whole frames.

The HDF5 file stands behind 512 bytes whose first 128 are MATLAB's header. Dimensions are in reverse, so that MATLAB's
(H, W, T) is (T, W, H) here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.ahead import ahead
from galvo.core.blocks import BlockIndex, runs_of
from galvo.core.codec import Codec
from galvo.core.output import Outlet
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, WritePlan
from galvo.core.threads import worker_count
from galvo.core.transpose import transpose_into
from galvo.errors import Unsupported
from galvo.formats.hdf5.access import written
from galvo.formats.hdf5.filters import create_chunked
from galvo.formats.matlab.own import END_NAME, START_NAME, end_text, start_text, text_room
from galvo.formats.matlab.sink5 import file_head, stored_axes, stored_dtype

__all__ = ["HierarchySink"]

_HEAD_BYTES = 512
_CHUNK_BYTES = 64 << 10
_MOST_CHUNK_BYTES = 1 << 32
_TEXT_CHUNK = 1 << 16
_CLASSES = {"f8": "double", "f4": "single", "c8": "single", "c16": "double", "b1": "logical"}


class HierarchySink(FileSink):
    """Writes version 7.3.

    Parameters
    ----------
    names : tuple of str
        One per channel.
    level : int or None
        Of gzip; None for uncompressed chunks.
    """

    def __init__(self, names: tuple[str, ...], level: int | None) -> None:
        self._names = names
        self._level = level
        self._codec = Codec(("fletcher32",) if level is None else ("shuffle", "zlib", "fletcher32"))

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""
        return self._level is not None

    def t_multiple(self, recording: Recording) -> int:
        """Frames that share a chunk: one, but more where frames are small."""
        frame_nbytes = recording.shape[3] * recording.shape[4] * recording.dtype.itemsize
        return max(1, min(recording.shape[0], _CHUNK_BYTES // max(1, frame_nbytes)))

    def estimate(self, plan: WritePlan) -> int:
        """Pixels without compression, and room for what surrounds them."""
        t, c, z, y, x = plan.recording.shape
        multiple = self.t_multiple(plan.recording)
        chunk_nbytes = multiple * y * x * plan.recording.dtype.itemsize
        return -(-t // multiple) * c * z * (chunk_nbytes + chunk_nbytes // 500 + 256) + 2 * text_room(plan) + (1 << 17)

    def prepare(self, plan: WritePlan) -> None:
        """Settle the geometry of the chunks.

        Raises
        ------
        Unsupported
            Numbers that MATLAB does not have, or frames of 4 GiB.
        """
        recording = plan.recording
        dtype = recording.dtype.newbyteorder("<")
        self._dtype = dtype if dtype.str[1:] in ("c8", "c16") else stored_dtype(dtype)
        self._class = _CLASSES.get(dtype.str[1:], dtype.name)
        self._plan = plan
        self._multiple = self.t_multiple(recording)
        t, _, z, y, x = recording.shape
        chunk_nbytes = self._multiple * y * x * self._dtype.itemsize
        if chunk_nbytes >= _MOST_CHUNK_BYTES:
            raise Unsupported("HDF5 has no chunks of 4 GiB, and a frame is not split", found=f"{chunk_nbytes} bytes")
        self._axes = stored_axes(recording)
        self._lengths = (t, z, x, y) if z > 1 else (t, x, y)
        self._chunk = (self._multiple, 1, x, y) if z > 1 else (self._multiple, x, y)

    def begin(self, output: Outlet) -> None:
        """Create the datasets."""
        self._output = output
        with written(output, "w", userblock_bytes=_HEAD_BYTES) as file:
            for name in self._names:
                self._create(file, name)
            _write_text(file, START_NAME, start_text(self._plan, self._names, self._axes))
        output.files[0].seek(0)
        output.files[0].write(file_head(0x0200, "7.3").ljust(_HEAD_BYTES, b"\0"))

    def reopen(self, output: Outlet) -> None:
        """Go on with the datasets that are there."""
        self._output = output

    def _create(self, file: Any, name: str) -> None:
        stored = self._dtype
        if stored.kind == "c":
            half = np.dtype(f"<f{stored.itemsize // 2}")
            stored = np.dtype([("real", half), ("imag", half)])
        dataset = create_chunked(file, name, stored, self._lengths, self._chunk, self._codec.steps, self._level)
        dataset.attrs["MATLAB_class"] = np.bytes_(self._class)
        if self._class == "logical":
            dataset.attrs["MATLAB_int_decode"] = np.int32(1)

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Iterator[bytes | memoryview]:
        """The chunks of a block, in the order of `runs_of`."""

        def encoded(corner: tuple[int, int, int]) -> bytes | memoryview:
            channel, plane, first = corner
            frames = block[first : first + self._multiple, channel, plane]
            # frames beyond the end of T are zeros that no reader shows
            chunk = np.zeros((self._multiple, frames.shape[2], frames.shape[1]), self._dtype)
            transpose_into(chunk[: frames.shape[0]], frames.swapaxes(1, 2))
            return self._codec.encode(chunk, self._level)

        return ahead(encoded, runs_of(index, self._multiple), worker_count(block.nbytes))

    def put(self, index: BlockIndex, encoded: Iterator[bytes | memoryview]) -> None:
        """Write the chunks of a block."""
        t, c, z = index[:3]
        with written(self._output, "r+") as file:
            datasets = [file[name].id for name in self._names[c.start : c.stop]]
            for (channel, plane, first), data in zip(runs_of(index, self._multiple), encoded, strict=True):
                corner = (t.start + first, z.start + plane, 0, 0) if len(self._chunk) == 4 else (t.start + first, 0, 0)
                datasets[channel].write_direct_chunk(corner, data)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write what is known now of the frames, and the checksums."""
        with written(self._output, "r+") as file:
            _write_text(file, END_NAME, end_text(self._plan, self._names, self._axes, checksums))


def _write_text(file: Any, name: str, text: str) -> None:
    """A row of characters: UTF-16 units, (N, 1)."""
    units = np.frombuffer(text.encode("utf-16-le"), "<u2").reshape(-1, 1)
    dataset = file.create_dataset(
        name,
        data=units,
        chunks=(min(len(units), _TEXT_CHUNK), 1),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
        fletcher32=True,
        track_times=False,
    )
    dataset.attrs["MATLAB_class"] = np.bytes_("char")
    dataset.attrs["MATLAB_int_decode"] = np.int32(2)
