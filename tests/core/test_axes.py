"""Which axis of an array is which."""

from __future__ import annotations

import pytest

from galvo.core.axes import array_axes
from galvo.errors import OptionError


@pytest.mark.parametrize(("ndim", "axes"), [(2, "YX"), (3, "TYX"), (5, "TCZYX")])
def test_defaults(ndim, axes):
    assert array_axes((2,) * ndim) == axes


@pytest.mark.parametrize("ndim", [0, 1, 4, 6])
def test_other_numbers_of_axes_need_names(ndim):
    with pytest.raises(OptionError, match="which axis is which"):
        array_axes((2,) * ndim)


@pytest.mark.parametrize(("shape", "axes"), [((1, 2, 3, 4), "tcyx"), ((3, 4), "XY"), ((1, 2, 3, 4), "ZTYX")])
def test_named(shape, axes):
    assert array_axes(shape, axes) == axes.upper()


@pytest.mark.parametrize("axes", ["", "YX", "TCYY", "TCZX", "TQYX", "TCZYX", "TCZY"])
def test_names_that_do_not_fit(axes):
    with pytest.raises(OptionError, match="do not fit"):
        array_axes((1, 2, 3, 4), axes)
