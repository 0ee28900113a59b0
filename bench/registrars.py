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
        eight_bit: Array = np.clip(cv2.GaussianBlur(gray, (0, 0), 1.0), 0, 255).astype(np.uint8)
        return eight_bit

    return scaled


def _dis(cv2: ModuleType, /, frames: Array, reference: Array) -> Array:
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    scaled = _eight_bit(frames, reference)
    fixed = scaled(reference)
    return np.stack([flow.calc(fixed, scaled(frame), None) for frame in frames])


def _pyflowreg(module: ModuleType, /, frames: Array, reference: Array, **options: Any) -> Array:
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


def _suite2p(register: ModuleType, /, frames: Array, reference: Array) -> Array:
    """suite2p's rigid and nonrigid shifts on the channels' mean, blocks of 128 px joined linearly."""
    import torch

    gray = frames.mean(axis=-1, dtype=np.float32)
    still = reference.mean(axis=-1, dtype=np.float32)
    size = tuple(min(128, side) for side in still.shape)
    found = register.register_frames(
        np.ascontiguousarray(gray.astype(np.int16)),
        still.astype(np.int16),
        block_size=size,
        nonrigid=True,
        apply_shifts=False,
        device=torch.device("cpu"),
    )
    (y, x, _, block_y, block_x, *_), blocks = found[3], found[4]
    fields = np.empty((*gray.shape, 2), np.float32)
    tops, lefts = np.asarray(blocks[0]).mean(axis=1), np.asarray(blocks[1]).mean(axis=1)
    rows, columns = np.unique(tops), np.unique(lefts)
    for axis, (shift, parts) in enumerate(((x, block_x), (y, block_y))):
        grid = np.asarray(parts, np.float32).reshape(len(gray), rows.size, columns.size)
        along_x = np.stack([[np.interp(np.arange(still.shape[1]), columns, row) for row in one] for one in grid])
        for t, one in enumerate(along_x):
            dense = np.stack([np.interp(np.arange(still.shape[0]), rows, column) for column in one.T], axis=1)
            fields[t, ..., axis] = dense + float(shift[t])
    return fields


def suite2p() -> Registrar | None:
    """suite2p's nonrigid registration with its default settings, on the processor."""
    return with_peer("suite2p.registration.register", _suite2p)
