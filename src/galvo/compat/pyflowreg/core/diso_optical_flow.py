"""pyflowreg.core.diso_optical_flow: OpenCV's dense inverse search (Kroeger et al., ECCV 2016) as a solver.

OpenCV is not among galvo's dependencies: ``pip install opencv-python-headless``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.errors import MissingExtra, OptionError

__all__ = ["DisoOF", "_diso_factory"]

_SETTERS = {
    "finest_scale": "setFinestScale",
    "gradient_descent_iterations": "setGradientDescentIterations",
    "patch_size": "setPatchSize",
    "patch_stride": "setPatchStride",
    "use_mean_normalization": "setUseMeanNormalization",
    "use_spatial_propagation": "setUseSpatialPropagation",
}


class DisoOF:
    """Dense inverse search on 8-bit images; called like `get_displacement`.

    Parameters
    ----------
    preset : int
        0 ultrafast, 1 fast, 2 medium.
    finest_scale, gradient_descent_iterations, patch_size, patch_stride : int
    use_mean_normalization, use_spatial_propagation : bool
        As in OpenCV.
    """

    def __init__(
        self,
        preset: int = 2,
        finest_scale: int = 2,
        gradient_descent_iterations: int = 12,
        patch_size: int = 8,
        patch_stride: int = 4,
        use_mean_normalization: bool = True,
        use_spatial_propagation: bool = True,
    ) -> None:
        self._params: dict[str, Any] = {
            "preset": preset,
            "finest_scale": finest_scale,
            "gradient_descent_iterations": gradient_descent_iterations,
            "patch_size": patch_size,
            "patch_stride": patch_stride,
            "use_mean_normalization": use_mean_normalization,
            "use_spatial_propagation": use_spatial_propagation,
        }

    def __call__(
        self,
        fixed: ArrayLike,
        moving: ArrayLike,
        *,
        uv: ArrayLike | None = None,
        w: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        **params: Any,
    ) -> NDArray[np.float32]:
        """The displacement (H, W, 2) between images (H, W) or (H, W, C) with values from 0 to 1.

        `w` (H, W, 2) is where the search begins; `uv` and all other parameters change nothing.

        Raises
        ------
        MissingExtra
            An ImportError: OpenCV is not installed.
        """
        images = [_as_bytes(np.asarray(image, np.float64), weight) for image in (fixed, moving)]
        start = None if w is None else np.array(w, np.float32)
        # made for each call: handles cannot be shared by threads, nor pickled
        found: NDArray[np.float32] = np.asarray(self._made().calc(*images, start), np.float32)
        return found

    def _made(self) -> Any:
        try:
            opencv: Any = import_module("cv2")
        except ImportError as error:
            raise MissingExtra(
                "dense inverse search is OpenCV's, which is not installed", hint="pip install opencv-python-headless"
            ) from error
        solver = opencv.DISOpticalFlow_create(self._params["preset"])
        for name, setter in _SETTERS.items():
            getattr(solver, setter)(self._params[name])
        return solver

    def set_preset(self, preset: int) -> None:
        """Change the preset."""
        self.set_params(preset=preset)

    def get_params(self) -> dict[str, Any]:
        """All parameters."""
        return dict(self._params)

    def set_params(self, **params: Any) -> None:
        """Change parameters; ValueError for one that there is not."""
        unknown = sorted(set(params) - set(self._params))
        if unknown:
            raise OptionError("no such parameter", found=", ".join(unknown), expected=", ".join(self._params))
        self._params.update(params)


def _diso_factory(**kwargs: Any) -> DisoOF:
    return DisoOF(**kwargs)


def _as_bytes(image: NDArray[np.float64], weight: ArrayLike | None) -> NDArray[np.uint8]:
    """The weighted mean of the channels, 0 to 1 as 0 to 255."""
    if image.ndim == 3:
        if weight is None:
            image = image.mean(axis=2)
        else:
            shares = np.broadcast_to(np.asarray(weight, np.float64), image.shape)
            total = shares.sum(axis=2)
            image = (image * shares).sum(axis=2) / np.where(total > 0, total, 1.0)
    return np.asarray(np.clip(image, 0.0, 1.0) * 255, np.uint8)
