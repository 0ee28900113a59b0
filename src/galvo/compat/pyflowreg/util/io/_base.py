"""pyflowreg.util.io._base: what every reader and every writer of videos is.

Frames are (T, H, W, C). Source of the contract: PyFlowReg's documentation, and runs of PyFlowReg 0.1.0a9.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from galvo.errors import MissingExtra, OptionError, SelectionError

__all__ = ["VideoReader", "VideoWriter"]

_PIECE_BYTES = 16 << 20
_FACTS = ("height", "width", "frame_count", "n_channels", "dtype")
_WHOLE = (slice(None), slice(None), slice(None))

Part = tuple[slice, slice, slice]


class _Closed(ABC):
    """Closed at the end of a `with`."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.close()


class VideoReader(_Closed):
    """A video as something between an array and a stream of batches.

    A subclass says in `_initialize` what it is (the first five attributes), gives frames in `_read_raw_frames` and lets
    go of its files in `close`.

    Attributes
    ----------
    height, width, n_channels : int
    frame_count : int
        Frames as stored.
    dtype : dtype
    buffer_size : int
        Frames of a batch, counted after binning.
    bin_size : int
        Stored frames that are averaged to one. Integers are cut off towards zero; the last bin is the mean of the
        frames that there are.
    current_frame : int
        Stored frame at which the next batch begins.
    """

    height: int
    width: int
    frame_count: int
    n_channels: int
    dtype: np.dtype[Any]

    def __init__(self) -> None:
        self.buffer_size = 500
        self.bin_size = 1
        self.current_frame = 0
        self._initialized = False

    @abstractmethod
    def _initialize(self) -> None:
        """Open the video and set the attributes that say what it is."""

    @abstractmethod
    def _read_raw_frames(self, frame_indices: slice | list[int]) -> NDArray[Any]:
        """Stored frames, (T, H, W, C); positions are within the video and not negative."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the files."""

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS and not self.__dict__.get("_initialized", True):
            self._ensure_initialized()
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _ensure_initialized(self) -> None:
        if not self._initialized:
            self._initialize()
            self._initialized = True

    # ---- what it is ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        self._ensure_initialized()
        return -(-self.frame_count // self.bin_size)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """T, H, W, C after binning."""
        return (len(self), self.height, self.width, self.n_channels)

    @property
    def unbinned_shape(self) -> tuple[int, int, int, int]:
        """T, H, W, C as stored."""
        return (self.frame_count, self.height, self.width, self.n_channels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype}, bin_size={self.bin_size})"

    # ---- reading ------------------------------------------------------------------------------------------------

    def bin_frames(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Means of each `bin_size` frames of (T, H, W, C), in its dtype; of fewer where T ends.

        Returns
        -------
        ndarray, (ceil(T / bin_size), H, W, C)
        """
        if self.bin_size == 1 or not len(frames):
            return frames
        starts = np.arange(0, len(frames), self.bin_size)
        counts = np.diff(starts, append=len(frames)).reshape(-1, *(1,) * (frames.ndim - 1))
        wide = np.result_type(frames.dtype, np.float64)
        means: NDArray[Any] = (np.add.reduceat(frames, starts, axis=0, dtype=wide) / counts).astype(frames.dtype)
        return means

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Frames by position after binning.

        Parameters
        ----------
        key : int, slice, list of int, boolean mask, ..., or a tuple of up to five of them
            An integer alone gives (H, W, C), everything else (T, H, W, C). A tuple of up to four is T, H, W, C, where
            an integer for T keeps the axis with length 1. Five are T, Z, H, W, C: Z is ``:`` or 0 and disappears where
            there are no planes; where there are, T counts volumes and Z stays.

        Raises
        ------
        IndexError
            No such frame, or more than five entries.
        TypeError
            No kind of index.
        """
        self._ensure_initialized()
        if not isinstance(key, tuple):
            frames = self._binned(self._positions(key), _WHOLE)
            return frames[0] if _is_integer(key) else frames
        entries = _spelled_out(key)
        if len(entries) == 5:
            return self._planes(entries[0], entries[1], entries[2:])
        return self._part(entries[0], entries[1:])

    def _part(self, frames: Any, rest: tuple[Any, ...]) -> NDArray[Any]:
        """(T, H, W, C) and what `rest`, of H, W and C, leaves of it."""
        part: list[slice] = []
        then: list[Any] = []
        lengths = (self.height, self.width, self.n_channels)
        for entry, length, axis in zip(rest, lengths, "HWC", strict=False):
            if isinstance(entry, slice):
                part.append(entry)
                then.append(slice(None))
            elif _is_integer(entry):
                if not -length <= entry < length:
                    raise SelectionError(f"index {entry} is out of bounds for axis {axis} of length {length}")
                at = int(entry) % length
                part.append(slice(at, at + 1))
                then.append(0)
            else:
                part.append(slice(None))
                then.append(entry)
        rows, columns, channels = (*part, *_WHOLE)[:3]
        pixels = self._binned(self._positions(frames), (rows, columns, channels))
        chosen: NDArray[Any] = pixels[(slice(None), *then)]
        return chosen

    def _planes(self, frames: Any, plane: Any, rest: tuple[Any, ...]) -> NDArray[Any]:
        """As `_part`, with an axis Z that has one entry."""
        try:
            alone = np.arange(1)[plane].tolist()
        except (IndexError, TypeError, ValueError):
            alone = []
        if alone not in (0, [0]):
            raise SelectionError("the second of five indices is Z, and there is one plane", found=repr(plane))
        return self._part(frames, rest)

    def _positions(self, key: Any) -> range | list[int]:
        """The frames that a key selects, after binning."""
        count = len(self)
        if isinstance(key, slice):
            return range(*key.indices(count))
        if _is_integer(key):
            if not -count <= key < count:
                raise SelectionError(f"Index {key} out of range for {count} binned frames")
            return [int(key) % count]
        if key is Ellipsis:
            return range(count)
        wanted = np.asarray(key) if isinstance(key, list | np.ndarray) else None
        if wanted is not None and wanted.ndim == 1 and wanted.dtype == np.bool_:
            if wanted.size != count:
                raise SelectionError(f"a mask of {wanted.size} entries for {count} binned frames")
            wanted = np.flatnonzero(wanted)
        elif wanted is not None and wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted is None or wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise OptionError(f"Invalid index type: {type(key)}")
        if wanted.size and not -count <= int(wanted.min()) <= int(wanted.max()) < count:
            raise SelectionError(f"Index out of range for {count} binned frames")
        found: list[int] = (wanted.astype(np.int64) % max(1, count)).tolist()
        return found

    def _raw(self, frames: slice | list[int], part: Part) -> NDArray[Any]:
        """Stored frames, (T, H, W, C), cut to `part` of H, W and C."""
        return self._read_raw_frames(frames)[(slice(None), *part)]

    def _binned(self, positions: range | list[int], part: Part) -> NDArray[Any]:
        """Frames after binning, cut to `part`."""
        if self.bin_size == 1:
            if isinstance(positions, range) and positions.step == 1:
                return self._raw(slice(positions.start, max(positions.start, positions.stop)), part)
            return self._raw(list(positions), part)
        lengths = (self.height, self.width, self.n_channels)
        shape = [len(range(*cut.indices(length))) for cut, length in zip(part, lengths, strict=True)]
        out = np.empty((len(positions), *shape), self.dtype)
        at = 0
        for first, stop in _runs(positions):
            raw = range(first * self.bin_size, min(stop * self.bin_size, self.frame_count))
            out[at : at + stop - first] = self._means(raw, part)
            at += stop - first
        return out

    def _means(self, raw: range, part: Part) -> NDArray[Any]:
        """Bins of a range of stored frames, in bounded memory."""
        size = self.bin_size
        frame_nbytes = max(1, self.height * self.width * self.n_channels * np.dtype(self.dtype).itemsize)
        most = max(1, _PIECE_BYTES // frame_nbytes)
        if size == 1:
            return self._raw(slice(raw.start, raw.stop), part)
        if size <= most:
            step = most // size * size
            pieces = (slice(start, min(start + step, raw.stop)) for start in range(raw.start, raw.stop, step))
            return np.concatenate([self.bin_frames(self._raw(piece, part)) for piece in pieces])
        wide = np.result_type(self.dtype, np.float64)
        means = []
        for start in range(raw.start, raw.stop, size):
            stop = min(start + size, raw.stop)
            cuts = (slice(at, min(at + most, stop)) for at in range(start, stop, most))
            total = sum(self._raw(cut, part).sum(axis=0, dtype=wide) for cut in cuts)
            means.append((total / (stop - start)).astype(self.dtype))
        return np.stack(means)

    # ---- one batch after another --------------------------------------------------------------------------------

    def has_batch(self) -> bool:
        """Whether frames are left."""
        return self.current_frame < self.frame_count

    def read_batch(self) -> NDArray[Any] | None:
        """The next `buffer_size` frames after binning, (T, H, W, C), fewer at the end; None behind it."""
        if not self.has_batch():
            return None
        stop = min(self.current_frame + self.buffer_size * self.bin_size, self.frame_count)
        batch = self._means(range(self.current_frame, stop), _WHOLE)
        self.current_frame = stop
        return batch

    def reset(self) -> None:
        """Begin again with the first frame."""
        self.current_frame = 0

    def __iter__(self) -> Self:
        """The batches from the first."""
        self.reset()
        return self

    def __next__(self) -> NDArray[Any]:
        batch = self.read_batch()
        if batch is None:
            raise StopIteration
        return batch

    def to_pytorch(self, frames: NDArray[Any]) -> Any:
        """A tensor (T, C, H, W) of frames (T, H, W, C), or (C, H, W) of (H, W, C).

        Raises
        ------
        ImportError
            PyTorch is not installed.
        """
        try:
            torch = import_module("torch")
        except ImportError as error:
            raise MissingExtra("tensors are PyTorch's, which is not installed", hint="pip install torch") from error
        if frames.ndim not in (3, 4):
            raise OptionError("frames are (T, H, W, C) or (H, W, C)", found=f"{frames.ndim} axes")
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(frames, -1, -3)))


