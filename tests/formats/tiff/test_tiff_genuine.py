"""Files of many writers: every page equal to tifffile's, or a galvo error and nothing else."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

import galvo
from galvo.errors import GalvoError

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("GALVO_SAMPLE_DATA", ROOT / ".." / "shared" / "data"))
FILES = sorted(DATA.rglob("*.tif*"))
ALIKE = 2  # of folders full of the same, so many


def _chosen() -> list[Path]:
    count: dict[Path, int] = {}
    chosen = []
    for path in FILES:
        count[path.parent] = count.get(path.parent, 0) + 1
        if path.parent.name == "tiff_variants" or count[path.parent] <= ALIKE:
            chosen.append(path)
    return chosen


CHOSEN = _chosen()


def oracle(path: Path) -> list[np.ndarray | None]:
    """Each full page by tifffile as (C, Y, X), None where it cannot."""
    pages: list[np.ndarray | None] = []
    with tifffile.TiffFile(path) as file:
        every = [page.aspage() for page in file.pages]
        for page in [page for page in every if not page.is_reduced] or every:
            try:
                pixels = page.asarray()
            except Exception:  # noqa: BLE001
                pages.append(None)
                continue
            pages.append(pixels[None] if page.axes == "YX" else np.moveaxis(pixels, page.axes.index("S"), 0))
    return pages


def check(path: Path) -> None:
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        expected = oracle(path)
    except Exception:  # noqa: BLE001
        expected = [None]
    for number, page in enumerate(expected):
        if page is None:
            started = time.monotonic()
            with pytest.raises(GalvoError) as caught, galvo.open(path, format="tiff", pages=[number]) as rec:
                rec[:]
            assert str(path) in str(caught.value)
            assert time.monotonic() - started < 5
            continue
        with galvo.open(path, format="tiff", pages=[number]) as rec:
            found = rec[0, :, 0]
        assert found.dtype == page.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, page)
    shapes = {None if page is None else (page.shape, page.dtype) for page in expected}
    if len(shapes) == 1 and None not in shapes and expected[0].shape[0] == 1:
        with galvo.open(path, format="tiff", axes="T") as rec:
            whole = np.moveaxis(rec[...], 1, 2)
            np.testing.assert_array_equal(whole.reshape(-1, *whole.shape[3:]), np.concatenate(expected))


def check_whole(path: Path) -> None:
    """The first series of tifffile with its axes; letters that are no axis of ours are T."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        axes = series.axes.replace("I", "T").replace("Q", "T").replace("S", "C")
        try:
            expected = series.asarray()
        except Exception:  # noqa: BLE001
            with pytest.raises(GalvoError), galvo.open(path, format="tiff") as rec:
                rec[:]
            return
    shape = tuple(expected.shape[axes.index(letter)] if letter in axes else 1 for letter in "TCZYX")
    kept = [letter for letter in "TCZYX" if letter in axes]
    with galvo.open(path, format="tiff") as rec:
        if axes == "ZYX" and series.kind == "scanimage":
            # one of the vendor's own axes, which only its own format tells
            shape = (shape[2], 1, 1, *shape[3:])
        assert rec.shape == shape
        assert rec.dtype == expected.dtype.newbyteorder("=")
        found = rec[...]
    np.testing.assert_array_equal(found, expected.transpose([axes.index(one) for one in kept]).reshape(shape))


def both(path: Path) -> None:
    check(path)
    check_whole(path)


ABSENT = pytest.mark.skipif(not FILES, reason="sample data are absent: set GALVO_SAMPLE_DATA")
# files of which others, which the sample does not have, would be the beginning, and one with pages of two sizes
KNOWN = [
    pytest.mark.filterwarnings("ignore:.*the OME-XML does not say which planes:galvo.errors.GalvoWarning"),
    pytest.mark.filterwarnings("ignore:.*pages from page . on are left out:galvo.errors.GalvoWarning"),
]


@ABSENT
@pytest.mark.parametrize("path", [pytest.param(path, marks=KNOWN, id=path.name) for path in CHOSEN])
def test_files_equal_tifffiles(path):
    both(path)


@pytest.mark.harden
@ABSENT
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=KNOWN, id=f"{path.parent.name}-{path.name}") for path in FILES if path not in CHOSEN],
)
def test_the_rest_equals_tifffiles(path):
    both(path)


@pytest.mark.skipif(not FILES, reason="sample data are absent: set GALVO_SAMPLE_DATA")
def test_the_sample_is_not_empty():
    assert len(CHOSEN) > 50


@pytest.mark.skipif(not FILES, reason="sample data are absent: set GALVO_SAMPLE_DATA")
def test_an_imagej_file_has_its_axes():
    with galvo.open(DATA / "thorlabs" / "utils2p_time_series_z_stack" / "z_stack.tif") as rec:
        assert rec.shape == (3, 1, 3, 128, 128)
    with galvo.open(DATA / "tiff_variants" / "skimage_blobs_3d_fiji_skeleton.tif") as rec:
        assert rec.shape == (1, 1, 30, 32, 32)


@pytest.mark.skipif(not FILES, reason="sample data are absent: set GALVO_SAMPLE_DATA")
@pytest.mark.parametrize("name", ["imagetiff_flower-minisblack-24.tif", "pillow_hopper_jpg.tif"])
def test_pages_that_tifffile_decodes_take_selections(name):
    with galvo.open(DATA / "tiff_variants" / name) as rec:
        whole = rec[...]
        key = (slice(None), [0], 0, slice(30, 2, -3), [5, 1, 1, 40])
        np.testing.assert_array_equal(rec[key], whole[:, [0]][:, :, 0, 30:2:-3][..., [5, 1, 1, 40]])
        assert "imagetiff" in name or rec.metadata.format == "tiff"
