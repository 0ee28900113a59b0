"""The values that options choose from; each is the text that it stands for."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ChannelNormalization",
    "ConstancyAssumption",
    "InterpolationMethod",
    "NamingConvention",
    "OutputFormat",
    "QualitySetting",
]


class OutputFormat(StrEnum):
    """What a run writes; the value is also the suffix of the file."""

    TIFF = "TIFF"
    HDF5 = "HDF5"
    MAT = "MAT"
    MULTIFILE_TIFF = "MULTIFILE_TIFF"
    MULTIFILE_MAT = "MULTIFILE_MAT"
    MULTIFILE_HDF5 = "MULTIFILE_HDF5"
    CAIMAN_HDF5 = "CAIMAN_HDF5"
    BEGONIA = "BEGONIA"
    SUITE2P_TIFF = "SUITE2P_TIFF"
    ARRAY = "ARRAY"
    NULL = "NULL"


class QualitySetting(StrEnum):
    """How fine the pyramid is solved."""

    QUALITY = "quality"
    BALANCED = "balanced"
    FAST = "fast"
    CUSTOM = "custom"


class ChannelNormalization(StrEnum):
    """Whose range of values channels have."""

    JOINT = "joint"
    SEPARATE = "separate"


class InterpolationMethod(StrEnum):
    """How registered frames are sampled."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


class ConstancyAssumption(StrEnum):
    """What stays the same while it moves."""

    GRAY = "gray"
    GRADIENT = "gc"
    CENSUS = "cs"

    @classmethod
    def _missing_(cls, value: object) -> ConstancyAssumption | None:
        if not isinstance(value, str):
            return None
        name = value.strip().lower()
        aliases = {"gradient": "gc", "brightness": "gray", "census": "cs"}
        return next((member for member in cls if member.value == aliases.get(name, name)), None)


class NamingConvention(StrEnum):
    """What outputs are called."""

    DEFAULT = "default"
    BATCH = "batch"
