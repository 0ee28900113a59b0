"""The registration methods that are compared: frames (T, Y, X, C) and a reference in, displacements out.

Displacements are float (T, Y, X, 2), x before y, with `frame(x + w(x)) = reference(x)`. A peer that is not installed
is None.
"""

import contextlib
import io
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from bench.timing import with_peer
from galvo import motion

Array = np.ndarray[Any, np.dtype[Any]]
Registrar = Callable[[Array, Array], Array]


def ours(frames: Array, reference: Array, **params: Any) -> Array:
    return motion.estimate(frames, reference, motion.MotionParams(**params))


def _eight_bit(frames: Array, reference: Array) -> Callable[[Array], Array]:
    """The channels' mean, scaled by the reference's range, smoothed by one pixel, in 8 bits: what DIS takes."""
    import cv2

    low, high = (float(value) for value in np.percentile(reference, (0.5, 99.8)))

    def scaled(image: Array) -> Array:
        gray = (image.mean(axis=-1, dtype=np.float32) - low) * (255 / max(high - low, 1e-6))
        return np.clip(cv2.GaussianBlur(gray, (0, 0), 1.0), 0, 255).astype(np.uint8)

    return scaled


def _dis(cv2: ModuleType, frames: Array, reference: Array) -> Array:
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    scaled = _eight_bit(frames, reference)
    fixed = scaled(reference)
    return np.stack([flow.calc(fixed, scaled(frame), None) for frame in frames])


def _pyflowreg(module: ModuleType, frames: Array, reference: Array, **options: Any) -> Array:
    """The original through its array interface, on one process; its movie is thrown away."""
    from pyflowreg.motion_correction import OFOptions, compensate_arr

    channels = frames.shape[-1]
    settings = OFOptions(weight=[1 / channels] * channels, **options)
    config = module.RegistrationConfig(n_jobs=1, parallelization="sequential")
    with contextlib.redirect_stdout(io.StringIO()):
        _, fields = compensate_arr(frames, reference, settings, registration_config=config)
    return np.asarray(fields)


def dis() -> Registrar | None:
    """OpenCV's DIS, preset medium, untuned (Kroeger et al. 2016)."""
    return with_peer("cv2", _dis)


def pyflowreg(**options: Any) -> Registrar | None:
    """PyFlowReg with these options."""
    made = with_peer("pyflowreg.motion_correction.compensate_recording", _pyflowreg)
    return None if made is None else partial(made, **options)
