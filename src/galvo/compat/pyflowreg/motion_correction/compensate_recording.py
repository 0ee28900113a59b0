"""pyflowreg.motion_correction.compensate_recording: a movie, registered batch by batch, into files."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg._runtime import RuntimeContext
from galvo.compat.pyflowreg.core import optical_flow
from galvo.compat.pyflowreg.core.backend_registry import EXECUTORS, get_backend_executors
from galvo.compat.pyflowreg.core.warping import compute_batch_valid_masks, imregister_wrapper
from galvo.compat.pyflowreg.motion_correction.OF_options import OFOptions, OutputFormat
from galvo.compat.pyflowreg.motion_correction.parallelization import (
    BaseExecutor,
    MultiprocessingExecutor,
    SequentialExecutor,
    ThreadingExecutor,
)
from galvo.compat.pyflowreg.motion_correction.runs import ReaderFrames, as_image, method_of, worker_count
from galvo.compat.pyflowreg.util.io._arr import ArrayWriter
from galvo.compat.pyflowreg.util.io._base import VideoReader, VideoWriter
from galvo.compat.pyflowreg.util.io.hdf5 import HDF5FileWriter
from galvo.core.atomic import write_file
from galvo.core.cast import Cast
from galvo.errors import warn
from galvo.motion.variational.batches import BatchRegistration, FieldStatistics, Problem

__all__ = ["BatchMotionCorrector", "RegistrationConfig", "compensate_recording"]

_STOCK_EXECUTORS = (SequentialExecutor, ThreadingExecutor, MultiprocessingExecutor)
_PREFERRED = ("threading", "multiprocessing", "sequential")
_STOCK_SOLVER = optical_flow.get_displacement

ProgressCallback = Callable[[int, int], None]
BatchCallback = Callable[[NDArray[Any], int, int], None]


@dataclass
class RegistrationConfig:
    """How a run uses the machine.

    Attributes
    ----------
    n_jobs : int
        Frames worked on at once; -1: as many as `RuntimeContext` says.
    verbose : bool
        Tell on standard error how it goes.
    parallelization : str or None
        "threading", "multiprocessing", "sequential", or what was registered with `RuntimeContext`. Fields do not
        depend on it.
    """

    n_jobs: int = -1
    verbose: bool = False
    parallelization: str | None = None


class BatchMotionCorrector:
    """Registers a movie.

    Parameters
    ----------
    options : OFOptions
    config : RegistrationConfig, optional

    Attributes
    ----------
    mean_disp, max_disp, mean_div, mean_translation : list of float
        Of every frame, after `run`.
    reference_raw : ndarray or None
        The reference, float64 (H, W, C).
    reference_proc : ndarray or None
        What frames were compared with last, float32 (H, W, C).
    """

    def __init__(self, options: OFOptions, config: RegistrationConfig | None = None) -> None:
        self.options = options
        self.config = RegistrationConfig() if config is None else config
        self.mean_disp: list[float] = []
        self.max_disp: list[float] = []
        self.mean_div: list[float] = []
        self.mean_translation: list[float] = []
        self.reference_raw: NDArray[np.float64] | None = None
        self.reference_proc: NDArray[np.float32] | None = None
        self.video_reader: VideoReader | None = None
        self.video_writer: VideoWriter | None = None
        self.w_writer: VideoWriter | None = None
        self.idx_writer: VideoWriter | None = None
        self.progress_callbacks: list[ProgressCallback] = []
        self.w_callbacks: list[BatchCallback] = []
        self.registered_callbacks: list[BatchCallback] = []
        self._get_disp = options.resolve_get_displacement()
        self.n_workers = worker_count(self.config)
        self.executor = self._chosen_executor()
        if isinstance(self.executor, SequentialExecutor):
            self.n_workers = 1

    def register_progress_callback(self, callback: ProgressCallback) -> None:
        """Have ``callback(current, total)`` called after each frame."""
        _add(self.progress_callbacks, callback)

    def register_w_callback(self, callback: BatchCallback) -> None:
        """Have ``callback(fields, first, stop)`` called after each batch, with fields (T, H, W, 2)."""
        _add(self.w_callbacks, callback)

    def register_registered_callback(self, callback: BatchCallback) -> None:
        """Have ``callback(frames, first, stop)`` called after each batch, with registered frames (T, H, W, C)."""
        _add(self.registered_callbacks, callback)

    def run(self, reference_frame: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Register the movie of the options.

        Parameters
        ----------
        reference_frame : array (H, W) or (H, W, C), optional
            In place of that of the options.

        Returns
        -------
        ndarray, float64
            The reference.

        Raises
        ------
        GalvoError
            Input that cannot be read, options that do not fit it, or outputs that cannot be written. Nothing is half
            written: the outputs appear, whole, at the end.
        """
        options = self.options
        if self._is_file() or options.save_meta_info or options.save_valid_idx:
            Path(options.output_path).mkdir(parents=True, exist_ok=True)
        reader = self.video_reader = options.get_video_reader()
        with ExitStack() as stack:
            if reader is not options.input_file:
                stack.callback(reader.close)
            reference = options.get_reference_frame(reader, self.config) if reference_frame is None else reference_frame
            given = np.asarray(reference[0] if isinstance(reference, list) else reference, np.float64)
            channels = reader.n_channels
            self.reference_raw = as_image(given, channels)
            solved_here = self._get_disp is _STOCK_SOLVER and type(self.executor) in _STOCK_EXECUTORS
            registration = BatchRegistration(
                self.reference_raw,
                method_of(options, self.reference_raw.shape),
                threads=self.n_workers,
                solver=None if solved_here else self._by_executor,
            )
            self._open_writers(stack)
            self.executor.setup()
            stack.callback(self.executor.cleanup)
            self._tell(f"{len(reader)} frames, {self.n_workers} workers ({self.executor.name})")
            self._register(registration, reader)
            self.reference_proc = np.ascontiguousarray(registration.fixed)
            if options.save_meta_info:
                self._save_metadata(given)
        options.forget_closed_writer()
        return given

    def _register(self, registration: BatchRegistration, reader: VideoReader) -> None:
        frames = ReaderFrames(reader)
        total = len(frames)
        dtype = self.options.output_dtype(of_file=True) if self._is_file() else None
        cast = None if dtype is None else Cast(dtype.str, "clip")
        for first in range(0, total, reader.buffer_size):
            count = min(reader.buffer_size, total - first)
            kept: tuple[list[NDArray[Any]], list[NDArray[Any]]] = [], []
            for block in registration.register(frames, first, count):
                self._note(FieldStatistics.of(block.fields))
                self._write(block.frames if cast is None else cast.apply(block.frames), block.fields)
                for wanted, parts, what in (
                    (self.registered_callbacks, kept[0], block.frames),
                    (self.w_callbacks, kept[1], block.fields),
                ):
                    if wanted:
                        parts.append(what)
                for number in range(len(block.fields)):
                    self._call(self.progress_callbacks, first + block.first + number + 1, total)
            for callbacks, parts in ((self.registered_callbacks, kept[0]), (self.w_callbacks, kept[1])):
                if parts:
                    self._call(callbacks, np.concatenate(parts), first, first + count)
            self._tell(f"{first + count} of {total} frames")

    def _open_writers(self, stack: ExitStack) -> None:
        options = self.options
        kind = OutputFormat(options.output_format)
        folder = Path(options.output_path)
        self.video_writer = stack.enter_context(options.get_video_writer())
        if options.save_w:
            self.w_writer = stack.enter_context(
                ArrayWriter()
                if kind is OutputFormat.ARRAY
                else HDF5FileWriter(options.displacement_file(), dataset_names=["u", "v"])
            )
        if options.save_valid_idx:
            self.idx_writer = stack.enter_context(HDF5FileWriter(folder / "idx.hdf"))

    def _write(self, frames: NDArray[Any], fields: NDArray[np.float32]) -> None:
        if self.video_writer is not None:
            self.video_writer.write_frames(frames)
        if self.idx_writer is not None:
            self.idx_writer.write_frames(compute_batch_valid_masks(fields)[..., np.newaxis])
        if self.w_writer is not None:
            self.w_writer.write_frames(fields)

    def _is_file(self) -> bool:
        return OutputFormat(self.options.output_format) is not OutputFormat.ARRAY

    def _note(self, statistics: FieldStatistics) -> None:
        self.mean_disp += statistics.mean_length.tolist()
        self.max_disp += statistics.greatest_length.tolist()
        self.mean_div += statistics.mean_divergence.tolist()
        self.mean_translation += statistics.translation.tolist()

    def _save_metadata(self, reference: NDArray[np.float64]) -> None:
        folder = Path(self.options.output_path)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            mean_disp=np.array(self.mean_disp),
            max_disp=np.array(self.max_disp),
            mean_div=np.array(self.mean_div),
            mean_translation=np.array(self.mean_translation),
        )
        write_file(str(folder / "statistics.npz"), buffer.getvalue(), overwrite=True)
        buffer = io.BytesIO()
        np.save(buffer, reference)
        write_file(str(folder / "reference_frame.npy"), buffer.getvalue(), overwrite=True)
        self.options.save_options(folder / "options.json")

    # ---- who works ----------------------------------------------------------------------------------------------

    def _chosen_executor(self) -> BaseExecutor:
        wanted = self.config.parallelization
        own = self.options.get_displacement_impl is None and self.options.get_displacement_factory is None
        available = RuntimeContext.get_available_parallelization()
        supported = (get_backend_executors(self.options.flow_backend) if own else set(EXECUTORS)) & available
        # what somebody registered is for all solvers
        supported |= available - EXECUTORS
        found = (
            None if wanted is None or wanted not in supported else RuntimeContext.get_parallelization_executor(wanted)
        )
        if found is None:
            name = next((name for name in _PREFERRED if name in supported), "sequential")
            if wanted is not None:
                warn(f"the {wanted!r} executor is not there for this solver: {name!r} takes its place")
            found = RuntimeContext.get_parallelization_executor(name) or SequentialExecutor
        executor: BaseExecutor = found(n_workers=self.n_workers)
        return executor

    def _by_executor(self, problem: Problem) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Frames and fields of a solver that is not galvo's, or of an executor that is not."""
        options = self.options
        params = {**options.to_dict(), "weight": problem.weights}
        for name in ("gnc_schedule", "warping_steps"):
            if params[name] is None:
                # solvers may not know them
                del params[name]
        if options.cc_initialization:
            params |= {"cc_initialization": True, "cc_hw": options.cc_hw, "cc_up": options.cc_up}
        registered, fields = self.executor.process_batch(
            batch=problem.frames,
            batch_proc=problem.prepared,
            reference_raw=problem.reference,
            reference_proc=problem.fixed,
            w_init=problem.start,
            get_displacement_func=self._get_disp,
            imregister_func=imregister_wrapper,
            interpolation_method=str(getattr(options.interpolation_method, "value", options.interpolation_method)),
            progress_callback=None,
            flow_params=params,
        )
        return np.asarray(registered), np.asarray(fields, np.float32)

    def _call(self, callbacks: list[Any], *arguments: Any) -> None:
        for callback in callbacks:
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001 - a run of hours does not end for what it is only told
                warn(f"a callback failed: {type(error).__name__}: {error}")

    def _tell(self, text: str) -> None:
        if self.config.verbose:
            sys.stderr.write(f"{text}\n")


def compensate_recording(
    options: OFOptions, reference_frame: NDArray[Any] | None = None, config: RegistrationConfig | None = None
) -> NDArray[np.float64]:
    """Register the movie of `options`; `BatchMotionCorrector.run` has the details."""
    return BatchMotionCorrector(options, config).run(reference_frame)


def _add(callbacks: list[Any], callback: Any) -> None:
    if callback not in callbacks:
        callbacks.append(callback)