class VideoWriter(_Closed):
    """Takes a video in batches.

    Attributes
    ----------
    initialized : bool
        Whether the first frames have come: they say what the rest must be.
    height, width, n_channels, bit_depth : int
    dtype : dtype or None
    """

    def __init__(self) -> None:
        self.initialized = False
        self.height = 0
        self.width = 0
        self.n_channels = 0
        self.bit_depth = 0
        self.dtype: np.dtype[Any] | None = None

    def init(self, first_frame_batch: NDArray[Any]) -> None:
        """Take the size of frames, channels and dtype from the first ones, (T, H, W, C)."""
        self.height, self.width, self.n_channels = first_frame_batch.shape[1:]
        self.dtype = first_frame_batch.dtype
        self.bit_depth = 8 * first_frame_batch.dtype.itemsize
        self.initialized = True

    @abstractmethod
    def write_frames(self, frames: NDArray[Any]) -> None:
        """Add frames."""

    @abstractmethod
    def close(self) -> None:
        """Finish."""

    def _batch(self, frames: NDArray[Any], *, channels_last: bool = False) -> NDArray[Any]:
        """Frames as (T, H, W, C), checked against those before.

        Parameters
        ----------
        frames : ndarray
            (T, H, W, C), (T, H, W), (H, W); (H, W, C) where size and channels are those of the frames before.
        channels_last : bool
            Three axes are always H, W, C.
        """
        frames = np.asarray(frames)
        if frames.ndim not in (2, 3, 4):
            raise OptionError(f"Expected 2D, 3D or 4D input, got {frames.ndim}D")
        if frames.ndim == 2:
            frames = frames[None, :, :, None]
        elif frames.ndim == 3:
            size = (self.height, self.width)
            known = self.initialized and frames.shape[:2] == size
            # of a square as long as T both could be meant
            known = known and (frames.shape[2] == self.n_channels or frames.shape[1:] != size)
            frames = frames[None] if channels_last or known else frames[..., None]
        if not self.initialized:
            return frames
        size, expected = frames.shape[1:3], (self.height, self.width)
        if size != expected:
            raise OptionError(f"Frame size mismatch. Expected {expected}, got {size}")
        if frames.shape[3] != self.n_channels:
            raise OptionError(f"Channel count mismatch. Expected {self.n_channels}, got {frames.shape[3]}")
        return frames


def _is_integer(key: Any) -> bool:
    return isinstance(key, int | np.integer) and not isinstance(key, bool)


def _spelled_out(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A tuple of four entries or five, without an ellipsis."""
    places = [place for place, entry in enumerate(key) if entry is Ellipsis]
    if len(places) > 1:
        raise SelectionError("an index has one ellipsis at most", found=repr(key))
    if len(key) - len(places) > 5:
        raise SelectionError("too many indices: T, Z, H, W, C are five", found=len(key))
    if not places:
        return (*key, *(slice(None),) * (4 - len(key)))
    before, after = key[: places[0]], key[places[0] + 1 :]
    return (*before, *(slice(None),) * (4 - len(before) - len(after)), *after)


def _runs(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Positions as runs (first, stop) that rise by one."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs
