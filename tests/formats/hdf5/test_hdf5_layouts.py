"""Layouts on request, as h5py sees them and as galvo reads them back."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

import galvo
from galvo.errors import GalvoWarning, OptionError

RNG = np.random.default_rng(0)
PLANAR = RNG.integers(-300, 3000, (7, 2, 1, 6, 5)).astype("<i2")
VOLUMES = RNG.integers(0, 3000, (5, 2, 3, 6, 5)).astype("<u2")


def seen(path):
    """Datasets outside /galvo by name, as h5py reads them."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("galvo"):
            found[name] = (item[...], item.chunks, item.attrs.get("axes"))

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("chunk_size", [None, 1, 3, 100])
@pytest.mark.parametrize(
    ("ordering", "axes"),
    [((1, 2, 0), "TYX"), ((0, 1, 2), "YXT"), ((2, 1, 0), "TXY"), ((2, 0, 1), "XTY"), ((0, 2, 1), "YTX")],
)
def test_orders_of_the_axes(tmp_path, ordering, axes, chunk_size):
    path = tmp_path / "out.h5"
    galvo.save(PLANAR, path, dimension_ordering=ordering, chunk_size=chunk_size, verify=True, block_bytes=200)
    found = seen(path)
    assert list(found) == ["ch1", "ch2"]
    for channel, (pixels, chunks, stated) in enumerate(found.values()):
        expected = PLANAR[:, channel, 0].transpose(["TYX".index(letter) for letter in axes])
        np.testing.assert_array_equal(pixels, expected)
        assert stated == axes
        assert chunks[axes.index("T")] == {None: 7, 1: 1, 3: 3, 100: 7}[chunk_size]
    with h5py.File(path, "r", locking=False) as file:
        assert file.attrs["dimension_ordering"].tolist() == list(ordering)
        assert file["ch2"].attrs["dimension_ordering"].tolist() == list(ordering)
    with galvo.open(path) as whole:
        np.testing.assert_array_equal(whole[1::2, 1, :, 2:, ::-1], PLANAR[1::2, 1, :, 2:, ::-1])
        assert galvo.verify(whole).method == "checksums"


@pytest.mark.parametrize("pixels", [PLANAR, VOLUMES], ids=["planar", "volumes"])
@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_one_dataset_for_all(tmp_path, pixels, compression):
    path = tmp_path / "out.h5"
    galvo.save(pixels, path, layout="tczyx", compression=compression, verify=True, block_bytes=200)
    (stored, chunks, axes), *_ = seen(path).values()
    np.testing.assert_array_equal(stored, pixels)
    assert axes == "TCZYX"
    assert chunks[1:] == (1, 1, 6, 5)


def test_mov_is_what_caiman_expects(tmp_path):
    """/mov (T, Y, X), one file per channel."""
    path = tmp_path / "out.h5"
    with pytest.raises(OptionError, match="split_channels"):
        galvo.save(PLANAR, path, layout="mov")
    galvo.save(PLANAR[:, 1:], path, layout="mov")
    np.testing.assert_array_equal(seen(path)["mov"][0], PLANAR[:, 1, 0])
    galvo.save(PLANAR, path, layout="mov", split_channels=True)
    assert sorted(os.listdir(tmp_path)) == ["out.h5", "out_ch1.h5", "out_ch2.h5"]
    for channel in (0, 1):
        found = seen(tmp_path / f"out_ch{channel + 1}.h5")
        assert list(found) == ["mov"]
        np.testing.assert_array_equal(found["mov"][0], PLANAR[:, channel, 0])
    np.testing.assert_array_equal(galvo.load(tmp_path / "out_ch2.h5", squeeze=False), PLANAR)
    np.testing.assert_array_equal(galvo.load(tmp_path / "out_ch2.h5", series=False), PLANAR[:, 1, 0])


