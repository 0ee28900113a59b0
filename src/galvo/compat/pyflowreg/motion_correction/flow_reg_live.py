"""pyflowreg.motion_correction.flow_reg_live: frames registered as they come."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.motion_correction.compensate_arr import compensate_arr
from galvo.compat.pyflowreg.motion_correction.compensate_recording import RegistrationConfig
from galvo.compat.pyflowreg.motion_correction.OF_options import OFOptions, QualitySetting
from galvo.compat.pyflowreg.motion_correction.runs import as_image, method_of
from galvo.compat.pyflowreg.util.image_processing import (
    apply_gaussian_filter,
    gaussian_filter_1d_half_kernel,
    normalize,
)
from galvo.errors import OptionError
from galvo.motion.variational.batches import registered_frames

__all__ = ["FlowRegLive"]


class FlowRegLive:
    """Registers one frame after another against a reference that follows slowly.

    Parameters
    ----------
    options : OFOptions, optional
        Their quality is "fast", unless `min_level` says otherwise.
    reference_buffer_size : int
        Frames that are kept for `set_reference` while there is no reference.
    reference_update_interval : int
        After how many frames the reference follows.
    reference_update_weight : float
        By how much, 0 to 1.
    truncate : float
        Where Gaussians are cut, in standard deviations.
    **kwargs
        Options.
    """

    def __init__(
        self,
        options: OFOptions | None = None,
        reference_buffer_size: int = 50,
        reference_update_interval: int = 20,
        reference_update_weight: float = 0.2,
        truncate: float = 4.0,
        **kwargs: Any,
    ) -> None:
        if options is None:
            self.options = OFOptions(**{"quality_setting": QualitySetting.FAST, **kwargs})
        else:
            values = {name: getattr(options, name) for name in OFOptions.model_fields}
            self.options = OFOptions(**{**values, **kwargs, "quality_setting": QualitySetting.FAST})
        self.truncate = truncate
        self.reference_update_interval = reference_update_interval
        self.reference_update_weight = reference_update_weight
        self.reference_buffer: deque[NDArray[Any]] = deque(maxlen=reference_buffer_size)
        self.sigma = np.asarray(self.options.sigma, np.float64).reshape(-1, 3)
        self.sigma_2d = self.sigma[0, :2]
        self.sigma_t = float(self.sigma[:, 2].max())
        self.temporal_buffer: deque[NDArray[np.float64]] = deque(maxlen=int(truncate * self.sigma_t + 0.5) + 1)
        self.reference_raw: NDArray[np.float64] | None = None
        self.reference_proc: NDArray[np.float64] | None = None
        self.frame_count = 0
        self.last_flow: NDArray[np.float32] | None = None
        self._get_disp = self.options.resolve_get_displacement()
        self._params: dict[str, Any] = {}

    def set_reference(self, frames: NDArray[Any] | None = None) -> None:
        """Begin with a reference.

        Parameters
        ----------
        frames : array (H, W), (H, W, C) or (T, H, W, C), optional
            An image, or frames that are registered to their mean and averaged; by default those that came so far.

        Raises
        ------
        ValueError
            No frames have come.
        """
        if frames is None:
            if not self.reference_buffer:
                raise OptionError("no frames have come that could make a reference")
            frames = np.stack(self.reference_buffer)
        if frames.ndim < 4:
            self.reset_reference(frames)
        elif len(frames) == 1:
            self.reset_reference(frames[0])
        else:
            mean = frames.mean(axis=0, dtype=np.float64)
            options = self.options.copy()
            options.quality_setting = QualitySetting.BALANCED
            options.output_typename = "double"
            registered, _ = compensate_arr(frames, mean, options, registration_config=RegistrationConfig())
            self.reset_reference(registered.mean(axis=0))

    def reset_reference(self, new_reference: NDArray[Any]) -> None:
        """Take an image (H, W) or (H, W, C) as reference, and forget the last field and the last frames."""
        image = np.asarray(new_reference, np.float64)
        self.reference_raw = image[..., np.newaxis] if image.ndim == 2 else image
        self.reference_proc = self._smooth(self._normalized(self.reference_raw))
        self._params = {
            key: value for key, value in self.options.to_dict().items() if key not in ("weight", "min_level")
        }
        self._params["min_level"] = self.options.effective_min_level
        self._params["weight"] = method_of(self.options, self.reference_raw.shape).weights
        for name in ("gnc_schedule", "warping_steps"):
            if self._params[name] is None:
                del self._params[name]
        self.temporal_buffer.clear()
        self.reference_buffer.clear()
        self.last_flow = None
        self.frame_count = 0

    def __call__(self, frame: NDArray[Any], normalize: bool = True) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Register a frame (H, W) or (H, W, C).

        Parameters
        ----------
        frame : array
        normalize : bool
            False: the frame has the range of the normalised reference, 0 to 1, already.

        Returns
        -------
        registered : ndarray, float32 (H, W, C)
            The frame itself while there is no reference.
        flow : ndarray, float32 (H, W, 2)
        """
        raw = np.asarray(frame)
        raw = raw[..., np.newaxis] if raw.ndim == 2 else raw
        if self.reference_raw is None or self.reference_proc is None:
            self.reference_buffer.append(raw.copy())
            return raw.astype(np.float32), np.zeros((*raw.shape[:2], 2), np.float32)
        as_image(raw, self.reference_raw.shape[2])
        self.temporal_buffer.append(self._smooth(self._normalized(raw) if normalize else raw.astype(np.float64)))
        prepared = gaussian_filter_1d_half_kernel(self.temporal_buffer, self.sigma_t, truncate=self.truncate)
        start = np.zeros((*raw.shape[:2], 2), np.float32) if self.last_flow is None else self.last_flow
        flow = np.asarray(self._get_disp(self.reference_proc, prepared, uv=start, **self._params), np.float32)
        registered = self._moved(raw.astype(np.float32), flow, self.reference_raw)
        self.last_flow = flow
        self.frame_count += 1
        if self.reference_update_interval > 0 and self.frame_count % self.reference_update_interval == 0:
            share = self.reference_update_weight
            moved = self._moved(np.asarray(prepared, np.float32), flow, self.reference_proc)
            self.reference_raw = (1 - share) * self.reference_raw + share * registered
            self.reference_proc = (1 - share) * self.reference_proc + share * moved
        return registered, flow

    def register_frames(self, frames: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Register frames (T, H, W) or (T, H, W, C) in their order: (T, H, W, C) and (T, H, W, 2)."""
        results = [self(frame) for frame in frames]
        return np.stack([registered for registered, _ in results]), np.stack([flow for _, flow in results])

    def get_current_flow(self) -> NDArray[np.float32] | None:
        """The last field, (H, W, 2); None before there is one."""
        return None if self.last_flow is None else self.last_flow.copy()

    def set_flow_init(self, w_init: NDArray[Any]) -> None:
        """Begin the next frame with a field (H, W, 2)."""
        self.last_flow = np.array(w_init, np.float32)

    def _normalized(self, image: NDArray[Any]) -> NDArray[np.float64]:
        separate = self.options.channel_normalization == "separate"
        return normalize(image, self.reference_raw, "separate" if separate else "together")

    def _smooth(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        return apply_gaussian_filter(image, self.sigma, truncate=self.truncate)

    def _moved(
        self, frame: NDArray[np.float32], flow: NDArray[np.float32], fill: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        moved = registered_frames(frame[np.newaxis], flow[np.newaxis], fill, "cubic", 1)[0]
        result: NDArray[np.float32] = moved.astype(np.float32, copy=False)
        return result
