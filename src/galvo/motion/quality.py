"""How well each frame came out: numbers that say which frames to distrust."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from galvo.motion.threads import thread_count

__all__ = ["QUALITY", "frame_quality"]

QUALITY = {
    "correlation": "of the corrected frame with the reference, Pearson, -1 to 1",
    "residual": "standard deviation of what the reference does not explain of the corrected frame, in counts",
    "crispness": "root mean square of the corrected frame's gradient, in counts per pixel",
    "mean_px": "mean length of the displacements, in pixels",
    "max_px": "greatest length of a displacement, in pixels",
    "divergence": "mean of du/dx + dv/dy: below 0 the image shrinks",
}

# displacements are smooth over much more than this
_FIELD_STEP = 4


def frame_quality(
    corrected: NDArray[np.float32],
    displacements: NDArray[np.float32],
    reference: NDArray[np.generic],
    *,
    threads: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The numbers of `QUALITY` for every frame, each float32 (T,).

    Parameters
    ----------
    corrected : (T, Y, X, C)
    displacements : (T, Y, X, 2)
        With which the frames were corrected.
    reference : (Y, X, C)

    Notes
    -----
    Image measures leave out a border as wide as the frame's greatest displacement, where pixels were not scanned, but
    keep at least the inner half. A frame without contrast has correlation 0.
    """
    measured = {name: np.zeros(len(corrected), np.float32) for name in QUALITY}
    fixed = reference.astype(np.float32)

    def measure(t: int) -> None:
        frame, field = corrected[t], displacements[t]
        coarse = field[::_FIELD_STEP, ::_FIELD_STEP]
        length = np.sqrt(np.einsum("yxk,yxk->yx", coarse, coarse))
        measured["mean_px"][t], measured["max_px"][t] = length.mean(), length.max()
        measured["divergence"][t] = _divergence(coarse)
        inner = _interior(frame.shape, float(length.max()))
        measured["correlation"][t], measured["residual"][t] = _agreement(frame[inner], fixed[inner])
        measured["crispness"][t] = _crispness(frame[inner])

    with ThreadPoolExecutor(thread_count(threads)) as pool:
        for _ in pool.map(measure, range(len(corrected))):
            pass
    return measured


def _interior(shape: tuple[int, ...], reach: float) -> tuple[slice, slice]:
    height, width = shape[:2]
    border_y, border_x = (min(int(np.ceil(reach)), side // 4) for side in (height, width))
    return slice(border_y, height - border_y), slice(border_x, width - border_x)


def _divergence(coarse: NDArray[np.float32]) -> float:
    height, width = coarse.shape[:2]
    along_x = float((coarse[:, -1, 0] - coarse[:, 0, 0]).mean()) / (width - 1) if width > 1 else 0.0
    along_y = float((coarse[-1, :, 1] - coarse[0, :, 1]).mean()) / (height - 1) if height > 1 else 0.0
    return (along_x + along_y) / _FIELD_STEP


def _agreement(frame: NDArray[np.float32], fixed: NDArray[np.float32]) -> tuple[float, float]:
    """Mean over channels of the correlation, and of the spread that the reference leaves unexplained."""
    correlations, residuals = [], []
    for channel in range(frame.shape[-1]):
        moving, still = np.nan_to_num(frame[..., channel]).ravel(), np.nan_to_num(fixed[..., channel]).ravel()
        moving, still = moving - moving.mean(), still - still.mean()
        energy, known = float(moving @ moving), float(still @ still)
        correlation = float(moving @ still) / np.sqrt(energy * known) if energy > 0 and known > 0 else 0.0
        correlations.append(correlation)
        residuals.append(np.sqrt(max(0.0, energy * (1 - correlation**2)) / moving.size))
    return float(np.mean(correlations)), float(np.mean(residuals))


def _crispness(frame: NDArray[np.float32]) -> float:
    down, right = np.diff(frame, axis=0).ravel(), np.diff(frame, axis=1).ravel()
    if not down.size or not right.size:
        return 0.0
    return float(np.sqrt(np.nan_to_num(down @ down / down.size + right @ right / right.size)))
