"""Layouts, types and codecs as tifffile writes them, read whole and in parts; NumPy's answer is the truth."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st

import galvo

PAGES, HEIGHT, WIDTH, SAMPLES = 3, 37, 53, 3
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")
COMPRESSIONS = (None, "lzw", "zlib", "packbits", "zstd", "lzma")
LAYOUTS = list(
    itertools.product(
        (False, True), ("<", ">"), ((None, None), (None, 7), ((16, 16), None), ((32, 16), None)), ("Y", "YXC", "CYX")
    )
)


def pixels(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth where predictors matter, of the whole range of the type, no two rows alike."""
    count = int(np.prod(shape))
    if dtype == "complex64":
        return (np.arange(count) * 0.5 - 1j * np.arange(count)[::-1]).astype(dtype).reshape(shape)
    if dtype in FLOATS:
        return (np.sin(np.arange(count) / 7) * 900).astype(dtype).reshape(shape)
    step = max(1, (int(np.iinfo(dtype).max) // (count + 1)) | 1)
    return (np.arange(count, dtype=np.uint64) * np.uint64(step * 3)).astype(dtype).reshape(shape)


def options() -> list[tuple[str, str | None, int | None]]:
    """Type, compression, predictor."""
    plain = [(dtype, codec, None) for dtype in (*INTEGERS, *FLOATS, "complex64") for codec in COMPRESSIONS]
    horizontal = [(dtype, codec, 2) for dtype in INTEGERS for codec in ("lzw", "zlib", "zstd")]
    floating = [(dtype, codec, 3) for dtype in FLOATS for codec in ("lzw", "zlib", "zstd")]
    return plain + horizontal + floating


def write(path: Path, layout, option) -> np.ndarray:
    """The file, and its pixels as (T, C, Z, Y, X)."""
    big, order, (tile, rows), axes = layout
    dtype, codec, predictor = option
    shape = {"Y": (HEIGHT, WIDTH), "YXC": (HEIGHT, WIDTH, SAMPLES), "CYX": (SAMPLES, HEIGHT, WIDTH)}[axes]
    data = pixels(dtype, (PAGES, *shape))
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as file:
        for page in data:
            file.write(
                page,
                photometric="minisblack",
                planarconfig={"Y": None, "YXC": "contig", "CYX": "separate"}[axes],
                tile=tile,
                rowsperstrip=rows,
                compression=codec,
                predictor=predictor,
                metadata=None,
                contiguous=False,
            )
    if axes == "YXC":
        data = np.moveaxis(data, -1, 1)
    elif axes == "Y":
        data = data[:, None]
    return data[:, :, None]


def check(path: Path, layout, option) -> None:
    truth = write(path, layout, option)
    for walk in (False, True):
        with galvo.open(path, walk=walk) as rec:
            assert rec.dtype == np.dtype(option[0])
            assert rec.dtype.isnative
            found = rec[...]
            part = rec[1:, ..., 5:30, 9:]
        np.testing.assert_array_equal(found, truth, err_msg=f"{layout} {option} walk={walk}")
        np.testing.assert_array_equal(part, truth[1:, ..., 5:30, 9:], err_msg=f"{layout} {option} walk={walk}")


@pytest.mark.parametrize("number", range(len(LAYOUTS)), ids=lambda number: "-".join(map(str, LAYOUTS[number])))
def test_a_layout_with_a_tenth_of_the_types_and_codecs(tmp_path, number):
    for option in options()[number % 10 :: 10]:
        check(tmp_path / "a.tif", LAYOUTS[number], option)


@pytest.mark.harden
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout)))
def test_a_layout_with_all_types_and_codecs(tmp_path, layout):
    for option in options():
        check(tmp_path / "a.tif", layout, option)


# ---- parts ---------------------------------------------------------------------------------------------------------

SELECTED = {
    "strips": (LAYOUTS[0], ("int16", None, None)),
    "big-endian short strips": ((False, ">", (None, 7), "Y"), ("float32", None, None)),
    "raw tiles": ((True, "<", ((16, 16), None), "Y"), ("uint16", None, None)),
    "compressed tiles": ((True, ">", ((32, 16), None), "CYX"), ("uint16", "zlib", 2)),
    "samples between the pixels": ((False, "<", (None, 7), "YXC"), ("uint8", None, None)),
    "planes in strips": ((False, ">", (None, 7), "CYX"), ("int32", None, None)),
}


