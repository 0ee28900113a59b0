"""Displacement fields of a sequence of frames: the straight path from frames to fields."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.core.recording import Recording
from galvo.errors import OptionError
from galvo.motion.estimator import Estimator, Plan
from galvo.motion.movie import Movie, movie_of, reference_of
from galvo.motion.params import MotionParams
from galvo.motion.reference import Reference

if TYPE_CHECKING:
    from galvo.motion.custom import FlowFunction

CALIBRATION_RUNS = 8
CALIBRATION_RUN_LENGTH = 8

_ESTIMATORS = {
    "bayes": ("galvo.motion.bayes", "BayesEstimator"),
    "variational": ("galvo.motion.variational", "VariationalEstimator"),
    "rigid": ("galvo.motion.rigid", "RigidEstimator"),
}


def estimate(
    frames: ArrayLike | Recording,
    reference: ArrayLike | Reference,
    params: MotionParams | None = None,
    *,
    calibration: Plan | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Displacements of every frame against a reference.

    Parameters
    ----------
    frames : array (T, Y, X) or (T, Y, X, C), or Recording of one plane
        Any integer or floating-point dtype; from one frame to any number. A recording is read a block at a time.
    reference : array (Y, X) or (Y, X, C), or Reference
        What every frame is compared with, best a mean of frames that are alike.
    params : MotionParams, optional
        The estimator and its preset; None: `MotionParams()`.
    calibration : Plan, optional
        What `calibrate` returned, or a saved calibration: `reference` and `params` are those it was made with, and
        nothing is learned again.
    threads : int, optional
        Threads to work with; None: one per usable core. The result does not depend on it.

    Returns
    -------
    ndarray, float32 (T, Y, X, 2)
        Displacements w in pixels, x before y: `frame(x + w(x)) = reference(x)` (backward warping, as in `warp`).

    Raises
    ------
    OptionError
        Frames and reference do not fit, or are empty.

    Examples
    --------
    >>> import numpy as np
    >>> from galvo import motion
    >>> still = np.random.default_rng(0).poisson(9, (64, 64)).astype(np.uint16)
    >>> motion.estimate(still[np.newaxis], still).shape
    (1, 64, 64, 2)
    """
    movie = movie_of(frames)
    plan = (
        calibrated(movie, reference_of(reference, movie), params or MotionParams(), threads)
        if calibration is None
        else calibration
    )
    fields = np.empty((*movie.shape[:3], 2), np.float32)
    step = movie.block_length()
    for start in range(0, len(movie), step):
        stop = min(start + step, len(movie))
        first = max(0, start - plan.halo)
        block = movie.read(first, min(stop + plan.halo, len(movie)))
        solved, _ = plan.solve(block, first=start - first, count=stop - start, threads=threads)
        fields[start:stop] = plan.expansion.expand(solved, threads=threads)
    return fields


def calibrate(
    frames: ArrayLike | Recording,
    reference: ArrayLike | Reference,
    params: MotionParams | None = None,
    *,
    threads: int | None = None,
) -> Plan:
    """What an estimator learns from a reference and from frames spread over a recording, to be used on any of them.

    Parameters are those of `estimate`. Of a long recording eight runs of eight consecutive frames are read, of a short
    one every frame.

    Raises
    ------
    OptionError
        Frames and reference do not fit, or are empty.
    """
    movie = movie_of(frames)
    return calibrated(movie, reference_of(reference, movie), params or MotionParams(), threads)


def calibrated(
    movie: Movie,
    reference: Reference,
    params: MotionParams,
    threads: int | None,
    flow: "FlowFunction | None" = None,
) -> Plan:
    """A plan for a movie, from frames spread over it; `flow` is the function of a custom estimator."""
    length = CALIBRATION_RUN_LENGTH
    if len(movie) <= CALIBRATION_RUNS * length:
        sample, run_length = movie.read(0, len(movie)), None
    else:
        starts = np.linspace(0, len(movie) - length, CALIBRATION_RUNS).round().astype(int)
        sample, run_length = np.concatenate([movie.read(start, start + length) for start in starts]), length
    estimator = estimator_of(params, movie.shape[3], flow)
    return estimator.calibrate(sample, reference, run_length=run_length, threads=threads)


def estimator_of(params: MotionParams, channel_count: int, flow: "FlowFunction | None" = None) -> Estimator:
    """The estimator that the parameters name.

    Raises
    ------
    OptionError
        Another number of channel weights than channels, or a custom estimator without its function.
    """
    params.weights_of(channel_count)
    if params.estimator == "custom":
        from galvo.motion.custom import FunctionEstimator

        if flow is None:
            raise OptionError("a custom estimator is a function", hint="Give it to galvo.correct as flow=...")
        return FunctionEstimator(flow)
    module, name = _ESTIMATORS[params.estimator]
    made: Estimator = getattr(import_module(module), name)(params)
    return made


def load_calibration(saved: bytes | str | os.PathLike[str]) -> Plan:
    """The plan that `Plan.to_bytes` saved: its fields are those of the plan that was saved, bit for bit.

    Parameters
    ----------
    saved : bytes or path

    Raises
    ------
    Malformed
        It is no calibration.
    Unsupported
        A later galvo saved it.
    """
    from galvo.motion.bayes import BayesPlan

    if isinstance(saved, bytes):
        return BayesPlan.from_bytes(saved)
    with open(saved, "rb") as stream:
        return BayesPlan.from_bytes(stream.read(), path=os.fspath(saved))
