"""What ``galvo info`` and ``galvo verify`` say of the file of a motion, which is no recording."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from galvo.cli.screen import Row, say
from galvo.text import count_text

__all__ = ["describe_motion", "is_motion", "motion_rows", "verify_motion_file"]

_SUFFIXES: Final = (".h5", ".hdf5")


def is_motion(source: str) -> bool:
    """Whether a source is the file of a motion."""
    if not source.lower().endswith(_SUFFIXES) or not os.path.isfile(source):
        return False
    from galvo.motion.stored import holds_motion

    return holds_motion(source)


def describe_motion(source: str) -> dict[str, Any]:
    """The facts of a motion, as JSON has them."""
    import numpy as np

    from galvo.motion import open_correction

    correction = open_correction(source)
    t, z, y, x = correction.motion.shape
    facts = correction.motion.facts
    quality = {
        name: {"median": float(np.median(values)), "min": float(values.min()), "max": float(values.max())}
        for name, values in correction.quality.items()
    }
    return {
        "source": source,
        "format": "motion",
        "frame_count": t,
        "plane_count": z,
        "height": y,
        "width": x,
        "solver_shape": list(facts.expansion.solver_shape),
        "params": dict(facts.params),
        "provenance": dict(facts.provenance),
        "quality": quality,
        "remarks": correction.remarks(),
    }


def motion_rows(facts: dict[str, Any]) -> Iterator[Row]:
    """What people want to know of a motion."""
    params, provenance, quality = facts["params"], facts["provenance"], facts["quality"]
    h, w = facts["solver_shape"]
    yield Row("format", (f"motion of a recording, fields of {h} x {w}",))
    planes = "" if facts["plane_count"] == 1 else f" of {count_text(facts['plane_count'], 'plane')}"
    yield Row("frames", (f"{facts['frame_count']:,}{planes}, {facts['height']} x {facts['width']} pixels",))
    yield Row("estimator", (f"{params.get('estimator')}, {params.get('preset')}",))
    if provenance.get("channels"):
        yield Row("channels", (", ".join(map(str, provenance["channels"])),))
    files = [str(entry[0]) for entry in provenance.get("source_files") or ()]
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        yield Row("source", (files[0] + more,))
    lengths, correlation = quality["max_px"], quality["correlation"]
    yield Row("motion", (f"greatest displacements: median {lengths['median']:.2f} px, most {lengths['max']:.2f} px",))
    told = f"correlation with the reference: median {correlation['median']:.3f}, lowest {correlation['min']:.3f}"
    yield Row("quality", (told,))
    if facts["remarks"]:
        yield Row("remarks", tuple(facts["remarks"]), alarming=True)


def verify_motion_file(source: str) -> None:
    """Check a motion against its checksums and say that it is intact."""
    from galvo.motion import verify_motion

    blocks = verify_motion(source)
    say("intact", f"{source}: all checksums match, {count_text(blocks, 'block')} of motion read")
