import numpy as np
import pytest

BAR_LEVEL = 240


@pytest.fixture
def bright_runs():
    """Row, column and length of every horizontal run of a scale bar's level that is longer than strokes of letters."""

    def found(gray):
        runs = []
        for row, line in enumerate(gray):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], line == BAR_LEVEL, [0]])))
            runs += [(row, int(start), int(stop - start)) for start, stop in edges.reshape(-1, 2) if stop - start > 15]
        return runs

    return found
