"""NumPy's .npy: NumPy itself is the oracle."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as numpys

import galvo
from galvo.errors import GalvoError, GalvoWarning, LimitExceeded, Malformed, OptionError, Truncated, Unsupported
from galvo.testing.conformance import Case, FormatConformance

ORDERS = ("YX", "TYX", "YXT", "XYT", "CYX", "TCYX", "TZYX", "YXTC", "TCZYX", "TZCYX", "XYZCT", "YTXZC")
DTYPES = ("?", "u1", "i1", "<u2", ">u2", "<i4", ">f4", "<f8", ">i8", "<f2", "<c8", ">c16")


def numbers(shape, dtype="<u2", seed=0):
    found = np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 120, shape)
    return (found - 1j * found if np.dtype(dtype).kind == "c" else found).astype(dtype)


def five(array, axes):
    """T C Z Y X of an array, by NumPy alone."""
    present = [letter for letter in "TCZYX" if letter in axes]
    ordered = array.transpose([axes.index(letter) for letter in present])
    return ordered.reshape([ordered.shape[present.index(letter)] if letter in present else 1 for letter in "TCZYX"])


class TestNpy(FormatConformance):
    format_name = "npy"
    # written through the same sink as raw binaries
    every = 4

    def cases(self, tmp_path):
        pixels = numbers((7, 1, 1, 6, 5))
        path = self.path(tmp_path, "movie")
        np.save(path, pixels[:, 0, 0])
        own = [range(128 + 60 * t, 188 + 60 * t) for t in range(7)]
        ends = [end for one in own for end in (one.start, one.stop)]
        yield Case(paths=[path], pixels=pixels, boundaries=[6, 10, *ends], frame_bytes=own)

        pixels = numbers((4, 2, 3, 6, 5), ">f4")
        path = self.path(tmp_path, "fortran")
        np.save(path, np.asfortranarray(pixels))
        yield Case(paths=[path], pixels=pixels, boundaries=[6, 10, 128])

        pixels = numbers((3, 2, 1, 6, 5), "<i2")
        path = self.path(tmp_path, "columns")
        with path.open("wb") as stream:
            numpys.write_array(stream, np.asfortranarray(pixels[:, :, 0].transpose(2, 3, 1, 0)), (2, 0))
        yield Case(paths=[path], pixels=pixels, options={"axes": "YXCT"}, boundaries=[6, 12, 128])

        pixels = numbers((3, 2, 2, 6, 5), "<f4")
        path = self.path(tmp_path, "own")
        galvo.save(pixels, path)
        yield Case(paths=[path], pixels=pixels, beside=[path.with_name("own.npy.galvo.json")])

    def path(self, tmp_path, name):
        (tmp_path / name).mkdir()
        return tmp_path / name / f"{name}.npy"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axes=st.sampled_from(ORDERS),
    dtype=st.sampled_from(DTYPES),
    is_fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    data=st.data(),
)
def test_what_numpy_writes(tmp_path, axes, dtype, is_fortran, version, data):
    """Types, byte orders, orders of the axes, in C and in Fortran order; all of it and any part."""
    shape = [data.draw(st.integers(1, 6), label=letter) for letter in axes]
    array = numbers(shape, dtype)
    with (tmp_path / "a.npy").open("wb") as stream:
        numpys.write_array(stream, np.asfortranarray(array) if is_fortran else array, version)
    expected = five(array, axes)
    with galvo.open(tmp_path / "a.npy", axes=axes) as found:
        assert found.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[...], expected)
        np.testing.assert_array_equal(found[::-2, :, -1:, ::2, 0], expected[::-2, :, -1:, ::2, 0])


@pytest.mark.parametrize(
    ("shape", "written"),
    [
        ((6, 5), (6, 5)),
        ((7, 6, 5), (7, 6, 5)),
        ((1, 6, 5), (6, 5)),
        ((2, 3, 1, 6, 5), (2, 3, 1, 6, 5)),
        ((1, 1, 2, 6, 5), (1, 1, 2, 6, 5)),
        ((123, 1, 1, 1, 2), (123, 1, 2)),
    ],
)
def test_byte_for_byte_as_numpy_saves(tmp_path, shape, written):
    for dtype in ("?", "u1", ">i2", "<f4", "<c16"):
        array, stream = numbers(shape, dtype), io.BytesIO()
        galvo.save(array, tmp_path / "a.npy", overwrite=True)
        np.save(stream, array.astype(array.dtype.newbyteorder("<")).reshape(written))
        assert (tmp_path / "a.npy").read_bytes() == stream.getvalue()
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy", mmap_mode="r").reshape(shape), array)


def test_by_default_axes_follow_the_number_of_dimensions(tmp_path):
    for shape in ((6, 5), (4, 6, 5), (2, 3, 4, 6, 5)):
        five_shape = shape if len(shape) == 5 else ((1, *shape)[-3], 1, 1, 6, 5)
        np.save(tmp_path / "a.npy", numbers(shape))
        with galvo.open(tmp_path / "a.npy") as found:
            assert found.shape == five_shape
    np.save(tmp_path / "a.npy", numbers((2, 3, 6, 5)))
    with pytest.raises(OptionError, match=r"a\.npy.*axes=") as caught:
        galvo.open(tmp_path / "a.npy")
    assert caught.value.path == str(tmp_path / "a.npy")
    for axes in ("TCYY", "TYX", "ABYX"):
        with pytest.raises(OptionError, match=r"a\.npy.*do not fit"):
            galvo.open(tmp_path / "a.npy", axes=axes)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[Bomb(), None]], object), "pickle, which galvo never runs.*allow_pickle"),
        (np.zeros((3, 4), [("y", "<f4"), ("x", "<f4")]), "records"),
        (np.zeros((3, 4), "<U5"), "no pixels"),
        (np.zeros((3, 4), "S5"), "no pixels"),
        (np.zeros((3, 4), "<M8[us]"), "no pixels"),
        (np.zeros((3, 4), "V7"), "no pixels"),
        (np.zeros(7), "no recording"),
        (np.float64(3), "no recording"),
        (np.zeros((3, 0, 4)), "no recording"),
        (np.zeros((1, 1, 1, 1, 2, 3)), "no recording"),
    ],
    ids=["objects", "records", "texts", "bytes", "dates", "void", "1-D", "0-D", "empty", "6-D"],
)
def test_what_holds_no_pixels(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(Unsupported, match=rf"a\.npy.*{words}"):
        galvo.open(tmp_path / "a.npy")


def file(folder, text, *, version=(1, 0), nbytes=None, values=bytes(24)):
    width = 2 if version == (1, 0) else 4
    data = text.encode() if isinstance(text, str) else text
    head = b"\x93NUMPY" + bytes(version) + (len(data) if nbytes is None else nbytes).to_bytes(width, "little")
    (folder / "a.npy").write_bytes(head + data + values)
    return folder / "a.npy"


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), }",
        "{'shape': (3, 4), 'fortran_order': False, 'descr': '<u2'}\n",
        """{"descr": "<u2", "fortran_order": False, "shape": (3, 4)}""",
        "{'descr':'<u2','fortran_order':False,'shape':(3L,4L),}   ",
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_as_others_write_headers(tmp_path, text, version):
    values = numbers((3, 4))
    path = file(tmp_path, text, version=version, values=values.tobytes())
    np.testing.assert_array_equal(galvo.load(path), values)
    if "L" not in text:
        np.testing.assert_array_equal(np.load(path), values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "{'descr': '<u2', 'fortran_order': False}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), 'shape': (3, 4)}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), 'more': 1}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4)",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (3, -4)}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4.0)}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': [3, 4]}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 1" + "0" * 5000 + ")}",
        "{'descr': '<u2', 'fortran_order': 0, 'shape': (3, 4)}",
        "{'descr': 'u2', 'fortran_order': False, 'shape': (3, 4)}",
        "{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (3, 4)}",
        "{'descr': '\\x3cu2', 'fortran_order': False, 'shape': (3, 4)}",
        "(" * 60000,
        b"\xff\xfe\x00",
    ],
)
def test_headers_that_are_none(tmp_path, text):
    for version in ((1, 0), (3, 0)):
        with pytest.raises((Malformed, Unsupported), match=r"a\.npy"):
            galvo.open(file(tmp_path, text, version=version))


def test_headers_that_end_too_early(tmp_path):
    good = "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), }"
    with pytest.raises(Truncated):
        galvo.open(file(tmp_path, good, nbytes=1000))
    with pytest.raises(Malformed, match="longer than"):
        galvo.open(file(tmp_path, good, version=(2, 0), nbytes=1 << 31))
    with pytest.raises(Unsupported, match=r"found 9\.0"):
        galvo.open(file(tmp_path, good, version=(9, 0)))
    with pytest.raises(Truncated):
        galvo.open(file(tmp_path, good, values=bytes(23)))
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(Truncated):
        galvo.open(tmp_path / "a.npy")


def test_absurd_sizes(tmp_path):
    for shape in ("(1000000, 10000000)", "(999999999999, 4, 4)"):
        with pytest.raises(LimitExceeded):
            galvo.open(file(tmp_path, f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}"))


def test_a_file_that_was_cut(tmp_path):
    pixels = numbers((6, 2, 3, 5, 4))
    np.save(tmp_path / "c.npy", pixels)
    np.save(tmp_path / "f.npy", np.asfortranarray(pixels))
    for name in ("c.npy", "f.npy"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: 128 + 2 * pixels[0].nbytes + 7])
        with pytest.raises(Truncated, match=r"487 bytes; expected 1440 bytes"):
            galvo.open(tmp_path / name)
    with galvo.open(tmp_path / "c.npy", damaged="report") as found:
        assert found.damage
        np.testing.assert_array_equal(found[...], pixels[:2])
    with pytest.raises(Truncated):
        galvo.open(tmp_path / "f.npy", damaged="report")


def test_several_arrays_in_one_file(tmp_path):
    """NumPy saves one behind the other where it is given an open file; the first one is read, and that is said."""
    with (tmp_path / "a.npy").open("wb") as stream:
        np.save(stream, numbers((3, 4, 5)))
        np.save(stream, numbers((3, 4)))
    with pytest.warns(GalvoWarning, match="152 bytes behind the array are not read"):
        np.testing.assert_array_equal(galvo.load(tmp_path / "a.npy"), numbers((3, 4, 5)))


def test_what_is_kept_beside(tmp_path):
    pixels = numbers((3, 2, 1, 5, 6))
    recording = galvo.Recording.from_array(
        pixels, metadata=galvo.Metadata(format="array", frame_rate_hz=7.5, channel_names=("a", "b"))
    )
    galvo.save(recording, tmp_path / "a.npy", verify=True)
    assert galvo.verify(tmp_path / "a.npy").method == "checksums"
    with galvo.open(tmp_path / "a.npy") as found, pickle.loads(pickle.dumps(found)) as again:
        assert (again.frame_rate_hz, again.channel_names) == (7.5, ("a", "b"))
    kept = tmp_path / "a.npy.galvo.json"
    assert json.loads(kept.read_text())["shape"] == [3, 2, 1, 5, 6]
    np.save(tmp_path / "a.npy", pixels[1:])
    with pytest.warns(GalvoWarning, match="of another recording"), galvo.open(tmp_path / "a.npy") as found:
        assert found.frame_rate_hz is None
    kept.unlink()
    np.testing.assert_array_equal(galvo.load(tmp_path / "a.npy", squeeze=False), pixels[1:])


def test_types_that_are_not_written(tmp_path):
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long doubles are doubles here")
    with pytest.raises(GalvoError, match="dtype="):
        galvo.save(np.zeros((2, 3, 4), np.longdouble), tmp_path / "a.npy")
    assert not list(tmp_path.iterdir())
