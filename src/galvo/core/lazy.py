"""Pixels that are read when they are asked for, and all that is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from galvo import native
from galvo.core.array import ArrayReader
from galvo.core.axes import Shape
from galvo.core.blocks import DEFAULT_BLOCK_BYTES, BlockIndex, block_selections
from galvo.core.checksum import StoredChecksums
from galvo.core.events import EventFacts, event_dtype
from galvo.core.facts import FrameFacts, TimedFacts
from galvo.core.memory import empty
from galvo.core.metadata import Damage, LeftOut, Metadata
from galvo.core.read import IndexedReader
from galvo.core.reader import Reader, coverage_of
from galvo.core.selection import Selection, is_whole, parse_key

if TYPE_CHECKING:
    from galvo.core.scanfield import ScanField

__all__ = ["LazyArray"]


class LazyArray:
    """One lazy T C Z Y X array: a selection of what a reader gives, with the facts of it.

    Parameters
    ----------
    reader : Reader
    metadata : Metadata
        Of the whole of `reader`.
    files : sequence of str
    facts : FrameFacts, optional
    fields : sequence of ScanField
        The scan fields of its pages.
    left_out : sequence of LeftOut
    damage : sequence of Damage
    checksums : StoredChecksums, optional
        Of the whole recording.
    selection : Selection, optional
        The part of `reader` that is shown.
    lineage : int
        CRC-32C of what `reader` was made of, where that is another recording.
    """

    ndim = 5

    def __init__(
        self,
        reader: Reader,
        metadata: Metadata,
        *,
        files: Sequence[str] = (),
        facts: FrameFacts | None = None,
        fields: Sequence[ScanField] = (),
        left_out: Sequence[LeftOut] = (),
        damage: Sequence[Damage] = (),
        checksums: StoredChecksums | None = None,
        selection: Selection | None = None,
        lineage: int = 0,
    ) -> None:
        self._reader = reader
        self._lineage = lineage
        self._whole_metadata = metadata
        self._files = tuple(files)
        self._facts = facts
        self._fields = tuple(fields)
        self._left_out = tuple(left_out)
        self._damage = tuple(damage)
        self._checksums = checksums
        self._selection = selection if selection is not None else Selection.whole(reader.shape)

    # ---- what it is ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Lengths of T C Z Y X."""
        return self._selection.shape

    @property
    def dims(self) -> tuple[str, str, str, str, str]:
        """Names of the axes: T C Z Y X."""
        return ("T", "C", "Z", "Y", "X")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in the machine's byte order."""
        return self._reader.dtype

    @property
    def size(self) -> int:
        """Number of pixels."""
        t, c, z, y, x = self.shape
        return t * c * z * y * x

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> Shape:
        """Extent (T, C, Z, Y, X) of what is cheapest to read at once."""
        natural = self._reader.chunks
        lengths = zip(natural, self.shape, strict=True)
        return tuple(max(1, min(pair)) for pair in lengths)  # type: ignore[return-value]

    @cached_property
    def metadata(self) -> Metadata:
        """Facts of this recording, for the part that it shows."""
        return self._whole_metadata.select(self._selection)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, (C,); empty where the format gives none."""
        return self.metadata.channel_names

    @property
    def frame_rate_hz(self) -> float | None:
        """Rate of the T axis in Hz: the volume rate for volumes."""
        return self.metadata.frame_rate_hz

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel (Y, X) in µm."""
        return self.metadata.pixel_size_um

    @property
    def z_um(self) -> NDArray[np.float64] | None:
        """Depth of each plane in µm, (Z,)."""
        return None if self.metadata.z_um is None else np.array(self.metadata.z_um, np.float64)

    @cached_property
    def timestamps(self) -> NDArray[np.float64] | None:
        """Time of the first plane of each T in s, float64 (T,); None where the format gives none."""
        if self._facts is None or 0 in self.shape[:3]:
            return None
        t = np.asarray(self._selection.t, np.int64)
        first = (t, np.full_like(t, self._selection.c[0]), np.full_like(t, self._selection.z[0]))
        if isinstance(self._facts, TimedFacts):
            times: NDArray[Any] | None = self._facts.times(*first)
        else:
            times = self._facts.read(*first).get("timestamp_s")
        return None if times is None or bool(np.isnan(times).all()) else times.astype(np.float64, copy=False)

    @property
    def _shown_fields(self) -> list[tuple[int, int]]:
        """Number among the fields of the reader, and Z here, of each field that is shown."""
        shown = self._selection
        if not is_whole(shown.y, self._reader.shape[3]) or not is_whole(shown.x, self._reader.shape[4]):
            return []
        return [
            (number, z)
            for z, plane in enumerate(shown.z)
            for number, field in enumerate(self._fields)
            if field.plane == plane
        ]

    @property
    def scan_fields(self) -> tuple[ScanField, ...]:
        """Where each of `fields` lies; `plane` is its Z among the planes that are shown."""
        return tuple(replace(self._fields[number], plane=z) for number, z in self._shown_fields)

    @property
    def field(self) -> ScanField | None:
        """Where a field of a multi-ROI recording lies; None for other recordings."""
        return self.metadata.scan_field

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the pixels come from."""
        return tuple(Path(name) for name in self._files)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Pages that the files hold and this recording does not show."""
        return self._left_out

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What is missing or wrong in the files; empty unless opened with ``damaged="report"``."""
        return self._damage

    @property
    def checksums(self) -> StoredChecksums | None:
        """The checksums that the file keeps; None where it keeps none, and for parts."""
        return self._checksums

    def frame_table(self) -> NDArray[np.void]:
        """All that is known of each frame, one row per (t, c, z) in that order.

        Returns
        -------
        structured ndarray, (T * C * Z,)
            Fields ``t c z``, then ``file page`` where pixels lie in files, then what the format knows
            (``frame_number``, ``timestamp_s``, ...). ``pandas.DataFrame`` takes it as it is.
        """
        lengths = [np.arange(length, dtype=np.int64) for length in self.shape[:3]]
        shown = [grid.ravel() for grid in np.meshgrid(*lengths, indexing="ij")]
        axes = (self._selection.t, self._selection.c, self._selection.z)
        whole = [np.asarray(axis, np.int64)[part] for axis, part in zip(axes, shown, strict=True)]
        columns: dict[str, NDArray[Any]] = dict(zip("tcz", shown, strict=True))
        columns |= self._reader.place(*whole)
        if self._facts is not None:
            columns |= self._facts.read(*whole)
        table = np.empty(shown[0].size, [(name, column.dtype) for name, column in columns.items()])
        for name, column in columns.items():
            table[name] = column
        return table

    def events(self) -> NDArray[np.void]:
        """What the vendor noted beside the frames, such as trigger times and packets of bytes: one row per event.

        Returns
        -------
        structured ndarray, (E,)
            ``t`` (int64), ``z`` (int64, -1 in a frame that is not shown, such as flyback), ``kind`` (str),
            ``time_s`` (float64, on the clock of `timestamps`), ``data_nbytes`` (int64) and ``data`` (uint8, padded
            with zeros to the longest). In the order of T and of the file, without a row where the format knows none.
            The channels of a frame share its events.
        """
        if not isinstance(self._facts, EventFacts) or 0 in self.shape[:3]:
            return np.empty(0, event_dtype())
        found = self._facts.events(np.asarray(self._selection.t, np.int64))
        shown = np.full(self._reader.shape[2] + 1, -1, np.int64)
        planes = np.asarray(self._selection.z, np.int64)
        shown[planes[::-1]] = np.arange(planes.size, dtype=np.int64)[::-1]
        # -1 takes the last entry, which no plane has
        found["z"] = shown[found["z"]]
        return found

    # ---- reading ------------------------------------------------------------------------------------------------

    def coverage(self) -> NDArray[np.bool_]:
        """Which pixels were scanned, bool (Z, Y, X); False only on a canvas, where no field lies."""
        return coverage_of(self._reader, *self._selection.axes[2:])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Pixels, read now.

        Parameters
        ----------
        key : int, slice, list of int, boolean mask, channel name, ..., or a tuple of them
            Relative to T C Z Y X. An integer or a name drops its axis; lists on several axes select their outer
            product.

        Returns
        -------
        ndarray of `dtype`

        Raises
        ------
        SelectionError
            The key does not fit the recording.
        FormatError, ReadError, DamagedData
            The files do not hold what they promised.
        """
        if self._frames is not None:
            frame = self._frames.read(key)
            if frame is not None:
                return frame
        wanted, dropped = parse_key(key, self.shape, self.channel_names)
        pixels = self._read(wanted)
        return pixels.reshape([length for axis, length in enumerate(pixels.shape) if axis not in dropped])

    @cached_property
    def _frames(self) -> native.FrameReader | None:
        return self._reader.frames(self._selection) if isinstance(self._reader, IndexedReader) else None

    def borrow(self, index: BlockIndex) -> NDArray[Any]:
        """The pixels of a block, (T, C, Z, Y, X), to be read only: where they are in memory, no copy is made."""
        wanted = parse_key(index, self.shape, self.channel_names)[0]
        if isinstance(self._reader, ArrayReader):
            part = self._reader.borrow(self._selection.take(wanted))
            if part is not None:
                return part
        return self._read(wanted)

    def _read(self, wanted: Selection) -> NDArray[Any]:
        out = empty(wanted.shape, self.dtype)
        if out.size:
            self._reader.read(self._selection.take(wanted), out)
        return out

    def blocks(self, max_bytes: int = DEFAULT_BLOCK_BYTES) -> Iterator[tuple[BlockIndex, NDArray[Any]]]:
        """The recording in order, a bounded part at a time.

        Parameters
        ----------
        max_bytes : int
            Greatest size of one block; a single frame is never split.

        Yields
        ------
        index : tuple of five slices
            Where the block belongs.
        pixels : ndarray, 5-D
        """
        for index in block_selections(self.shape, self.dtype.itemsize, max_bytes):
            yield index, self[index]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All pixels (T, C, Z, Y, X), read now; `copy=False` is impossible."""
        if copy is False:
            raise ValueError("a recording is not in memory: its pixels cannot be given without a copy")
        pixels = self[...]
        return pixels if dtype is None else pixels.astype(dtype, copy=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Each T in turn, as an array (C, Z, Y, X)."""
        for t in range(len(self)):
            yield self[t]

    def prove(self) -> None:
        """Check the structure of the files as far as opening took it for granted: every page, shown or left out.

        Raises
        ------
        FormatError
            A page is not what the others promise.
        """
        self._reader.prove()

    def close(self) -> None:
        """Close the files; parts taken with `isel` share them."""
        self._reader.close()

    def selection_checksum(self) -> int:
        """CRC-32C of what is shown of the whole, and of how that was made of another recording."""
        crc = self._lineage
        for axis in self._selection.axes:
            crc = native.crc32c(np.asarray(axis, np.int64).tobytes(), crc)
        return crc
