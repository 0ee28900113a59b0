"""The scan fields of multi-ROI pages: planes outermost, regions in the order of the file."""

from __future__ import annotations

from galvo.core.scanfield import FieldPart, LineClock, ScanField
from galvo.errors import warn
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.packing import Packing, Scanner, flyback_rows, pack, read_scanner
from galvo.formats.scanimage.rois import NOT_SPLIT, parse_rois
from galvo.formats.scanimage.timeline import Timeline

__all__ = ["find_fields"]

_MOST_FIELDS = 1 << 17


def find_fields(
    header: Header, roi_text: str, timeline: Timeline, size: tuple[int, int], repeat: int | None, path: str
) -> tuple[ScanField, ...]:
    """The fields on the pages of each plane of a multi-ROI recording.

    Parameters
    ----------
    header : Header
    roi_text : str
        JSON of the ROI groups.
    timeline : Timeline
    size : (int, int)
        Height and width of the pages.
    repeat : int or None
        Which of several frames per slice is shown; None for all or their mean.
    path : str
        For messages.

    Returns
    -------
    tuple of ScanField
        Empty, with a warning, where pages do not hold what the ROI groups say.
    """
    if not roi_text.lstrip().startswith("{"):
        serialised = roi_text or header.count("SI.TIFF_FORMAT_VERSION") == 1
        what = "as MATLAB serialised them, which galvo does not read" if serialised else "nowhere in the file"
        warn(f"{path}: multi-ROI is on, but ROI groups are {what}; {NOT_SPLIT}")
        return ()
    rois = parse_rois(roi_text, path)
    depths: list[float | None] = list(timeline.z_um or [None] * timeline.slices)
    scanner = read_scanner(header)
    if len(rois) * len(depths) > _MOST_FIELDS:
        warn(f"{path}: {len(rois)} ROIs at {len(depths)} depths are too many; {NOT_SPLIT}")
        return ()
    packing = pack(rois, depths, scanner, size, path) if rois else None
    if packing is None:
        return ()
    seconds = scanner.seconds_per_line
    clock = None
    if seconds is not None:
        clock = LineClock(
            line_period_s=seconds, bidirectional=scanner.bidirectional, fill_fraction=scanner.fill_fraction
        )
    resolution = header.positive("SI.objectiveResolution")
    frames = timeline.repeats * timeline.average
    found = []
    for plane, placed in enumerate(packing.planes):
        start_s = (plane * frames + (repeat or 0) * timeline.average) * _frame_s(scanner, packing)
        for position, (roi, field, top) in enumerate(placed):
            width, height = (int(count) for count in field.pixels)
            flights_s = 0.0 if scanner.resonant else position * scanner.flyto_s
            part = FieldPart(
                rows=range(top, top + height),
                columns=range(width),
                line_pixels=width,
                start_s=start_s + top * (seconds or 0.0) + flights_s,
            )
            found.append(
                ScanField(
                    name=roi.name,
                    rois=(roi.number,),
                    plane=plane,
                    z_um=depths[plane],
                    center_deg=field.center_deg[::-1],
                    size_deg=field.size_deg[::-1],
                    rotation_deg=field.rotation_deg,
                    um_per_deg=resolution,
                    parts=(part,),
                    clock=clock,
                )
            )
    return tuple(found)


def _frame_s(scanner: Scanner, packing: Packing) -> float:
    """From the first line of one frame to that of the next."""
    if scanner.resonant and scanner.seconds_per_line:
        return (packing.height + flyback_rows(scanner, packing.height)) * scanner.seconds_per_line
    return scanner.frame_period_s or 0.0
