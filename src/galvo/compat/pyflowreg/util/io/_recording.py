"""Readers whose frames come from a galvo recording: channels last, planes one after another in T."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.util.io._base import Part, VideoReader
from galvo.core.recording import Recording
from galvo.errors import FormatError, NotFound, OptionError, ReadError
from galvo.formats.opening import open_recording

__all__ = ["CannotOpen", "FileReader", "RecordingReader", "existing"]

_PIECE_BYTES = 16 << 20
# what PyFlowReg's writers, and people, call the files of a format
_SUFFIXES = ((".HDF5", ".h5", ".hdf5", ".hdf"), (".MAT", ".mat"), (".TIFF", ".tiff", ".tif"))


class CannotOpen(FormatError, ReadError):
    """A file that is not what it should be; PyFlowReg raises now a ValueError, now an OSError."""


class RecordingReader(VideoReader):
    """A reader over a recording, which `_open` opens when it is needed.

    Parameters
    ----------
    buffer_size, bin_size : int
        As in `VideoReader`.
    """

    def __init__(self, buffer_size: int = 500, bin_size: int = 1) -> None:
        super().__init__()
        for name, value in (("buffer_size", buffer_size), ("bin_size", bin_size)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise OptionError(f"{name} does not fit", found=repr(value), expected="1 or more")
        self.buffer_size = int(buffer_size)
        self.bin_size = int(bin_size)
        self._recording: Recording | None = None

    @abstractmethod
    def _open(self) -> Recording:
        """The recording (T, C, Z, Y, X)."""

    def _initialize(self) -> None:
        self._recording = recording = self._open()
        self._flat = recording.fold("Z") if recording.shape[2] > 1 else recording
        self.frame_count, self.n_channels, _, self.height, self.width = self._flat.shape
        self.dtype = recording.dtype

    def close(self) -> None:
        """Close the files; they are opened again when frames are asked for."""
        recording, self._recording = self._recording, None
        self._initialized = False
        if recording is not None:
            recording.close()

    def _read_raw_frames(self, frame_indices: slice | list[int]) -> NDArray[Any]:
        whole = slice(None)
        return self._raw(frame_indices, (whole, whole, whole))

    def _raw(self, frames: slice | list[int], part: Part) -> NDArray[Any]:
        self._ensure_initialized()
        rows, columns, channels = part
        shown = self._flat.isel(t=frames, c=channels, y=rows, x=columns)
        t, c, _, y, x = shown.shape
        if c == 1:
            return shown[...].reshape(t, y, x, 1)
        out = np.empty((t, y, x, c), shown.dtype)
        step = max(1, _PIECE_BYTES // max(1, c * y * x * shown.dtype.itemsize))
        for at in range(0, t, step):
            out[at : at + step] = shown[at : at + step, :, 0].transpose(0, 2, 3, 1)
        return out

    def _planes(self, frames: Any, plane: Any, rest: tuple[Any, ...]) -> NDArray[Any]:
        recording = self._recording
        if recording is None or recording.shape[2] == 1:
            return super()._planes(frames, plane, rest)
        # each plane is a video of its own, with bins of its own
        chosen = range(recording.shape[2])[plane] if isinstance(plane, slice) else np.atleast_1d(plane).tolist()
        videos = (_OpenRecording(recording.isel(z=[number]), self.buffer_size, self.bin_size) for number in chosen)
        stack = [video._part(frames, rest) for video in videos]
        if not stack:
            raise OptionError("no planes are selected", found=repr(plane))
        return stack[0] if np.ndim(plane) == 0 and not isinstance(plane, slice) else np.stack(stack, axis=1)


class _OpenRecording(RecordingReader):
    """A reader over a recording that somebody else opened."""

    def __init__(self, recording: Recording, buffer_size: int, bin_size: int) -> None:
        super().__init__(buffer_size, bin_size)
        self._given = recording
        self._ensure_initialized()

    def _open(self) -> Recording:
        return self._given


class FileReader(RecordingReader):
    """A reader of one file, or of whatever `galvo.open` takes.

    Parameters
    ----------
    file_path : path
    buffer_size, bin_size : int
    **kwargs
        Options of `galvo.open` for the format. ``use_memmap`` changes nothing: frames are read by position in any
        case.
    """

    _failure = "Cannot open file"

    def __init__(
        self, file_path: str | os.PathLike[str], buffer_size: int = 500, bin_size: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(buffer_size, bin_size)
        self.file_path = str(existing(file_path))
        kwargs.pop("use_memmap", None)
        self._options = self._translated(kwargs)

    def _common_metadata(self) -> dict[str, Any]:
        """What every file says of itself."""
        self._ensure_initialized()
        return {
            "file_name": Path(self.file_path).name,
            "frame_count": self.frame_count,
            "shape": self.shape,
            "unbinned_shape": self.unbinned_shape,
            "dtype": str(self.dtype),
        }

    def _translated(self, options: dict[str, Any]) -> dict[str, Any]:
        """PyFlowReg's options as galvo's."""
        return options

    @property
    def input_file_name(self) -> str:
        """Name of the file without its suffix."""
        return Path(self.file_path).stem

    def _open(self) -> Recording:
        try:
            return self._opened()
        except (FormatError, ReadError) as error:
            raise CannotOpen(f"{self._failure}: {error}") from error

    def _opened(self) -> Recording:
        return open_recording(self.file_path, series=False, **self._options)


def existing(path: str | os.PathLike[str]) -> Path:
    """The path, or where there is nothing the same name with another suffix of its format.

    Raises
    ------
    NotFound
        None of them exists.
    """
    wanted = Path(path).expanduser()
    if wanted.exists():
        return wanted
    for family in _SUFFIXES:
        if wanted.suffix in family:
            for suffix in family:
                if (other := wanted.with_suffix(suffix)).is_file():
                    return other
    raise NotFound(f"File not found: {path}")
