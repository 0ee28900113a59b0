"""What pages and samples are: by options, by tifffile's description, and by nothing at all."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import galvo
from galvo.cli.group import group
from galvo.errors import GalvoWarning, OptionError, Truncated, Unsupported
from galvo.testing.tiff import Tag, TiffBuilder

LENGTHS = {"T": 4, "C": 2, "Z": 3}
HEIGHT, WIDTH = 7, 9


def movie(*shape, dtype="u2"):
    return np.arange(np.prod(shape) * HEIGHT * WIDTH).reshape(*shape, HEIGHT, WIDTH).astype(dtype)


def as_tczyx(array, letters):
    kept = [letter for letter in "TCZ" if letter in letters]
    whole = array.transpose([letters.index(letter) for letter in kept] + [len(letters), len(letters) + 1])
    return whole[tuple(slice(None) if letter in letters else None for letter in "TCZ")]


def described(path):
    """Descriptions of all pages."""
    with tifffile.TiffFile(path) as file:
        return [page.aspage().description for page in file.pages]


def same(path, expected, **options):
    with galvo.open(path, **options) as rec:
        assert rec.shape == expected.shape
        np.testing.assert_array_equal(rec[...], expected)


ORDERS = ["".join(one) for count in (0, 1, 2, 3) for one in itertools.permutations("TCZ", count)]


@pytest.mark.parametrize("letters", ORDERS)
def test_axes_that_tifffile_names(tmp_path, letters):
    array = movie(*(LENGTHS[letter] for letter in letters))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": letters + "YX"})
    same(path, as_tczyx(array, letters))


@pytest.mark.parametrize("letters", [one for one in ORDERS if one])
def test_axes_that_the_user_names(tmp_path, letters):
    array = movie(*(LENGTHS[letter] for letter in letters))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", metadata=None)
    lengths = {"C": "channels", "Z": "planes"}
    options = {lengths[letter]: LENGTHS[letter] for letter in letters if letter in lengths}
    for axes in (letters, letters.lower() + "yx", letters + "YXS"):
        same(path, as_tczyx(array, letters), axes=axes, **options)
    if len(letters) == 1:
        same(path, as_tczyx(array, letters), axes=letters)


def test_lengths_come_from_the_file_where_it_has_them(tmp_path):
    array = movie(4, 3)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    with pytest.warns(GalvoWarning, match="4 x 3 x 7 x 9 without names"), galvo.open(path) as rec:
        assert rec.shape == (12, 1, 1, HEIGHT, WIDTH)
    same(path, array[:, None], axes="TZYX")
    same(path, array.transpose(1, 0, 2, 3)[:, :, None], axes="CT")
    same(path, array.reshape(12, 1, 1, HEIGHT, WIDTH), axes="T")
    tifffile.imwrite(path, movie(4, 3, 2, dtype="u1"), imagej=True, metadata={"axes": "TZCYX"})
    same(path, movie(4, 3, 2, dtype="u1").swapaxes(1, 2), axes="TZC")


def test_interleaved_channels_and_planes(tmp_path):
    array = movie(4, 3, 2)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array.reshape(24, HEIGHT, WIDTH), photometric="minisblack", metadata=None)
    same(path, array.swapaxes(1, 2), channels=2, planes=3)
    same(path, array.reshape(12, 2, 1, HEIGHT, WIDTH), channels=2)
    same(path, array.reshape(8, 1, 3, HEIGHT, WIDTH), planes=3)
    same(path, array.reshape(12, 2, 1, HEIGHT, WIDTH)[1:3], channels=2, pages=slice(2, 6))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"channels": 5}, "channels must divide"),
        ({"channels": 0}, "channels must divide"),
        ({"channels": 2.0}, "channels must divide"),
        ({"channels": True}, "channels must divide"),
        ({"planes": 7}, "planes must divide"),
        ({"channels": 4, "planes": 4}, "do not say how long"),
        ({"axes": "TC"}, "Give T and channels="),
        ({"axes": "TCZ"}, "Give T and channels= and planes="),
        ({"axes": "CZ", "channels": 2, "planes": 3}, "product is the number"),
        ({"axes": "T", "channels": 2}, "has no C"),
        ({"axes": "TT"}, "axes name"),
        ({"axes": "TQ"}, "axes name"),
        ({"axes": ""}, "axes name"),
        ({"axes": 3}, "axes name"),
        ({"samples": "z"}, "samples must be"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, match):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, movie(24), photometric="minisblack", metadata=None)
    with pytest.raises(OptionError, match=match):
        galvo.open(path, **options)


@pytest.mark.parametrize(
    ("options", "shape"),
    [(["channels=2", "planes=3"], [4, 2, 3]), (["axes=Z"], [1, 1, 24]), (["axes=CT", "channels=2"], [12, 2, 1])],
)
def test_options_from_the_command_line(tmp_path, options, shape):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, movie(24), photometric="minisblack", metadata=None)
    given = [part for option in options for part in ("--open-option", option)]
    result = CliRunner().invoke(group, ["info", str(path), "--json", *given])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["shape"] == [*shape, HEIGHT, WIDTH]


# ---- tifffile's description -----------------------------------------------------------------------------------------


def test_axes_that_we_do_not_have(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, movie(4, 3), photometric="minisblack", metadata={"axes": "RQYX"})
    with pytest.warns(GalvoWarning, match="RQYX are not only"), galvo.open(path) as rec:
        assert rec.shape == (12, 1, 1, HEIGHT, WIDTH)
    tifffile.imwrite(path, movie(4), photometric="minisblack", metadata={"axes": "QYX"})
    same(path, movie(4)[:, None, None])


def test_one_frame_described_at_a_time_is_one_stack(tmp_path):
    """As registration programs write a movie, page by page."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for frame in movie(5):
            file.write(frame[None], software="pyflowreg", photometric="minisblack", contiguous=False)
    assert described(path)[3].startswith('{"shape": [1, 7, 9]')
    same(path, movie(5)[:, None, None])


