"""Header texts of ScanImage 3.x and 4.x, whose keys are flat.

3.x: lines ``state.<path>=<value>``, each ended by a carriage return, as in a genuine 3.8 file. 4.x: names under ``SI4``
as in headers that users published.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from galvo.testing.scanimage_literals import Matrix, Row, render_matlab

if TYPE_CHECKING:
    from galvo.testing.scanimage_request import ScanImageRequest

__all__ = ["flat_entries", "state_text"]


def _frames(recording: ScanImageRequest) -> int:
    """Raw frames per slice, or of the whole."""
    return recording.repeats if recording.is_stack else recording.frames * recording.log_average_factor


def state_text(recording: ScanImageRequest) -> str:
    """Return the header of version 3.x."""
    average = recording.log_average_factor
    year, month, day, hour, minute, second = recording.epoch
    values: dict[str, object] = {
        "configPath": "C:\\settings",
        "configName": "generated",
        "software.version": float(recording.version),
        "software.minorRev": 0,
        "acq.externallyTriggered": 0,
        "acq.numberOfZSlices": len(recording.slice_z_um),
        "acq.zStepSize": recording.z_step_um,
        "acq.numAvgFramesSave": average if average > 1 else 4,
        "acq.averaging": int(average > 1),
        "acq.numberOfFrames": _frames(recording),
        "acq.numberOfRepeats": math.inf,
        "acq.linesPerFrame": recording.height,
        "acq.pixelsPerLine": recording.width,
        "acq.frameRate": recording.frame_rate_hz,
        "acq.zoomFactor": recording.zoom,
        "acq.framesPerFile": math.inf if recording.frames_per_file is None else recording.frames_per_file,
        **{f"acq.acquiringChannel{number}": 1 for number in range(1, 5)},
        **{f"acq.savingChannel{number}": int(number in recording.channels) for number in range(1, 5)},
        "acq.numberOfChannelsSave": len(recording.channels),
        "acq.numberOfChannelsAcquire": 4,
        "internal.triggerTimeString": f"{month}/{day}/{year} {hour:02d}:{minute:02d}:{second:06.3f}",
    }
    lines = {key: render_matlab(value, 15) for key, value in values.items()}
    lines |= {key.removeprefix("state."): text for key, text in recording.extra_header.items()}
    omitted = {key.removeprefix("state.") for key in recording.omit_header}
    return "".join(f"state.{key}={text}\r" for key, text in lines.items() if key not in omitted)


def flat_entries(recording: ScanImageRequest) -> dict[str, object]:
    """Return the header keys of version 4.x without their prefix."""
    fast = recording.is_stack and recording.stack_mode == "fast"
    ids = recording.channels
    return {
        "VERSION_MAJOR": float(recording.version),
        "acqFramesDone": 0,
        "acqNumAveragedFrames": recording.log_average_factor,
        "acqNumFrames": _frames(recording),
        "acqState": "grab",
        "beamPowerUnits": "percent",
        "channelsDataType": recording.dtype,
        "channelsDisplay": Matrix(tuple((number,) for number in range(1, 5))),
        "channelsSave": Row(ids) if recording.channel_save_form == "row" else Matrix(tuple((c,) for c in ids)),
        "fastZDiscardFlybackFrames": recording.flyback > 0,
        "fastZEnable": fast,
        "fastZNumDiscardFrames": recording.flyback,
        "fastZNumVolumes": recording.volume_count,
        "scanFramePeriod": 1 / recording.frame_rate_hz,
        "scanFrameRate": recording.frame_rate_hz,
        "scanLinesPerFrame": recording.height,
        "scanPixelsPerLine": recording.width,
        "scanZoomFactor": recording.zoom,
        "stackNumSlices": len(recording.slice_z_um),
        "stackZStepSize": recording.z_step_um,
    }
