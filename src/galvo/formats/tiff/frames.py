"""The index over pages of one layout: pages and samples as T, C and Z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from galvo.core.index import FrameIndex, PageOrder, PageRun
from galvo.errors import Unsupported
from galvo.formats.tiff.layout import PageLayout

__all__ = ["frame_index"]


def frame_index(
    runs: Sequence[PageRun], layout: PageLayout, lengths: tuple[int, int, int], order: PageOrder, path: str
) -> FrameIndex:
    """The index over files of one layout.

    Parameters
    ----------
    runs : sequence of PageRun
        One per file.
    layout : PageLayout
    lengths : (T, C, Z)
        As pages; C is multiplied by the samples of a page.
    order : PageOrder
    path : str
        Named in errors.

    Raises
    ------
    Unsupported
        Channels as pages, each of several samples that lie apart.
    """
    samples = layout.samples
    t, c, z = lengths
    if layout.planar and samples > 1 and c > 1:
        raise Unsupported(f"{c} channels as pages, each with {samples} samples that lie apart", path=path)
    contiguous = samples > 1 and not layout.planar
    if layout.planar and samples > 1:
        # along C lie the segments of a page
        order = replace(order, c=0) if order.table is None else replace(order, table=order.table.repeat(samples, 1))
    return FrameIndex(
        shape=(t, c * samples, z, layout.height, layout.width),
        dtype=layout.dtype,
        chunk_shape=(1, samples if contiguous else 1, 1, layout.rows, layout.columns),
        stored_axes="YXC" if contiguous else "YX",
        order=order,
        runs=tuple(runs),
        codec=layout.codec,
        planar=layout.planar,
        padded=layout.tiled,
    )
