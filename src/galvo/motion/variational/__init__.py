"""Variational estimation of motion: constancy of gradients, brightness or census against smoothness of the field."""

from galvo.motion.variational.estimator import VariationalEstimator, VariationalPlan
from galvo.motion.variational.flow import displacement, motion_tensor, resample, solve_level

__all__ = [
    "VariationalEstimator",
    "VariationalPlan",
    "displacement",
    "motion_tensor",
    "resample",
    "solve_level",
]
