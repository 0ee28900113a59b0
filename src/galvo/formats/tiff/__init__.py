"""TIFF and BigTIFF stacks.

Byte layout (TIFF 6.0, Adobe 1992; BigTIFF, AWare Systems 2007)::

    classic   0  "II" or "MM"   2  u16 42   4  u32 first IFD
    BigTIFF   0  "II" or "MM"   2  u16 43   4  u16 8   6  u16 0   8  u64 first IFD
    IFD       count (u16 | u64), count x entry, next IFD (u32 | u64; 0 ends the chain)
    entry     tag u16, type u16, count (u32 | u64), value or its offset (4 | 8 bytes)

`ifd` reads one IFD, `layout` says what its pixels look like, `pages` finds every page of a file (by arithmetic
where they are evenly spaced, else by walking the chain in native code), `exotic` is the one door to tifffile for
pages that galvo does not decode itself: JPEG and other photographic codecs, bit depths that are no whole bytes,
subsampled colour. `several` finds the pages of thousands of files, `headless` those that have no IFD. What pages mean
is the matter of `page_axes`, `imagej`, `shaped` (tifffile) and `ome`; `images` of which files belong together. Not
read: SubIFDs (pyramid levels) and reduced-resolution pages.

`sink` writes: `arrangement` says where everything lies, `directories` makes IFDs by the thousand, `compressions` has
the tags and steps of each, `description` what other programs are told. What galvo keeps of a recording is JSON in tag
65271 of the first IFD; `own` reads such files.
"""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT", "MAGIC"]

MAGIC = (b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")


def _detect(probe: Probe) -> bool:
    # a companion file is the XML of an OME-TIFF that has no master
    return probe.head.startswith(MAGIC) or (probe.suffix == ".ome" and b"<OME" in probe.head)


FORMAT = Format(
    name="tiff",
    title="TIFF and BigTIFF stacks, OME-TIFF, ImageJ hyperstacks, folders of images",
    suffixes=(".tif", ".tiff"),
    detect=_detect,
    open=deferred("galvo.formats.tiff.reader:open_tiff"),
    sink=deferred("galvo.formats.tiff.sink:TiffSink"),
    group=deferred("galvo.formats.tiff.images:belonging_together"),
    options=("pages", "axes", "channels", "planes", "samples", "image", "series", "walk"),
    write_options=("layout", "compression", "compression_level", "predictor", "bigtiff", "samples"),
)
