"""How the fields of a depth are packed into one page, and whether the page agrees.

Scanimage spec 1.7, measured on genuine recordings: regions in list order are stacked along Y, left aligned, with gap
rows between them while the beam flies on; a page is as high as the highest depth and as wide as the widest field. A
resonant scanner flies for whole periods of its mirror: ``ceil(fly-to time x frequency)``, each two rows when
bidirectional, one otherwise. Galvo-galvo pages have no gaps. The frame flyback follows the same rule and is not on the
page: ``frame period / line period = page height + flyback lines``. A fast stack without flyback frames may wait for its
z actuator after each frame instead, ``hFastZ.flybackTime`` by the same rule (seen on a genuine recording).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from galvo.errors import warn
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.rois import NOT_SPLIT, Roi, Scanfield, Tie

__all__ = ["Packing", "Scanner", "flyback_rows", "pack", "read_scanner"]

# an integer number of periods, written with 6 or 10 digits, may come out a little above itself
_ROUNDED = 2e-5
_IDENTITY_LINES = 0.5
_IDENTITY = 2e-5
_MOST_GAP_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Scanner:
    """What the header says of the beam's way.

    Attributes
    ----------
    resonant : bool
    bidirectional : bool
    frequency_hz : float or None
        Of the resonant mirror.
    line_period_s, frame_period_s : float or None
    flyto_s, flyback_s : float
        Time from one field to the next, and from the last one back.
    z_flyback_s : float
        Time that z may take after each frame; 0 where flyback frames give it that.
    fill_fraction : float
        Part of a line's time in which pixels are taken.
    """

    resonant: bool
    bidirectional: bool
    frequency_hz: float | None
    line_period_s: float | None
    frame_period_s: float | None
    flyto_s: float
    flyback_s: float
    fill_fraction: float
    z_flyback_s: float = 0.0

    def rows(self, seconds: float) -> tuple[int, ...]:
        """Rows that pass in the time of a flight; two answers where the header's digits allow both."""
        if not self.resonant or not self.frequency_hz:
            return (0,)
        periods = seconds * self.frequency_hz
        each = 2 if self.bidirectional else 1
        near = round(periods)
        if near and abs(periods - near) <= _ROUNDED * near:
            return near * each, (near + 1) * each
        return (math.ceil(periods) * each,)

    @property
    def seconds_per_line(self) -> float | None:
        """From the mirror's frequency, else the header's line period."""
        if self.frequency_hz:
            return 1 / self.frequency_hz / (2 if self.bidirectional else 1)
        return self.line_period_s


