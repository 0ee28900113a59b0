"""pyflowreg.core.warping: frames moved by fields, and what of them was seen.

`frame(x + u, y + v)` is what the registered frame shows at (x, y). Positions are exact; PyFlowReg rounds them to 1/32
pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.errors import OptionError
from galvo.motion.variational.batches import REACH, registered_frames, sources_inside
from galvo.motion.variational.pyramid import depth
from galvo.motion.warping import warp

__all__ = [
    "align_sequence",
    "backward_valid_mask",
    "compute_batch_valid_masks",
    "imregister_binary",
    "imregister_wrapper",
    "warpingDepth",
]


def imregister_wrapper(
    f2_level: ArrayLike, u: ArrayLike, v: ArrayLike, f1_level: ArrayLike, interpolation_method: str = "cubic"
) -> NDArray[np.float32]:
    """A frame moved by a field.

    Parameters
    ----------
    f2_level : array (H, W) or (H, W, C)
        Integers are rounded and saturate.
    u, v : array (H, W)
        Along x and along y, in pixels.
    f1_level : array as `f2_level`
        What pixels show whose source is outside the frame.
    interpolation_method : "cubic", "linear" or "nearest"

    Returns
    -------
    ndarray, float32 (H, W) or (H, W, C)
        One channel has no axis.

    Raises
    ------
    ValueError
        Another interpolation, or shapes that do not fit.
    """
    frame, reference = (_with_channels(np.asarray(image)) for image in (f2_level, f1_level))
    moved = registered_frames(
        frame[np.newaxis], _field(u, v)[np.newaxis], reference, checked_interpolation(interpolation_method), 1
    )[0]
    result: NDArray[np.float32] = moved.astype(np.float32)
    return result[..., 0] if result.shape[2] == 1 else result


def imregister_binary(mask: ArrayLike, u: ArrayLike, v: ArrayLike) -> NDArray[np.bool_]:
    """A mask (H, W) moved by a field; False where its source is outside."""
    binary = (np.asarray(mask) > 0.5).astype(np.uint8)[np.newaxis]
    moved = warp(binary, _field(u, v), fill=0, interpolation="nearest", dtype="same", reach=REACH, threads=1)
    seen: NDArray[np.bool_] = moved[0] > 0
    return seen


def backward_valid_mask(u: ArrayLike, v: ArrayLike) -> NDArray[np.bool_]:
    """Which pixels (H, W) have their source inside the frame."""
    inside: NDArray[np.bool_] = sources_inside(_field(u, v)[np.newaxis])[0]
    return inside


def compute_batch_valid_masks(w: ArrayLike) -> NDArray[np.uint8]:
    """255 where the source of a pixel is inside its frame, else 0: uint8 (T, H, W) of fields (T, H, W, 2)."""
    return sources_inside(np.asarray(w, np.float32)).astype(np.uint8) * np.uint8(255)


def align_sequence(
    batch: NDArray[Any],
    displacement: ArrayLike,
    reference: ArrayLike,
    interpolation_method: str = "cubic",
    n_workers: int | None = None,
) -> NDArray[Any]:
    """Frames moved by one field, in their dtype.

    Parameters
    ----------
    batch : array (T, H, W) or (T, H, W, C)
    displacement : array (H, W, 2)
    reference : array (H, W) or (H, W, C)
        What pixels show whose source is outside the frame.
    interpolation_method : "cubic", "linear" or "nearest"
    n_workers : int, optional
        Threads.
    """
    frames = np.asarray(batch)
    moved = registered_frames(
        frames if frames.ndim == 4 else frames[..., np.newaxis],
        np.ascontiguousarray(displacement, np.float32),
        _with_channels(np.asarray(reference)),
        checked_interpolation(interpolation_method),
        n_workers,
    )
    return moved if frames.ndim == 4 else moved[..., 0]


def warpingDepth(eta: float, levels: int, m: int, n: int) -> int:
    """How many levels the pyramid of an image (m, n) has."""
    return depth(min(m, n), eta, levels)


def checked_interpolation(name: str) -> Any:
    """A name that `galvo.motion` knows."""
    if name not in ("cubic", "linear", "nearest"):
        raise OptionError("Unsupported interpolation method. Use 'linear', 'cubic' or 'nearest'.", found=repr(name))
    return str(getattr(name, "value", name))


def _with_channels(image: NDArray[Any]) -> NDArray[Any]:
    return image if image.ndim == 3 else image[..., np.newaxis]


def _field(u: ArrayLike, v: ArrayLike) -> NDArray[np.float32]:
    return np.stack([np.asarray(u, np.float32), np.asarray(v, np.float32)], axis=-1)
