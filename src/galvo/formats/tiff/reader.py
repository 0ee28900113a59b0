"""TIFF stacks as recordings: pages follow each other in T, samples are channels, ImageJ names its axes.

ImageJ hyperstacks: the description's ``channels``, ``slices`` and ``frames`` count pages with C fastest, then Z, then T
(ImageJ's TiffEncoder); above 4 GB one IFD describes the first page and all pixels follow it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import index as as_int
from typing import Any

import numpy as np

from galvo.core.index import EvenPages, FrameIndex, Int64, PageOrder
from galvo.core.metadata import LeftOut, Metadata
from galvo.core.read import IndexedReader, Reader
from galvo.core.recording import Damage, Recording
from galvo.core.source import FileSource
from galvo.errors import OptionError, Truncated, Unsupported, warn
from galvo.formats.tiff.layout import PageLayout
from galvo.formats.tiff.own import open_own
from galvo.formats.tiff.pages import TiffPages, find_pages
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["frame_index", "open_tiff"]

_IMAGEJ_LINE = re.compile(r"^images=\d+\n(channels|slices|frames)=\d", re.MULTILINE)


def open_tiff(
    paths: Sequence[str],
    *,
    pages: slice | Sequence[int] | None = None,
    channels: int | None = None,
    walk: bool = False,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """A TIFF stack.

    Parameters
    ----------
    paths : sequence of str
        One file.
    pages : slice or sequence of int, optional
        Only these pages.
    channels : int, optional
        Pages are interleaved: this many channels of a frame follow each other.
    walk : bool
        Walk the chain of pages even where they are evenly spaced.
    damaged : "raise" or "report"
    limits : Limits

    Returns
    -------
    Recording
        (T, C, Z, Y, X): T pages and C samples, unless ImageJ or `channels` say otherwise.
    """
    (path,) = paths
    source = FileSource([path])
    try:
        own = None if pages is not None or channels is not None else open_own(source, walk, damaged, limits)
        if own is not None:
            return own
        found = find_pages(source, 0, limits, walk=walk, damaged=damaged, pages=_chooser(pages))
        if pages is None:
            found = _spread_imagej(found, source, damaged)
        counts = _axes(found, channels, path)
        return _recording(found, counts, source, limits)
    except BaseException:
        source.close()
        raise


def _chooser(pages: slice | Sequence[int] | None) -> Callable[[int], Int64] | None:
    if pages is None:
        return None

    def choose(count: int) -> Int64:
        if isinstance(pages, slice):
            return np.arange(count, dtype=np.int64)[pages]
        try:
            wanted = [as_int(page) for page in pages]
        except TypeError:
            raise OptionError("pages takes a slice or a list of integers", found=repr(pages)) from None
        if any(not -count <= page < count for page in wanted):
            raise OptionError("a page that the file does not have", found=str(wanted), expected=f"0 to {count - 1}")
        return np.array(wanted, np.int64) % count

    return choose


def _imagej(found: TiffPages) -> dict[str, str] | None:
    description = found.first.description
    if not description.startswith("ImageJ="):
        return None
    pairs = (line.partition("=") for line in description.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _count(fields: dict[str, str], key: str) -> int:
    value = fields.get(key, "1")
    return max(1, int(value)) if value.isascii() and value.isdigit() and len(value) < 18 else 1


def _spread_imagej(found: TiffPages, source: FileSource, damaged: str) -> TiffPages:
    """One IFD that stands for many contiguous pages, as ImageJ writes above 4 GB."""
    fields = _imagej(found)
    layout = found.layout
    if fields is None or layout is None or found.run.count != 1 or not layout.codec.is_raw:
        return found
    count = _count(fields, "images")
    zero = np.zeros(1, np.int64)
    offset, nbytes = found.run.locate(zero, zero)
    if count == 1 or layout.segment_count != 1 or nbytes[0] != layout.frame_nbytes:
        return found
    end = int(offset[0]) + count * layout.frame_nbytes
    damage = found.damage
    if end > source.size(0):
        error = Truncated(
            "the file is shorter than the images that ImageJ announces",
            path=source.paths[0],
            offset=source.size(0),
            found=f"{source.size(0)} bytes",
            expected=f"{end} bytes for {count} images",
            hint='Open it with damaged="report" to get the frames that are there',
        )
        if damaged != "report":
            raise error
        count = (source.size(0) - int(offset[0])) // layout.frame_nbytes
        damage = (*damage, Damage(source.paths[0], error.offset, f"{error.message}; {count} of them are kept"))
    run = EvenPages(count, layout.frame_nbytes, offset, nbytes)
    return TiffPages(found.header, found.first, layout, run, found.reduced_count, damage)


def _axes(found: TiffPages, channels: int | None, path: str) -> tuple[int, int, int]:
    """Lengths of T, C and Z as pages count them, C fastest, T slowest."""
    count, fields = found.run.count, _imagej(found)
    if channels is not None:
        if not isinstance(channels, int) or channels < 1 or count % channels:
            raise OptionError(
                "channels must divide the number of pages", path=path, found=channels, expected=f"a divisor of {count}"
            )
        return count // channels, channels, 1
    if fields is not None and found.numbers is None:
        c, z, t = (_count(fields, key) for key in ("channels", "slices", "frames"))
        if c * z * t == count:
            return t, c, z
        if found.damage and count >= c * z:
            return count // (c * z), c, z
        if not fields.keys() & {"channels", "slices", "frames"}:
            if count > 1 and _count(fields, "images") != count:
                warn(f"{path}: ImageJ announces {fields.get('images', 'no')} images, the file has {count} pages")
            return count, 1, 1
        warn(
            f"{path}: ImageJ announces {c} channels x {z} slices x {t} frames, the file has {count} pages; "
            "pages are opened as T"
        )
    elif count > 1 and _IMAGEJ_LINE.search(found.first.description[:4096]):
        warn(
            f"{path}: the description counts images as ImageJ does, but does not begin as ImageJ's; "
            "pages are opened as T"
        )
    elif count > 1 and "<OME" in found.first.description[:4096]:
        warn(f"{path}: the axes that OME-XML names are not read; pages are opened as T")
    return count, 1, 1


def frame_index(
    pages: Sequence[TiffPages], layout: PageLayout, lengths: tuple[int, int, int], order: PageOrder
) -> FrameIndex:
    """The index over files of one layout.

    Parameters
    ----------
    pages : sequence of TiffPages
        One per file.
    layout : PageLayout
    lengths : (T, C, Z)
        C is multiplied by the samples of a page.
    order : PageOrder
    """
    samples = layout.samples
    t, c, z = lengths
    if samples > 1 and c > 1:
        raise Unsupported(f"{c} channels as pages, each with {samples} samples", path=pages[0].first.source.paths[0])
    contiguous = samples > 1 and not layout.planar
    return FrameIndex(
        shape=(t, max(c, samples), z, layout.height, layout.width),
        dtype=layout.dtype,
        chunk_shape=(1, samples if contiguous else 1, 1, layout.rows, layout.columns),
        stored_axes="YXC" if contiguous else "YX",
        order=replace(order, c=0) if samples > 1 else order,
        runs=tuple(one.run for one in pages),
        codec=layout.codec,
        planar=layout.planar,
        padded=layout.tiled,
    )


def _recording(found: TiffPages, counts: tuple[int, int, int], source: FileSource, limits: Limits) -> Recording:
    path, (t, c, z) = source.paths[0], counts
    reader: Reader
    metadata = _metadata(found, counts)
    if found.layout is None:
        numbers = found.numbers if found.numbers is not None else np.arange(found.run.count, dtype=np.int64)
        if (c, z) != (1, 1):
            raise Unsupported("pages that need tifffile, with channels or slices as pages", path=path)
        # tifffile loads only for pages that need it
        from galvo.formats.tiff.exotic import ExoticPages

        reader = ExoticPages(path, numbers, limits)
        source.close()
    else:
        reader = IndexedReader(source, frame_index([found], found.layout, counts, PageOrder(0, c * z, 1, c)))
    left_out = []
    spare = found.run.count - t * c * z
    if spare:
        left_out.append(LeftOut("incomplete volume", spare, "pages that make no whole volume"))
    if found.reduced_count:
        left_out.append(LeftOut("reduced pages", found.reduced_count, "smaller copies of other pages"))
    return Recording(reader, metadata, files=[path], left_out=left_out, damage=found.damage)


def _metadata(found: TiffPages, counts: tuple[int, int, int]) -> Metadata:
    texts: dict[str, Any] = {}
    for name, tag in (("description", 270), ("software", 305), ("datetime", 306)):
        text = found.first.text(tag)
        if text:
            texts[name] = text
    fields = _imagej(found) or {}
    spacing = _number(fields.get("spacing"))
    interval = _number(fields.get("finterval"))
    fps = _number(fields.get("fps"))
    rate = 1 / interval if interval and interval > 0 else fps if fps and fps > 0 else None
    return Metadata(
        format="tiff",
        version="ImageJ" if fields else ("BigTIFF" if found.header.big else None),
        frame_rate_hz=rate,
        pixel_size_um=_imagej_pixel_size(found, fields),
        z_um=tuple(spacing * plane for plane in range(counts[2])) if spacing and counts[2] > 1 else None,
        texts=texts,
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def _imagej_pixel_size(found: TiffPages, fields: dict[str, str]) -> tuple[float, float] | None:
    """ImageJ keeps pixels per unit in the resolution tags, the unit in its description."""
    if fields.get("unit", "").replace("\\u00B5", "µ") not in ("um", "micron", "microns", "µm"):
        return None
    sizes = []
    for tag in (283, 282):
        values = found.first.values(tag)
        if len(values) != 2 or not all(values):
            return None
        sizes.append(values[1] / values[0])
    return sizes[0], sizes[1]
