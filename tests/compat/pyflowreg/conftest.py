"""Videos with known pixels, and which formats galvo can write here."""

from __future__ import annotations

import numpy as np
import pytest

from galvo.formats import REGISTRY


def _video(t=11, h=6, w=8, c=2, dtype="u2"):
    """(T, H, W, C): every pixel differs from its neighbours on each axis, and frames from their mean."""
    axes = np.ogrid[:t, :h, :w, :c]
    return ((axes[0] ** 2 * 7 + axes[1] * 31 + axes[2] * 3 + axes[3] * 101) % 199).astype(dtype)


@pytest.fixture
def video():
    return _video


@pytest.fixture
def needs():
    """Skips where galvo does not write a format."""

    def check(*names):
        for name in names:
            if name not in REGISTRY.all() or REGISTRY.get(name).sink is None:
                pytest.skip(f"galvo does not write {name} yet")

    return check
