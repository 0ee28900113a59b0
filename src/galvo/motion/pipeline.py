"""Correcting a recording: reference -> calibrate -> (estimate, measure, keep) for each block -> movie as it is read.

Motion is kept first, in a file of its own, and the movie is written from it like any conversion. So both outputs appear
whole or not at all, both can be resumed, and the same motion can be applied to another channel or recording.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal

from galvo.conversion import convert, fields_to_write
from galvo.core.atomic import output_name, partial_path, require_space
from galvo.core.recording import Recording
from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.formats.opening import open_recording
from galvo.formats.split import divided
from galvo.motion.apply import check_interpolation
from galvo.motion.correction import Correction
from galvo.motion.custom import FlowFunction
from galvo.motion.executors import ExecutorName
from galvo.motion.job import Job, ReferenceOption, held_motion, in_frames, kept_motion
from galvo.motion.params import MotionParams, checked_params
from galvo.motion.warping import Interpolation
from galvo.progress import ProgressOption, reporting

__all__ = ["correct", "correct_fields"]

# where `galvo info` and `galvo verify` look for a motion
_MOTION_SUFFIXES = (".h5", ".hdf5")


def correct(
    source: Any,
    destination: str | os.PathLike[str] | None = None,
    params: MotionParams | Mapping[str, Any] | None = None,
    *,
    motion: str | os.PathLike[str] | None = None,
    channels: Any = None,
    apply_to: Any = None,
    reference: ReferenceOption = None,
    update_reference: int | None = None,
    flow: FlowFunction | None = None,
    executor: ExecutorName = "threads",
    workers: int | None = None,
    interpolation: Interpolation = "cubic",
    fill: Literal["edge"] | float = "edge",
    overwrite: bool = False,
    resume: bool = False,
    progress: ProgressOption = False,
    open_options: dict[str, Any] | None = None,
    **options: Any,
) -> Correction:
    """Estimate the motion of a recording, keep it, and write the corrected movie.

    Parameters
    ----------
    source : anything that galvo.open takes
    destination : path, optional
        The corrected movie, in any format that `galvo.convert` writes; None: no pixel is written, and the result's
        `apply` corrects frames as they are read.
    params : MotionParams or mapping, optional
    motion : path, optional
        Where the motion is kept; by default ``<destination>_motion.h5``, and in memory where there is no destination.
    channels : int, name, or list of them, optional
        Channels that motion is estimated on; all of them by default. All channels are corrected.
    apply_to : anything that galvo.open takes, optional
        What is corrected instead of `source`: the raw recording where motion is estimated on a denoised one, say.
    reference : optional
        An image (Y, X), (Y, X, C) or (Z, Y, X, C), or a `Reference`; T positions whose mean it is to be, a slice or a
        list; None: the mean of frames that resemble each other most (`galvo.motion.build_reference`), plane by plane.
    update_reference : int, optional
        Every so many frames have a reference of their own, for recordings that change slowly: the mean of those among
        them that resemble each other most, registered to `reference` by the estimator itself, so that the movie stays
        where it is. All references are made before the first frame is corrected.
    flow : callable, optional
        A function that estimates instead of an estimator of galvo's (`galvo.motion.FunctionEstimator`). A field of
        full resolution is kept for each frame: 4 bytes per pixel.
    executor : {"threads", "sequential", "processes"}
        Where frames are worked on; the result is the same bit for bit. A script that uses processes needs
        ``if __name__ == "__main__":``.
    workers : int, optional
        Threads or processes; None: one per usable core.
    interpolation : {"cubic", "linear", "nearest"}
    fill : number or "edge"
        What a pixel becomes whose source lies outside the frame.
    overwrite : bool
        Replace existing outputs, once the new ones are complete.
    resume : bool
        Go on behind the last block that an interrupted attempt brought to the disk. A motion that is complete, of this
        source and with these parameters, is used as it is.
    progress : bool or callable
        True: a bar in the terminal for each output; a callable gets (frames done, frames in all), where a frame counts
        once for the motion and once more for the movie.
    open_options : dict, optional
        Passed to `galvo.open` for `source` and `apply_to`.
    **options
        Of `galvo.convert`, for the movie: `verify`, `dtype`, those of the format, ...

    Returns
    -------
    Correction

    Raises
    ------
    OptionError
        An option does not fit, or the recording has nothing to register.
    WriteError
        An output exists, or cannot be written; nothing of the first kind is found out after frames were worked on.

    Examples
    --------
    >>> correction = galvo.correct("rec_00001_00001.tif", "corrected.h5")             # doctest: +SKIP
    >>> bad = correction.quality["correlation"][:, 0] < 0.5                           # doctest: +SKIP
    """
    opening = open_options or {}
    with ExitStack() as failed, ExitStack() as finished:
        # what is corrected stays open for the result
        recording = _opened(source, opening, failed if apply_to is None else finished)
        corrected = recording if apply_to is None else _opened(apply_to, opening, failed)
        name = None if destination is None else output_name(destination)
        job = Job(
            shown=recording.isel(c=channels),
            params=_chosen(params, flow),
            reference=reference,
            update_reference=update_reference,
            flow=flow,
            executor=executor,
            workers=1 if executor == "sequential" else thread_count(workers),
        )
        job.check(corrected)
        check_interpolation(corrected.dtype, interpolation, fill)
        kept_at = None if motion is None else output_name(motion)
        if kept_at is None and name is not None:
            kept_at = motion_path(name)
        if name is not None and kept_at is not None and os.path.realpath(name) == os.path.realpath(kept_at):
            raise OptionError("movie and motion would have one name", found=name, hint="Choose another one for motion")
        if kept_at is not None and not kept_at.lower().endswith(_MOTION_SUFFIXES):
            known = " or ".join(_MOTION_SUFFIXES)
            raise OptionError("a motion is kept as HDF5", path=kept_at, expected=f"a name that ends in {known}")
        common = {"overwrite": overwrite, "resume": resume, **options}
        if name is not None:
            # what can be foreseen, before minutes of estimating
            planned = convert(corrected, name, dry_run=True, **common)
            if not resume:
                require_space(name, [partial_path(name)], planned.least_bytes)
        count = len(corrected)
        estimating, correcting = _parts(progress, count, name is not None)
        if kept_at is None:
            found = held_motion(job, estimating)
        else:
            found = kept_motion(job, kept_at, estimating, overwrite, resume, [str(path) for path in corrected.files])
        correction = Correction(found, corrected, kept_at)
        if name is not None:
            shown = correction.apply(interpolation=interpolation, fill=fill, threads=job.workers)
            with reporting(correcting, "correcting", unit="frames") as report:
                movie = convert(shown, name, progress=in_frames(report, count), **common)
            correction = replace(correction, movie=movie)
        failed.pop_all()
        return correction


def correct_fields(
    source: Any,
    destination: str | os.PathLike[str],
    params: MotionParams | Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    progress: ProgressOption = False,
    open_options: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Correction, ...]:
    """Correct each scan field of a multi-ROI recording for itself.

    Parameters
    ----------
    source : anything that galvo.open takes
    destination : path
        Of ``out.h5`` become ``out_field1.h5``, ``out_field2.h5``, ..., in the order of `Recording.fields`, each with
        its motion beside it.
    params : MotionParams or mapping, optional
    resume : bool
        Leave fields whose movies exist, and go on with the one that an earlier attempt began.
    progress : bool or callable
        As in `correct`, for one field after another.
    open_options : dict, optional
        Passed to `galvo.open`.
    **options
        Those of `correct`, without those that are of one field: `motion`, `apply_to`.

    Returns
    -------
    tuple of Correction
        Of the fields that were corrected.

    Raises
    ------
    OptionError
        The recording has no fields.
    WriteError
        As in `correct`.
    """
    for name in ("motion", "apply_to"):
        if options.get(name) is not None:
            raise OptionError(f"{name} is of one field", hint="Correct the fields one by one: recording.fields")
    recording = open_recording(source, **(open_options or {}))
    try:
        waiting = fields_to_write(recording, destination, options.get("format"), resume)
        return tuple(correct(part, name, params, resume=resume, progress=progress, **options) for part, name in waiting)
    except BaseException:
        if recording is not source:
            recording.close()
        raise


def motion_path(destination: str) -> str:
    """Where the motion of a movie is kept: ``movie.h5`` has ``movie_motion.h5`` beside it."""
    return f"{divided(destination.rstrip(os.sep))[0]}_motion.h5"


def _opened(source: Any, options: dict[str, Any], stack: ExitStack) -> Recording:
    """A recording, closed by the stack where it was opened here."""
    recording = open_recording(source, **options)
    if recording is not source:
        stack.callback(recording.close)
    return recording


def _chosen(params: MotionParams | Mapping[str, Any] | None, flow: FlowFunction | None) -> MotionParams:
    chosen = params if isinstance(params, MotionParams) else checked_params({} if params is None else params)
    return chosen if flow is None else chosen.model_copy(update={"estimator": "custom"})


def _parts(progress: ProgressOption, count: int, both: bool) -> tuple[ProgressOption, ProgressOption]:
    """What is told of the motion, and of the movie behind it where there is one."""
    if not callable(progress):
        return progress, progress
    told, total = progress, 2 * count if both else count
    return lambda done, _: told(done, total), lambda done, _: told(count + done, total)
