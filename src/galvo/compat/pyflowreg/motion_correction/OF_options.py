"""pyflowreg.motion_correction.OF_options: what a run is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from galvo.compat.pyflowreg.core.backend_registry import get_backend
from galvo.compat.pyflowreg.motion_correction.choices import (
    ChannelNormalization,
    ConstancyAssumption,
    InterpolationMethod,
    NamingConvention,
    OutputFormat,
    QualitySetting,
)
from galvo.compat.pyflowreg.motion_correction.option_values import DEFAULT_TYPENAME, OptionValues
from galvo.compat.pyflowreg.motion_correction.reference_images import read_reference, write_reference
from galvo.compat.pyflowreg.util.io._base import VideoReader, VideoWriter
from galvo.compat.pyflowreg.util.io.factory import get_video_file_reader, get_video_file_writer
from galvo.core.atomic import write_file
from galvo.errors import OptionError, warn

__all__ = [
    "ChannelNormalization",
    "ConstancyAssumption",
    "InterpolationMethod",
    "NamingConvention",
    "OFOptions",
    "OutputFormat",
    "QualitySetting",
    "get_mcp_schema",
]


_MIN_LEVELS = {
    QualitySetting.QUALITY: 0,
    QualitySetting.BALANCED: 4,
    QualitySetting.FAST: 6,
    QualitySetting.CUSTOM: 0,
}
_FORMATS_WITHOUT_FILES = (OutputFormat.ARRAY, OutputFormat.NULL)


class OFOptions(OptionValues):
    """The options of a run; the documentation of PyFlowReg says what each does.

    Unknown names and values out of range are a `pydantic.ValidationError`, a ValueError. Assignments are not
    validated, but enums may be assigned by their values.
    """

    _reader: VideoReader | None = PrivateAttr(default=None)
    _writer: VideoWriter | None = PrivateAttr(default=None)

    # ---- what is asked of it ------------------------------------------------------------------------------------

    @property
    def effective_min_level(self) -> int:
        """The finest level that is solved."""
        return self.min_level if self.min_level >= 0 else _MIN_LEVELS[QualitySetting(self.quality_setting)]

    def get_sigma_at(self, i: int) -> NDArray[np.float64]:
        """Gaussian (y, x, t) of a channel; that of the first where there is none."""
        rows = np.asarray(self.sigma, np.float64).reshape(-1, 3)
        row: NDArray[np.float64] = rows[i] if i < len(rows) else rows[0]
        return row

    def get_weight_at(self, i: int, n_channels: int) -> float | NDArray[np.float64]:
        """Weight of a channel among `n_channels`: a number, or a map (H, W).

        More weights than channels are cut, made to sum to 1 again, and kept so.
        """
        weights = np.asarray(self.weight, np.float64)
        if weights.ndim == 2:
            return weights if i == 0 else np.full(weights.shape, 1 / n_channels)
        if weights.ndim == 3:
            inside = i < weights.shape[2]
            chosen: NDArray[np.float64] = weights[..., i] if inside else np.full(weights.shape[:2], 1 / n_channels)
            return chosen
        if weights.size == 1:
            return float(weights[0])
        if weights.size > n_channels:
            weights = weights[:n_channels]
            total = weights.sum()
            weights = weights / total if total > 0 else weights
            self.weight = weights.tolist()
        return float(weights[i]) if i < weights.size else 1 / n_channels

    def copy(self) -> OFOptions:  # type: ignore[override]
        """The same options, sharing nothing but an open reader."""
        kept = {
            name: getattr(self, name) for name in ("input_file", "get_displacement_impl", "get_displacement_factory")
        }
        copied = self.model_copy(update=dict.fromkeys(kept)).model_copy(deep=True, update=kept)
        copied._reader, copied._writer = None, None
        copied.__pydantic_fields_set__ = set(self.model_fields_set)
        return copied

    def __repr__(self) -> str:
        quality = getattr(self.quality_setting, "value", self.quality_setting)
        return (
            f"OFOptions(quality={quality}, alpha={self.alpha}, levels={self.levels}, "
            f"min_level={self.effective_min_level})"
        )

    def to_dict(self) -> dict[str, Any]:
        """The solver's parameters, by the names that `get_displacement` has for them."""
        return {
            "alpha": self.alpha,
            "weight": self.weight,
            "levels": self.levels,
            "min_level": self.effective_min_level,
            "eta": self.eta,
            "iterations": self.iterations,
            "update_lag": self.update_lag,
            "a_data": self.a_data,
            "a_smooth": self.a_smooth,
            "gnc_schedule": self.gnc_schedule,
            "warping_steps": self.warping_steps,
            "const_assumption": ConstancyAssumption(self.constancy_assumption).value,
        }

    def output_dtype(self, *, of_file: bool) -> np.dtype[Any] | None:
        """The dtype that frames get, or None where they keep theirs.

        Files get one only where `output_typename` was set: its default is double.
        """
        wanted = self.output_typename
        if of_file and "output_typename" not in self.model_fields_set and wanted == DEFAULT_TYPENAME:
            return None
        names = {"double": "f8", "single": "f4", "uint8": "u1", "uint16": "u2", "int16": "i2", "int32": "i4"}
        return np.dtype(names[wanted]) if wanted in names else None

    # ---- readers and writers ------------------------------------------------------------------------------------

    def get_video_reader(self) -> VideoReader:
        """The reader of `input_file`, the same each time.

        Raises
        ------
        ValueError
            There is no `input_file`.
        """
        if isinstance(self.input_file, VideoReader):
            return self.input_file
        if self._reader is None:
            if self.input_file is None:
                raise OptionError("input_file is not set")
            self._reader = get_video_file_reader(self.input_file, self.buffer_size, self.bin_size)
        return self._reader

    def get_video_writer(self) -> VideoWriter:
        """The writer of the registered movie, the same each time."""
        if self._writer is None:
            kind = OutputFormat(self.output_format)
            self._writer = get_video_file_writer(self.output_file(), kind)
        return self._writer

    def forget_closed_writer(self) -> None:
        """Have the next run make a writer of its own; what is in memory stays with `get_video_writer`."""
        if self.output_file() is not None:
            self._writer = None

    def output_file(self) -> str | None:
        """Where the registered movie goes; None where it does not go to a file."""
        kind = OutputFormat(self.output_format)
        if kind in _FORMATS_WITHOUT_FILES:
            return None
        if self.output_file_name:
            return self.output_file_name
        name = "compensated"
        if NamingConvention(self.naming_convention) is NamingConvention.BATCH:
            name = f"{getattr(self.get_video_reader(), 'input_file_name', 'output')}_compensated"
        return str(Path(self.output_path) / f"{name}.{kind.value}")

    def displacement_file(self) -> str:
        """Where the displacements go."""
        named = self.output_file()
        batch = NamingConvention(self.naming_convention) is NamingConvention.BATCH
        own = named is not None and (bool(self.output_file_name) or batch)
        return str(Path(self.output_path) / (f"{Path(cast(str, named)).stem}_w.h5" if own else "w.h5"))

    def get_reference_frame(
        self, video_reader: VideoReader | None = None, registration_config: Any = None
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """The reference, float64 (H, W, C), or an image as it was given.

        Parameters
        ----------
        video_reader : VideoReader, optional
            Where numbers of frames count; that of `input_file` by default. Several frames are registered to their mean
            and averaged; numbers beyond the end are left out.
        registration_config : RegistrationConfig, optional
            Its `n_jobs` says how many threads work.

        Raises
        ------
        ValueError
            No frame of those exists.
        """
        wanted = self.reference_frames
        if isinstance(wanted, np.ndarray) and wanted.ndim > 1:
            image: NDArray[Any] = wanted
        elif isinstance(wanted, str | os.PathLike):
            image = read_reference(wanted)
        else:
            from galvo.compat.pyflowreg.motion_correction.runs import mean_of_frames

            reader = self.get_video_reader() if video_reader is None else video_reader
            image = mean_of_frames(self, reader, cast("Sequence[int]", wanted), registration_config)
        if self.n_references > 1:
            warn("there is one reference; n_references repeats it")
            return [image.copy() for _ in range(self.n_references)]
        return image

    def resolve_get_displacement(self) -> Callable[..., Any]:
        """The solver: `get_displacement_impl`, that of `get_displacement_factory`, or the backend's.

        Raises
        ------
        ValueError
            No such backend, or one that does not serve the options.
        """
        if self.get_displacement_impl is not None:
            return self.get_displacement_impl
        if self.get_displacement_factory is not None:
            made: Callable[..., Any] = self.get_displacement_factory(**self.backend_params)
            return made
        factory = get_backend(self.flow_backend)
        if self.flow_backend == "diso":
            if ConstancyAssumption(self.constancy_assumption) is not ConstancyAssumption.GRADIENT:
                raise OptionError("the diso backend knows no constancy_assumption but gc")
            if self.gnc_schedule is not None or self.warping_steps is not None:
                raise OptionError("the diso backend knows no gnc_schedule and no warping_steps")
        return factory(**self.backend_params)

    # ---- files --------------------------------------------------------------------------------------------------

    def save_options(self, filepath: str | os.PathLike[str] | None = None) -> None:
        """Write the options as JSON under a line with the date.

        Parameters
        ----------
        filepath : path, optional
            ``options.json`` in `output_path` by default; folders are made. A reference that is an array goes to
            ``reference_frames.tif`` beside it; an input that is an array is left out.
        """
        path = Path(self.output_path) / "options.json" if filepath is None else Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        values = self.model_dump(mode="json", exclude={"reference_frames"})
        frames: Any = self.reference_frames
        if isinstance(frames, np.ndarray) and frames.ndim > 1:
            place = path.parent / "reference_frames.tif"
            write_reference(place, frames)
            frames = str(place)
        elif isinstance(frames, os.PathLike):
            frames = os.fspath(frames)
        ordered = {
            name: np.asarray(frames).tolist() if name == "reference_frames" else values[name]
            for name, field in type(self).model_fields.items()
            if not field.exclude
        }
        text = f"Compensation options {date.today().isoformat()}\n\n{json.dumps(ordered, indent=2)}"
        write_file(str(path), text.encode(), overwrite=True)

    @classmethod
    def load_options(cls, filepath: str | os.PathLike[str]) -> OFOptions:
        """Options from a file of `save_options`.

        Raises
        ------
        FileNotFoundError
            No such file.
        ValueError
            It holds no JSON, or names and values that are no options.
        """
        lines = Path(filepath).read_text(encoding="utf-8").splitlines()
        first = next((number for number, line in enumerate(lines) if line.lstrip().startswith("{")), 0)
        values: dict[str, Any] = json.loads("\n".join(lines[first:]))
        frames = values.get("reference_frames")
        if isinstance(frames, str) and frames.lower().endswith((".tif", ".tiff")) and Path(frames).is_file():
            values["reference_frames"] = read_reference(frames)
        options = cls.model_validate(values)
        if options.output_typename == DEFAULT_TYPENAME:
            # every file has it, wanted or not
            options.__pydantic_fields_set__.discard("output_typename")
        return options


def get_mcp_schema() -> dict[str, Any]:
    """The JSON schema of the options."""
    return OFOptions.model_json_schema()
