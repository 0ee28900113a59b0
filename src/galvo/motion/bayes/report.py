"""What was learned from a recording, for people and programs to read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from galvo.motion.bayes.bands import CLASSES, EDGES, RIGID, Bands
from galvo.motion.bayes.gradient import Gradient
from galvo.motion.bayes.noise_line import NoiseLine
from galvo.motion.bayes.safeguard import elastic_limit_px
from galvo.motion.bayes.solver import Solver
from galvo.motion.bayes.temporal import TemporalPrior

__all__ = ["BandReport", "BayesReport", "report_of"]


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
    remarks : tuple of str
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
    remarks: tuple[str, ...]


def report_of(
    solver: Solver,
    temporal: TemporalPrior | None,
    frame_count: int,
    noise: tuple[NoiseLine, ...],
    gradients: tuple[Gradient, ...],
    remarks: tuple[str, ...],
) -> BayesReport:
    """What a solver knows."""
    basis, learned = solver.levels[-1].basis, solver.learned
    bands = Bands.of(basis)
    elastic = ~bands.rigid[learned.active]
    determined = np.zeros(learned.active.shape)
    determined[learned.active] = solver.nominal.determined
    left = np.diag(solver.nominal.covariance)[elastic].sum()
    rows = []
    for number in np.unique(bands.index):
        places = (bands.index == number) & np.stack([basis.kept] * 2)
        kind, shell = divmod(int(number), len(EDGES) + 1)
        if shell == RIGID or not places.any():
            continue
        active = places & learned.active
        variance = float(learned.variance[places].mean())
        fraction, used = _temporal(temporal, int(number))
        rows.append(
            BandReport(
                kind=CLASSES[kind],
                order=(EDGES[shell - 1], EDGES[shell] if shell < len(EDGES) else float(basis.order.max())),
                mode_count=int(places.sum()),
                active_count=int(active.sum()),
                variance_px2=variance,
                rms_px=float(np.sqrt(learned.variance[active].sum())),
                determined=float(determined[active].sum()),
                temporal_fraction=fraction,
                temporal_used=used,
            )
        )
    return BayesReport(
        frame_count=frame_count,
        noise=noise,
        gradients=gradients,
        scales=tuple(level.scale for level in solver.levels),
        phi=tuple(tuple(float(value) for value in level) for level in learned.phi),
        bands=tuple(rows),
        active_count=int(learned.active.sum()),
        coefficient_count=int(2 * basis.kept.sum()),
        determined=float(determined.sum()),
        elastic_rms_px=float(np.sqrt(solver.variance[elastic].sum())),
        posterior_rms_px=float(np.sqrt(left)),
        elastic_limit_px=elastic_limit_px(solver.variance, elastic) if elastic.any() else 0.0,
        remarks=remarks,
    )


def _temporal(temporal: TemporalPrior | None, band: int) -> tuple[float, bool]:
    """Error of prediction over energy, and whether it is used."""
    if temporal is not None:
        for row in np.flatnonzero(temporal.bands == band).tolist():
            return float(temporal.fraction[row, 0]), bool(temporal.used[row].any())
    return 1.0, False