@pytest.fixture(scope="module", params=SELECTED.values(), ids=SELECTED.keys())
def opened(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("selected") / "a.tif"
    truth = write(path, *request.param)
    return path, truth


def axis_key(length: int) -> st.SearchStrategy:
    bound = st.none() | st.integers(-length - 3, length + 3)
    step = st.none() | st.sampled_from([1, 2, 3, 5, -1, -2, -7])
    return st.one_of(
        st.integers(-length, length - 1),
        st.builds(slice, bound, bound, step),
        st.lists(st.integers(-length, length - 1), max_size=6),
        st.lists(st.booleans(), min_size=length, max_size=length).map(lambda mask: np.array(mask, bool)),
    )


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=80)
def test_selections_equal_numpys(opened, data):
    path, truth = opened
    key = tuple(data.draw(axis_key(length)) for length in truth.shape)
    expected = truth
    for axis, part in enumerate(key):
        whole = [slice(None)] * 5
        whole[axis] = [part] if isinstance(part, int) else part
        expected = expected[tuple(np.asarray(p, np.int64) if isinstance(p, list) and not len(p) else p for p in whole)]
    expected = expected.reshape([n for n, part in zip(expected.shape, key, strict=True) if not isinstance(part, int)])
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[key], expected)
        assert rec[key].dtype == truth.dtype
        lazy = rec.isel(t=key[0], c=key[1], z=key[2], y=key[3], x=key[4])
        np.testing.assert_array_equal(lazy[...].reshape(expected.shape), expected)


# ---- how much is read ----------------------------------------------------------------------------------------------


def bytes_read(action) -> int:
    """Bytes that the process read while `action` ran, its own bookkeeping taken off."""

    def counter() -> int:
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])

    counter()
    idle = counter()
    idle = counter() - idle
    before = counter()
    action()
    return counter() - before - idle


needs_counter = pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="no byte counter on this system")
HEADER = 1024


@needs_counter
@pytest.mark.parametrize("rows", [None, 64], ids=["one strip", "8 strips"])
def test_rows_of_raw_pages_read_no_more_than_themselves(tmp_path, rows):
    data = np.arange(4 * 512 * 512, dtype=np.uint16).reshape(4, 512, 512)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for page in data:
            file.write(page, rowsperstrip=rows, metadata=None, contiguous=False)
    with galvo.open(path) as rec:
        assert bytes_read(lambda: rec[2, 0, 0, 100:110]) <= 10 * 1024 + HEADER
        np.testing.assert_array_equal(rec[2, 0, 0, 100:110], data[2, 100:110])
        assert bytes_read(lambda: rec[3]) >= 512 * 1024


@needs_counter
def test_columns_of_raw_pages_read_no_more_than_their_rows(tmp_path):
    path = tmp_path / "a.tif"
    data = np.arange(2 * 64 * 8192, dtype=np.uint16).reshape(2, 64, 8192)
    tifffile.imwrite(path, data, metadata=None)
    with galvo.open(path) as rec:
        assert bytes_read(lambda: rec[0, 0, 0, 10:20, 100:110]) <= 10 * 8192 * 2
        np.testing.assert_array_equal(rec[0, 0, 0, 10:20, 100:110], data[0, 10:20, 100:110])


@needs_counter
@pytest.mark.parametrize("codec", [None, "zlib"])
def test_only_the_tiles_concerned_are_read(tmp_path, codec):
    path = tmp_path / "a.tif"
    data = np.random.default_rng(1).integers(0, 60000, (2, 256, 256), np.uint16)
    tifffile.imwrite(path, data, tile=(64, 64), compression=codec, metadata=None)
    tile = 64 * 64 * 2
    with galvo.open(path, walk=True) as rec:
        assert bytes_read(lambda: rec[1, 0, 0, 70:80, 130:140]) <= tile + HEADER
        four = (slice(60, 70), slice(60, 70)) if codec else (slice(0, 128), slice(0, 128))
        assert 3 * tile < bytes_read(lambda: rec[(1, 0, 0, *four)]) <= 5 * tile
        np.testing.assert_array_equal(rec[1, 0, 0, 60:70, 60:70], data[1, 60:70, 60:70])
