"""pyflowreg.motion_correction.compensate_arr: movies in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.motion_correction.compensate_recording import BatchMotionCorrector, RegistrationConfig
from galvo.compat.pyflowreg.motion_correction.OF_options import OFOptions, OutputFormat
from galvo.compat.pyflowreg.util.io._arr import ArrayWriter
from galvo.core.cast import Cast
from galvo.errors import OptionError

__all__ = ["compensate_arr", "compensate_pair"]


def compensate_arr(
    c1: NDArray[Any],
    c_ref: NDArray[Any],
    options: OFOptions | None = None,
    progress_callback: Callable[[int, int], None] | None = None,
    *,
    flow_backend: str | None = None,
    backend_params: dict[str, Any] | None = None,
    get_displacement: Callable[..., Any] | None = None,
    get_displacement_factory: Callable[..., Any] | None = None,
    w_callback: Callable[[NDArray[Any], int, int], None] | None = None,
    registered_callback: Callable[[NDArray[Any], int, int], None] | None = None,
    registration_config: RegistrationConfig | None = None,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Register a movie in memory.

    Parameters
    ----------
    c1 : array (T, H, W, C), (T, H, W) or (H, W)
        Three axes are one frame (H, W, C) where the last has length 4 or less.
    c_ref : array (H, W) or (H, W, C)
    options : OFOptions, optional
        Stay as they are; `output_format`, `save_w`, `save_meta_info`, `input_file` and `reference_frames` do not
        matter.
    progress_callback, w_callback, registered_callback : callable, optional
        As in `BatchMotionCorrector`.
    flow_backend, backend_params, get_displacement, get_displacement_factory : optional
        In place of those of the options; `backend_params` are added to them.
    registration_config : RegistrationConfig, optional

    Returns
    -------
    registered : ndarray
        As `c1`, in the dtype that `output_typename` names: integers are rounded and saturate. A frame axis or channel
        axis of length 1 that `c1` and `c_ref` do not have is left out.
    w : ndarray, float32 (T, H, W, 2)
        (H, W, 2) for a movie (H, W).

    Raises
    ------
    ValueError
        An empty movie, or shapes that do not fit.
    """
    movie, reference = np.asarray(c1), np.asarray(c_ref)
    if movie.size == 0:
        raise OptionError("Input array cannot be empty")
    given = OFOptions() if options is None else options.copy()
    update: dict[str, Any] = {
        "output_format": OutputFormat.ARRAY,
        "save_w": True,
        "save_meta_info": False,
        "save_valid_idx": False,
        "input_file": movie,
        "reference_frames": reference,
        "n_references": 1,
        "backend_params": {**given.backend_params, **(backend_params or {})},
    }
    if flow_backend is not None:
        update["flow_backend"] = flow_backend
    if get_displacement is not None:
        update["get_displacement_impl"] = get_displacement
    if get_displacement_factory is not None:
        update["get_displacement_factory"] = get_displacement_factory
    for name, value in update.items():
        setattr(given, name, value)
    corrector = BatchMotionCorrector(given, registration_config)
    for callback, register in (
        (progress_callback, corrector.register_progress_callback),
        (w_callback, corrector.register_w_callback),
        (registered_callback, corrector.register_registered_callback),
    ):
        if callback is not None:
            register(callback)  # type: ignore[arg-type]
    corrector.run(reference)
    registered, fields = _written(corrector.video_writer), _written(corrector.w_writer)
    dtype = given.output_dtype(of_file=False)
    if dtype is not None:
        registered = Cast(dtype.str, "clip").apply(registered)
    if reference.ndim == 2:
        if movie.ndim == 2:
            return registered[0, ..., 0], fields[0]
        if movie.ndim == 3 and registered.shape[3] == 1:
            return registered[..., 0], fields
    return registered, fields


def compensate_pair(
    frame1: NDArray[Any], frame2: NDArray[Any], options: OFOptions | None = None
) -> NDArray[np.float32]:
    """The displacement of `frame2` against `frame1`, both (H, W) or (H, W, C): float32 (H, W, 2)."""
    one, two = np.asarray(frame1), np.asarray(frame2)
    pair = np.stack([one, two])
    _, fields = compensate_arr(pair if pair.ndim == 4 else pair[..., np.newaxis], one, options)
    second: NDArray[np.float32] = fields[1]
    return second


def _written(writer: Any) -> NDArray[Any]:
    frames = writer.get_array() if isinstance(writer, ArrayWriter) else None
    if frames is None:
        raise OptionError("Input array cannot be empty")
    return frames
