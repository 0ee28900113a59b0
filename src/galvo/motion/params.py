"""What a user may ask of motion estimation: plain values, checked when they are set, JSON in and out."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from galvo.errors import OptionError

Preset = Literal["fast", "balanced", "quality"]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Values(BaseModel):
    """Frozen values; an unknown name or a value out of range is a `pydantic.ValidationError` that names the field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class VariationalParams(Values):
    """The variational estimator: Brox et al. 2004 with the constraint normalisation of Zimmer et al. 2011."""

    schedule: Literal["lean", "compat"] = "lean"
    """`lean`: every third pyramid level, short solves. `compat`: the schedule whose fields equal PyFlowReg's."""
    data_term: Literal["gradient", "brightness", "census"] = "gradient"
    """What is compared: gradients, pixels, or the signs of their differences from their neighbours."""
    alpha: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (25.0, 25.0)
    """Weight of the smoothness term along x and along y."""
    iterations: Annotated[int, Field(gt=0)] | None = None
    """Sweeps per level; None: 50 in `compat`, 20 in `lean`."""
    update_lag: Annotated[int, Field(gt=0)] = 5
    """Sweeps between two updates of the robust weights."""
    levels: Annotated[int, Field(gt=0)] = 100
    """Largest depth of the pyramid."""
    min_level: Annotated[int, Field(ge=0)] | None = None
    """Finest level that is solved, 0 being the full resolution; None: 6 (fast), 4 (balanced), 0 (quality)."""
    eta: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Ratio of the sizes of neighbouring levels."""
    a_data: Annotated[float, Field(gt=0, le=1)] = 0.45
    """Exponent of the robust data term; 1 is quadratic."""
    a_smooth: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Exponent of the robust smoothness term; 1 is quadratic."""
    presmoothing: tuple[Weight, Weight] = (1.0, 1.0)
    """Standard deviation in pixels along y and x of the Gaussian before estimation."""
    gnc_schedule: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = None
    """Graduated non-convexity (Blake & Zisserman 1987): how robust each stage is, 0 quadratic to 1 as stated."""
    warping_steps: Annotated[int, Field(gt=0)] = 10
    """Warps per level under graduated non-convexity."""


class MotionParams(Values):
    """How motion is estimated.

    The default estimator has no smoothness knob: what it needs it learns from the recording.
    """

    estimator: Literal["bayes", "variational", "rigid", "custom"] = "bayes"
    """`custom`: a function of the caller's own, `galvo.correct(..., flow=...)`."""
    preset: Preset = "balanced"
    """How much work a frame is worth: `fast`, `balanced` or `quality`."""
    channel_weights: tuple[Weight, ...] | None = None
    """Weight of each channel's evidence, one per channel; None: what each channel's noise says (`bayes`), or equal."""
    variational: VariationalParams = VariationalParams()
    """What only the estimator `variational` takes."""

    @model_validator(mode="after")
    def _some_channel_counts(self) -> Self:
        if self.channel_weights is not None and not any(self.channel_weights):
            raise ValueError("channel_weights: at least one channel needs a weight above 0")
        return self

    def weights_of(self, channel_count: int) -> tuple[float, ...] | None:
        """`channel_weights`; `OptionError` where there are others than `channel_count`."""
        if self.channel_weights is not None and len(self.channel_weights) != channel_count:
            raise OptionError(
                "every channel needs a weight",
                found=f"{len(self.channel_weights)} channel_weights",
                expected=f"{channel_count} channels",
            )
        return self.channel_weights


def checked_params(values: Mapping[str, Any] | str | bytes, path: str | None = None) -> MotionParams:
    """Parameters from plain values, or from their JSON.

    Parameters
    ----------
    values : mapping, or JSON
    path : str, optional
        The file that they come from.

    Raises
    ------
    OptionError
        They are none; the message names the first that is wrong.
    """
    try:
        if isinstance(values, str | bytes):
            return MotionParams.model_validate_json(values)
        return MotionParams.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise OptionError(
            f"parameters of motion: {name + ': ' if name else ''}{first['msg'][:1].lower()}{first['msg'][1:]}",
            path=path,
            found=None if first["type"] in ("json_invalid", "value_error") else repr(first["input"])[:80],
            expected=None if name else "names and values of galvo.motion.MotionParams",
        ) from None
