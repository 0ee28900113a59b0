"""`NoiseModel`: variance as a straight line over intensity, with a floor for pixels that saw no light."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.errors import Malformed
from galvo.noise.levels import ANSCOMBE, SqrtLevels, sqrt_levels

__all__ = ["MAX_RESIDUAL", "NoiseModel"]

MAX_RESIDUAL = 0.04
_VERSION = 1

_FLAGS = {
    "residual": "the variance is not a straight line over intensity",
    "few_samples": "so few pixels were compared that chance alone explains a misfit, or hides a gain",
    "few_frames": "three frames are too few to tell noise from change",
    "row_correlation": "neighbouring rows change together: strong motion makes sigma too large, "
    "interpolated, filtered or mixed frames make it too small",
    "quantised": "values between the darkest and the brightest are missing: the pixels were quantised before",
    "no_light": "the variance does not grow with intensity: sigma is taken as constant",
    "clipped_low": "the lowest value is a point mass: dim pixels are clipped, and sigma there is too small",
    "clipped_high": "the highest value is a point mass: saturated; pixels above half of it were not used",
    "motion": "less than half of the image is calm enough to measure noise",
}
_UNFIT = frozenset({"residual", "few_samples", "few_frames", "row_correlation", "quantised"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseModel:
    """Noise of one channel, in counts as they are stored.

    The variance of a pixel whose expected value is m is ``gain * m + variance_at_zero``. A stored value x stands for
    an expected value that is not known; 3/8 ``gain**2`` more (Anscombe 1948) makes a pixel that shows no photon have
    the noise of 0.6 photon instead of none.

    Attributes
    ----------
    gain : float
        Counts per photon, times the excess noise factor of the detector, over the samples averaged; 0 in the dark.
    variance_at_zero : float
        counts**2, where the line meets the value 0; negative where values have an offset.
    dark_value, dark_sigma : float
        Peak of the values of the 3 % dimmest pixels, and the width of its lower flank, in counts. They are offset and
        read noise only where `offset` is not None.
    dark_variance : float
        counts**2, the least that an expected value can have.
    has_dark_pixels : bool
        The dark peak is that of pixels without a photon.
    clip_low, clip_high : float or None
        Values at which pixels pile up.
    clip_low_fraction, clip_high_fraction : float
        Pixels that do.
    residual : float
        Root mean square distance of the measured variances from the line, relative to it. 0.008 to 0.02 is usual.
    correlation_x, correlation_y : float
        Correlation of the noise of neighbouring columns and rows. Columns of resonant scanners share noise.
    tile_fraction : float
        Part of the image that was calm enough to be used.
    frame_count, pair_count, sample_count : int
        Frames read, frame pairs and pixel differences used.
    flags : tuple of str
        Keys of `FLAGS`, explained by `explain`.
    bins : tuple of (float, float, int)
        Mean, variance and number of differences of each class of intensity: the photon transfer plot.
    """

    gain: float
    variance_at_zero: float
    dark_value: float
    dark_sigma: float
    dark_variance: float
    has_dark_pixels: bool
    clip_low: float | None
    clip_high: float | None
    clip_low_fraction: float
    clip_high_fraction: float
    residual: float
    correlation_x: float
    correlation_y: float
    tile_fraction: float
    frame_count: int
    pair_count: int
    sample_count: int
    flags: tuple[str, ...]
    bins: tuple[tuple[float, float, int], ...]

    @property
    def fits(self) -> bool:
        """Whether promises in units of sigma can be made; `explain` says why not."""
        return not _UNFIT.intersection(self.flags)

    @property
    def offset(self) -> float | None:
        """Value of a pixel without light, in counts; None where no pixel shows it."""
        return self.dark_value if self.has_dark_pixels else None

    @property
    def read_noise(self) -> float | None:
        """Standard deviation of a pixel without light, in counts; None where no pixel shows it."""
        return self.dark_sigma if self.has_dark_pixels else None

    @property
    def variance_floor(self) -> float:
        """Least variance that `sigma` gives, in counts**2."""
        return self.dark_variance + ANSCOMBE * self.gain**2

    def sigma(self, values: ArrayLike) -> NDArray[np.float64]:
        """Noise of pixels with these stored values.

        Parameters
        ----------
        values : array_like
            Counts as stored, any shape; negative ones too.

        Returns
        -------
        ndarray of float64
            In counts, same shape.
        """
        line = self.gain * np.asarray(values, np.float64) + (self.variance_at_zero + ANSCOMBE * self.gain**2)
        return np.sqrt(np.maximum(line, self.variance_floor))

    def expected_sigma(self, expected: ArrayLike) -> NDArray[np.float64]:
        """Noise of pixels whose expected values are known, as in a mean image or a reference.

        Parameters
        ----------
        expected : array_like
            Counts, any shape.

        Returns
        -------
        ndarray of float64
            In counts, same shape.
        """
        line = self.gain * np.asarray(expected, np.float64) + self.variance_at_zero
        return np.sqrt(np.maximum(line, self.dark_variance))

    def sqrt_levels(self, max_error_sigma: float = 0.25, *, value_range: tuple[int, int]) -> SqrtLevels:
        """Offset and scale for PZF's square-root quantiser; see `galvo.noise.levels`.

        Parameters
        ----------
        max_error_sigma : float
            Greatest error wanted, in units of `sigma` of the stored value: half of a step.
        value_range : (int, int)
            Lowest and highest value of all pixels that will be quantised, within uint16.

        Raises
        ------
        OptionError
            The error is not positive, or the range not one of uint16.
        """
        return sqrt_levels(self, max_error_sigma, value_range)

    def explain(self) -> tuple[str, ...]:
        """One sentence per flag, for people."""
        return tuple(_FLAGS[flag] for flag in self.flags)

    def to_json(self) -> str:
        """All fields as a JSON object; numbers come back bit by bit from `from_json`."""
        return json.dumps({"noise_model": _VERSION} | asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> NoiseModel:
        """The model that `to_json` wrote.

        Raises
        ------
        Malformed
            Not such a text, or of a later version.
        """
        try:
            found: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"a noise model is not JSON: {error}") from None
        if not isinstance(found, dict) or found.pop("noise_model", None) != _VERSION:
            raise Malformed("not a noise model of this version", expected=f'"noise_model": {_VERSION}')
        kinds = {field.name: str(field.type) for field in fields(cls)}
        if found.keys() != kinds.keys():
            raise Malformed("the fields of a noise model do not match", found=sorted(found), expected=sorted(kinds))
        values = {name: _checked(name, kind, found[name]) for name, kind in kinds.items()}
        if min(values["gain"], values["dark_sigma"], values["residual"]) < 0 or values["dark_variance"] <= 0:
            raise Malformed("gain and residual of a noise model must not be negative, its dark variance positive")
        return cls(**values)


def _checked(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("float"):
        if value is None and kind.endswith("None"):
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif kind == "int":
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    elif kind == "bool":
        if isinstance(value, bool):
            return value
    elif isinstance(value, list):
        if name == "flags" and all(isinstance(flag, str) and flag in _FLAGS for flag in value):
            return tuple(value)
        if name == "bins" and all(isinstance(row, list) and len(row) == 3 for row in value):
            return tuple(
                (_checked("", "float", mean), _checked("", "float", variance), _checked("", "int", count))
                for mean, variance, count in value
            )
    raise Malformed(f"a noise model's {name or 'bins'} cannot be this", found=repr(value)[:80], expected=kind)
