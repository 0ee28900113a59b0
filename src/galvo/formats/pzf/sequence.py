"""Frames of a sequence as a lazy array: each is a blob of its own, decoded when it is asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.selection import Selection
from galvo.core.threads import worker_count
from galvo.errors import Malformed, Truncated
from galvo.formats.pzf.blob import loads
from galvo.formats.pzf.header import PzfHeader, load_header

__all__ = ["HALF", "BlobFacts", "Blobs", "SequenceReader", "unshifted"]

# added to int16, it makes every value fit uint16
HALF = 1 << 15


class Blobs(Protocol):
    """Where the blobs of a sequence are, in its order."""

    def __len__(self) -> int: ...

    def path(self, position: int) -> str:
        """The file that a blob is in, for errors."""

    def nbytes(self, position: int) -> int:
        """Bytes of a blob."""

    def read(self, position: int) -> memoryview:
        """A whole blob."""

    def read_head(self, position: int) -> bytes:
        """At least its header."""

    def place(self, position: Int64) -> dict[str, NDArray[Any]]:
        """Columns that say where the blobs are."""

    def close(self) -> None:
        """Let go of the files."""


class SequenceReader:
    """Reads blobs that follow each other as T, C, Z, the last fastest; the Depth of a blob may be its Z instead.

    Parameters
    ----------
    blobs : Blobs
    shape : (T, C, Z, Y, X)
    header : PzfHeader
        Of the first blob, which the others must resemble.
    dtype : numpy.dtype
    pixel_shift : int
        What was added to int16 pixels to store them as uint16.
    numbers : ndarray of int64, optional
        Which frames the blobs are, in rising order, where some are missing.
    """

    def __init__(
        self,
        blobs: Blobs,
        shape: Shape,
        header: PzfHeader,
        dtype: np.dtype[Any],
        pixel_shift: int = 0,
        numbers: Int64 | None = None,
    ) -> None:
        self._blobs = blobs
        self._header = header
        self._shift = pixel_shift
        self._numbers = numbers
        self._deep = header.shape[2] > 1
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.chunks: Shape = (1, 1, shape[2] if self._deep else 1, shape[3], shape[4])

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`, several frames at a time.

        Raises
        ------
        FormatError, DamagedData
            A blob is not what its sequence promises.
        """
        t, c, z, y, x = (np.asarray(axis, np.int64) for axis in selection.axes)
        rows, columns = selection.y, selection.x
        plain = isinstance(rows, range) and isinstance(columns, range)
        area = (_slice(rows), _slice(columns)) if plain else np.ix_(y, x)
        planes = [0] if self._deep else z.tolist()
        jobs = [
            (self._number(int(t[i]), int(c[j]), plane), i, j, k)
            for (i, j), (k, plane) in product(np.ndindex(t.size, c.size), enumerate(planes))
        ]

        def fill(job: tuple[int, int, int, int]) -> None:
            number, i, j, k = job
            pixels = self._frame(number)
            if self._deep:
                out[i, j] = pixels[np.ix_(y, x, z)].transpose(2, 0, 1)
            else:
                out[i, j, k] = pixels[area]

        workers = min(len(jobs), worker_count(self._header.nbytes * len(jobs)))
        if workers <= 1:
            for job in jobs:
                fill(job)
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="galvo pzf") as pool:
            for _ in pool.map(fill, jobs):
                pass

    def _number(self, t: int, c: int, z: int) -> int:
        planes = 1 if self._deep else self.shape[2]
        return (t * self.shape[1] + c) * planes + z

    def _frame(self, number: int) -> NDArray[Any]:
        """A frame (Y, X), or (Y, X, Z), in the type of the recording."""
        position = int(self._positions(np.array([number], np.int64))[0])
        if position < 0:
            raise Truncated(f"frame {number} is missing", path=self._blobs.path(0))
        path = self._blobs.path(position)
        pixels, header = loads(self._blobs.read(position), path=path)
        self._check(header, path)
        if self.dtype != np.int16:
            return pixels
        return unshifted(pixels, self._shift, path, lossy=header.quantize is not None)

    def _positions(self, numbers: Int64) -> Int64:
        """Which blobs frames are; -1 for those that are missing."""
        if self._numbers is None:
            return numbers
        position = np.searchsorted(self._numbers, numbers)
        there = self._numbers[np.minimum(position, self._numbers.size - 1)] == numbers
        return np.where(there, position, -1)

    def _check(self, header: PzfHeader, path: str) -> None:
        expected = self._header
        if (header.shape, header.dtype) != (expected.shape, expected.dtype):
            raise Malformed(
                "the frame is not like the first of its sequence",
                path=path,
                found=f"{header.shape} {header.dtype}",
                expected=f"{expected.shape} {expected.dtype}",
            )

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Where the frames are."""
        planes, plane = (1, np.zeros_like(z)) if self._deep else (self.shape[2], z)
        return self._blobs.place(self._positions((t * self.shape[1] + c) * planes + plane))

    def prove(self) -> None:
        """Check every blob's header against the first."""
        for position in range(len(self._blobs)):
            path = self._blobs.path(position)
            self._check(load_header(self._blobs.read_head(position), path=path), path)

    def close(self) -> None:
        """Let go of the files."""
        self._blobs.close()


def _slice(positions: Any) -> slice:
    return slice(positions.start, None if positions.stop < 0 else positions.stop, positions.step)


def unshifted(pixels: NDArray[Any], shift: int, path: str, *, lossy: bool) -> NDArray[Any]:
    """Stored uint16 less `shift`, as int16; what was quantised saturates, for its levels may lie beyond."""
    if shift != HALF and pixels.size:
        low, high = shift - HALF, shift + HALF - 1
        least, most = int(pixels.min()), int(pixels.max())
        if lossy:
            pixels = np.clip(pixels, max(0, low), min(high, (1 << 16) - 1))
        elif least < low or most > high:
            raise Malformed(
                "pixels do not fit int16 once the shift is taken off",
                path=path,
                found=f"{least} to {most}",
                expected=f"{low} to {high}",
            )
    # modulo 2**16, which is exact for what fits
    return (pixels - np.uint16(shift)).view(np.int16)


class BlobFacts:
    """What the headers say of each frame, read when it is asked for.

    Parameters
    ----------
    blobs : Blobs
    lengths : (T, C, Z)
    """

    def __init__(self, blobs: Blobs, lengths: tuple[int, int, int]) -> None:
        self._blobs = blobs
        self._lengths = lengths

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns frame_number, frame_timestamp (in the writer's own unit) and sequence_id."""
        single = len(self._blobs) == self._lengths[0] * self._lengths[1]
        numbers = (t * self._lengths[1] + c) * (1 if single else self._lengths[2]) + (0 if single else z)
        headers = {
            number: load_header(self._blobs.read_head(number), path=self._blobs.path(number))
            for number in np.unique(numbers).tolist()
        }
        rows = [headers[number] for number in numbers.tolist()]
        return {
            "frame_number": np.array([row.frame_number for row in rows], np.int64),
            "frame_timestamp": np.array([row.frame_timestamp for row in rows], np.uint64),
            "sequence_id": np.array([row.sequence_id for row in rows], np.int64),
        }

    def times(self, t: Int64, c: Int64, z: Int64) -> NDArray[np.float64]:
        """Unknown: the format does not say what unit its timestamps have."""
        return np.full(t.size, np.nan)