@pytest.mark.parametrize(
    ("names", "expected"),
    [("mov", ["mov1", "mov2"]), ("a*b", ["a1b", "a2b"]), (["/g/green", "g/red"], ["g/green", "g/red"])],
)
def test_names(tmp_path, names, expected):
    path = tmp_path / "out.h5"
    galvo.save(PLANAR, path, dataset_names=names, verify=True)
    assert sorted(seen(path)) == expected
    with h5py.File(path, "r", locking=False) as file:
        assert list(file.attrs["dataset_names"]) == expected


def test_one_channel_has_the_plain_name(tmp_path):
    galvo.save(PLANAR[:, :1], tmp_path / "out.h5", dataset_names="movie", verify=True)
    assert list(seen(tmp_path / "out.h5")) == ["movie"]


@pytest.mark.parametrize("level", [1, 9])
def test_compression_opts_is_another_name(tmp_path, level):
    galvo.save(PLANAR, tmp_path / "out.h5", compression="gzip", compression_opts=level)
    with h5py.File(tmp_path / "out.h5", "r", locking=False) as file:
        assert file["ch1"].compression_opts == level


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "nonsense"},
        {"dimension_ordering": (0, 1)},
        {"dimension_ordering": (0, 1, 1)},
        {"dimension_ordering": 5},
        {"chunk_size": 0},
        {"chunk_size": 1.5},
        {"dataset_names": ["a"]},
        {"dataset_names": ["a", "a"]},
        {"dataset_names": ["a", "galvo"]},
        {"dataset_names": ["a", "galvo/b"]},
        {"dataset_names": ["a", ""]},
        {"dataset_names": ["a", "b//c"]},
        {"dataset_names": ["a", "../b"]},
        {"compression": "gzip", "compression_level": 3, "compression_opts": 4},
    ],
    ids=repr,
)
def test_what_is_refused(tmp_path, options):
    with pytest.raises(OptionError):
        galvo.save(PLANAR, tmp_path / "out.h5", **options)
    assert not list(tmp_path.iterdir())


def test_volumes_have_no_dimension_ordering(tmp_path):
    with pytest.raises(OptionError, match="planar"):
        galvo.save(VOLUMES, tmp_path / "out.h5", dimension_ordering=(0, 1, 2))
    galvo.convert(VOLUMES, tmp_path / "out.h5", dimension_ordering=(0, 1, 2), axes="TCYX")
    expected = VOLUMES.transpose(0, 2, 1, 3, 4).reshape(15, 2, 6, 5)
    np.testing.assert_array_equal(seen(tmp_path / "out.h5")["ch2"][0], expected[:, 1].transpose(1, 2, 0))


# ---- files of channels ----------------------------------------------------------------------------------------------


def test_files_of_one_name_that_are_no_channels(tmp_path):
    """Each opens alone, and a warning says so."""
    galvo.save(PLANAR[:, :1], tmp_path / "day_ch1.h5")
    galvo.save(PLANAR[:4, :1], tmp_path / "day_ch2.h5")
    with pytest.warns(GalvoWarning, match="no channels of it"):
        assert galvo.open(tmp_path / "day_ch2.h5").shape[0] == 4
    assert galvo.open(tmp_path / "day_ch2.h5", series=False).shape[0] == 4


def test_a_gap_in_the_numbers(tmp_path):
    for number in (1, 2, 4):
        galvo.save(PLANAR[:, :1], tmp_path / f"x_ch{number}.h5")
    assert galvo.open(tmp_path / "x_ch1.h5").shape[1] == 2
    assert galvo.open(tmp_path / "x_ch4.h5").shape[1] == 1


def test_foreign_files_of_channels(tmp_path):
    """As PyFlowReg's multi-file writer names them, upper-case suffix and all."""
    for channel in (0, 1):
        with h5py.File(tmp_path / f"compensated_ch{channel + 1}.HDF5", "w") as file:
            file["mov"] = PLANAR[:, channel, 0]
            file["mov"].attrs["dimension_ordering"] = [1, 2, 0]
    with galvo.open(tmp_path / "compensated_ch1.HDF5") as whole:
        np.testing.assert_array_equal(whole[...], PLANAR)
    with galvo.open(tmp_path) as whole:
        np.testing.assert_array_equal(whole[...], PLANAR)
