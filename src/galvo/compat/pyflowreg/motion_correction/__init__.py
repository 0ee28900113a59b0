"""pyflowreg.motion_correction: movies against their references."""

from __future__ import annotations

from galvo.compat.pyflowreg.motion_correction.compensate_arr import compensate_arr
from galvo.compat.pyflowreg.motion_correction.compensate_recording import BatchMotionCorrector, compensate_recording
from galvo.compat.pyflowreg.motion_correction.flow_reg_live import FlowRegLive
from galvo.compat.pyflowreg.motion_correction.OF_options import (
    ChannelNormalization,
    OFOptions,
    OutputFormat,
    QualitySetting,
)

__all__ = [
    "BatchMotionCorrector",
    "ChannelNormalization",
    "FlowRegLive",
    "OFOptions",
    "OutputFormat",
    "QualitySetting",
    "compensate_arr",
    "compensate_recording",
]
