"""The shipped suite on the format of another package; run by `test_plugin.py` where that package is installed."""

from __future__ import annotations

import galvo_dummy
import numpy as np

from galvo.testing.conformance import Case, FormatConformance


class TestDummy(FormatConformance):
    format_name = "dummy"
    kept_metadata = ()
    stores_checksums = False

    def cases(self, tmp_path):
        for number, shape in enumerate([(5, 2, 3, 6, 7), (1, 1, 1, 1, 1), (11, 1, 1, 8, 4)]):
            pixels = np.random.default_rng(number).integers(0, 99, shape).astype("<u2")
            path = tmp_path / f"d{number}" / "x.dummy"
            path.parent.mkdir()
            path.write_bytes(galvo_dummy.HEADER.pack(galvo_dummy.MAGIC, *shape, b"<u2 ") + pixels.tobytes())
            nbytes = pixels[0, 0, 0].nbytes
            frames = range(32, 32 + pixels.nbytes, nbytes)
            own = [range(first, first + nbytes) for first in frames]
            yield Case(paths=[path], pixels=pixels, boundaries=[8, *frames], frame_bytes=own)
