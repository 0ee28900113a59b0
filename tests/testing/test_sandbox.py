"""Cases that share a fork: each gets its own verdict, whatever happened to the one before."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import pytest

from galvo.errors import FormatError
from galvo.testing.sandbox import run_cases

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def leaves():
    os.write(2, b"said")
    os._exit(3)


def refuses():
    raise FormatError("no such format", path="a.tif")


def test_cases_together():
    hangs, late = partial(time.sleep, 9), partial(time.sleep, 0.3)
    cases = [os.getpid, os.getpid, refuses, dies, os.getpid, hangs, leaves, lambda: {}[1], late, os.getpid]
    kinds = ["value", "value", "error", "signal", "value", "timeout", "foreign", "foreign", "timeout", "value"]
    found = dict(run_cases(cases, seconds=0.2, together=4, processes=2))
    assert sorted(found) == list(range(len(cases)))
    assert [found[number].kind for number in range(len(cases))] == kinds
    assert found[0].value == found[1].value != os.getpid()
    assert found[0].value != found[4].value
    assert found[2].value == "FormatError"
    assert found[3].detail.startswith("SIGKILL")
    assert "said" in found[6].detail
    assert "KeyError" in found[7].detail
    assert "most recent call first" in found[5].detail
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_large_answers():
    found = dict(run_cases([partial(str.__mul__, "x", n) for n in (1 << 20, 3, 1 << 18)], together=3))
    assert [len(found[number].value) for number in range(3)] == [1 << 20, 3, 1 << 18]
