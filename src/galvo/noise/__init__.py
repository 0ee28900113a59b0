"""The noise of a recording, measured from its own pixels: one model for whatever weighs, quantises or reports it."""

from galvo.noise.estimate import estimate_noise
from galvo.noise.levels import SqrtLevels
from galvo.noise.model import NoiseModel

__all__ = ["NoiseModel", "SqrtLevels", "estimate_noise"]
