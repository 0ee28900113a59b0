"""Writing HDF5: one dataset per channel, chunks of whole frames written straight, compressed in threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.ahead import ahead
from galvo.core.axes import AXES
from galvo.core.blocks import BlockIndex, runs_of
from galvo.core.codec import Codec
from galvo.core.output import Outlet
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, WritePlan
from galvo.core.threads import worker_count
from galvo.errors import OptionError, Unsupported
from galvo.formats.hdf5.access import written
from galvo.formats.hdf5.filters import create_chunked, who_reads
from galvo.formats.hdf5.frames import create_frames, write_events, write_frames
from galvo.formats.hdf5.schema import GROUP, create_group, create_subgroup, finish_group

__all__ = ["Hdf5Sink", "dataset_name", "stored_axes"]

_CHUNK_BYTES = 64 << 10
_MOST_CHUNK_BYTES = 1 << 32
# compression: codec steps before the checksum, level by default
_COMPRESSIONS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "none": ((), None),
    "gzip": (("shuffle", "zlib"), 4),
    "lzf": (("shuffle", "lzf"), None),
    "zstd": (("shuffle", "zstd"), 1),
}
# layout: names of its datasets
_LAYOUTS = {"channels": "ch*", "mov": "mov", "tczyx": "data"}
_LEVELS = {"gzip": range(1, 10), "zstd": range(1, 23)}


class Hdf5Sink(FileSink):
    """Writes one dataset per channel, or one for all, and /galvo.

    Parameters
    ----------
    layout : {"channels", "mov", "tczyx"}
        channels: /ch1 .. /chN, each (T, Y, X) or (T, Z, Y, X), as PyFlowReg does. mov: /mov (T, Y, X), which CaImAn
        reads; one channel, or one file for each (``split_channels=True``). tczyx: /data (T, C, Z, Y, X).
    dataset_names : str or list of str, optional
        Instead of those: a list with one for each channel; one with ``*`` for the number of the channel, from 1; or
        one that the number is put behind where there are several channels.
    dimension_ordering : (int, int, int)
        Where H, W and T stand among the axes of a planar movie: (1, 2, 0), the default, stores (T, Y, X), (0, 1, 2)
        stores (Y, X, T).
    chunk_size : int, optional
        Frames of a chunk; by default one, or as many as 64 KiB hold.
    compression : "none", "gzip", "lzf" or "zstd"
        All but "none" shuffle bytes first, which is worth about a fifth on 16-bit pixels.
    compression_level : int, optional
        1 (fast) to 9 (small) for gzip, 4 by default; 1 to 22 for zstd, 1 by default.
    compression_opts : int, optional
        h5py's name for `compression_level`.
    fletcher32 : bool
        A checksum on every chunk, checked by every HDF5 reader.
    """

    def __init__(
        self,
        compression: str | None = "none",
        compression_level: int | None = None,
        compression_opts: int | None = None,
        fletcher32: bool = True,
        layout: str = "channels",
        dataset_names: str | Sequence[str] | None = None,
        dimension_ordering: Sequence[int] = (1, 2, 0),
        chunk_size: int | None = None,
    ) -> None:
        if layout not in _LAYOUTS:
            raise OptionError("unknown layout", found=repr(layout), expected=", ".join(_LAYOUTS))
        if chunk_size is not None and (type(chunk_size) is not int or chunk_size < 1):
            raise OptionError("chunk_size does not fit", found=repr(chunk_size), expected="1 or more")
        if compression_level is not None and compression_opts is not None and compression_level != compression_opts:
            raise OptionError("compression_level and compression_opts are two names of one option")
        compression_level = compression_opts if compression_level is None else compression_level
        self._layout = layout
        self._names = dataset_names
        self._chunk_size = chunk_size
        self._planar_axes = stored_axes(dimension_ordering)
        self._compression = "none" if compression is None else compression
        if self._compression not in _COMPRESSIONS:
            raise OptionError("unknown compression", found=repr(compression), expected=", ".join(_COMPRESSIONS))
        steps, level = _COMPRESSIONS[self._compression]
        levels = _LEVELS.get(self._compression, range(0))
        if compression_level is not None and (type(compression_level) is not int or compression_level not in levels):
            expected = f"{levels[0]} to {levels[-1]}" if levels else f"nothing: {self._compression} has no levels"
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

    def t_multiple(self, recording: Recording) -> int:
        """Frames that share a chunk: one, but more where frames are small."""
        if self._chunk_size is not None:
            return min(self._chunk_size, recording.shape[0])
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

    def begin(self, output: Outlet) -> None:
        """Create the datasets."""
        self._output = output
        with written(self._output, "w") as made:
            self._create(made)

    def reopen(self, output: Outlet) -> None:
        """Go on with the datasets that are there."""
        self._output = output

    def prepare(self, plan: WritePlan) -> None:
        """Settle the geometry of the chunks."""
        recording = plan.recording
        if recording.dtype.kind not in "biufc" or recording.dtype.itemsize > (16 if recording.dtype.kind == "c" else 8):
            raise Unsupported(f"HDF5 movies of {recording.dtype} are not written", found=str(recording.dtype))
        self._plan = plan
        self._multiple = self.t_multiple(recording)
        y, x = recording.shape[3:]
        chunk_nbytes = self._multiple * y * x * recording.dtype.itemsize
        if chunk_nbytes >= _MOST_CHUNK_BYTES:
            raise Unsupported("HDF5 has no chunks of 4 GiB, and a frame is not split", found=f"{chunk_nbytes} bytes")
        self._axes = self._settled_axes(recording)
        self._datasets = self._settled_names(recording.shape[1])
        lengths = dict(zip(AXES, recording.shape, strict=True))
        self._lengths = tuple(lengths[letter] for letter in self._axes)
        frames = {"T": self._multiple, "C": 1, "Z": 1, "Y": y, "X": x}
        self._chunk = tuple(frames[letter] for letter in self._axes)

    def _settled_axes(self, recording: Recording) -> str:
        if self._layout == "tczyx":
            return AXES
        if recording.shape[2] == 1:
            return self._planar_axes
        if self._planar_axes != "TYX":
            raise OptionError(
                "dimension_ordering is for planar movies",
                found=f"{recording.shape[2]} planes",
                hint='Leave it out, or axes="TCYX" (--axes) to lay planes one after another in T',
            )
        return "TZYX"

    def _settled_names(self, channels: int) -> tuple[str, ...]:
        """Paths of the datasets in the file."""
        count = 1 if self._layout == "tczyx" else channels
        wanted = _LAYOUTS[self._layout] if self._names is None else self._names
        if self._layout == "mov" and count > 1 and self._names is None:
            raise OptionError(
                "layout mov holds one channel",
                found=f"{count} channels",
                hint="Write one file for each with split_channels=True (--split-channels), or use another layout",
            )
        if isinstance(wanted, str):
            names = [dataset_name(wanted, number, count) for number in range(1, count + 1)]
        else:
            names = list(wanted)
        names = [name.strip("/") if isinstance(name, str) else "" for name in names]
        reserved = any(name.split("/")[0] == GROUP for name in names)
        unusable = reserved or {"", ".", ".."} & {part for name in names for part in name.split("/")}
        if len(names) != count or len(set(names)) < count or unusable:
            raise OptionError(
                "dataset_names do not fit",
                found=repr(self._names),
                expected=f"{count} different names, none of them {GROUP}",
            )
        return tuple(names)

    def _create(self, file: Any) -> None:
        recording = self._plan.recording
        for name in self._datasets:
            parent = file
            for part in name.split("/")[:-1]:
                parent = parent[part] if part in parent else create_subgroup(parent, part)
        how = (recording.dtype, self._lengths, self._chunk, self._codec.steps, self._level)
        datasets = [create_chunked(file, name, *how) for name in self._datasets]
        _describe(file, self._datasets, datasets, recording, self._axes)
        create_group(file, self._plan, self._axes, self._datasets)
        create_frames(file[GROUP], self._plan)

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Iterator[bytes | memoryview]:
        """The chunks of a block, in the order of `runs_of`."""

        def encoded(corner: tuple[int, int, int]) -> bytes | memoryview:
            channel, plane, first = corner
            return self._encode(block[first : first + self._multiple, channel, plane])

        return ahead(encoded, runs_of(index, self._multiple), worker_count(block.nbytes))

    def put(self, index: BlockIndex, encoded: Iterator[bytes | memoryview]) -> None:
        """Write the chunks of a block."""
        t, c, z = index[:3]
        with written(self._output, "r+") as file:
            datasets = [file[name].id for name in self._datasets]
            for (channel, plane, first), data in zip(runs_of(index, self._multiple), encoded, strict=True):
                place = {"T": t.start + first, "C": c.start + channel, "Z": z.start + plane, "Y": 0, "X": 0}
                dataset = datasets[0] if "C" in self._axes else datasets[c.start + channel]
                dataset.write_direct_chunk(tuple(place[letter] for letter in self._axes), data)
            write_frames(file[GROUP], self._plan.recording, index)

    def _encode(self, frames: NDArray[Any]) -> bytes | memoryview:
        """One chunk; frames beyond the end of T are zeros that no reader shows."""
        if frames.shape[0] < self._multiple:
            padded = np.zeros((self._multiple, *frames.shape[1:]), frames.dtype)
            padded[: frames.shape[0]] = frames
            frames = padded
        if self._axes.replace("C", "").replace("Z", "") != "TYX":
            frames = frames.transpose(["TYX".index(letter) for letter in self._axes])
        return self._codec.encode(np.ascontiguousarray(frames), self._level)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write the checksums."""
        with written(self._output, "r+") as file:
            write_events(file[GROUP], self._plan.recording)
            finish_group(file[GROUP], self._plan.blocks, checksums)


