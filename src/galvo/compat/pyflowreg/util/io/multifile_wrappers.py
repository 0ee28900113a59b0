"""pyflowreg.util.io.multifile_wrappers: several files as one video, one video as several files, a part of a video."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.util.io._base import Part, VideoReader, VideoWriter
from galvo.compat.pyflowreg.util.io._file_writer import FileWriter
from galvo.compat.pyflowreg.util.io._files import file_reader
from galvo.compat.pyflowreg.util.io._recording import RecordingReader
from galvo.compat.pyflowreg.util.io.hdf5 import HDF5FileWriter
from galvo.compat.pyflowreg.util.io.mat import MATFileWriter
from galvo.compat.pyflowreg.util.io.tiff import TIFFFileWriter
from galvo.core.join import join
from galvo.core.recording import Recording
from galvo.errors import OptionError

__all__ = ["MULTICHANNELFileReader", "MULTIFILEFileWriter", "SUBSETFileReader"]

_WRITERS: dict[str, Callable[..., FileWriter]] = {
    "TIFF": TIFFFileWriter,
    "HDF5": HDF5FileWriter,
    "MAT": MATFileWriter,
}


class MULTICHANNELFileReader(RecordingReader):
    """Files of one size and length as the channels of one video.

    Parameters
    ----------
    input_files : list of path
        A file may hold several channels.
    buffer_size, bin_size : int
        As in `VideoReader`.
    **kwargs
        Of the reader of each file.

    Notes
    -----
    The dtype is the narrowest that holds all of theirs, float64 where none does.
    """

    def __init__(
        self, input_files: Sequence[str | os.PathLike[str]], buffer_size: int = 500, bin_size: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(buffer_size, bin_size)
        if not input_files:
            raise OptionError("an empty list names no video")
        self.input_files = [os.fspath(path) for path in input_files]
        self._files = [file_reader(path, **kwargs) for path in self.input_files]

    @property
    def input_file_name(self) -> str:
        """Names of the files without their suffixes, joined by ``_``."""
        return "_".join(Path(path).stem for path in self.input_files)

    def _open(self) -> Recording:
        parts: list[Recording] = []
        try:
            for file in self._files:
                parts.append(file._open())  # noqa: PERF401 - those before must be closed when one fails
            return _joined(parts, self.input_files)
        except BaseException:
            for part in parts:
                part.close()
            raise


def _joined(parts: list[Recording], names: list[str]) -> Recording:
    """Recordings as channels of one; planes go into T where their numbers differ."""
    if len({part.shape[2] for part in parts}) > 1:
        parts = [part.fold("Z") if part.shape[2] > 1 else part for part in parts]
    first = parts[0].shape
    for part, name in zip(parts, names, strict=True):
        for what, length, expected in (
            ("Resolution", part.shape[3:], first[3:]),
            ("Frame count", part.shape[0], first[0]),
        ):
            if length != expected:
                raise OptionError(f"{what} mismatch in file {name}", found=length, expected=expected)
    dtype = np.result_type(*(part.dtype for part in parts))
    return join([part.astype(dtype) for part in parts], "c")


class MULTIFILEFileWriter(VideoWriter):
    """One file per channel: ``<stem>_ch1.<file_type>`` and so on.

    Parameters
    ----------
    filename : path
        With a suffix, its stem is the files'; without, it is their folder and the stem is "compensated". Folders are
        made.
    file_type : "TIFF", "HDF5" or "MAT"
    **kwargs
        Of the writer of that type.
    """

    def __init__(self, filename: str | os.PathLike[str], file_type: str = "TIFF", **kwargs: Any) -> None:
        super().__init__()
        if file_type not in _WRITERS:
            raise OptionError(f"Unsupported output format: {file_type}", expected=", ".join(_WRITERS))
        path = Path(filename)
        folder, stem = (path.parent, path.stem) if path.suffix else (path, "compensated")
        self.folder, self.file_name, self.file_type = str(folder), stem, file_type
        self._writer = _WRITERS[file_type](folder / f"{stem}.{file_type}", split_channels=True, **kwargs)

    def write_frames(self, frames: NDArray[Any]) -> None:
        """Add frames; errors are those of `FileWriter.write_frames`."""
        self._writer.write_frames(frames)
        for name in ("height", "width", "n_channels", "bit_depth", "dtype", "initialized"):
            setattr(self, name, getattr(self._writer, name))

    def close(self) -> None:
        """Write the files."""
        self._writer.close()

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)


class SUBSETFileReader(VideoReader):
    """Some frames of another reader, which stays the caller's to close.

    Parameters
    ----------
    video_file_reader : VideoReader
    indices : sequence of int
        Frames as stored, in any order; negative ones count from the end.

    Raises
    ------
    ValueError
        A frame that the reader does not have.
    """

    def __init__(self, video_file_reader: VideoReader, indices: Sequence[int] | NDArray[np.integer[Any]]) -> None:
        super().__init__()
        self._reader = video_file_reader
        count = video_file_reader.frame_count
        wanted = np.asarray(indices)
        if wanted.size == 0:
            wanted = np.empty(0, np.int64)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise OptionError("indices are a list of integers", found=repr(indices))
        for index in wanted.tolist():
            if not -count <= index < count:
                raise OptionError(f"Index {index} exceeds source frame count {count}")
        self.indices = wanted.astype(np.int64) % max(1, count)

    def _initialize(self) -> None:
        source = self._reader
        self.height, self.width, self.n_channels = source.height, source.width, source.n_channels
        self.dtype, self.frame_count = source.dtype, len(self.indices)

    def _read_raw_frames(self, frame_indices: slice | list[int]) -> NDArray[Any]:
        return self._reader._read_raw_frames(self.indices[frame_indices].tolist())

    def _raw(self, frames: slice | list[int], part: Part) -> NDArray[Any]:
        return self._reader._raw(self.indices[frames].tolist(), part)

    def close(self) -> None:
        """Nothing: the reader is not this one's."""
