"""Raw binaries as recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from galvo.core.axes import Shape
from galvo.core.index import EvenPages, FrameIndex, PageOrder
from galvo.core.metadata import Damage, Metadata
from galvo.core.read import IndexedReader
from galvo.core.recording import Recording
from galvo.core.source import FileSource, opening_source
from galvo.errors import FormatError, Malformed, OptionError, Truncated
from galvo.formats.kept_beside import read_beside
from galvo.formats.raw.sidecar import describing_path, kept_path, read_description
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_raw"]

_LENGTHS = ("frames", "y", "x")


def open_raw(
    paths: Sequence[str],
    *,
    dtype: DTypeLike | None = None,
    frames: int | None = None,
    y: int | None = None,
    x: int | None = None,
    offset_bytes: int = 0,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """A raw binary.

    Parameters
    ----------
    paths : sequence of str
        One file.
    dtype : dtype, optional
        Of the pixels. With it, the text beside the file is not looked at.
    frames, y, x : int, optional
        One of them may be left out: the size of the file tells it.
    offset_bytes : int
        Where the pixels begin.
    damaged : "raise" or "report"
        report: the frames that are whole, and what is missing or too much in `Recording.damage`.
    limits : Limits

    Returns
    -------
    Recording

    Raises
    ------
    OptionError
        Nothing says what the pixels are, or what says it is not enough.
    Malformed, Truncated
        The file is not as long as its text says.
    """
    (path,) = paths
    told = {"dtype": dtype, "frames": frames, "y": y, "x": x}
    described = dtype is None and frames is None and y is None and x is None
    if type(offset_bytes) is not int or offset_bytes < 0:
        raise OptionError("offset_bytes does not fit", found=repr(offset_bytes), expected="0 or more")
    with opening_source([path]) as source:
        if described:
            found = read_description(path)
            if found is None:
                raise OptionError(
                    "nothing says what the pixels of this file are",
                    path=path,
                    expected=f"{describing_path(path)}, or dtype= and two of frames=, y= and x=",
                    hint="For suite2p's data.bin: dtype='int16', y=Ly, x=Lx of its ops "
                    "(--open-option dtype=int16 --open-option y=Ly --open-option x=Lx)",
                )
            told = dict(found)
        pixel_type, lengths = _geometry(told, source.size(0) - offset_bytes, path, described, limits)
        return _recording(source, pixel_type, lengths, offset_bytes, described, damaged, limits)


def _geometry(
    told: Mapping[str, Any], nbytes: int, path: str, described: bool, limits: Limits
) -> tuple[np.dtype[Any], tuple[int, int, int]]:
    """Type of the pixels, and frames, Y and X."""
    where = describing_path(path) if described else path

    def wrong(what: str, found: object = None, expected: str | None = None) -> FormatError | OptionError:
        kind = Malformed if described else OptionError
        return kind(what, path=where, found=found, expected=expected)

    if not told.get("dtype"):
        raise wrong("the type of the pixels is missing", expected="dtype")
    try:
        dtype = np.dtype(told["dtype"])
    except (TypeError, ValueError):
        raise wrong("no type of pixels", found=repr(told["dtype"])) from None
    if dtype.kind not in "biufc" or dtype.subdtype is not None:
        raise wrong("no type of pixels", found=repr(told["dtype"]))
    lengths = {}
    for name in _LENGTHS:
        value = told.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise wrong(f"{name} is no length", found=repr(value))
        lengths[name] = value or 0
    missing = [name for name in _LENGTHS if not lengths[name]]
    if len(missing) > 1:
        raise wrong(f"{' and '.join(missing)} are missing", expected="at most one to be told from the file's size")
    if missing:
        per_unit = math.prod(value for value in lengths.values() if value) * dtype.itemsize
        if nbytes < per_unit or nbytes % per_unit:
            raise wrong(
                f"the size of the file is no multiple of {per_unit} bytes, so {missing[0]} cannot be told from it",
                found=f"{nbytes} bytes",
            )
        lengths[missing[0]] = nbytes // per_unit
    limits.check("frame_bytes", lengths["y"] * lengths["x"] * dtype.itemsize, path=where)
    limits.check("page_count", lengths["frames"], path=where)
    return dtype, (lengths["frames"], lengths["y"], lengths["x"])


def _recording(
    source: FileSource,
    dtype: np.dtype[Any],
    lengths: tuple[int, int, int],
    offset_bytes: int,
    described: bool,
    damaged: str,
    limits: Limits,
) -> Recording:
    path = source.paths[0]
    frames, y, x = lengths
    frame_nbytes = y * x * dtype.itemsize
    stored = source.size(0) - offset_bytes
    damage: list[Damage] = []
    if stored != frames * frame_nbytes:
        less = stored < frames * frame_nbytes
        found, expected = f"{max(stored, 0)} bytes", f"{frames * frame_nbytes} bytes for {frames} x {y} x {x} {dtype}"
        if damaged != "report" or stored < frame_nbytes:
            raise (Truncated if less else Malformed)(
                f"the file has {'less' if less else 'more'} than it should",
                path=path,
                offset=offset_bytes,
                found=found,
                expected=expected,
                hint='damaged="report" (--damaged report) opens the frames that are whole',
            )
        damage.append(Damage(path, offset_bytes, f"{found}, expected {expected}"))
        frames = min(frames, stored // frame_nbytes)
    kept = None
    if described:
        kept = read_beside(kept_path(path), lambda shape: (math.prod(shape[:3]), *shape[3:]) == lengths, limits)
    shape: Shape = (frames, 1, 1, y, x)
    if kept is not None:
        c, z = kept.shape[1:3]
        shape = (frames // (c * z), c, z, y, x)
        if not shape[0]:
            raise Truncated("not one T is whole", path=path, found=f"{frames} frames", expected=f"{c * z} frames")
    count = math.prod(shape[:3])
    run = EvenPages(count, frame_nbytes, np.array([offset_bytes]), np.array([frame_nbytes]))
    order = PageOrder(0, shape[1] * shape[2], shape[2], 1)
    index = FrameIndex(shape, dtype, (1, 1, 1, y, x), "YX", order, (run,))
    reader = IndexedReader(source, index)
    if kept is None:
        return Recording(reader, Metadata(format="bin"), files=[path], damage=damage)
    return kept.recording(reader, kept.metadata("bin"), [path], damage, not damage)
