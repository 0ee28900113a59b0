"""Raw binaries: pixels and nothing else, described by a text beside them.

::

    x.bin          pixels, frame after frame, (frames, y, x), without gaps
    x.json         {"frames": int, "y": int, "x": int, "dtype": str}: CalSciPy's own keys, in this order, and no others,
                   since its loader fails on a fifth
    x.galvo.json   what galvo keeps besides (`kept_json`), where galvo wrote the file

Frames of several channels and planes follow each other as T, C, Z, the last fastest. Source: CalSciPy io_tools
specification, section 2.
"""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    return probe.suffix == ".bin"


FORMAT = Format(
    name="bin",
    title="raw binaries with a .json beside them (CalSciPy)",
    suffixes=(".bin",),
    detect=_detect,
    open=deferred("galvo.formats.raw.reader:open_raw"),
    sink=deferred("galvo.formats.raw.sink:RawSink"),
    by_name=True,
    options=("dtype", "frames", "y", "x", "offset_bytes"),
)
