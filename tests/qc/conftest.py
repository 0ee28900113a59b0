"""A correction whose report most tests read, made once."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import galvo
from galvo.testing.movie import TwoPhotonMovie

NOISY = 17


@pytest.fixture(scope="session")
def movie():
    """Two channels of moving tissue, (T, C, 1, Y, X); frame `NOISY` shows nothing of it."""
    pixels = TwoPhotonMovie(frames=40, height=48, width=64, elastic=0.7, seed=3).read(0, 40)[:, :, np.newaxis]
    pixels[NOISY] = np.random.default_rng(0).integers(0, 400, pixels.shape[1:])
    return pixels


@pytest.fixture(scope="session")
def corrected(tmp_path_factory, movie):
    """`folder`, `raw`, `movie`, `motion`, `page` of a corrected recording; the files stay as they are."""
    folder = tmp_path_factory.mktemp("corrected")
    metadata = galvo.Metadata(format="array", channel_names=("green", "red"), frame_rate_hz=20.0)
    galvo.save(galvo.core.recording.Recording.from_array(movie, metadata=metadata), folder / "raw.h5")
    with galvo.correct(folder / "raw.h5", folder / "out.h5") as correction:
        page = correction.report()
    return SimpleNamespace(
        folder=folder, raw=folder / "raw.h5", movie=folder / "out.h5", motion=folder / "out_motion.h5", page=page
    )
