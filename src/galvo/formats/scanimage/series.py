"""The files of one ScanImage recording, found from any of them.

Names (scanimage spec 1.5): ``<stem>_<acquisition>[_<part>][_chn<channel>].tif``. A part counter exists where
``logFramesPerFile`` is finite; a loop goes on to the next acquisition number. Files are of one recording when their
first pages name the same start (``epoch``; 3.x: ``triggerTimeString``) of the acquisition mode; names alone never merge
two grabs. 3.x counts the parts of an acquisition (``framesPerFile``) in one counter: ``<stem>_<part>.tif``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from galvo.core.source import FileSource
from galvo.errors import FormatError, GalvoError, warn
from galvo.formats.scanimage.facts import parse_json
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.static import read_static
from galvo.formats.tiff.ifd import Ifd, read_header, read_ifd
from galvo.limits import DEFAULT_LIMITS

__all__ = ["SeriesName", "find_series", "missing_files", "parse_name", "warn_of_gaps"]

_NAME = re.compile(r"(?P<stem>.+?)_(?P<acquisition>\d{3,})(?:_(?P<part>\d{3,}))?(?:_chn?(?P<channel>\d+))?")

_SHOWN_GAPS = 5


@dataclass(frozen=True, slots=True)
class SeriesName:
    """The counters in a file's name.

    Attributes
    ----------
    stem : str
    acquisition : int
    part, channel : int or None
    """

    stem: str
    acquisition: int
    part: int | None
    channel: int | None

    @property
    def shape(self) -> tuple[str, bool, bool]:
        """What the files of one recording share."""
        return self.stem, self.part is not None, self.channel is not None


def parse_name(path: str) -> SeriesName | None:
    """The counters in a file's name, None where it has none."""
    match = _NAME.fullmatch(Path(path).stem)
    if match is None:
        return None
    part, channel = match["part"], match["channel"]
    return SeriesName(
        match["stem"],
        int(match["acquisition"]),
        None if part is None else int(part),
        None if channel is None else int(channel),
    )


def find_series(path: str) -> list[str]:
    """The files of the recording that `path` belongs to, in order: channel, acquisition, part.

    Parameters
    ----------
    path : str

    Returns
    -------
    list of str
        Only `path` itself where its name has no counters, or its header says that it stands alone.
    """
    name = parse_name(path)
    if name is None:
        return [path]
    own = _identity(path)
    if own is None:
        return [path]
    header, start = own
    # without a stated start only the parts of one acquisition are known to belong together
    in_parts = header.flavour == "state" and header.count("state.acq.framesPerFile") is not None
    looped = bool(start) and (header.word("SI.acqState") == "loop" or in_parts)
    folder, suffix = Path(path).parent, Path(path).suffix
    members: dict[tuple[int, int, int], str] = {}
    for entry in os.listdir(folder):
        other = parse_name(entry)
        if other is None or Path(entry).suffix.lower() != suffix.lower() or other.shape != name.shape:
            continue
        counters = (other.channel or 0, other.acquisition, other.part or 0)
        if counters in members and Path(entry).suffix != suffix:
            # a.tif and a.TIF are copies
            continue
        if not looped and other.acquisition != name.acquisition:
            continue
        candidate = os.path.join(os.path.dirname(path), entry)
        if entry != Path(path).name and not _belongs(candidate, start):
            continue
        members[counters] = candidate
    return [member for _, member in sorted(members.items())]


def _identity(path: str) -> tuple[Header, str] | None:
    """Header of a file, and when its acquisition mode started; None where it cannot be told."""
    source = FileSource([path])
    try:
        first = read_ifd(source, 0, (tiff := read_header(source)), tiff.first_ifd, DEFAULT_LIMITS)
        header = read_static(source, 0, first, DEFAULT_LIMITS).header
        return header, _start(first)
    except FormatError:
        return None
    finally:
        source.close()


def _start(first: Ifd) -> str:
    """The start that a file's first page states; of 3.x files that were saved again, their Software."""
    return start_of_mode(first.description or first.text(305))


def start_of_mode(description: str) -> str:
    """When the acquisition mode started, as a page's text states it; "" where it states nothing."""
    if description.startswith("{"):
        epoch = parse_json(description.encode()).get("epoch")
        return " ".join(f"{part:.10g}" for part in epoch if isinstance(part, int | float)) if epoch else ""
    if description.startswith("state."):
        match = re.search(r"[\r\n]state\.internal\.triggerTimeString='?([^'\r\n]*)", description)
    else:
        match = re.search(r"^epoch_?[ \t]*=[ \t]*\[?([^\]\n]*)", description, re.MULTILINE)
    return " ".join(match[1].replace(",", " ").split()) if match else ""


def _belongs(path: str, start: str) -> bool:
    """Whether a file started with the others; a damaged one is kept, so that its error is seen."""
    source = FileSource([path])
    try:
        first = read_ifd(source, 0, (tiff := read_header(source)), tiff.first_ifd, DEFAULT_LIMITS)
        return _start(first) == start
    except GalvoError:
        return True
    finally:
        source.close()


def warn_of_gaps(paths: Sequence[str]) -> None:
    """Warn of counters that are missing between the files of a series.

    One file that was asked for alone does not miss those that lie beside it.
    """
    shown, count = missing_files(paths, _SHOWN_GAPS)
    if len(paths) == 1 and any(Path(paths[0]).with_name(name).exists() for name in shown):
        return
    if count:
        more = f" and {count - _SHOWN_GAPS} more" if count > _SHOWN_GAPS else ""
        warn(f"{paths[0]}: files of the series are missing: {', '.join(shown)}{more}")


def missing_files(paths: Sequence[str], most: int) -> tuple[list[str], int]:
    """Names whose counters are missing between the files of a series.

    Parameters
    ----------
    paths : sequence of str
    most : int
        Names to list.

    Returns
    -------
    names : list of str
        The first ones; of an acquisition in parts at least the first is missing.
    count : int
    """
    names = [parse_name(path) for path in paths]
    # a counter of parts for each acquisition, and one of acquisitions (None)
    counters: dict[tuple[int | None, int | None], set[int]] = {}
    for name in names:
        if name is None:
            return [], 0
        counters.setdefault((name.channel, None), set()).add(name.acquisition)
        if name.part is not None:
            counters.setdefault((name.channel, name.acquisition), set()).add(name.part)
    stem, in_parts = (names[0].stem, names[0].part is not None) if names and names[0] is not None else ("", False)
    missing_count = 0
    shown: list[str] = []
    for (channel, acquisition), found in counters.items():
        # parts count from 1; an acquisition counter starts where the user set it
        before = min(found) if acquisition is None else 0
        for counter in sorted(found):
            # counters may be dates: the numbers between two of them are not listed all
            gap = max(0, counter - before - 1)
            missing_count += gap
            for absent in range(before + 1, before + 1 + min(gap, most)):
                number = f"{absent:05d}" if acquisition is None else f"{acquisition:05d}_{absent:05d}"
                number += "_00001" if acquisition is None and in_parts else ""
                shown.append(f"{stem}_{number}" + ("" if channel is None else f"_chn{channel}") + Path(paths[0]).suffix)
            before = counter
    return shown[:most], missing_count
