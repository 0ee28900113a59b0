"""Files that MATLAB and other programs wrote, against SciPy and h5py."""

from __future__ import annotations

import re
import warnings

import h5py
import numpy as np
import pytest
import scipy.io

import galvo
from galvo.errors import FormatError, GalvoError, GalvoWarning
from galvo.testing.sandbox import run_case

LEVEL5 = (
    "MATjl_v7_array", "MATjl_v7_partial", "matio_test_be", "matio_test_be_v6", "matio_test_file", "matio_test_le",
    "matio_test_le_v6", "pymatreader_v4", "pymatreader_v6", "scipy_big_endian", "scipy_test_skip_variable",
    "scipy_testbool_8_WIN64", "scipy_testcomplex_4.2c_SOL2", "scipy_testdouble_4.2c_SOL2",
)  # fmt: skip
HIERARCHIES = (
    "MATjl_v7.3_complex", "MATjl_v7.3_partial", "extract/extract_public_output", "matio_test_file_hdf5",
    "matio_test_le_hdf5", "pymatreader_v73",
)  # fmt: skip
WITHOUT_ARRAYS = {
    "scipy_nasty_duplicate_fieldnames": "Summary 1x1 struct",
    "scipy_testcell_7.4_GLNX86": "testcell 1x4 cell",
    "scipy_testsparse_4.2c_SOL2": "testsparse sparse",
    "scipy_teststruct_7.4_GLNX86": "teststruct 1x1 struct",
}
BROKEN = ("scipy_corrupted_zlib_checksum", "scipy_malformed1")
TYPES = {"double": "f8", "single": "f4", "logical": "?"}
COMPLEX = {"f8": "c16", "f4": "c8"}
AXES = {2: "YX", 3: "YXT", 4: "YXZT", 5: "YXZCT"}


def path_of(sample_data, name):
    return sample_data / "mat" / f"{name}.mat"


def same(path, name, expected):
    """Whether galvo opens that variable as an oracle's array in MATLAB's dimensions."""
    with galvo.open(path, variable=name, axes=AXES[expected.ndim]) as rec:
        frames = rec[...]
    array = frames.transpose(3, 4, 2, 1, 0).reshape(expected.shape)
    assert array.dtype == expected.dtype.newbyteorder("="), name
    np.testing.assert_array_equal(array, expected, err_msg=name)


def test_every_file_is_tested(sample_data):
    there = {str(path.relative_to(sample_data / "mat"))[:-4] for path in (sample_data / "mat").rglob("*.mat")}
    assert there == {*LEVEL5, *HIERARCHIES, *WITHOUT_ARRAYS, *BROKEN}


@pytest.mark.parametrize("name", LEVEL5)
def test_arrays_are_those_of_scipy(sample_data, name):
    path = path_of(sample_data, name)
    with warnings.catch_warnings():
        # of duplicate names
        warnings.simplefilter("ignore")
        found = scipy.io.loadmat(path)
    classes = {title: kind for title, _, kind in scipy.io.whosmat(path)}
    compared = 0
    for title, value in found.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and 2 <= value.ndim <= 5 and value.size:
            # SciPy leaves small numbers in the type in which they are stored
            kind = TYPES.get(classes[title], classes[title])
            same(path, title, value.astype(COMPLEX[kind] if value.dtype.kind == "c" else kind))
            compared += 1
    assert compared


@pytest.mark.parametrize("name", HIERARCHIES)
def test_arrays_are_those_of_h5py(sample_data, name):
    path, compared = path_of(sample_data, name), 0
    expected = {}

    def visit(title, item):
        attributes = item.attrs
        kind = attributes.get("MATLAB_class", b"").decode()
        kinds = {"double": "f8", "single": "f4", "logical": "?", "char": None, "cell": None}
        hidden = title.startswith("#") or "MATLAB_empty" in attributes or "MATLAB_object_decode" in attributes
        sparse = "MATLAB_sparse" in item.parent.attrs
        if not isinstance(item, h5py.Dataset) or hidden or sparse or kinds.get(kind, kind) is None:
            return
        value = item[()].T
        if value.dtype.names == ("real", "imag"):
            value = value["real"] + 1j * value["imag"]
        elif kind:
            value = value.astype(kinds.get(kind, kind))
        if value.dtype.kind in "biufc" and value.ndim >= 2:
            expected[title] = value

    with h5py.File(path) as file:
        file.visititems(visit)
    # one file holds a hundred tables of the same kind
    for title in sorted(expected, key=lambda title: (-expected[title].ndim, title))[:60]:
        same(path, title, expected[title])
        compared += 1
    assert compared


@pytest.mark.parametrize("name", WITHOUT_ARRAYS)
def test_what_holds_no_array_is_listed(sample_data, name):
    with pytest.raises(FormatError, match=f"no array of numbers.*{WITHOUT_ARRAYS[name]}"):
        galvo.open(path_of(sample_data, name))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_errors_soon(sample_data, name):
    path = path_of(sample_data, name)

    def work():
        with galvo.open(path) as rec:
            rec[...]

    verdict = run_case(work, seconds=5)
    assert verdict.kind == "error", verdict


def test_discovery_on_each_file(sample_data):
    """The one array, or an error that lists them."""
    opened = set()
    for name in (*LEVEL5, *HIERARCHIES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GalvoWarning)
            try:
                galvo.open(path_of(sample_data, name)).close()
                opened.add(name)
            except GalvoError as error:
                told = str(error)
        assert name in opened or re.search(r"several variables could be the recording; found \w+ \d+x.*variable=", told)
    assert opened == {
        "MATjl_v7.3_complex", "MATjl_v7_array", "extract/extract_public_output", "pymatreader_v6", "pymatreader_v73",
        "scipy_big_endian", "scipy_test_skip_variable", "scipy_testbool_8_WIN64", "scipy_testcomplex_4.2c_SOL2",
        "scipy_testdouble_4.2c_SOL2",
    }  # fmt: skip
