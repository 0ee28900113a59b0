"""Sections along the axis of time: motion, quality, and a strip of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galvo.qc.charts import Band, Dots, Line, Ticks, decimated
from galvo.qc.figures import Kymograph, kymographs
from galvo.qc.looks import stage
from galvo.qc.markup import NOTHING, Markup, escaped, joined, section, tag
from galvo.qc.measures import Plane, median
from galvo.qc.shown import Shown

__all__ = ["kymograph_section", "motion_section", "quality_section"]

Positions = NDArray[np.int64]
Values = NDArray[np.float32]

_KYMOGRAPH_BYTES = 600_000
_POINTS = 1200


def motion_section(shown: Shown) -> Markup:
    """Shifts, and the range of displacements around them."""
    points = max(200, _POINTS // len(shown.drawn))
    parts = []
    for plane in shown.drawn:
        charts = []
        for axis, (title, color) in enumerate((("Along x (to the right)", 1), ("Along y (down)", 4))):
            at, shift = decimated(plane.frames["shift"][:, axis], points)
            extent = plane.extent
            band = Band(extent.frames, extent.low[:, axis], extent.high[:, axis], color)
            charts.append(shown.time_chart(title, [band, Line(at, shift, color)], "px"))
        parts.append(tag("div", joined(charts), data_plane=str(plane.z)))
    text = (
        "Where the tissue was, relative to the reference. Line: the shift of the whole image. "
        "Band: from the least to the greatest displacement within the image."
    )
    sampled = shown.drawn[0].extent.frames.size
    if sampled < shown.count:
        text += f" The band is of {sampled:,} frames: those that moved farthest, and others in between."
    return section("motion", "Motion over time", tag("p", escaped(text)), *parts, over_time=True)


def quality_section(shown: Shown) -> Markup:
    """How well frames fit, with those marked that do not."""
    points = max(200, _POINTS // len(shown.drawn))
    parts = []
    for plane in shown.drawn:
        frames, unusual = plane.frames, np.flatnonzero(plane.unusual)
        flagged = np.flatnonzero(plane.doubtful)
        charts = []
        for name, title, unit, color in (
            ("correlation", "Correlation with the reference", "", 1),
            ("residual", "Not explained by the reference", "counts", 4),
            ("max_px", "Greatest displacement", "px", 5),
        ):
            at, values = decimated(frames[name], points)
            drawn: list[Line | Band | Dots | Ticks] = [Line(at, values, color)]
            if name == "correlation":
                some = _lowest(unusual, frames[name])
                drawn.append(Dots(some, frames[name][some], 2))
            ticks = _thinned_out(flagged, shown.count)
            drawn += [Ticks(ticks, 3)] if ticks.size else []
            # 0.1 of a correlation; a tenth of what there is of a residual
            span = {"correlation": 0.1, "residual": 0.2 * abs(median(frames[name]))}.get(name, 1.0)
            charts.append(shown.time_chart(title, drawn, unit, least_span=span if np.isfinite(span) else 0.0))
        parts.append(tag("div", joined(charts), data_plane=str(plane.z)))
    legend = Markup(
        '<p class="legend"><span><span class="key dot"></span>unusual: correlation far below that of the frames around'
        '</span><span><span class="key tick"></span>flagged: see the sentences at the top</span></p>'
    )
    return section("quality", "Quality over time", legend, *parts, over_time=True)


def _lowest(positions: Positions, values: Values, most: int = 400) -> Positions:
    """The lowest of many."""
    if positions.size <= most:
        return positions
    return np.sort(positions[np.argsort(values[positions], kind="stable")[:most]])


def _thinned_out(positions: Positions, count: int, most: int = 600) -> Positions:
    """One position of each of `most` stretches of time that have any."""
    return positions[np.unique(positions * most // max(1, count), return_index=True)[1]]


def kymograph_section(shown: Shown) -> Markup:
    """A strip of the image over time, before and after; nothing where there are no pixels."""
    budget = _KYMOGRAPH_BYTES // max(1, len(shown.panels))
    parts = [
        tag("div", joined(map(_kymograph, found)), data_plane=str(plane.z), data_channel=str(channel))
        for plane, channel in shown.panels
        if (found := kymographs(shown.subject, channel, plane.z, budget, _moved_most(plane)))
    ]
    if not parts:
        return NOTHING
    text = (
        "A strip of the image over time, where edges are strongest: rows of the image from top to bottom, time from "
        "left to right. After the correction, what is still runs straight."
    )
    return section("kymographs", "A strip over time", tag("p", escaped(text)), *parts)


def _moved_most(plane: Plane) -> int:
    return int(np.nan_to_num(plane.frames["max_px"], nan=0).argmax())


def _kymograph(kymograph: Kymograph) -> Markup:
    first, last = int(kymograph.frames[0]), int(kymograph.frames[-1])
    how = "all" if kymograph.consecutive else f"{kymograph.frames.size:,}"
    rows, columns = (f"{part.start}–{part.stop - 1}" for part in (kymograph.rows, kymograph.columns))
    where = f"rows {rows}, columns {columns}"
    caption = tag("figcaption", escaped(f"Frames {first:,} to {last:,} ({how} of them), {where}"))
    return tag("figure", joined((caption, stage(kymograph.pair))), class_="kymograph")