def dataset_name(wanted: str, number: int, count: int) -> str:
    """The dataset of a channel, from 1, of `count`: ``*`` stands for its number, which otherwise comes behind."""
    pattern = wanted if "*" in wanted or count == 1 else f"{wanted}*"
    return pattern.replace("*", str(number))


def stored_axes(ordering: Sequence[int]) -> str:
    """PyFlowReg's positions of H, W and T as letters in stored order."""
    try:
        positions = [int(position) for position in ordering]
    except (TypeError, ValueError):
        positions = []
    if sorted(positions) != [0, 1, 2]:
        raise OptionError("dimension_ordering does not fit", found=repr(ordering), expected="0, 1 and 2 in any order")
    letters = dict(zip(positions, "YXT", strict=True))
    return "".join(letters[position] for position in range(3))


def _describe(file: Any, names: Sequence[str], datasets: list[Any], recording: Recording, axes: str) -> None:
    """The attributes of PyFlowReg's HDF5 files (pyflowreg spec 2.3)."""
    t, c, _, y, x = recording.shape
    file.attrs["format"] = "pyflowreg_hdf5_v1"
    file.attrs["dataset_names"] = list(names)
    file.attrs["frame_count"] = t
    file.attrs["height"], file.attrs["width"], file.attrs["n_channels"] = y, x, c
    file.attrs["axes"] = axes
    for dataset in datasets:
        dataset.attrs["axes"] = axes
    if len(axes) == 3:
        ordering = [axes.index(letter) for letter in "YXT"]
        file.attrs["dimension_ordering"] = ordering
        for dataset in datasets:
            dataset.attrs["dimension_ordering"] = ordering
            dataset.attrs["original_shape_THWC"] = [t, y, x, c]
