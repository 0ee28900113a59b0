"""Bio-Formats, the reader of Fiji and OMERO, reads what is written, and what it writes is read."""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest
import tifffile

import galvo

JAR = os.environ.get("GALVO_BIOFORMATS_JAR")
if not JAR or shutil.which("java") is None:
    pytest.skip("no Bio-Formats: GALVO_BIOFORMATS_JAR does not name its jar, or no java", allow_module_level=True)

SHAPE = 5, 2, 3, 40, 56


def movie(dtype):
    return np.random.default_rng(1).integers(0, 250, SHAPE).astype(dtype)


def converted(folder, source, destination, *options):
    command = ["java", "-cp", JAR, "loci.formats.tools.ImageConverter", *options, source, destination]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("uint16", {"layout": "ome"}),
        ("int16", {"layout": "ome", "bigtiff": True}),
        ("uint8", {"layout": "ome", "compression": "zlib"}),
        ("uint16", {"layout": "ome", "compression": "lzw"}),
        ("float32", {"layout": "ome", "compression": "zstd"}),
        ("uint16", {"layout": "imagej"}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(map(str, value.values())),
)
def test_it_reads_ours(tmp_path, dtype, options):
    pixels = movie(dtype)
    galvo.save(pixels, tmp_path / "ours.tif", **options)
    converted(tmp_path, "ours.tif", "theirs.ome.tif")
    with tifffile.TiffFile(tmp_path / "theirs.ome.tif") as file:
        series = file.series[0]
        found = series.asarray()
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.transpose([series.axes.index(axis) for axis in "TCZYX"]), pixels)


@pytest.mark.parametrize(
    ("destination", "options"),
    [
        ("theirs.ome.tif", []),
        ("theirs.ome.tif", ["-bigtiff", "-compression", "zlib"]),
        ("theirs.ome.tif", ["-compression", "LZW", "-tilex", "16", "-tiley", "16"]),
        ("theirs.ome.tif", ["-compression", "JPEG-2000"]),
        ("theirs_c%c_t%t.ome.tif", []),
        ("theirs_z%z.ome.tif", []),
        ("theirs_t%t.ome.tif", ["-option", "ometiff.companion", "theirs.companion.ome"]),
    ],
)
def test_we_read_its(tmp_path, destination, options):
    pixels = movie("uint16")
    galvo.save(pixels, tmp_path / "ours.tif", layout="ome")
    converted(tmp_path, "ours.tif", destination, *options)
    (tmp_path / "ours.tif").unlink()
    first = min(tmp_path.iterdir())
    with galvo.open(first) as recording:
        np.testing.assert_array_equal(recording[...], pixels)
