"""Writing HDF5: one dataset per channel, chunks of whole frames written straight, compressed in threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.codec import Codec
from galvo.core.output import Output, Target
from galvo.core.read import worker_count
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.errors import OptionError, Unsupported
from galvo.formats.hdf5.access import written
from galvo.formats.hdf5.filters import FILTER_NUMBERS, who_reads
from galvo.formats.hdf5.frames import create_frames, write_events, write_frames
from galvo.formats.hdf5.schema import GROUP, create_group, finish_group

__all__ = ["Hdf5Sink"]

_CHUNK_BYTES = 64 << 10
_MOST_CHUNK_BYTES = 1 << 32
# compression: codec steps before the checksum, level by default
_COMPRESSIONS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "none": ((), None),
    "gzip": (("shuffle", "zlib"), 4),
    "lzf": (("shuffle", "lzf"), None),
    "zstd": (("shuffle", "zstd"), 1),
}
_LEVELS = {"gzip": range(1, 10), "zstd": range(1, 23)}


class Hdf5Sink:
    """Writes /ch1 .. /chN and /galvo.

    Parameters
    ----------
    compression : "none", "gzip", "lzf" or "zstd"
        All but "none" shuffle bytes first, which is worth about a fifth on 16-bit pixels.
    compression_level : int, optional
        1 (fast) to 9 (small) for gzip, 4 by default; 1 to 22 for zstd, 1 by default.
    fletcher32 : bool
        A checksum on every chunk, checked by every HDF5 reader.
    """

    def __init__(
        self, compression: str | None = "none", compression_level: int | None = None, fletcher32: bool = True
    ) -> None:
        self._compression = "none" if compression is None else compression
        if self._compression not in _COMPRESSIONS:
            raise OptionError("unknown compression", found=repr(compression), expected=", ".join(_COMPRESSIONS))
        steps, level = _COMPRESSIONS[self._compression]
        levels = _LEVELS.get(self._compression, range(0))
        if compression_level is not None and (type(compression_level) is not int or compression_level not in levels):
            expected = f"{levels[0]} to {levels[-1]}" if levels else f"none, {self._compression} has no levels"
            raise OptionError("no such compression_level", found=repr(compression_level), expected=expected)
        self._level = level if compression_level is None else compression_level
        self._codec = Codec((*steps, "fletcher32") if fletcher32 else steps)

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""
        return self._compression != "none"

    @property
    def notes(self) -> tuple[str, ...]:
        """Which programs will read the output, where not all do."""
        return who_reads(self._codec.steps)

    def shown(self, block: NDArray[Any]) -> NDArray[Any]:
        """The block itself."""
        return block

    def target(self, final: str, recording: Recording) -> Target:
        """One file."""
        return Target(final=final, files=(final,))

    @property
    def block_order(self) -> str:
        """Any would do."""
        return "TCZ"

    def t_multiple(self, recording: Recording) -> int:
        """Frames that share a chunk: one, but more where frames are small."""
        frame_nbytes = recording.shape[3] * recording.shape[4] * recording.dtype.itemsize
        return max(1, min(recording.shape[0], _CHUNK_BYTES // max(1, frame_nbytes)))

    def estimate(self, plan: WritePlan) -> int:
        """Pixels without compression, and room for what surrounds them."""
        recording = plan.recording
        t, c, z = recording.shape[:3]
        multiple = self.t_multiple(recording)
        chunks = -(-t // multiple) * c * z
        chunk_nbytes = multiple * recording.nbytes // max(1, t * c * z) + 128
        texts = sum(4 * len(text) for text in recording.metadata.texts.values())
        return chunks * chunk_nbytes + t * c * z * 128 + texts + (1 << 16)

    def begin(self, output: Output) -> None:
        """Create the datasets."""
        self._output = output
        with written(self._output, "w") as made:
            self._create(made)

    def reopen(self, output: Output) -> None:
        """Go on with the datasets that are there."""
        self._output = output

    def prepare(self, plan: WritePlan) -> None:
        """Settle the geometry of the chunks."""
        recording = plan.recording
        if recording.dtype.kind not in "biufc" or recording.dtype.itemsize > (16 if recording.dtype.kind == "c" else 8):
            raise Unsupported(f"HDF5 movies of {recording.dtype} are not written", found=str(recording.dtype))
        self._plan = plan
        self._multiple = self.t_multiple(recording)
        t, _, z, y, x = recording.shape
        chunk_nbytes = self._multiple * y * x * recording.dtype.itemsize
        if chunk_nbytes >= _MOST_CHUNK_BYTES:
            raise Unsupported("HDF5 has no chunks of 4 GiB, and a frame is not split", found=f"{chunk_nbytes} bytes")
        self._lengths = (t, z, y, x) if z > 1 else (t, y, x)
        self._chunk = (self._multiple, 1, y, x) if z > 1 else (self._multiple, y, x)

    def _create(self, file: Any) -> None:
        recording = self._plan.recording
        datasets = [self._create_dataset(file, f"ch{number}") for number in range(1, recording.shape[1] + 1)]
        axes = "TZYX" if len(self._lengths) == 4 else "TYX"
        _describe(file, datasets, recording, axes)
        create_group(file, self._plan, axes)
        create_frames(file[GROUP], self._plan)

    def _create_dataset(self, file: Any, name: str) -> Any:
        """A dataset whose filters are those of the codec, whether or not this HDF5 has them: chunks come encoded."""
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(self._chunk)
        plist.set_obj_track_times(False)
        for step in self._codec.steps:
            if step == "shuffle":
                plist.set_shuffle()
            elif step == "zlib":
                plist.set_deflate(self._level)
            elif step == "fletcher32":
                plist.set_fletcher32()
            else:
                values = (self._level,) if self._level is not None else ()
                plist.set_filter(FILTER_NUMBERS[step], h5py.h5z.FLAG_OPTIONAL, values)
        kind = h5py.h5t.py_create(self._plan.recording.dtype, logical=True)
        space = h5py.h5s.create_simple(self._lengths)
        return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, plist))

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> list[bytes | memoryview]:
        """The chunks of a block, in the order of `_corners`."""
        workers = worker_count(block.nbytes)

        def encoded(corner: tuple[int, int, int]) -> bytes | memoryview:
            channel, plane, first = corner
            return self._encode(block[first : first + self._multiple, channel, plane])

        with ThreadPoolExecutor(workers) as pool:
            return list((pool.map if workers > 1 else map)(encoded, self._corners(index)))

    def _corners(self, index: BlockIndex) -> list[tuple[int, int, int]]:
        """Channel, plane and first frame of each chunk of a block, relative to it."""
        t, c, z = (part.stop - part.start for part in index[:3])
        return list(product(range(c), range(z), range(0, t, self._multiple)))

    def put(self, index: BlockIndex, encoded: list[bytes | memoryview]) -> None:
        """Write the chunks of a block."""
        t, c, z = index[:3]
        with written(self._output, "r+") as file:
            datasets = [file[f"ch{number}"].id for number in range(c.start + 1, c.stop + 1)]
            for (channel, plane, first), data in zip(self._corners(index), encoded, strict=True):
                corner = (t.start + first, z.start + plane, 0, 0) if len(self._chunk) == 4 else (t.start + first, 0, 0)
                datasets[channel].write_direct_chunk(corner, data)
            write_frames(file[GROUP], self._plan.recording, index)

    def _encode(self, frames: NDArray[Any]) -> bytes | memoryview:
        """One chunk; frames beyond the end of T are zeros that no reader shows."""
        if frames.shape[0] < self._multiple:
            padded = np.zeros((self._multiple, *frames.shape[1:]), frames.dtype)
            padded[: frames.shape[0]] = frames
            frames = padded
        return self._codec.encode(frames, self._level)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write the checksums."""
        with written(self._output, "r+") as file:
            write_events(file[GROUP], self._plan.recording)
            finish_group(file[GROUP], self._plan.blocks, checksums)

    def abort(self) -> None:
        """Nothing is held between the other calls."""


def _describe(file: Any, datasets: list[Any], recording: Recording, axes: str) -> None:
    """The attributes of PyFlowReg's HDF5 files (pyflowreg spec 2.3)."""
    t, c, _, y, x = recording.shape
    file.attrs["format"] = "pyflowreg_hdf5_v1"
    file.attrs["dataset_names"] = [f"ch{number}" for number in range(1, c + 1)]
    file.attrs["frame_count"] = t
    file.attrs["height"], file.attrs["width"], file.attrs["n_channels"] = y, x, c
    file.attrs["axes"] = axes
    for dataset in datasets:
        dataset.attrs["axes"] = axes
    if axes == "TYX":
        file.attrs["dimension_ordering"] = [1, 2, 0]
        for dataset in datasets:
            dataset.attrs["dimension_ordering"] = [1, 2, 0]
            dataset.attrs["original_shape_THWC"] = [t, y, x, c]
