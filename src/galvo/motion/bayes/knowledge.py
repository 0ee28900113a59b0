"""What a plan is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.frames import Units
from galvo.motion.bayes.levels import Level
from galvo.motion.bayes.report import BayesReport
from galvo.motion.bayes.solver import Learned
from galvo.motion.bayes.temporal import TemporalPrior
from galvo.motion.bayes.track import Schedule

__all__ = ["Knowledge"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """Everything that calibration found, and that a plan is made of.

    Attributes
    ----------
    levels : tuple of Level
    weights : ndarray, (C,)
        Of the channels' evidence.
    units : Units
    learned : Learned
    temporal : TemporalPrior or None
        None where nothing is predicted from neighbouring frames.
    schedule : Schedule
    report : BayesReport
    """

    levels: tuple[Level, ...]
    weights: Float64
    units: Units
    learned: Learned
    temporal: TemporalPrior | None
    schedule: Schedule
    report: BayesReport
