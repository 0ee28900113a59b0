"""The variational estimator behind the contract of all estimators."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.estimator import FramewisePlan
from galvo.motion.expansion import GridExpansion
from galvo.motion.params import MotionParams
from galvo.motion.pixels import as_pixels, frame_flags
from galvo.motion.reference import Reference
from galvo.motion.variational.engine import Engine, Preparation, weight_maps
from galvo.motion.variational.pyramid import FINEST

Frames = NDArray[np.generic]
Fields = NDArray[np.float32]


class VariationalPlan(FramewisePlan):
    """The pyramid of a reference; every frame is solved by itself.

    Attributes
    ----------
    height, width : int
        Size of the frames.
    expansion : GridExpansion
        How solver fields become dense ones.
    """

    def __init__(self, engine: Engine, params: MotionParams, reference: Reference) -> None:
        self._engine = engine
        self._made_from = params, reference
        self.height, self.width = engine.height, engine.width
        self.expansion = GridExpansion(self.height, self.width, *engine.solver_shape)

    def solve(
        self,
        frames: Frames,
        *,
        first: int = 0,
        count: int | None = None,
        threads: int | None = None,
        start: Fields | None = None,
    ) -> tuple[Fields, NDArray[np.uint32]]:
        """Fields of `frames[first : first + count]`, float32 (T, h, w, 2), and their flags, uint32 (T,).

        `start` (Y, X, 2) is the field that every frame begins with. A pixel that is not finite is taken to be what the
        reference shows there.
        """
        wanted = frames[first:] if count is None else frames[first : first + count]
        return self._engine.solve(wanted, start, threads), frame_flags(wanted)

    def __reduce__(self) -> tuple[Any, ...]:
        return _planned, self._made_from


def _planned(params: MotionParams, reference: Reference) -> VariationalPlan:
    return VariationalEstimator(params).calibrate(reference.image[np.newaxis], reference)


class VariationalEstimator:
    """Coarse-to-fine variational estimation: Brox et al. 2004, Zimmer et al. 2011.

    Parameters
    ----------
    params : MotionParams
        `variational`, `preset` and `channel_weights` are used.
    """

    def __init__(self, params: MotionParams) -> None:
        self._params = params

    def calibrate(
        self, frames: Frames, reference: Reference, *, run_length: int | None = None, threads: int | None = None
    ) -> VariationalPlan:
        """A plan for frames like the reference; `frames` and `run_length` are not looked at.

        Raises
        ------
        OptionError
            The reference has pixels that are not finite, or another number of channels than there are weights.
        """
        image = as_pixels(reference.image)
        method = self._params.variational
        if method.min_level is None:
            method = method.model_copy(update={"min_level": FINEST[self._params.preset]})
        lowest, highest = float(image.min()), float(image.max())
        scale = 1.0 / (highest - lowest) if np.isfinite(highest - lowest) and highest > lowest else 1.0
        channels = image.shape[2]
        preparation = Preparation((lowest,) * channels, (scale,) * channels, *method.presmoothing)
        weights = weight_maps(self._params.channel_weights, (channels, *image.shape[:2]))
        return VariationalPlan(Engine(image, method, weights, preparation), self._params, reference)
