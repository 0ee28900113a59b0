"""Frames warped by displacement fields."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from galvo import native
from galvo.core.memory import empty
from galvo.errors import OptionError
from galvo.motion.pixels import as_pixels
from galvo.motion.threads import thread_count

Interpolation = Literal["cubic", "linear", "nearest"]

_INTERPOLATIONS = ("cubic", "linear", "nearest")


def warp(
    frames: ArrayLike,
    displacements: ArrayLike,
    *,
    fill: Literal["edge"] | float | ArrayLike = "edge",
    interpolation: Interpolation = "cubic",
    dtype: DTypeLike | Literal["same"] = np.float32,
    cubic_a: float = -0.5,
    reach: tuple[float, float] = (0.5, 0.5),
    out: NDArray[np.generic] | None = None,
    threads: int | None = None,
) -> NDArray[np.generic]:
    """Frames read at displaced positions: `warped(x) = frame(x + w(x))`.

    Parameters
    ----------
    frames : array (T, Y, X) or (T, Y, X, C)
        Integers, bool or floating point; views with any strides are read where they are.
    displacements : array (T, Y, X, 2) or (Y, X, 2)
        float32 w in pixels, x before y; one field is used for all frames.
    fill : number, "edge" or array (Y, X) or (Y, X, C)
        What a pixel becomes whose source lies outside the frame, or whose displacement is not finite: the nearest
        pixel of the frame (the default, so that no value is made up), a number, NaN included, or that pixel of an
        image, best the reference. With "edge" every displacement must be finite.
    interpolation : {"cubic", "linear", "nearest"}
        Cubic convolution over 4 x 4 pixels (Keys 1981), or bilinear. Weights are those of the exact position.
    dtype : dtype or "same"
        float32, or the dtype of the frames: integers are rounded, halves to even, and saturate.
    cubic_a : float
        Keys' parameter: -0.5 is exact for quadratic images, -0.75 is what OpenCV uses.
    reach : (float, float)
        A source at p counts as inside for `-reach[0] <= p < size - 1 + reach[1]`; up to there the edge is replicated.
    out : array, optional
        Where the result goes: of the shape of `frames` and in `dtype`; any strides, native byte order.
    threads : int, optional
        Frames worked on at once; None: one per usable core. The result does not depend on it.

    Returns
    -------
    ndarray
        As `frames`, in `dtype`; `out` if that was given.

    Raises
    ------
    OptionError
        Shapes or dtypes that do not fit, a fill that the dtype cannot hold, or displacements that are not finite
        where `fill` is "edge".

    Notes
    -----
    Pixels of up to 16 bits and float32 are sampled in float32, all others in float64. A pixel that is NaN makes NaN
    what it has a part in.
    """
    pixels, result_dtype = _pixels(np.asarray(frames), dtype)
    fields = np.asarray(displacements)
    if fields.dtype != np.float32 and fields.dtype.kind == "f":
        fields = fields.astype(np.float32)
    if fields.ndim == 3:
        fields = fields[np.newaxis]
    expected = f"(T, {pixels.shape[1]}, {pixels.shape[2]}, 2) or ({pixels.shape[1]}, {pixels.shape[2]}, 2)"
    if (
        fields.ndim != 4
        or fields.dtype != np.float32
        or fields.shape[1:] != (*pixels.shape[1:3], 2)
        or (fields.shape[0] != pixels.shape[0] and np.ndim(displacements) == 4)
    ):
        raise OptionError(
            "displacements do not fit the frames", found=f"{np.shape(displacements)} {fields.dtype}", expected=expected
        )
    if interpolation not in _INTERPOLATIONS:
        raise OptionError("no such interpolation", found=interpolation, expected=", ".join(_INTERPOLATIONS))
    given = np.asarray(frames)
    narrow = given.dtype in (np.bool_, np.float16) and dtype == "same"
    if out is not None and (out.shape != given.shape or out.dtype != (given.dtype if dtype == "same" else dtype)):
        raise OptionError(
            "out does not fit", found=f"{out.shape} {out.dtype}", expected=f"{given.shape} {np.dtype(result_dtype)}"
        )
    result = empty(given.shape, result_dtype) if out is None or narrow else out
    fill_value, fill_image = _fill(fill, pixels.shape, result_dtype)
    if result.size == 0:
        return result
    if fields.strides[1] == 0:
        # rows that are one in memory, as those of a shift
        fields = fields[:, :1]
    not_finite = native.warp(
        pixels,
        np.ascontiguousarray(fields),
        result if given.ndim == 4 else result[..., np.newaxis],
        interpolation=interpolation,
        cubic_a=cubic_a,
        fill_value=fill_value,
        fill_image=fill_image,
        reach_before=reach[0],
        reach_after=reach[1],
        threads=thread_count(threads),
    )
    if not_finite and fill_value is None and fill_image is None:
        raise OptionError(
            "displacements must be finite where the edge fills",
            found=f"{not_finite} that are not",
            hint="Give a number or an image as `fill`.",
        )
    if not narrow:
        return result
    if out is None:
        return result.astype(given.dtype)
    out[...] = result
    return out


def _pixels(frames: NDArray[np.generic], dtype: DTypeLike) -> tuple[NDArray[np.generic], np.dtype[np.generic]]:
    """Frames as (T, Y, X, C) of a dtype that the kernels know, and the dtype of what comes back."""
    if frames.ndim not in (3, 4):
        raise OptionError("frames must be (T, Y, X) or (T, Y, X, C)", found=f"{frames.ndim} axes")
    pixels = as_pixels(frames)
    asked = frames.dtype if dtype == "same" else np.dtype(dtype)
    if asked not in (frames.dtype, np.float32):
        expected = f"float32 or {frames.dtype}"
        raise OptionError("dtype must be float32 or that of the frames", found=asked, expected=expected)
    if frames.ndim == 3:
        pixels = pixels[..., np.newaxis]
    return pixels, np.dtype(np.float32) if asked == np.float32 else pixels.dtype


def _fill(
    fill: object, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> tuple[float | None, NDArray[np.float64] | None]:
    """A number, or an image (Y, X, C), or neither."""
    if isinstance(fill, str):
        if fill != "edge":
            raise OptionError("no such fill", found=fill, expected='"edge", a number or an image')
        return None, None
    values = np.asarray(fill, np.float64)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype.str)
        if not ((values >= limits.min) & (values <= limits.max)).all():
            raise OptionError(f"fill has values that {dtype} cannot hold", hint="Ask for float32.")
    if values.ndim == 0:
        return float(values), None
    if values.ndim == 2:
        values = values[..., np.newaxis]
    if values.shape != shape[1:]:
        raise OptionError("fill must have the shape of a frame", found=values.shape, expected=shape[1:])
    return None, np.ascontiguousarray(values)
