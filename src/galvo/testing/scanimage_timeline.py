"""When and where each logged frame of a generated ScanImage recording was taken, as columns.

Rules: ScanImage BigTIFF specification (frame-specific data) and observed recordings.  Frame numbers and times run
over the raw frames of the scanner; log averaging groups A consecutive raw frames of that stream into one logged
frame, which carries number and time of the last of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from galvo.testing.scanimage import ScanImageRecording
    from galvo.testing.scanimage_request import ScanImageRequest

__all__ = ["FrameTimeline", "frame_descriptions", "frame_timeline"]

_TRIGGER_LEAD_S: Final = 78.46e-6
"""How long before its first frame an acquisition's trigger comes, as observed."""


@dataclass(frozen=True)
class FrameTimeline:
    """Columns over the logged frames of a recording, in stream order; each is 1-D with one entry per frame."""

    acquisition: NDArray[np.int64]
    """Which acquisition of the loop, from 0."""
    position: NDArray[np.int64]
    """Logged frame within its acquisition, from 0."""
    frame_number: NDArray[np.int64]
    """`frameNumbers`: last raw frame, from 1 over the whole mode."""
    acquisition_number: NDArray[np.int64]
    """`acquisitionNumbers`: from 1; in a slow stack it goes up with every slice."""
    acquisition_frame_number: NDArray[np.int64]
    """`frameNumberAcquisition`: last raw frame, from 1 in each acquisition number."""
    timestamp_s: NDArray[np.float64]
    """`frameTimestamps_sec`: time of the last raw frame since the start of the mode."""
    trigger_timestamp_s: NDArray[np.float64]
    """`acqTriggerTimestamps_sec`: a time on the first frame of each acquisition number, else -1."""
    next_file_marker_s: NDArray[np.float64]
    """`nextFileMarkerTimestamps_sec`: time of a next-file trigger, else -1."""
    end_of_acquisition: NDArray[np.int64]
    """`endOfAcquisition`: 0 or 1."""
    end_of_mode: NDArray[np.int64]
    """`endOfAcquisitionMode`: 0 or 1."""


def frame_timeline(recording: ScanImageRequest) -> FrameTimeline:
    """Return the columns of every logged frame of `recording`."""
    average = recording.log_average_factor
    period = 1 / recording.frame_rate_hz
    raw_count = recording.raw_frames_per_acquisition
    counts = recording.frame_counts
    acquisition = np.repeat(np.arange(len(counts)), counts)
    position = np.arange(sum(counts)) - np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    raw = (position + 1) * average - 1
    slow = recording.is_stack and recording.stack_mode == "slow"
    if slow:
        visit = raw // recording.repeats
        within = raw % recording.repeats
        visits_per_acquisition = raw_count // recording.repeats
        duration = raw_count * period + visits_per_acquisition * recording.stage_move_s
        time = raw * period + visit * recording.stage_move_s
        acquisition_number = acquisition * visits_per_acquisition + visit + 1
        last_raw = within == recording.repeats - 1
    else:
        within = raw
        duration = raw_count * period
        time = raw * period
        acquisition_number = acquisition + 1
        last_raw = raw + average >= raw_count
        last_raw &= raw < raw_count
    start = acquisition * max(duration, recording.loop_interval_s)
    time = time + start
    first = within < average
    lead = np.where(first, time - within * period - _TRIGGER_LEAD_S, -1.0)
    # Observed fast stacks end with both flags at 0; slow stacks raise the first one at the end of each slice.
    flagged = last_raw & (slow or not recording.is_stack)
    mode_end = flagged & (acquisition == len(counts) - 1) & (raw + average >= raw_count) & (raw < raw_count)
    markers = np.full(raw.size, -1.0)
    markers[list(recording.next_file_markers)] = list(recording.next_file_markers.values())
    digits = 9 if recording.scanner_type == "resonant" else 6
    return FrameTimeline(
        acquisition=acquisition.astype(np.int64),
        position=position.astype(np.int64),
        frame_number=(acquisition * raw_count + raw + 1).astype(np.int64),
        acquisition_number=acquisition_number.astype(np.int64),
        acquisition_frame_number=(within + 1).astype(np.int64),
        timestamp_s=np.array([float(f"{value:.{digits}f}") for value in time], np.float64),
        trigger_timestamp_s=lead.astype(np.float64),
        next_file_marker_s=markers,
        end_of_acquisition=flagged.astype(np.int64),
        end_of_mode=mode_end.astype(np.int64),
    )


