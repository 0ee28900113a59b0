"""Scanbox: recordings of Neurolabware's microscopes, a .sbx with the pixels and a .mat of the same name about them.

::

    x.sbx    u16, little endian, 65535 minus the signal, without a header or gaps: frame after frame, row after row,
             column after column, at each the channels one after the other. In MATLAB: [channel, column, row, frame]
    x.mat    a struct `info`, of which galvo uses
             sz                [rows, columns] of a frame
             chan.nchan        channels (later versions); else nchan; else
             channels          1: both, 2: only green, 3: only red
             recordsPerBuffer  lines of a frame, half of the rows when scanning both ways
             scanmode          0: lines both ways, 1: one way
             resfreq           of the resonant mirror, Hz: lines one way in a second
             volscan, otwave   the tunable lens goes through these settings, one for each frame, when volscan is 1
             otwave_um         their depths, where the lens is calibrated
             max_idx           the last frame, from 0, where it is there

How many frames there are is told by the size of the .sbx. Scanning both ways leaves columns at one edge of each frame
that show no tissue: they are read as they are stored.

Source: Scanbox's public pages (scanbox.org: reading raw data, volumetric scanning), and the names and meanings of the
fields as they are commonly described. No file of a microscope was at hand.

Not read: the times and lines of TTL events as events (they are in the header), the ROIs of its mesoscope.
"""

from __future__ import annotations

import os

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT", "info_path", "pixel_path"]


def pixel_path(path: str) -> str:
    """The .sbx of a recording, given one of its files."""
    stem, suffix = os.path.splitext(path)
    return f"{stem}.sbx" if suffix.lower() == ".mat" else path


def info_path(path: str) -> str:
    """The .mat of a recording, given one of its files."""
    return f"{os.path.splitext(path)[0]}.mat"


def _detect(probe: Probe) -> bool:
    # a .mat beside a .sbx is no recording of its own
    return probe.suffix == ".sbx" or (probe.suffix == ".mat" and os.path.isfile(pixel_path(probe.path)))


def _series(path: str) -> list[str]:
    return [pixel_path(path), *filter(os.path.isfile, [info_path(path)])]


FORMAT = Format(
    name="scanbox",
    title="Scanbox .sbx with its .mat (Neurolabware)",
    suffixes=(".sbx",),
    detect=_detect,
    open=deferred("galvo.formats.scanbox.reader:open_scanbox"),
    refines=("matlab",),
    series=_series,
    parse_header=deferred("galvo.formats.scanbox.info:parse_header"),
    options=("planes",),
)
