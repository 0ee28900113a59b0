"""`Recording`: what every format opens as, one lazy T C Z Y X array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from galvo import native
from galvo.core.array import ArrayReader
from galvo.core.axes import AXES, Shape, array_axes
from galvo.core.blocks import DEFAULT_BLOCK_BYTES, BlockIndex, block_selections
from galvo.core.cast import Cast, Scale, settled_scale
from galvo.core.checksum import StoredChecksums
from galvo.core.events import EventFacts, event_dtype
from galvo.core.facts import FrameFacts, TimedFacts
from galvo.core.memory import empty
from galvo.core.metadata import LeftOut, Metadata
from galvo.core.read import IndexedReader, Reader, coverage_of
from galvo.core.selection import Indices, Selection, is_whole, parse_axis, parse_key
from galvo.errors import OptionError, ReadError

if TYPE_CHECKING:
    from galvo.core.scanfield import ScanField
    from galvo.preview.show import Preview

__all__ = ["Damage", "Origin", "Recording"]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is missing or wrong in the files of a recording opened with ``damaged="report"``.

    Attributes
    ----------
    path : str
    offset : int or None
        Position in that file, in bytes.
    message : str
        What is wrong, and what was done about it.
    """

    path: str
    offset: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Origin:
    """How to open a recording again in another process.

    Attributes
    ----------
    reopen : callable
        Called with `source` and `options`.
    source : object
    options : dict
    """

    reopen: Callable[..., Recording]
    source: Any
    options: dict[str, Any]


