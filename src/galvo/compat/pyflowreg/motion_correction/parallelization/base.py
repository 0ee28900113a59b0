"""pyflowreg.motion_correction.parallelization.base: what every executor does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg._runtime import RuntimeContext
from galvo.core.cast import Cast
from galvo.motion.variational.prealignment import phase_shift

__all__ = ["BaseExecutor", "FrameExecutor", "FrameTask"]

Batch = tuple[NDArray[Any], NDArray[Any], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

_SUFFIX = "executor"


class BaseExecutor(ABC):
    """Registers the frames of a batch, each by itself.

    Parameters
    ----------
    n_workers : int, optional
        Frames worked on at once; as many as `RuntimeContext` says by default.
    """

    def __init__(self, n_workers: int | None = None) -> None:
        self.n_workers = int(RuntimeContext.get("max_workers", 1)) if n_workers is None else n_workers
        self.name = self._own_name()

    @classmethod
    def _own_name(cls) -> str:
        return cls.__name__.lower().removesuffix(_SUFFIX)

    @classmethod
    def register(cls) -> None:
        """Make the executor known under its name: that of the class without "Executor"."""
        RuntimeContext.register_parallelization_executor(cls._own_name(), cls)

    @abstractmethod
    def process_batch(
        self,
        batch: NDArray[Any],
        batch_proc: NDArray[Any],
        reference_raw: NDArray[Any],
        reference_proc: NDArray[Any],
        w_init: NDArray[Any],
        get_displacement_func: Callable[..., Any],
        imregister_func: Callable[..., Any],
        interpolation_method: str = "cubic",
        progress_callback: Callable[[int], None] | None = None,
        **kwargs: Any,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Registered frames, in the dtype of `batch`, and fields, float32 (T, H, W, 2).

        Parameters
        ----------
        batch, batch_proc : array (T, H, W, C)
            Frames as they are, and made comparable.
        reference_raw, reference_proc : array (H, W, C)
        w_init : array (H, W, 2)
            Where every frame begins.
        get_displacement_func, imregister_func : callable
            With the arguments of `get_displacement` and `imregister_wrapper`.
        interpolation_method : str
        progress_callback : callable, optional
            Called with 1 for every frame that is done.
        **kwargs
            ``flow_params``, a dict, or parameters of `get_displacement_func` themselves.
        """

    def setup(self) -> None:  # noqa: B027 - most have nothing to do
        """Get ready for batches."""

    def cleanup(self) -> None:  # noqa: B027
        """Let go of workers."""

    def __enter__(self) -> Self:
        self.setup()
        return self

    def __exit__(self, *error: object) -> None:
        self.cleanup()

    def get_info(self) -> dict[str, Any]:
        """Name, type, workers and whether they are several."""
        return {
            "name": self.name,
            "type": type(self).__name__,
            "n_workers": self.n_workers,
            "parallel": self.n_workers > 1,
        }

    def _normalize_inputs(
        self,
        batch: NDArray[Any],
        batch_proc: NDArray[Any],
        reference_raw: NDArray[Any],
        reference_proc: NDArray[Any],
        w_init: NDArray[Any],
    ) -> Batch:
        """The inputs with an axis for channels, and all but the frames as float32."""
        frames = batch if batch.ndim == 4 else batch[..., np.newaxis]
        proc = np.asarray(batch_proc, np.float32)
        images = [np.asarray(image, np.float32) for image in (reference_raw, reference_proc)]
        raw, fixed = (image if image.ndim == 3 else image[..., np.newaxis] for image in images)
        return frames, proc if proc.ndim == 4 else proc[..., np.newaxis], raw, fixed, np.asarray(w_init, np.float32)


class FrameTask:
    """What happens to a frame of a batch; can be pickled where its functions can."""

    def __init__(
        self,
        reference_raw: NDArray[Any],
        reference_proc: NDArray[np.float32],
        w_init: NDArray[np.float32],
        get_displacement: Callable[..., Any],
        imregister: Callable[..., Any],
        interpolation_method: str,
        params: dict[str, Any],
    ) -> None:
        params = {
            **{key: value for key, value in params.items() if key != "flow_params"},
            **params.get("flow_params", {}),
        }
        self._prealigned = bool(params.pop("cc_initialization", False))
        rows, columns = np.broadcast_to(np.asarray(params.pop("cc_hw", 256)), 2).tolist()
        self._most = rows, columns
        self._upsampling = int(params.pop("cc_up", 1))
        self._params = params
        self._reference_raw, self._reference_proc, self._w_init = reference_raw, reference_proc, w_init
        self._get_displacement, self._imregister = get_displacement, imregister
        self._interpolation = interpolation_method

    def __call__(self, frame: NDArray[Any], prepared: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """The frame (H, W, C), registered, and its field (H, W, 2)."""
        fixed, start = self._reference_proc, self._w_init
        if self._prealigned:
            before = start + phase_shift(
                fixed,
                self._moved(prepared, start, fixed, "linear"),
                most=self._most,
                upsampling=self._upsampling,
                weights=self._params.get("weight"),
            )
            moved = self._moved(prepared, before, fixed, "linear")
            flow = before + np.asarray(
                self._get_displacement(fixed, moved, uv=np.zeros_like(start), **self._params), np.float32
            )
        else:
            flow = np.asarray(self._get_displacement(fixed, prepared, uv=start, **self._params), np.float32)
        registered = self._moved(frame, flow, self._reference_raw, self._interpolation)
        return Cast(frame.dtype.str, "clip").apply(registered), flow

    def _moved(
        self, frame: NDArray[Any], flow: NDArray[np.float32], fill: NDArray[Any], interpolation: str
    ) -> NDArray[Any]:
        moved: NDArray[Any] = np.asarray(self._imregister(frame, flow[..., 0], flow[..., 1], fill, interpolation))
        return moved.reshape(frame.shape)

    @property
    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Those of the caller."""
        return self._get_displacement, self._imregister


Done = tuple[slice, NDArray[Any], NDArray[np.float32]]


class FrameExecutor(BaseExecutor):
    """An executor that says where a `FrameTask` runs; everything around it is the same for all."""

    @abstractmethod
    def _done(self, task: FrameTask, frames: NDArray[Any], prepared: NDArray[np.float32]) -> Iterator[Done]:
        """Frames that are done, in order: where they belong, (T, H, W, C) registered, and fields (T, H, W, 2)."""

    def process_batch(
        self,
        batch: NDArray[Any],
        batch_proc: NDArray[Any],
        reference_raw: NDArray[Any],
        reference_proc: NDArray[Any],
        w_init: NDArray[Any],
        get_displacement_func: Callable[..., Any],
        imregister_func: Callable[..., Any],
        interpolation_method: str = "cubic",
        progress_callback: Callable[[int], None] | None = None,
        **kwargs: Any,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """As `BaseExecutor.process_batch`."""
        frames, prepared, raw, fixed, start = self._normalize_inputs(
            batch, batch_proc, reference_raw, reference_proc, w_init
        )
        task = FrameTask(raw, fixed, start, get_displacement_func, imregister_func, interpolation_method, kwargs)
        registered, fields = np.empty_like(frames), np.empty((*frames.shape[:3], 2), np.float32)
        for where, moved, flow in self._done(task, frames, prepared):
            registered[where], fields[where] = moved, flow
            if progress_callback is not None:
                progress_callback(where.stop - where.start)
        return registered.reshape(batch.shape), fields
