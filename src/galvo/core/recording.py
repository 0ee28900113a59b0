"""`Recording`: what every format opens as, one lazy T C Z Y X array, and what can be made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from galvo import native
from galvo.core.array import ArrayReader
from galvo.core.axes import AXES, Shape, array_axes
from galvo.core.cast import Cast, Scale, settled_scale
from galvo.core.lazy import LazyArray
from galvo.core.metadata import Metadata
from galvo.core.reader import Reader
from galvo.core.registry import deferred
from galvo.core.selection import Indices, Selection, parse_axis
from galvo.errors import OptionError, ReadError

if TYPE_CHECKING:
    from galvo.pictures.show import Preview

__all__ = ["Origin", "Recording"]

# pictures know recordings, not the other way round
_preview = deferred("galvo.pictures.show:preview")
_card = deferred("galvo.pictures.notebook:card_html")


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


class Recording(LazyArray):
    """A recording as one lazy array with the axes T C Z Y X.

    Made by `galvo.open`; nothing is read before pixels are asked for. Any number of threads may share one, and it
    works in forked and spawned processes.
    """

    # how another process opens it; without, it cannot be pickled
    _origin: Origin | None = None

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
        made = cls(ArrayReader(whole), metadata or Metadata(format="array"))
        made._origin = origin
        return made

    # ---- parts and views ----------------------------------------------------------------------------------------

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
        part = Recording(
            self._reader,
            self._whole_metadata,
            files=self._files,
            facts=self._facts,
            fields=self._fields,
            left_out=self._left_out,
            damage=self._damage,
            selection=self._selection.take(wanted),
            lineage=self._lineage,
        )
        part._origin = self._origin
        return part

    @cached_property
    def fields(self) -> tuple[Recording, ...]:
        """One recording (T, C, 1, Y, X) per scan field of a multi-ROI recording, that reads only its rows of the page.

        Planes outermost, regions in the vendor's order; empty for other recordings, and where part of a page is shown.
        """
        if not self._shown_fields:
            return ()
        from galvo.core.views import field_view

        return tuple(self._wrapped(field_view, place) for place in self._shown_fields)

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
        try:
            wanted = np.dtype(dtype)
        except TypeError as error:
            known = "uint8, int16, uint16, float32, ..."
            raise OptionError("no such type", found=repr(dtype), expected=known) from error
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
        letters = "".join(sorted(axes.upper())) if isinstance(axes, str) else "?"
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
        shown: Preview = _preview(self, out, **options)
        return shown

    def _repr_html_(self) -> str:
        """The card that notebooks show."""
        card: str = _card(self)
        return card

    # ---- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
