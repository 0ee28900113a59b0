"""The values of a run's options: names, defaults and what fits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictInt,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from galvo.compat.pyflowreg.core.optical_flow import normalize_gnc_schedule, normalize_warping_steps
from galvo.compat.pyflowreg.motion_correction.choices import (
    ChannelNormalization,
    ConstancyAssumption,
    InterpolationMethod,
    NamingConvention,
    OutputFormat,
    QualitySetting,
)
from galvo.compat.pyflowreg.util.io._base import VideoReader

__all__ = ["DEFAULT_TYPENAME", "OptionValues"]

DEFAULT_TYPENAME = "double"

AtLeastOne = Annotated[StrictInt, Field(ge=1)]


class OptionValues(BaseModel):
    """The values, checked when an object is made, and how they are written down."""

    model_config = ConfigDict(arbitrary_types_allowed=True, validate_assignment=False, extra="forbid")

    input_file: str | Path | np.ndarray | VideoReader | None = None
    """A path, an array or a reader."""
    output_path: Path = Path("results")
    """Folder of the outputs, made when a run starts."""
    output_format: OutputFormat = OutputFormat.MAT
    output_file_name: str | None = None
    """Where the movie goes, as it is, in place of a name in `output_path`."""
    channel_idx: list[int] | None = None
    """Not used."""
    alpha: float | tuple[float, float] = (1.5, 1.5)
    """Smoothness along x and along y."""
    weight: list[float] | np.ndarray = [0.5, 0.5]
    """Of the channels, made to sum to 1; or a map (H, W) or (H, W, C)."""
    levels: AtLeastOne = 100
    """Largest depth of the pyramid."""
    min_level: Annotated[StrictInt, Field(ge=-1)] = -1
    """Finest level; -1: by `quality_setting`."""
    quality_setting: QualitySetting = QualitySetting.QUALITY
    eta: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Ratio of the pyramid."""
    update_lag: AtLeastOne = 5
    iterations: AtLeastOne = 50
    a_smooth: Annotated[float, Field(ge=0)] = 1.0
    a_data: Annotated[float, Field(gt=0, le=1)] = 0.45
    gnc_schedule: tuple[float, ...] | None = None
    """Stages of graduated non-convexity, from 0 to 1."""
    warping_steps: AtLeastOne | None = None
    """Warps per level under `gnc_schedule`; None: 10."""
    sigma: Any = [[1.0, 1.0, 0.1], [1.0, 1.0, 0.1]]
    """Gaussian along y, x and t, for all channels or a row per channel."""
    bin_size: AtLeastOne = 1
    """Frames that are averaged to one while reading."""
    buffer_size: AtLeastOne = 400
    """Frames of a batch."""
    reference_frames: list[int] | str | Path | np.ndarray = list(range(50, 500))
    """Numbers of frames, an image, or a file with one."""
    update_reference: bool = False
    n_references: AtLeastOne = 1
    min_frames_per_reference: AtLeastOne = 20
    """Not used."""
    verbose: bool = False
    save_meta_info: bool = True
    """Write statistics.npz, reference_frame.npy and options.json."""
    save_w: bool = False
    """Write the displacements."""
    save_valid_mask: bool = False
    """Not used."""
    save_valid_idx: bool = False
    """Write idx.hdf, which pixels have their source inside the frame."""
    output_typename: str | None = DEFAULT_TYPENAME
    """double, single, uint8, uint16, int16 or int32; for files only where it was set."""
    channel_normalization: ChannelNormalization = ChannelNormalization.JOINT
    interpolation_method: InterpolationMethod = InterpolationMethod.CUBIC
    cc_initialization: bool = False
    """Shift each frame before its field is solved."""
    cc_hw: int | tuple[int, int] = 256
    cc_up: Annotated[int, Field(ge=1)] = 1
    update_initialization_w: bool = True
    """Begin each batch with the mean of the last fields."""
    naming_convention: NamingConvention = NamingConvention.DEFAULT
    constancy_assumption: ConstancyAssumption = ConstancyAssumption.GRADIENT
    flow_backend: str = "flowreg"
    backend_params: dict[str, Any] = {}
    preproc_funct: SkipJsonSchema[Callable[..., Any] | None] = Field(default=None, exclude=True)
    """Not used."""
    get_displacement_impl: SkipJsonSchema[Callable[..., Any] | None] = Field(default=None, exclude=True)
    """A solver in place of the backend's."""
    get_displacement_factory: SkipJsonSchema[Callable[..., Any] | None] = Field(default=None, exclude=True)
    """What makes it, from `backend_params`."""

    _remembered: QualitySetting = PrivateAttr(default=QualitySetting.QUALITY)

    @field_validator("alpha", mode="before")
    @classmethod
    def _alpha(cls, value: Any) -> tuple[float, float]:
        try:
            numbers = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.ndim > 1 or numbers.size not in (1, 2):
            raise ValueError("Alpha must be scalar or 2-element tuple")
        if not (numbers > 0).all():
            raise ValueError("Alpha must be positive")
        along_x, along_y = np.broadcast_to(numbers, 2).tolist()
        return along_x, along_y

    @field_validator("weight", mode="before")
    @classmethod
    def _weight(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple | np.ndarray):
            return value
        weights = np.asarray(value, np.float64)
        if weights.ndim > 3:
            raise ValueError(
                f"Weight array cannot exceed 3 dimensions (got {weights.ndim}D array). Weight must be either channel "
                "weights (1D) or spatial weight maps (2D/3D)."
            )
        if weights.ndim != 1:
            return weights
        total = weights.sum()
        return (weights / total if total > 0 else weights).tolist()

    @field_validator("sigma", mode="before")
    @classmethod
    def _sigma(cls, value: Any) -> list[list[float]]:
        sigma = np.asarray(value, np.float64)
        if sigma.ndim == 1:
            if sigma.size != 3:
                raise ValueError("1D sigma must be [sx, sy, st]")
            sigma = sigma[np.newaxis]
        if sigma.ndim != 2 or sigma.shape[1] != 3 or not len(sigma):
            raise ValueError("2D sigma must be (n_channels, 3)")
        rows: list[list[float]] = sigma.tolist()
        return rows

    @field_validator("gnc_schedule", mode="before")
    @classmethod
    def _gnc_schedule(cls, value: Any) -> Any:
        return normalize_gnc_schedule(value)

    @field_validator("warping_steps", mode="before")
    @classmethod
    def _warping_steps(cls, value: Any) -> Any:
        return normalize_warping_steps(value)

    @field_validator("reference_frames", mode="before")
    @classmethod
    def _reference_frames(cls, value: Any) -> Any:
        return list(value) if isinstance(value, tuple | range) else value

    @model_validator(mode="after")
    def _quality(self) -> Self:
        if self.quality_setting != QualitySetting.CUSTOM:
            self._remembered = self.quality_setting
        if self.min_level >= 0:
            self.quality_setting = QualitySetting.CUSTOM
        elif self.quality_setting == QualitySetting.CUSTOM:
            self.quality_setting = self._remembered
        return self

    @field_serializer("input_file")
    def _input_file_as_text(self, value: Any) -> str | None:
        path = getattr(value, "file_path", None) if isinstance(value, VideoReader) else value
        return os.fspath(path) if isinstance(path, str | os.PathLike) else None

    @field_serializer("weight", "reference_frames")
    def _array_as_list(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.tolist()
        return os.fspath(value) if isinstance(value, os.PathLike) else value
