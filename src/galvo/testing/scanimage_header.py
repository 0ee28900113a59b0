"""The header of a generated ScanImage file ("non-varying frame data").

Grammar and key names: ScanImage BigTIFF specification and headers of recordings made by versions 2018 to 2023.
Numbers carry 6 significant digits up to version 2022 and 16 from 2023 on; keys are in ASCII order, one per line;
the text ends with a line feed.  The wording of the header is our own: only the keys that carry meaning for a reader
follow the observed files, the rest is there to give a reader something to skip.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

from galvo.testing.scanimage_literals import Cell, Literal, Matrix, Row

if TYPE_CHECKING:
    from galvo.testing.scanimage_request import ScanImageRequest

__all__ = ["header_entries"]


_COMPONENTS: Final = {
    "hBeams": "SI Beams",
    "hCameraManager": "SI CameraManager",
    "hChannels": "SI Channels",
    "hConfigurationSaver": "SI ConfigurationSaver",
    "hCycleManager": "SI CycleManager",
    "hDisplay": "SI Display",
    "hFastZ": "SI FastZ",
    "hIntegrationRoiManager": "SI IntegrationRoiManager",
    "hMotionManager": "SI MotionManager",
    "hMotors": "SI Motors",
    "hPhotostim": "SI Photostim",
    "hPmts": "SI Pmts",
    "hRoiManager": "SI RoiManager",
    "hScan2D": "generated scanner",
    "hShutters": "SI Shutters",
    "hStackManager": "SI StackManager",
    "hUserFunctions": "SI UserFunctions",
    "hWaveformManager": "SI WaveformManager",
}


def header_entries(recording: ScanImageRequest) -> dict[str, object]:
    """Return every header key of `recording` with its value, in the order in which they are written."""
    entries: dict[str, object] = {}
    for component, name in _COMPONENTS.items():
        entries[f"SI.{component}.name"] = name
        for field in ("errorMsg", "reserverInfo", "userInfo", "warnMsg"):
            entries[f"SI.{component}.{field}"] = ""
    for part in (_general, _channels, _scanner, _scan_region, _stack):
        entries.update(part(recording))
    entries.update({key: Literal(text) for key, text in recording.extra_header.items()})
    for key in recording.omit_header:
        entries.pop(key, None)
    return dict(sorted(entries.items()))


def _general(recording: ScanImageRequest) -> dict[str, object]:
    year = recording.year
    major: object = int(recording.version) if recording.version.isdigit() else recording.version
    position = "samplePosition" if year >= 2020 else "motorPosition"
    return {
        "SI.LINE_FORMAT_VERSION": 1,
        "SI.PREMIUM": True,
        "SI.TIFF_FORMAT_VERSION": recording.tiff_format_version,
        "SI.VERSION_COMMIT": hashlib.sha1(recording.version.encode(), usedforsecurity=False).hexdigest(),
        "SI.VERSION_MAJOR": major,
        "SI.VERSION_MINOR": 0,
        "SI.VERSION_UPDATE": 0,
        "SI.acqState": "loop" if recording.acquisitions > 1 else "grab",
        "SI.acqsPerLoop": recording.acquisitions,
        "SI.errorMsg": "",
        "SI.extTrigEnable": False,
        "SI.hBeams.interlaceDecimation": 1,
        "SI.hBeams.lengthConstants": math.inf,
        "SI.hBeams.powers": 12,
        "SI.hBeams.pzAdjust": Literal("scanimage.types.BeamAdjustTypes.None"),
        "SI.hMotors.azimuth": 0,
        f"SI.hMotors.{position}": Row((12.5, -340.25, 180)),
        "SI.hMotors.maxZStep": math.inf,
        "SI.hPmts.gains": Literal("zeros(1,0)"),
        "SI.hPmts.names": Cell(()),
        "SI.hUserFunctions.userFunctionsCfg__1.Arguments": Cell(()),
        "SI.hUserFunctions.userFunctionsCfg__1.EventName": "acqDone",
        "SI.hUserFunctions.userFunctionsCfg__1.UserFcnName": "it's ours",
        "SI.imagingSystem": "generated scanner",
        "SI.loopAcqInterval": recording.loop_interval_s,
        "SI.name": "ScanImage",
        "SI.objectiveResolution": recording.objective_resolution,
        "SI.shutDownScript": "",
        "SI.startUpScript": "",
        "SI.userInfo": "",
        "SI.warnMsg": "",
    }


def _channels(recording: ScanImageRequest) -> dict[str, object]:
    names = recording.channel_names
    ids = recording.channels
    saved: object = Matrix(tuple((c,) for c in ids)) if recording.channel_save_form == "column" else Row(ids)
    every = tuple(range(1, len(names) + 1))
    return {
        "SI.hChannels.channelAdcResolution": Cell((16,) * len(names)),
        "SI.hChannels.channelDisplay": Row(ids),
        "SI.hChannels.channelInputRange": Cell((Row((-1, 1)),) * len(names)),
        "SI.hChannels.channelLUT": Cell((Row((0, 4000)),) * len(names)),
        "SI.hChannels.channelMergeColor": Cell(tuple("green" if c % 2 else "red" for c in every)),
        "SI.hChannels.channelName": Cell(names),
        "SI.hChannels.channelOffset": Row((0,) * len(names)),
        "SI.hChannels.channelSave": saved,
        "SI.hChannels.channelSubtractOffset": Row((True,) * len(names)),
        "SI.hChannels.channelType": Cell(("stripe",) * len(names)),
        "SI.hChannels.channelsActive": Row(every),
        "SI.hChannels.channelsAvailable": len(names),
        "SI.hChannels.loggingEnable": 1,
    }


def _scanner(recording: ScanImageRequest) -> dict[str, object]:
    resonant = recording.scanner_type == "resonant"
    frequency = recording.scanner_frequency_hz
    return {
        "SI.hScan2D.bidirectional": recording.bidirectional,
        "SI.hScan2D.channelsAvailable": len(recording.channel_names),
        "SI.hScan2D.channelsDataType": recording.dtype,
        "SI.hScan2D.fillFractionSpatial": 0.9,
        "SI.hScan2D.fillFractionTemporal": 0.712867 if resonant else 0.9,
        "SI.hScan2D.flybackTimePerFrame": recording.frame_flyback_s,
        "SI.hScan2D.flytoTimePerScanfield": recording.flyto_s if recording.rois else 0.001,
        "SI.hScan2D.hasResonantMirror": resonant,
        "SI.hScan2D.hasXGalvo": True,
        "SI.hScan2D.logAverageDisableDivide": False,
        "SI.hScan2D.logAverageFactor": recording.log_average_factor,
        "SI.hScan2D.logFramesPerFile": math.inf if recording.frames_per_file is None else recording.frames_per_file,
        "SI.hScan2D.logFramesPerFileLock": False,
        "SI.hScan2D.logOverwriteWarn": False,
        "SI.hScan2D.sampleRate": 1.25e8,
        "SI.hScan2D.scanMode": "resonant" if resonant else "linear",
        "SI.hScan2D.scannerFrequency": frequency,
        "SI.hScan2D.scannerToRefTransform": Matrix(((1, 0, 0), (0, 1, 0), (0, 0, 1))),
        "SI.hScan2D.scannerType": "RGG" if resonant else "GG",
        "SI.hScan2D.uniformSampling": not resonant,
    }


def _corners(half_x: float, half_y: float) -> Matrix:
    return Matrix(((-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y)))


def _scan_region(recording: ScanImageRequest) -> dict[str, object]:
    size_x, size_y = recording.scan_size_deg
    um = recording.objective_resolution
    return {
        "SI.hRoiManager.forceSquarePixels": False,
        "SI.hRoiManager.imagingFovDeg": Literal("[]") if recording.rois else _corners(size_x / 2, size_y / 2),
        "SI.hRoiManager.imagingFovUm": Literal("[]") if recording.rois else _corners(size_x * um / 2, size_y * um / 2),
        "SI.hRoiManager.linePeriod": recording.line_period_s,
        "SI.hRoiManager.linesPerFrame": 512 if recording.rois else recording.height,
        "SI.hRoiManager.mroiEnable": bool(recording.rois),
        "SI.hRoiManager.pixelsPerLine": 512 if recording.rois else recording.width,
        "SI.hRoiManager.scanAngleMultiplierFast": 1,
        "SI.hRoiManager.scanAngleMultiplierSlow": 1,
        "SI.hRoiManager.scanFramePeriod": 1 / recording.frame_rate_hz,
        "SI.hRoiManager.scanFrameRate": recording.frame_rate_hz,
        "SI.hRoiManager.scanRotation": 0,
        "SI.hRoiManager.scanType": "frame",
        "SI.hRoiManager.scanVolumeRate": recording.frame_rate_hz / recording.raw_frames_per_volume,
        "SI.hRoiManager.scanZoomFactor": recording.zoom,
    }


def _stack(recording: ScanImageRequest) -> dict[str, object]:
    stack, stale = recording.is_stack, recording.stale_header
    fast = stack and recording.stack_mode == "fast"
    depths = tuple(recording.slice_z_um)
    zs = tuple(z for z in depths for _ in range(recording.repeats)) if stack else depths
    # A ScanImage recording without a stack announces its frames as framesPerSlice.
    frames_per_slice = recording.repeats if stack else recording.frames * recording.log_average_factor
    volumes = recording.volume_count
    requested_slices = (1 if stack else 21) if stale else len(depths)
    step = recording.z_step_um
    entries: dict[str, object] = {
        "SI.hFastZ.actuatorLag": 0,
        "SI.hFastZ.discardFlybackFrames": recording.flyback > 0,
        "SI.hFastZ.enable": fast,
        "SI.hFastZ.enableFieldCurveCorr": False,
        "SI.hFastZ.flybackTime": recording.flyback / recording.frame_rate_hz,
        "SI.hFastZ.hasFastZ": True,
        "SI.hFastZ.numDiscardFlybackFrames": recording.flyback,
        "SI.hFastZ.position": zs[0],
        "SI.hFastZ.waveformType": "sawtooth",
        "SI.hStackManager.framesPerSlice": frames_per_slice,
        "SI.hStackManager.numSlices": requested_slices,
        "SI.hStackManager.stackReturnHome": True,
        "SI.hStackManager.stackZStepSize": step * 2.5 if stale else step,
        "SI.hStackManager.zPowerReference": depths[0],
        "SI.hStackManager.zs": Row(zs),
    }
    if recording.tiff_format_version <= 3:
        entries |= {
            "SI.hFastZ.numFramesPerVolume": recording.raw_frames_per_volume if fast else Literal("[]"),
            "SI.hFastZ.numVolumes": volumes,
            "SI.hStackManager.slicesPerAcq": len(depths),
            "SI.hStackManager.slowStackWithFastZ": False,
        }
        return entries
    column = Matrix(tuple((z,) for z in zs))
    entries |= {
        "SI.hStackManager.actualNumSlices": len(depths),
        "SI.hStackManager.actualNumVolumes": volumes,
        "SI.hStackManager.actualStackZStepSize": step if stack and recording.zs is None else Literal("[]"),
        "SI.hStackManager.arbitraryZs": Matrix(tuple((z,) for z in depths)) if recording.zs else Row((0, 1)),
        "SI.hStackManager.boundedStackDefinition": "numSlices",
        "SI.hStackManager.centeredStack": 0,
        "SI.hStackManager.closeShutterBetweenSlices": False,
        "SI.hStackManager.enable": stack,
        "SI.hStackManager.numFastZActuators": 1,
        "SI.hStackManager.numFramesPerVolume": len(zs),
        "SI.hStackManager.numFramesPerVolumeWithFlyback": recording.raw_frames_per_volume,
        "SI.hStackManager.numVolumes": volumes + 3 if stale else volumes,
        "SI.hStackManager.stackActuator": "fastZ" if recording.stack_mode == "fast" else "motor",
        "SI.hStackManager.stackDefinition": "uniform" if recording.zs is None else "arbitrary",
        "SI.hStackManager.stackFastWaveformType": "sawtooth",
        "SI.hStackManager.stackMode": recording.stack_mode,
        "SI.hStackManager.zsAllActuators": column,
        "SI.hStackManager.zsRelative": column,
    }
    return entries
