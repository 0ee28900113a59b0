"""The shipped suite on GIFs."""

from __future__ import annotations

import numpy as np

import galvo
from galvo.testing.conformance import Case, FormatConformance


class TestGif(FormatConformance):
    format_name = "gif"
    every = 2
    written_dtype = "u1"
    written_axes = "TYX"
    write_dtypes = ("u1",)

    def cases(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 1, 20, 24)).astype("u1")
        for name, frames in (("several", pixels), ("single", pixels[:1])):
            path = tmp_path / name / f"{name}.gif"
            path.parent.mkdir()
            galvo.save(frames, path)
            yield Case(paths=[path], pixels=frames, boundaries=[6, 13, 781, 800])