def read_scanner(header: Header) -> Scanner:
    """The scanner of a header; until 2015 resonant and linear ones have keys of their own."""
    prefix = "SI.hScan2D."
    if prefix + "flytoTimePerScanfield" not in header:
        prefix = "SI.hLinScan." if header.word("SI.imagingSystem") == "Linear" else "SI.hResScan."
    frequency = header.positive(prefix + "scannerFrequency")
    kind = (header.word(prefix + "scannerType") or "").upper()
    linear = header.word(prefix + "scanMode") == "linear" or kind in ("GG", "LINEAR") or frequency is None
    rate = header.positive("SI.hRoiManager.scanFrameRate")
    discarded = "SI.hFastZ.numDiscardFlybackFrames"
    return Scanner(
        resonant=not linear,
        bidirectional=header.flag(prefix + "bidirectional"),
        frequency_hz=None if linear else frequency,
        line_period_s=header.positive("SI.hRoiManager.linePeriod"),
        frame_period_s=header.positive("SI.hRoiManager.scanFramePeriod") or (rate and 1 / rate),
        flyto_s=header.positive(prefix + "flytoTimePerScanfield") or 0.0,
        flyback_s=header.positive(prefix + "flybackTimePerFrame") or 0.0,
        fill_fraction=min(1.0, header.positive(prefix + "fillFractionTemporal") or 1.0),
        z_flyback_s=0.0 if header.count(discarded) else header.positive("SI.hFastZ.flybackTime") or 0.0,
    )


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the fields of each depth lie on its pages.

    Attributes
    ----------
    planes : tuple of tuple of (Roi, Scanfield, int)
        Per plane the regions, what is scanned of them, and their first row.
    gap_rows : int
    height, width : int
        What they add up to.
    """

    planes: tuple[tuple[tuple[Roi, Scanfield, int], ...], ...]
    gap_rows: int
    height: int
    width: int


def _packed(rois: Sequence[Roi], depths: Sequence[float | None], gap_rows: int, tie: Tie) -> Packing:
    planes = []
    height = width = 0
    for z in depths:
        top = 0
        placed = []
        for roi in rois:
            field = roi.at(z, tie)
            if field is None:
                continue
            placed.append((roi, field, top))
            height, width = max(height, top + int(field.pixels[1])), max(width, int(field.pixels[0]))
            top += int(field.pixels[1]) + gap_rows
        planes.append(tuple(placed))
    return Packing(tuple(planes), gap_rows, height, width)


def pack(
    rois: Sequence[Roi], depths: Sequence[float | None], scanner: Scanner, size: tuple[int, int], path: str
) -> Packing | None:
    """How the fields lie on pages of a given size.

    Parameters
    ----------
    rois : sequence of Roi
    depths : sequence of float or None
        Of each plane; None where it is unknown.
    scanner : Scanner
    size : (int, int)
        Height and width of the pages.
    path : str
        For messages.

    Returns
    -------
    Packing or None
        None, with a warning, where the page cannot hold these fields. Another gap than the scanner's that makes the
        page right is used, with a warning.
    """
    height, width = size
    ties: tuple[Tie, Tie] = ("up", "even")
    candidates = [_packed(rois, depths, gap, tie) for gap, tie in product(scanner.rows(scanner.flyto_s), ties)]
    first = candidates[0]
    if not any(first.planes):
        warn(f"{path}: no ROI is scanned at the depths of the planes; {NOT_SPLIT}")
        return None
    chosen = next((one for one in candidates if one.height == height), None)
    if chosen is None:
        # lines averaged by the hardware: where that cuts ROIs from gaps is not known
        averaged = first.height // height if first.height % height == 0 and _fills_period(scanner, first.height) else 1
        chosen = next(_fitting(rois, depths, height), None) if averaged == 1 else None
        if chosen is None:
            told = f", as if {averaged} lines were averaged" if averaged > 1 else ""
            warn(
                f"{path}: pages have {height} rows, but the ROIs with gaps of {first.gap_rows} rows add up to "
                f"{first.height}{told}; {NOT_SPLIT}"
            )
            return None
        warn(
            f"{path}: pages have {height} rows, but the ROIs with gaps of {first.gap_rows} rows, as the scanner makes "
            f"them, add up to {first.height}; gaps of {chosen.gap_rows} rows fit and are used"
        )
    if chosen.width > width:
        warn(f"{path}: pages have {width} columns, but ROIs have {chosen.width}; {NOT_SPLIT}")
        return None
    if chosen.width < width:
        warn(f"{path}: pages have {width} columns, the widest ROI has {chosen.width}")
    _check_period(scanner, chosen.height, path)
    return chosen


def _fitting(rois: Sequence[Roi], depths: Sequence[float | None], height: int) -> Iterator[Packing]:
    """Packings of the right height with even gaps that the header does not explain."""
    bare = _packed(rois, depths, 0, "up")
    gaps = set()
    for plane in bare.planes:
        spare = height - sum(int(field.pixels[1]) for _, field, _ in plane)
        if len(plane) > 1 and spare >= 0 and spare % (len(plane) - 1) == 0:
            gaps.add(spare // (len(plane) - 1))
    for gap in sorted(gaps):
        found = _packed(rois, depths, gap, "up")
        if found.height == height and gap <= _MOST_GAP_ROWS:
            yield found


def flyback_rows(scanner: Scanner, height: int) -> int:
    """Lines that pass between a page of that height and the next one; of several answers the one of the period."""
    answers = scanner.rows(scanner.flyback_s)
    if scanner.z_flyback_s > scanner.flyback_s:
        answers += scanner.rows(scanner.z_flyback_s)
    lines = _period_lines(scanner)
    return answers[0] if lines is None else min(answers, key=lambda rows: abs(lines - height - rows))


def _period_lines(scanner: Scanner) -> float | None:
    """Lines that a frame period takes, as the header states both."""
    if not scanner.line_period_s or not scanner.frame_period_s:
        return None
    return scanner.frame_period_s / scanner.line_period_s


def _fills_period(scanner: Scanner, height: int) -> bool:
    """Whether lines of that height and the flight back are known to take the frame period."""
    lines, expected = _period_lines(scanner), height + flyback_rows(scanner, height)
    return lines is not None and abs(lines - expected) <= _IDENTITY_LINES + _IDENTITY * expected


def _check_period(scanner: Scanner, height: int, path: str) -> None:
    """Warn when the lines of a frame are not those of its page and of the flight back."""
    lines = _period_lines(scanner)
    if lines is None:
        return
    if not scanner.resonant:
        # flights of galvos are no rows, so a frame may take longer than its page
        if lines < height * (1 - _IDENTITY) - _IDENTITY_LINES:
            warn(f"{path}: the ROIs have {height} lines, but the frame period is that of {lines:.2f} lines")
        return
    if not _fills_period(scanner, height):
        expected = height + flyback_rows(scanner, height)
        warn(f"{path}: ROIs, gaps and flyback make {expected} lines, the frame period is that of {lines:.2f} lines")
