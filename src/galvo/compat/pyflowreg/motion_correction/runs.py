"""Options of PyFlowReg as what `galvo.motion` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg._runtime import RuntimeContext
from galvo.compat.pyflowreg.core.optical_flow import solver_params
from galvo.compat.pyflowreg.core.warping import checked_interpolation
from galvo.compat.pyflowreg.util.io._base import VideoReader
from galvo.core.threads import thread_count
from galvo.errors import OptionError, warn
from galvo.motion.variational.batches import BatchMethod
from galvo.motion.variational.prealignment import Prealignment
from galvo.motion.variational.registered_mean import registered_mean

if TYPE_CHECKING:
    from galvo.compat.pyflowreg.motion_correction.OF_options import OFOptions

__all__ = ["ReaderFrames", "as_image", "mean_of_frames", "method_of", "worker_count"]


def method_of(options: OFOptions, shape: tuple[int, ...]) -> BatchMethod:
    """How frames (H, W, C) of `shape` are registered."""
    channels = shape[2]
    weights = np.empty(shape)
    for channel in range(channels):
        weights[..., channel] = options.get_weight_at(channel, channels)
    rows, columns = np.broadcast_to(np.asarray(options.cc_hw), 2).tolist()
    sigmas = np.asarray(options.sigma, np.float64).reshape(-1, 3)
    params = {key: value for key, value in options.to_dict().items() if key != "weight"}
    return BatchMethod(
        params=solver_params(**params),
        weights=weights,
        sigmas=tuple((y, x, t) for y, x, t in sigmas.tolist()),
        separate=options.channel_normalization == "separate",
        interpolation=checked_interpolation(options.interpolation_method),
        carry=options.update_initialization_w,
        follow=options.update_reference,
        prealignment=Prealignment(rows, columns, options.cc_up) if options.cc_initialization else None,
    )


def worker_count(config: Any) -> int:
    """How many frames are worked on at once."""
    wanted = getattr(config, "n_jobs", -1)
    if wanted is None or wanted < 1:
        return int(RuntimeContext.get("max_workers") or thread_count(None))
    return int(wanted)


def as_image(reference: Any, channels: int) -> NDArray[np.float64]:
    """A reference (H, W) or (H, W, C) as float64 (H, W, C).

    Raises
    ------
    ValueError
        Another number of axes or channels.
    """
    image = np.asarray(reference, np.float64)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3 or image.shape[2] != channels:
        raise OptionError(
            "the reference does not fit the frames", found=np.shape(reference), expected=f"(H, W, {channels})"
        )
    return image


class ReaderFrames:
    """Frames of a reader, read when they are asked for.

    Parameters
    ----------
    reader : VideoReader
    numbers : sequence of int, optional
        Which frames; all by default.
    """

    def __init__(self, reader: VideoReader, numbers: Sequence[int] | None = None) -> None:
        self._reader = reader
        self._numbers = range(len(reader)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, key: slice) -> NDArray[Any]:
        wanted = self._numbers[key]
        return self._reader[wanted.start : wanted.stop] if isinstance(wanted, range) else self._reader[list(wanted)]


def mean_of_frames(
    options: OFOptions, reader: VideoReader, numbers: Sequence[int], config: Any = None
) -> NDArray[np.float64]:
    """The reference that frames of a reader make, (H, W, C).

    Raises
    ------
    ValueError
        No frames were asked for, or the reader has none.
    """
    count = len(reader)
    wanted = [int(number) for number in numbers]
    there = [number for number in wanted if -count <= number < count]
    if not wanted or count == 0:
        raise OptionError("a reference needs frames", found=f"{len(wanted)} numbers, {count} frames")
    if not there:
        if "reference_frames" in options.model_fields_set:
            raise OptionError("no frame of reference_frames exists", found=f"{count} frames")
        warn(f"the recording ends before frame {wanted[0]}: the reference is made of all of its {count} frames")
        there = list(range(count))
    elif len(there) < len(wanted) and "reference_frames" in options.model_fields_set:
        warn(
            f"{len(wanted) - len(there)} of reference_frames are behind the end and left out",
        )
    if len(there) == 1:
        frame: NDArray[np.float64] = np.asarray(reader[there[0]], np.float64)
        return frame
    shape = (reader.height, reader.width, reader.n_channels)
    rows = [options.get_sigma_at(channel).tolist() for channel in range(shape[2])]
    method = replace(method_of(options, shape), sigmas=tuple((y, x, t) for y, x, t in rows))
    return registered_mean(
        ReaderFrames(reader, there), method, batch_frames=options.buffer_size, threads=worker_count(config)
    )
