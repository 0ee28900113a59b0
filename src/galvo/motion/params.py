"""What a user may ask of motion estimation: plain values, checked when they are set, JSON in and out."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
