"""A calibration as bytes: one .npz of plain arrays and a text, nothing that runs when it is read.

Its text `about` is JSON with the version, what is no array, and the report; every array is checked for its name, type
and shape, so that a file that was written by another program or damaged is an error and never a wrong field.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.errors import Malformed
from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.frames import Units
from galvo.motion.bayes.gradient import Gradient
from galvo.motion.bayes.knowledge import Knowledge
from galvo.motion.bayes.levels import SCALES, Level
from galvo.motion.bayes.noise_line import NoiseLine
from galvo.motion.bayes.report import BandReport, BayesReport
from galvo.motion.bayes.solver import Learned
from galvo.motion.bayes.temporal import TemporalPrior
from galvo.motion.bayes.track import Schedule

__all__ = ["from_bytes", "to_bytes"]

_KIND, _VERSION = "galvo bayes calibration", 1
_MOST_BYTES = 1 << 31
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OSError,
    EOFError,
    RecursionError,
    NotImplementedError,
    MemoryError,
)
_TEMPORAL = ("bands", "weights", "fraction", "noise", "energy")


def to_bytes(knowledge: Knowledge) -> bytes:
    """The bytes of a calibration."""
    basis = knowledge.levels[-1].basis
    about = {
        "kind": _KIND,
        "version": _VERSION,
        "height": basis.height,
        "width": basis.width,
        "channel_count": len(knowledge.weights),
        "scales": [level.scale for level in knowledge.levels],
        "units": asdict(knowledge.units),
        "schedule": asdict(knowledge.schedule),
        "temporal": knowledge.temporal is not None,
        "report": asdict(knowledge.report),
    }
    arrays: dict[str, NDArray[Any]] = {f"planes_{level.scale}": level.planes for level in knowledge.levels}
    arrays["weights"] = knowledge.weights
    arrays |= {name: getattr(knowledge.learned, name) for name in Learned.__slots__}
    if knowledge.temporal is not None:
        arrays |= {f"temporal_{name}": getattr(knowledge.temporal, name) for name in _TEMPORAL}
    stream = BytesIO()
    text = np.frombuffer(json.dumps(about, allow_nan=False).encode(), np.uint8)
    np.savez(stream, about=text, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def from_bytes(data: bytes, path: str | None = None) -> Knowledge:
    """The calibration of such bytes; `path` is where they are from, for errors.

    Raises
    ------
    Malformed
        Not a calibration, of a later version, or damaged.
    """
    try:
        about, arrays = _unpacked(data)
        if not isinstance(about, dict) or about.get("kind") != _KIND:
            raise Malformed("not a saved calibration of this estimator", expected=_KIND)
        if about.get("version") != _VERSION:
            raise Malformed("a calibration of another version", found=about.get("version"), expected=_VERSION)
        return _knowledge(about, arrays)
    except Malformed as error:
        raise Malformed(error.message, path=path, found=error.found, expected=error.expected) from None
    except _BROKEN as error:
        raise Malformed(f"not a saved calibration, or a damaged one: {error!r}", path=path) from None


def _unpacked(data: bytes) -> tuple[Any, dict[str, NDArray[Any]]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
            raise Malformed("a calibration cannot be that large", expected=f"{_MOST_BYTES} bytes")
    with np.load(BytesIO(data), allow_pickle=False) as stored:  # noqa: TID251
        arrays = {name: stored[name] for name in stored.files}
    return json.loads(arrays.pop("about").tobytes()), arrays


def _knowledge(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Knowledge:
    height, width, channels = (_count(about[name]) for name in ("height", "width", "channel_count"))
    scales = about["scales"]
    if not scales or scales != list(SCALES[-len(scales) :]):
        raise Malformed("a saved calibration has other levels", found=scales, expected=SCALES)
    basis = CosineBasis(height, width)
    grid = (2, *basis.grid)
    blocks = (-(-height // 8), -(-width // 8))
    shapes: dict[str, tuple[tuple[int, ...], str]] = {
        f"planes_{scale}": ((channels, 4, height // scale, width // scale), "f4") for scale in scales
    }
    shapes |= {"weights": ((channels,), "f8"), "phi": ((len(scales), channels), "f8"), "variance": (grid, "f8")}
    shapes |= {"active": (grid, "b1"), "information": ((len(scales), 3, *blocks), "f8")}
    if about["temporal"] is True:
        bands = len(arrays["temporal_bands"])
        shapes |= {"temporal_bands": ((bands,), "i8"), "temporal_weights": ((bands, 3, 3), "f8")}
        shapes |= {f"temporal_{name}": ((bands, 3), "f8") for name in _TEMPORAL[2:]}
    if shapes.keys() != arrays.keys():
        raise Malformed("the arrays of a saved calibration do not match", found=sorted(arrays), expected=sorted(shapes))
    for name, (shape, kind) in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.dtype(kind):
            raise Malformed(
                f"array {name} of a saved calibration", found=(array.dtype, array.shape), expected=(kind, shape)
            )
        if not np.isfinite(array).all():
            raise Malformed(f"array {name} of a saved calibration is not finite")
    if not (arrays["phi"] > 0).all() or not (arrays["variance"][arrays["active"]] > 0).all():
        raise Malformed("variances of a saved calibration must be positive")
    if not arrays["active"][:, 0, 0].all():
        raise Malformed("a saved calibration has no rigid motion")
    temporal = None
    if about["temporal"] is True:
        temporal = TemporalPrior(**{name: arrays[f"temporal_{name}"] for name in _TEMPORAL})
    schedule = about["schedule"]
    steps = tuple(_count(step) for step in schedule["steps"])
    if len(steps) != len(scales):
        raise Malformed("steps of a saved calibration", found=steps, expected=f"{len(scales)} numbers")
    return Knowledge(
        tuple(Level(scale, arrays[f"planes_{scale}"], basis) for scale in scales),
        arrays["weights"],
        Units(float(about["units"]["offset"]), float(about["units"]["scale"])),
        Learned(**{name: arrays[name] for name in Learned.__slots__}),
        temporal,
        Schedule(steps, bool(schedule["cubic"])),
        _report(about["report"]),
    )


def _report(values: dict[str, Any]) -> BayesReport:
    return BayesReport(
        **values
        | {
            "noise": tuple(NoiseLine(**line) for line in values["noise"]),
            "gradients": tuple(Gradient(**gradient) for gradient in values["gradients"]),
            "scales": tuple(values["scales"]),
            "phi": tuple(tuple(level) for level in values["phi"]),
            "bands": tuple(BandReport(**band | {"order": tuple(band["order"])}) for band in values["bands"]),
            "remarks": tuple(values["remarks"]),
        }
    )


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 20:
        raise Malformed("a number of a saved calibration", found=repr(value)[:40], expected="a positive integer")
    return value
