"""Opening with the warnings that a test expects."""

from __future__ import annotations

import re
import warnings

import pytest

import galvo
from galvo.errors import GalvoWarning


@pytest.fixture
def open_warned():
    """Opens a source; each of the patterns must match one warning, and there may be no other."""

    def open_(source, *patterns, **options) -> galvo.Recording:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rec = galvo.open(source, **options)
        messages = [str(warning.message) for warning in caught]
        try:
            assert all(issubclass(warning.category, GalvoWarning) for warning in caught)
            assert all(warning.filename == __file__ for warning in caught), "it points elsewhere"
            assert len(messages) == len(patterns), messages
            for pattern in patterns:
                assert sum(re.search(pattern, message) is not None for message in messages) == 1, (pattern, messages)
        except AssertionError:
            rec.close()
            raise
        return rec

    return open_
