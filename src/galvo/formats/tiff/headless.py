"""One IFD that stands for many contiguous pages: ImageJ above 4 GB, tifffile with ``truncate=True``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from galvo.core.index import EvenPages
from galvo.core.metadata import Damage
from galvo.core.source import FileSource
from galvo.errors import Truncated
from galvo.formats.tiff.pages import TiffPages
from galvo.limits import Limits

__all__ = ["spread_pages"]


def spread_pages(
    found: TiffPages, source: FileSource, count: int, writer: str, damaged: str, limits: Limits
) -> TiffPages:
    """The pages that follow the only one of `found` without IFDs of their own.

    Parameters
    ----------
    found : TiffPages
    source : FileSource
    count : int
        Pages that the description announces.
    writer : str
        Who announces them, for messages.
    damaged : "raise" or "report"
    limits : Limits

    Returns
    -------
    TiffPages
        `found` itself where the page cannot stand for several.

    Raises
    ------
    Truncated
        The file is too short for them.
    """
    layout = found.layout
    if count < 2 or layout is None or found.run.count != 1 or not layout.codec.is_raw or layout.tiled:
        return found
    zero = np.zeros(1, np.int64)
    offset, nbytes = found.run.locate(zero, zero)
    whole = layout.segment_nbytes().sum()
    if layout.segment_count != (layout.samples if layout.planar else 1) or nbytes[0] * layout.segment_count != whole:
        return found
    limits.check("page_count", count, path=source.paths[0])
    segments = np.arange(layout.segment_count, dtype=np.int64)
    offsets, sizes = found.run.locate(np.zeros_like(segments), segments)
    if (np.diff(offsets) != sizes[:-1]).any():
        return found
    end = int(offset[0]) + count * layout.frame_nbytes
    damage = found.damage
    if end > source.size(0):
        error = Truncated(
            f"the file is shorter than the images that {writer} announces",
            path=source.paths[0],
            offset=source.size(0),
            found=f"{source.size(0)} bytes",
            expected=f"{end} bytes for {count} images",
            hint='Open it with damaged="report" (--damaged report) to get the frames that are there',
        )
        if damaged != "report":
            raise error
        count = (source.size(0) - int(offset[0])) // layout.frame_nbytes
        damage = (*damage, Damage(source.paths[0], error.offset, f"{error.message}; {count} of them are kept"))
    run = EvenPages(count, layout.frame_nbytes, offsets, sizes)
    return replace(found, run=run, damage=damage, numbers=None)