_TEXT_DESCRIPTION: Final = (
    "frameNumbers = %d\nacquisitionNumbers = %d\nframeNumberAcquisition = %d\nframeTimestamps_sec = %t\n"
    "acqTriggerTimestamps_sec = %t\nnextFileMarkerTimestamps_sec = %t\nendOfAcquisition = %d\n"
    "endOfAcquisitionMode = %d\ndcOverVoltage = 0\n"
)
_JSON_DESCRIPTION: Final = (
    '{"frameNumbers": %d, "acquisitionNumbers": %d, "frameNumberAcquisition": %d, "frameTimestamps_sec": %t, '
    '"acqTriggerTimestamps_sec": %t, "nextFileMarkerTimestamps_sec": %t, "endOfAcquisition": %d, '
    '"endOfAcquisitionMode": %d, "dcOverVoltage": 0, '
)


def frame_descriptions(recording: ScanImageRecording, first: int = 0, stop: int | None = None) -> list[str]:
    """Return the per-frame text of logged frames `first` to `stop`."""
    line = recording.timeline
    digits = 9 if recording.scanner_type == "resonant" else 6
    quiet = _description_tail(recording, -1)
    template = _JSON_DESCRIPTION if recording.json_header else _TEXT_DESCRIPTION
    template = template.replace("%t", f"%.{digits}f")
    columns = (
        line.frame_number,
        line.acquisition_number,
        line.acquisition_frame_number,
        line.timestamp_s,
        line.trigger_timestamp_s,
        line.next_file_marker_s,
        line.end_of_acquisition,
        line.end_of_mode,
    )
    rows = zip(*(column[first:stop].tolist() for column in columns), strict=True)
    busy = recording.aux_triggers.keys() | recording.i2c.keys()
    texts = [
        template % row + (_description_tail(recording, index) if index in busy else quiet)
        for index, row in enumerate(rows, first)
    ]
    return texts if recording.block_style == "plain" else [_styled(text, recording.block_style) for text in texts]


def _styled(text: str, style: str) -> str:
    """A block as one of the observed variants writes it."""
    if style == "commas":
        return re.sub(r"^epoch = .*$", lambda match: re.sub(r"(?<=\d) +", ",", match[0]), text, flags=re.MULTILINE)
    if style == "empty":
        text = re.sub(r"^(\w+Timestamps_sec) = -1\.0+$", r"\1 = ", text, flags=re.MULTILINE)
        return re.sub(r"^(endOf\w+) = ", r"\1 =  ", text, flags=re.MULTILINE)
    return re.sub(r"^(\w+) = ", r"\1_ = ", text, flags=re.MULTILINE)


def _description_tail(recording: ScanImageRequest, frame: int) -> str:
    triggers = [recording.aux_triggers.get(frame, {}).get(line, ()) for line in range(4)]
    packets = recording.i2c.get(frame, ())
    year, month, day, hour, minute, second = recording.epoch
    if recording.json_header:
        tail = {f"auxTrigger{line}": list(times) for line, times in enumerate(triggers)}
        parts = {"epoch": list(recording.epoch), **tail, "I2CData": [[t, list(data)] for t, data in packets]}
        return json.dumps(parts)[1:] + "\n"
    lines = [f"epoch = [{year:4d} {month:2d} {day:2d} {hour:2d} {minute:2d} {second:6.3f}]"]
    lines += [f"auxTrigger{k} = [{' '.join(f'{t:.9f}' for t in times)}]" for k, times in enumerate(triggers)]
    cells = (f"{{{t:.9f}, [{','.join(map(str, data))}]}}" for t, data in packets)
    lines.append(f"I2CData = {{{' '.join(cells)}}}")
    return "\n".join(lines) + "\n"
