"""The family of errors: what they are, what they carry, how they print."""

from __future__ import annotations

import inspect
import pickle
import re
import warnings
from pathlib import Path

import pytest

from galvo import Limits, errors
from galvo.errors import GalvoError, GalvoWarning, LimitExceeded, Malformed, OptionError, warn

FAMILY = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, GalvoError)]


@pytest.mark.parametrize("kind", FAMILY)
def test_each_carries_and_prints_everything(kind):
    error = kind("it is wrong", path=Path("/data/a.tif"), offset=12, found=3, expected="4", hint="Try again")
    assert error.message == "it is wrong"
    assert error.path == str(Path("/data/a.tif"))
    assert (error.offset, error.found, error.expected, error.hint) == (12, 3, "4", "Try again")
    assert str(error).replace("\\", "/") == "/data/a.tif at byte 12: it is wrong; found 3; expected 4. Try again"
    assert str(kind("it is wrong")) == "it is wrong"
    assert str(kind("it is wrong", found=0)) == "it is wrong; found 0"


@pytest.mark.parametrize("kind", FAMILY)
def test_each_survives_pickling(kind):
    error = kind("it is wrong", path="a.tif", offset=1, found=[1, 2], expected=(3,), hint="Try again")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("kind", FAMILY)
def test_each_has_a_docstring_and_a_name_outside(kind):
    assert inspect.getdoc(kind)
    assert kind.__name__ in errors.__all__
    with pytest.raises(kind):
        raise kind("x")


def test_the_tree_is_the_one_in_the_docstring():
    lines = re.findall(r"^\s*([│ ]*)(?:[├└]── )?(\w+)(?: \(([\w, ]+)\))?", errors.__doc__, re.MULTILINE)
    told = {name: parents for _, name, parents in lines if hasattr(errors, name)}
    assert {kind.__name__ for kind in FAMILY} | {"GalvoWarning"} == set(told)
    builtins = __import__("builtins")
    for name, parents in told.items():
        for parent in filter(None, parents.split(", ")):
            assert issubclass(getattr(errors, name), getattr(builtins, parent)), name
    assert issubclass(errors.Truncated, errors.FormatError)
    assert issubclass(errors.NoSpace, errors.WriteError)


def test_control_characters_from_outside_are_not_printed():
    error = Malformed("a\x1b[31mb\n", path="evil\nname\x07", found="x\r", hint="h\0")
    assert str(error).isprintable()
    assert "\\x1b[31m" in str(error)
    assert "µ" in str(Malformed("µ ok"))


def test_warnings_point_at_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn("something \x07 odd")
    assert caught[0].category is GalvoWarning
    assert caught[0].filename == __file__
    assert str(caught[0].message) == "something \\x07 odd"


def test_limits():
    limits = Limits(frame_bytes=100)
    limits.check("frame_bytes", 100)
    with pytest.raises(LimitExceeded) as caught:
        limits.check("frame_bytes", 101, path="a.tif", offset=4)
    assert "frame bytes above the limit; found 101; expected at most 100" in str(caught.value)
    assert "galvo.Limits(frame_bytes=101)" in caught.value.hint
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", None])
def test_limits_that_are_none(value):
    with pytest.raises(OptionError, match="page_count must be a positive integer"):
        Limits(page_count=value)


def test_limits_are_frozen_and_equal_by_value():
    with pytest.raises(AttributeError):
        Limits().frame_bytes = 1
    assert Limits() == Limits()
    assert pickle.loads(pickle.dumps(Limits(text_bytes=7))) == Limits(text_bytes=7)