def test_series_that_were_appended(tmp_path):
    path = tmp_path / "a.tif"
    array = movie(4, 2)
    for part in (array[:3], array[3:]):
        tifffile.imwrite(path, part, append=True, photometric="minisblack", metadata={"axes": "TCYX"})
    same(path, array[:, :, None])


def test_a_shape_that_the_pages_do_not_have(tmp_path):
    path = tmp_path / "a.tif"
    text = json.dumps({"shape": [4, 2, HEIGHT, WIDTH], "axes": "CZYX"})
    tifffile.imwrite(path, movie(5), photometric="minisblack", description=text, metadata=None)
    with pytest.warns(GalvoWarning, match="4 x 2 x 7 x 9 is announced, the file has 5 pages"):
        galvo.open(path).close()


@pytest.mark.parametrize("axes", ["TCYX", None])
@pytest.mark.parametrize("cut", [0, 1, 2 * HEIGHT * WIDTH])
def test_one_ifd_for_all_pages(tmp_path, axes, cut):
    path = tmp_path / "a.tif"
    metadata = {"axes": axes} if axes else {}
    tifffile.imwrite(path, movie(4, 2), photometric="minisblack", truncate=True, metadata=metadata)
    assert len(described(path)) == 1
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(Truncated, match="8 images"):
            galvo.open(path)
        return
    if axes:
        same(path, movie(4, 2)[:, :, None])
    else:
        with pytest.warns(GalvoWarning, match="without names"), galvo.open(path) as rec:
            np.testing.assert_array_equal(rec[:, 0, 0], movie(8))


@pytest.mark.parametrize(
    "text",
    [
        '{"shape": 3}',
        '{"shape": [-1, 7, 9]}',
        '{"shape": ["a"]}',
        '{"shape": [true]}',
        '{"shape": [1e30, 7, 9]}',
        '{"shape": [' + "9" * 4000 + "]}",
        '{"shape": [0, 7, 9], "truncated": true}',
        '{"shape": [], "axes": ""}',
        '{"shape": [4, 7, 9], "axes": 5}',
        '{"shape": ' + "[" * 5000,
        '{"shape": [4, 7',
    ],
)
def test_descriptions_that_say_nothing(tmp_path, text):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, movie(4), photometric="minisblack", description=text, metadata=None)
    same(path, movie(4)[:, None, None])


