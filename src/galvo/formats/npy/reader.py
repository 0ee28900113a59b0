"""NumPy's arrays as recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from galvo.core.axes import AXES, Shape, array_axes
from galvo.core.index import EvenPages, FrameIndex, PageOrder
from galvo.core.metadata import Damage, Metadata
from galvo.core.read import IndexedReader
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.source import FileSource, opening_source
from galvo.errors import OptionError, Truncated, Unsupported, warn
from galvo.formats.kept_beside import read_beside
from galvo.formats.matlab.columns import ColumnReader
from galvo.formats.matlab.variable import Part, Span, Variable
from galvo.formats.npy.header import Header, read_header
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["kept_path", "open_npy"]


def kept_path(path: str) -> str:
    """Galvo's text."""
    return f"{path}.galvo.json"


def open_npy(
    paths: Sequence[str], *, axes: str | None = None, damaged: str = "raise", limits: Limits = DEFAULT_LIMITS
) -> Recording:
    """A .npy file.

    Parameters
    ----------
    paths : sequence of str
        One file.
    axes : str, optional
        Letters of T C Z Y X in the array's order; by default 2-D is YX, 3-D TYX, 5-D TCZYX.
    damaged : "raise" or "report"
        report: what is whole of the slowest axis, where that is T.
    limits : Limits

    Returns
    -------
    Recording

    Raises
    ------
    Truncated
        The file is shorter than its array.
    Malformed
        The header is not what NumPy writes.
    Unsupported
        Objects, records, texts; arrays of less than 2 or more than 5 dimensions, or without a value.
    OptionError
        4-D without `axes`, or `axes` that do not fit.
    """
    (path,) = paths
    with opening_source([path]) as source:
        header = read_header(source)
        letters = _letters(header, axes, path)
        # slowest first, as the values lie
        stored = letters[::-1] if header.is_fortran else letters
        lengths = dict(zip(letters, header.shape, strict=True))
        t, c, z, y, x = (lengths.get(letter, 1) for letter in AXES)
        limits.check("frame_bytes", y * x * header.dtype.itemsize, path=path)
        limits.check("page_count", t * c * z, path=path)
        kept = read_beside(kept_path(path), lambda shape: shape == (t, c, z, y, x), limits)
        whole, damage = _whole(source, header, stored, t, damaged)
        reader = _reader(source, header, stored, (whole, c, z, y, x))
        if kept is None:
            return Recording(reader, Metadata(format="npy"), files=[path], damage=damage)
        return kept.recording(reader, kept.metadata("npy"), [path], damage, not damage)


def _letters(header: Header, axes: str | None, path: str) -> str:
    if not 2 <= len(header.shape) <= 5 or not all(header.shape):
        raise Unsupported(
            "an array of this shape is no recording", path=path, found=header.shape, expected="2 to 5 dimensions"
        )
    try:
        return array_axes(header.shape, axes)
    except OptionError as error:
        raise OptionError(
            error.message, path=path, found=error.found, expected=error.expected, hint=error.hint
        ) from None


def _whole(
    source: FileSource, header: Header, stored: str, t_count: int, damaged: str
) -> tuple[int, tuple[Damage, ...]]:
    """How many T are there, and what is missing."""
    path = source.paths[0]
    nbytes, there = math.prod(header.shape) * header.dtype.itemsize, source.size(0) - header.end
    if there > nbytes:
        warn(f"{path}: {there - nbytes} bytes behind the array are not read")
    if there >= nbytes:
        return t_count, ()
    whole = there * t_count // nbytes
    if damaged != "report" or stored[0] != "T" or not whole:
        raise Truncated(
            "the file is shorter than its array",
            path=path,
            offset=header.end,
            found=f"{there} bytes",
            expected=f"{nbytes} bytes for {header.shape} {header.dtype}",
            hint='damaged="report" (--damaged report) opens the T that are whole' if stored[0] == "T" else None,
        )
    return whole, (Damage(path, header.end, f"{there} bytes, expected {nbytes} bytes: {whole} T are whole"),)


def _reader(source: FileSource, header: Header, stored: str, shape: Shape) -> Reader:
    """Frames that lie in one piece by arithmetic; others, and those lying column by column, are gathered."""
    *frame_shape, itemsize = shape[3], shape[4], header.dtype.itemsize
    if not stored.endswith("YX"):
        nbytes = math.prod(shape) * itemsize
        variable = Variable(
            name="the array",
            kind=header.dtype.name,
            dtype=header.dtype.newbyteorder("="),
            parts=(Part(0, header.dtype, nbytes),),
            content=Span(source, header.end),
        )
        return ColumnReader(source, (variable,), stored[::-1], shape)
    lengths, steps, step = dict(zip(AXES, shape, strict=True)), dict.fromkeys("TCZ", 0), 1
    for letter in reversed(stored[:-2]):
        steps[letter], step = step, step * lengths[letter]
    frame_nbytes = math.prod(frame_shape) * itemsize
    run = EvenPages(math.prod(shape[:3]), frame_nbytes, np.array([header.end]), np.array([frame_nbytes]))
    order = PageOrder(0, steps["T"], steps["C"], steps["Z"])
    return IndexedReader(source, FrameIndex(shape, header.dtype, (1, 1, 1, *shape[3:]), "YX", order, (run,)))