class Recording:
    """A recording as one lazy array with the axes T C Z Y X.

    Made by `galvo.open`; nothing is read before pixels are asked for. Any number of threads may share one, and it
    works in forked and spawned processes.

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
    origin : Origin, optional
        Needed to pickle.
    checksums : StoredChecksums, optional
        Of the whole recording.
    selection : Selection, optional
        The part of `reader` that this recording shows.
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
        origin: Origin | None = None,
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
        self._origin = origin
        self._checksums = checksums
        self._selection = selection if selection is not None else Selection.whole(reader.shape)

    @classmethod
    def from_array(cls, array: NDArray[Any], axes: str | None = None, *, metadata: Metadata | None = None) -> Recording:
        """A recording over a NumPy array, not copied.

        Parameters
        ----------
        array : ndarray
            2-D is YX, 3-D TYX, 5-D TCZYX; 4-D needs `axes`.
        axes : str, optional
            Letters of T C Z Y X in the array's order.
        metadata : Metadata, optional
        """
        if array.dtype.kind not in "biufc":
            raise OptionError("pixels are numbers", found=f"an array of {array.dtype}")
        letters = array_axes(array.shape, axes)
        present = [letter for letter in AXES if letter in letters]
        ordered = array.transpose([letters.index(letter) for letter in present])
        whole = ordered[tuple(slice(None) if letter in letters else None for letter in AXES)]
        for what, given, length in (
            ("channel_names", metadata and metadata.channel_names, whole.shape[1]),
            ("z_um", metadata and metadata.z_um, whole.shape[2]),
        ):
            if given and len(given) != length:
                raise OptionError(f"{what} of the metadata do not fit the array", found=len(given), expected=length)
        origin = Origin(_reopen_array, array, {"axes": letters, "metadata": metadata})
        return cls(ArrayReader(whole), metadata or Metadata(format="array"), origin=origin)

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

    @cached_property
    def fields(self) -> tuple[Recording, ...]:
        """One recording (T, C, 1, Y, X) per scan field of a multi-ROI recording, that reads only its rows of the page.

        Planes outermost, regions in the vendor's order; empty for other recordings, and where part of a page is shown.
        """
        if not self._shown_fields:
            return ()
        from galvo.core.views import field_view

        return tuple(self._wrapped(field_view, place) for place in self._shown_fields)

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

    def join_contiguous(self) -> Recording:
        """The recording with `fields` of which those that touch along a whole edge became one, as lazy as it."""
        from galvo.core.views import joined_view

        return self._wrapped(joined_view, None)

    def stitched(self, z: Any = None) -> Recording:
        """The fields of each depth on one canvas in µm, as lazy as this recording.

        Parameters
        ----------
        z : int, slice, list of int or boolean mask, optional
            Planes to show; all that have fields by default. All planes have the same canvas.

        Returns
        -------
        Recording
            (T, C, Z, Y, X). Where several fields lie over each other the last one shows. Where none lies pixels are 0,
            NaN for floats; `coverage` tells them from scanned ones. The canvas has the pixels of the finest field.
            ``metadata.attributes`` hold ``corner_um``, Y and X of the upper left corner, ``uncovered_value``, and
            ``resampled_fields``: those with larger pixels, which are repeated.

        Raises
        ------
        OptionError
            No fields, or fields that cannot be laid out without resampling (see `galvo.core.canvas.lay_out`).
        """
        from galvo.core.views import stitched_view

        whole = self._wrapped(stitched_view, None)
        return whole if z is None else whole.isel(z=z)

    def coverage(self) -> NDArray[np.bool_]:
        """Which pixels were scanned, bool (Z, Y, X); False only on a canvas, where no field lies."""
        return coverage_of(self._reader, *self._selection.axes[2:])

    def estimate_bidirectional_phase(self, most: int = 16) -> float:
        """By how many pixels rows scanned backwards lie to the right of the others.

        Parameters
        ----------
        most : int
            Largest shift that is looked for.

        Returns
        -------
        float
            From the mean of up to 64 frames spread over T, all channels, planes and fields taken together; 0.0 where
            they show no structure.

        Raises
        ------
        OptionError
            Rows are shown that do not follow each other, so that there is no telling odd ones from even ones.
        """
        from galvo.core.phase import estimate_phase

        return estimate_phase(self, most)

    def with_bidirectional_phase(self, shift: float | None = None) -> Recording:
        """The recording with its odd rows moved left by `shift` pixels, as lazy as it.

        Parameters
        ----------
        shift : float, optional
            By default what `estimate_bidirectional_phase` finds, rounded to a whole pixel. Whole shifts move pixels;
            others interpolate linearly between two. At the edges the last pixel of a row is repeated.

        Returns
        -------
        Recording
            Its ``metadata.attributes["bidirectional_phase"]`` is the shift, in pixels.
        """
        amount = float(round(self.estimate_bidirectional_phase()) if shift is None else shift)
        if not np.isfinite(amount):
            raise OptionError("a shift is a number of pixels", found=repr(shift))
        from galvo.core.views import phase_view

        return self._wrapped(phase_view, amount)

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

    # ---- selecting and reading ----------------------------------------------------------------------------------

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

    def _read(self, wanted: Selection) -> NDArray[Any]:
        out = empty(wanted.shape, self.dtype)
        if out.size:
            self._reader.read(self._selection.take(wanted), out)
        return out

    def isel(self, *, t: Any = None, c: Any = None, z: Any = None, y: Any = None, x: Any = None) -> Recording:
        """A part of this recording, as lazy as it.

        Parameters
        ----------
        t, c, z, y, x : int, slice, list of int, boolean mask or channel name, optional
            As in `rec[...]`, but an integer keeps its axis with length 1.

        Returns
        -------
        Recording
        """
        parts: list[Indices] = []
        for key, length, axis in zip((t, c, z, y, x), self.shape, AXES, strict=True):
            names = self.channel_names if axis == "C" else ()
            parts.append(parse_axis(slice(None) if key is None else key, length, axis, names)[0])
        wanted = Selection(*parts)
        return Recording(
            self._reader,
            self._whole_metadata,
            files=self._files,
            facts=self._facts,
            fields=self._fields,
            left_out=self._left_out,
            damage=self._damage,
            origin=self._origin,
            selection=self._selection.take(wanted),
            lineage=self._lineage,
        )

    def astype(self, dtype: DTypeLike, scale: Scale = None) -> Recording:
        """The recording with pixels of another type, as lazy as it.

        Parameters
        ----------
        dtype : dtype
            Integers or floats.
        scale : None, "clip", "wrap", "minmax", "percentile" or (low, high)
            None: every value must fit `dtype`, and be a whole number where that holds integers; floats are rounded to
            its precision. "clip": rounded, and what does not fit becomes the least or greatest value. "wrap": integers
            modulo their range. (low, high): these become the least and greatest value of an integer type, 0 and 1 of a
            float type, and what is outside is clipped. "minmax" takes them from the whole recording, reading it once;
            "percentile" from 0.1 and 99.9 % of the pixels of up to 64 frames spread over it.

        Returns
        -------
        Recording

        Raises
        ------
        OptionError
            A type that holds no pixels, or a scale that does not fit it. Reading raises it where values do not fit.
        """
        wanted = np.dtype(dtype)
        if wanted.newbyteorder("=") == self.dtype and scale is None:
            return self
        cast = Cast(wanted.newbyteorder("=").str, settled_scale(self, wanted, scale))
        from galvo.core.views import cast_view

        return self._wrapped(cast_view, cast)

    def fold(self, axes: str) -> Recording:
        """The recording with its planes, channels or both one after another in T, as lazy as it.

        Parameters
        ----------
        axes : "Z", "C" or "CZ"
            What goes into T. Channels count fastest, then planes.

        Returns
        -------
        Recording
            Without a frame rate, since frames of one volume do not follow each other like volumes do; the times of
            frames are kept.
        """
        letters = "".join(sorted(axes.upper()))
        if letters not in ("C", "Z", "CZ"):
            raise OptionError("only Z and C can go into T", found=repr(axes), expected="Z, C or CZ")
        from galvo.core.views import folded_view

        return self._wrapped(folded_view, letters)

    def through(self, make: Callable[[Recording], Reader], **attributes: Any) -> Recording:
        """The recording with every frame remade by a reader over it, as lazy as it.

        Parameters
        ----------
        make : callable
            Given this recording, the reader: of the same shape, positions being those that are shown. Its `repr` says
            what it does to pixels: attempts to write what differs in it are not resumed. Processes need it to pickle.
        **attributes
            What the metadata are to say of it.
        """
        from galvo.core.views import remade_view

        return self._wrapped(remade_view, (make, attributes))

    def _wrapped(self, reopen: Callable[[Recording, Any], Recording], how: Any) -> Recording:
        """What `reopen` makes of this recording, here and in other processes."""
        made = reopen(self, how)
        made._lineage = native.crc32c(f"{reopen.__name__} {how!r}".encode(), self.selection_checksum())
        if self._origin is not None:
            made._origin = Origin(_rewrapped, self, {"reopen": reopen, "how": how})
        return made

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

    # ---- pictures ------------------------------------------------------------------------------------------------

    def preview(self, out: str | PathLike[str] | None = None, **options: Any) -> Preview:
        """A contact sheet, which shows itself in a notebook; or a movie, written to `out`.

        Parameters
        ----------
        out : path, optional
            ``.png``, ``.mp4``, ``.gif`` or ``.webp``; nothing is written by default.
        **options
            Those of `galvo.preview`.
        """
        # by the front door, as users do: what lies below pictures does not know them
        import galvo

        return galvo.preview(self, out, **options)

    def _repr_html_(self) -> str:
        """The card that notebooks show."""
        import galvo

        pictures: Any = galvo.preview
        card: str = pictures.card(self)
        return card

    # ---- life ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files; parts taken with `isel` share them."""
        self._reader.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def selection_checksum(self) -> int:
        """CRC-32C of what is shown of the whole, and of how that was made of another recording."""
        crc = self._lineage
        for axis in self._selection.axes:
            crc = native.crc32c(np.asarray(axis, np.int64).tobytes(), crc)
        return crc

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin is None:
            raise OptionError("this recording cannot be pickled: it does not know how it was opened")
        return _restore, (self._origin, self._selection, self._reader.shape, self.dtype.str)

    def __repr__(self) -> str:
        sizes = " ".join(f"{axis}={length}" for axis, length in zip(AXES, self.shape, strict=True))
        meta = self.metadata
        facts = [sizes + f" {self.dtype}", " ".join(filter(None, (meta.format, meta.version)))]
        if self.frame_rate_hz is not None:
            facts.append(f"{self.frame_rate_hz:.4g} Hz")
        if self.pixel_size_um is not None:
            facts.append("{:.4g} x {:.4g} µm".format(*self.pixel_size_um))
        if meta.scan_field is not None:
            facts.append(f"field {meta.scan_field.name}")
        if self._shown_fields:
            facts.append(f"{len(self._shown_fields)} fields")
        if len(self._files) > 1:
            facts.append(f"{len(self._files)} files")
        return f"<Recording {' · '.join(facts)}>"


def _reopen_array(array: NDArray[Any], *, axes: str, metadata: Metadata | None) -> Recording:
    return Recording.from_array(array, axes, metadata=metadata)


def _rewrapped(whole: Recording, *, reopen: Callable[[Recording, Any], Recording], how: Any) -> Recording:
    return reopen(whole, how)


def _restore(origin: Origin, selection: Selection, shape: Shape, dtype: str) -> Recording:
    whole = origin.reopen(origin.source, **origin.options)
    if whole._reader.shape != shape or whole.dtype.str != dtype:
        raise ReadError(
            "the recording is not the one that was pickled",
            path=whole._files[0] if whole._files else None,
            found=f"{whole._reader.shape} {whole.dtype.str}",
            expected=f"{shape} {dtype}",
        )
    whole._selection = selection
    return whole
