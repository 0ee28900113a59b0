"""The variational estimator behind the contract of all estimators."""

import numpy as np
from numpy.typing import NDArray

from galvo.errors import OptionError
from galvo.motion.params import MotionParams
from galvo.motion.pixels import as_pixels
from galvo.motion.variational.engine import Engine, Preparation, weight_maps
from galvo.motion.variational.expansion import GridExpansion
from galvo.motion.variational.pyramid import FINEST

Frames = NDArray[np.generic]
Fields = NDArray[np.float32]


class VariationalPlan:
    """The pyramid of a reference; every frame is solved by itself.

    Attributes
    ----------
    halo : int
        0: no frame depends on its neighbours.
    height, width : int
        Size of the frames.
    solver_shape : (int, int)
        Size of the solver's fields, (h, w).
    expansion : GridExpansion
        How solver fields become dense ones.
    """

    halo = 0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.height, self.width = engine.height, engine.width
        self.solver_shape = engine.solver_shape
        self.expansion = GridExpansion(self.height, self.width)

    @property
    def constant(self) -> Fields:
        """The solver field of a shift by one pixel, float32 (h, w)."""
        return np.ones(self.solver_shape, np.float32)

    def solve(
        self,
        frames: Frames,
        *,
        first: int = 0,
        count: int | None = None,
        threads: int | None = None,
        start: Fields | None = None,
    ) -> Fields:
        """Fields of `frames[first : first + count]`, float32 (T, h, w, 2).

        `start` (Y, X, 2) is the field that every frame begins with. A pixel that is not finite is taken to be what the
        reference shows there.
        """
        wanted = frames[first:] if count is None else frames[first : first + count]
        return self._engine.solve(wanted, start, threads)

    def expand(self, fields: Fields, *, threads: int | None = None) -> Fields:
        """Displacements, float32 (T, Y, X, 2), in pixels, x before y."""
        return self.expansion.expand(fields, threads=threads)


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
        self, frames: Frames, reference: Frames, *, run_length: int | None = None, threads: int | None = None
    ) -> VariationalPlan:
        """A plan for frames like the reference (Y, X, C); `frames` and `run_length` are not looked at.

        Raises
        ------
        OptionError
            The reference has pixels that are not finite, or another number of channels than there are weights.
        """
        image = as_pixels(np.asarray(reference))
        if image.ndim != 3 or image.size == 0:
            raise OptionError("the reference must be (Y, X, C), and not empty", found=image.shape)
        if not np.isfinite(image).all():
            raise OptionError("the reference has pixels that are not finite", hint="Fill them in first.")
        method = self._params.variational
        if method.min_level is None:
            method = method.model_copy(update={"min_level": FINEST[self._params.preset]})
        lowest, highest = float(image.min()), float(image.max())
        scale = 1.0 / (highest - lowest) if highest > lowest else 1.0
        channels = image.shape[2]
        preparation = Preparation((lowest,) * channels, (scale,) * channels, *method.presmoothing)
        fixed = preparation(image[np.newaxis], threads)[0]
        weights = weight_maps(self._params.channel_weights, fixed.shape)
        return VariationalPlan(Engine(fixed, method, weights, preparation))