# ---- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("samples", [3, 6])
def test_samples_are_channels_or_frames(tmp_path, planar, compression, count, samples):
    frames = movie(count, samples)
    path = tmp_path / "a.tif"
    stored = frames if planar == "separate" else np.moveaxis(frames, 1, -1)
    tifffile.imwrite(
        path, stored, photometric="rgb", planarconfig=planar, compression=compression, metadata=None
    )
    same(path, frames[:, :, None])
    same(path, frames.reshape(-1, 1, 1, HEIGHT, WIDTH), samples="t")
    with galvo.open(path, samples="t") as rec:
        np.testing.assert_array_equal(rec[-1, 0, 0], frames[-1, -1])
        np.testing.assert_array_equal(rec[[0, 2, 1], 0, 0, 2:4], frames.reshape(-1, HEIGHT, WIDTH)[[0, 2, 1], 2:4])


def test_samples_that_tifffile_calls_frames(tmp_path):
    """A stack of 3 frames that was stored as planar colour, and says so."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, movie(3), photometric="rgb", planarconfig="separate", metadata={"axes": "TYX"})
    assert len(described(path)) == 1
    same(path, movie(3)[:, None, None])
    tifffile.imwrite(path, movie(3), photometric="rgb", planarconfig="separate", metadata={"axes": "CYX"})
    same(path, movie(3)[None, :, None])


@pytest.mark.parametrize("axes", ["TZCYXS", "CYXS", "TCYXS"])
def test_channels_of_several_samples(tmp_path, axes):
    """ImageJ's colour hyperstacks: C counts channels, times samples."""
    lengths = {"T": 3, "Z": 2, "C": 2, "Y": HEIGHT, "X": WIDTH, "S": 3}
    array = np.random.default_rng(0).integers(0, 250, [lengths[letter] for letter in axes]).astype("u1")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes})
    whole = array[tuple(slice(None) if letter in axes else None for letter in "TZCYXS")]
    t, z, c, y, x, s = whole.shape
    same(path, whole.transpose(0, 2, 5, 1, 3, 4).reshape(t, c * s, z, y, x))
    with pytest.raises(OptionError, match="pages that are no channels"):
        galvo.open(path, samples="t")


def test_samples_in_t_leave_channels_alone(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, movie(3, 2), photometric="minisblack", metadata={"axes": "TCYX"})
    same(path, movie(3, 2)[:, :, None], samples="t")


def test_channels_of_samples_that_lie_apart(tmp_path):
    builder = TiffBuilder()
    for page in movie(4, 3, dtype="u1"):
        builder.image(WIDTH, HEIGHT, [sample.tobytes() for sample in page], samples=3, planar=2)
    path = tmp_path / "a.tif"
    path.write_bytes(builder.build())
    same(path, movie(4, 3, dtype="u1")[:, :, None])
    with pytest.raises(Unsupported, match="lie apart"):
        galvo.open(path, channels=2)


# ---- pages of several kinds -----------------------------------------------------------------------------------------


def kinds(*sizes):
    builder = TiffBuilder()
    for size in sizes:
        builder.image(size, size, [bytes([size]) * size * size], replace=[Tag(code=305, type=2, values=b"x\0")])
    return builder.build()


@pytest.mark.parametrize(("sizes", "kept"), [((5, 5, 9), 2), ((5, 9), 1), ((5, 5, 5, 9, 7), 3)])
def test_an_overview_behind_the_pages_is_left_out(tmp_path, sizes, kept):
    path = tmp_path / "a.tif"
    path.write_bytes(kinds(*sizes))
    with pytest.warns(GalvoWarning, match=f"from page {kept} on are left out"):
        rec = galvo.open(path)
    with rec:
        assert rec.shape == (kept, 1, 1, 5, 5)
        assert (rec[...] == 5).all()
        assert [(entry.what, entry.page_count) for entry in rec.left_out] == [("other pages", len(sizes) - kept)]
    with galvo.open(path, pages=[kept]) as rec:
        assert (rec[...] == 9).all()


@pytest.mark.parametrize("sizes", [(5, 9, 5), (5, 9, 9), (5, 5, 9, 5)])
def test_a_page_that_differs_among_others_is_refused(tmp_path, sizes):
    path = tmp_path / "a.tif"
    path.write_bytes(kinds(*sizes))
    with pytest.raises(Unsupported, match="differ"):
        galvo.open(path)
