"""What was learned from a recording, for people and programs to read."""

from __future__ import annotations

from dataclasses import dataclass

from galvo.motion.bayes.gradient import Gradient
from galvo.motion.bayes.noise_line import NoiseLine

__all__ = ["BandReport", "BayesReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BandReport:
    """One band of modes.

    Attributes
    ----------
    kind : str
        One of `galvo.motion.bayes.bands.CLASSES`.
    order : (float, float)
        Half waves across the image, from and below.
    mode_count, active_count : int
        Coefficients, and those that data determine by more than 2 %.
    variance_px2 : float
        Prior variance of a coefficient.
    rms_px : float
        Displacement that the prior expects of the band's active modes together.
    determined : float
        Coefficients per frame that the data determine: the effective number of measured parameters.
    temporal_fraction : float
        Error of prediction from neighbouring frames over energy; 1 where there is none.
    temporal_used : bool
    """

    kind: str
    order: tuple[float, float]
    mode_count: int
    active_count: int
    variance_px2: float
    rms_px: float
    determined: float
    temporal_fraction: float
    temporal_used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BayesReport:
    """What calibration learned.

    Attributes
    ----------
    frame_count : int
        Frames that it learned from.
    noise : tuple of NoiseLine
        Per channel, in counts as stored.
    gradients : tuple of Gradient
        Per channel: smoothing of the reference's gradient in pixels, scale, noise of the reference over a frame's.
    scales : tuple of int
        Pixels per side of the levels, coarse to fine.
    phi : tuple of tuple of float
        Variance of the scores over what the noise line says, per level and channel.
    bands : tuple of BandReport
    active_count, coefficient_count : int
    determined : float
        Effective number of measured motion parameters of a frame, the rigid shift included.
    elastic_rms_px : float
        Displacement that the prior expects.
    posterior_rms_px : float
        Error that is left of it, if the model is right.
    elastic_limit_px : float
        Greatest elastic displacement that is believed.
    notes : tuple of str
        What was switched off, and why.
    """

    frame_count: int
    noise: tuple[NoiseLine, ...]
    gradients: tuple[Gradient, ...]
    scales: tuple[int, ...]
    phi: tuple[tuple[float, ...], ...]
    bands: tuple[BandReport, ...]
    active_count: int
    coefficient_count: int
    determined: float
    elastic_rms_px: float
    posterior_rms_px: float
    elastic_limit_px: float
    notes: tuple[str, ...]
