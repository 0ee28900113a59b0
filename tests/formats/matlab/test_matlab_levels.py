"""Files built byte by byte: every level, byte order, stored type and layout; what is refused; what is read."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

import galvo
from galvo.core.source import FileSource
from galvo.errors import (
    DamagedData,
    FormatError,
    GalvoWarning,
    LimitExceeded,
    Malformed,
    OptionError,
    Truncated,
    UnsafeContent,
    Unsupported,
)
from galvo.testing.matlab import MatBuilder

CLASSES = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", "c8", "c16")


def noise(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2 if dtype == "?" else 120, shape).astype(dtype)
    return values + 1j * rng.integers(0, 120, shape).astype(values.real.dtype) if values.dtype.kind == "c" else values


def written(tmp_path, builder, name="x.mat"):
    path = tmp_path / name
    path.write_bytes(builder.build())
    return path


# ---- layouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", CLASSES)
def test_every_class(tmp_path, dtype, order, deflated):
    values = noise((5, 4, 3), dtype)
    builder = MatBuilder(byteorder=order)
    builder.text("note", "before", deflated=deflated)
    builder.array("mov", values, deflated=deflated)
    path = written(tmp_path, builder)
    assert np.array_equal(scipy.io.loadmat(path)["mov"], values)
    with galvo.open(path, axes="YXT") as rec:
        assert rec.shape == (3, 1, 1, 5, 4)
        assert rec.dtype == np.dtype(dtype)
        assert np.array_equal(rec[:, 0, 0], values.transpose(2, 0, 1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "i2", "u2", "u1", "c16"])
def test_level_4(tmp_path, dtype, order):
    values = noise((5, 4), dtype)
    builder = MatBuilder(level=4, byteorder=order)
    builder.text("note", "before")
    builder.sparse("s")
    builder.array("img", values)
    path = written(tmp_path, builder)
    assert np.array_equal(scipy.io.loadmat(path)["img"], values)
    with galvo.open(path) as rec:
        assert rec.dtype == np.dtype(dtype)
        assert np.array_equal(rec[0, 0, 0], values)


@pytest.mark.parametrize("stored", ["u1", "i2", "u2", "i4"])
@pytest.mark.parametrize("deflated", [False, True])
def test_numbers_stored_in_less_than_their_class(tmp_path, stored, deflated):
    values = noise((6, 5, 4), "f8")
    builder = MatBuilder(byteorder=">")
    builder.array("mov", values, stored=stored, deflated=deflated)
    with galvo.open(written(tmp_path, builder), axes="YXT") as rec:
        assert rec.dtype == np.float64
        assert np.array_equal(rec[2, 0, 0, ::2, 1:3], values[::2, 1:3, 2])


def test_numbers_that_their_class_cannot_hold(tmp_path):
    builder = MatBuilder()
    builder.array("a", np.array([[1, 2], [3, 100]], "i2"))
    content = builder.build()
    at = content.index(struct.pack("<II", 10, 0))
    # class int8, stored as int16
    path = tmp_path / "x.mat"
    path.write_bytes(content[:at] + struct.pack("<I", 8) + content[at + 4 :])
    with galvo.open(path) as rec:
        assert rec[0, 0, 0, 0].tolist() == [1, 2]
    builder = MatBuilder()
    builder.array("a", np.array([[1, 2], [3, 200]], "i2"))
    content = builder.build()
    path.write_bytes(content[:at] + struct.pack("<I", 8) + content[at + 4 :])
    with galvo.open(path) as rec, pytest.raises(Malformed, match="holds values that its class cannot"):
        rec[...]


@pytest.mark.parametrize("small", [False, True])
def test_short_elements(tmp_path, small):
    builder = MatBuilder()
    builder.array("a", np.array([[1, 2], [3, 4]], "u1"), small=small)
    builder.array("ch_2", np.array([[5]], "u1"), small=small)
    path = written(tmp_path, builder)
    with galvo.open(path) as rec:
        assert rec[0, 0, 0].tolist() == [[1, 2], [3, 4]]
    with galvo.open(path, variable="ch_2") as rec:
        assert rec[...].ravel().tolist() == [5]


@given(
    values=hnp.arrays(st.sampled_from(["u1", "<i2", "<f4"]), hnp.array_shapes(min_dims=2, max_dims=5, max_side=5)),
    deflated=st.booleans(),
    data=st.data(),
)
def test_any_order_of_axes(tmp_path_factory, values, deflated, data):
    """Y and X need not come first."""
    letters = "".join(data.draw(st.permutations("TCZ"))[: values.ndim - 2])
    axes = "".join(data.draw(st.permutations("YX" + letters)))
    builder = MatBuilder()
    builder.array("mov", values, deflated=deflated)
    path = written(tmp_path_factory.mktemp("any"), builder)
    present = [letter for letter in "TCZYX" if letter in axes]
    expected = values.transpose([axes.index(letter) for letter in present])
    with galvo.open(path, axes=axes, variable="mov") as rec:
        expected = expected.reshape(rec.shape)
        assert rec[...].tobytes() == np.ascontiguousarray(expected).tobytes()
        backwards = st.just(slice(None, None, -1))
        lists = [st.lists(st.integers(0, length - 1), max_size=4) for length in rec.shape]
        keys = tuple(data.draw(st.one_of(one, backwards)) for one in lists)
        index = np.ix_(*(np.arange(length)[key] for key, length in zip(keys, rec.shape, strict=True)))
        assert np.array_equal(rec[keys], expected[index])


def test_what_is_no_array_is_listed(tmp_path):
    builder = MatBuilder()
    builder.text("note", "abc")
    builder.other("c", "cell")
    builder.other("o", "opaque", deflated=True)
    builder.sparse("s")
    path = written(tmp_path, builder)
    with pytest.raises(FormatError, match=r"no array of numbers.*note 1x3 char, c 1x1 cell, o opaque, s 3x5 sparse"):
        galvo.open(path)
    with pytest.raises(Unsupported, match="c is no array of numbers"):
        galvo.open(path, variable="c")


def test_complex_integers_are_no_pixels(tmp_path):
    builder = MatBuilder()
    builder.array("mov", np.zeros((2, 2, 2), "i2"))
    content = builder.build()
    at = content.index(struct.pack("<II", 10, 0))
    data = content[128 + 8 :]
    part = data[-24:]
    whole = data[: at - 136] + struct.pack("<II", 10 | 0x800, 0) + data[at - 136 + 8 :] + part
    path = tmp_path / "x.mat"
    path.write_bytes(content[:128] + struct.pack("<II", 14, len(whole)) + whole)
    with pytest.raises(FormatError, match="mov 2x2x2 complex int16"):
        galvo.open(path)


# ---- which array, which axes ----------------------------------------------------------------------------------------


def holding(tmp_path, **arrays):
    builder = MatBuilder()
    for name, values in arrays.items():
        builder.array(name, values)
    return written(tmp_path, builder)


def test_channels_by_number(tmp_path):
    arrays = {f"Ch{number}": noise((3, 4, 5), "u2", number) for number in (10, 2, 1)}
    path = holding(tmp_path, mov=noise((3, 4, 5), "u2"), fps=np.array([[30.0]]), **arrays)
    with pytest.warns(GalvoWarning, match=r"Ch1 \(3x4x5\) does not name its axes; they are taken as YXT"):
        rec = galvo.open(path)
    with rec:
        assert rec.shape == (5, 3, 1, 3, 4)
        for channel, number in enumerate((1, 2, 10)):
            assert np.array_equal(rec[:, channel, 0], arrays[f"Ch{number}"].transpose(2, 0, 1))


def test_the_usual_names_and_the_only_array(tmp_path):
    movie = noise((3, 4, 5), "u2")
    for names in (("other", "mov"), ("other", "Data"), ("only",)):
        path = holding(tmp_path, **{name: movie if name == names[-1] else noise((7, 7, 7), "u1") for name in names})
        with galvo.open(path, axes="YXT") as rec:
            assert np.array_equal(rec[:, 0, 0], movie.transpose(2, 0, 1))
    with galvo.open(holding(tmp_path, a=movie[..., 0], rate=np.array([[30.0]]), row=np.zeros((1, 9)))) as rec:
        assert np.array_equal(rec[0, 0, 0], movie[..., 0])


def test_several_are_listed(tmp_path):
    path = holding(tmp_path, a=noise((3, 4, 5), "u2"), b=noise((4, 4, 5), "f8"))
    with pytest.raises(FormatError, match=r"several variables.*a 3x4x5 uint16, b 4x4x5 double.*variable="):
        galvo.open(path)
    with galvo.open(path, variable="b", dimension_ordering=(2, 0, 1)) as rec:
        assert rec.shape == (4, 1, 1, 5, 4)
    with pytest.raises(Unsupported, match="different sizes or classes"):
        galvo.open(path, variable=["a", "b"])
    path = holding(tmp_path, a=noise((3, 4, 5), "u2"), b=noise((3, 4, 5), "u2", 1))
    with galvo.open(path, variable="b,a", axes="YXT") as rec, galvo.open(path, variable="b", axes="YXT") as first:
        assert np.array_equal(rec[:, 0], first[:, 0])
        assert rec.shape == (5, 2, 1, 3, 4)
    with pytest.raises(OptionError, match=r"no variable 'c'.*a 3x4x5 uint16"):
        galvo.open(path, variable="c")


@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 4, 5, 2), "YXTC"), ((3, 4, 2, 5), "YXZT"), ((3, 4, 2, 3, 5), "YXZCT"), ((3, 4, 5), "YXT")]
)
def test_guessed_axes(tmp_path, shape, axes):
    values = noise(shape, "u2")
    with pytest.warns(GalvoWarning, match=f"taken as {axes}$"):
        rec = galvo.open(holding(tmp_path, mov=values))
    with rec:
        expected = values.transpose([axes.index(letter) for letter in "TCZYX" if letter in axes])
        assert np.array_equal(rec[...].reshape(expected.shape), expected)


def test_dimension_ordering(tmp_path):
    values = noise((5, 3, 4), "u2")
    for ordering in ((1, 2, 0), "1,2,0"):
        with galvo.open(holding(tmp_path, mov=values), dimension_ordering=ordering) as rec:
            assert np.array_equal(rec[:, 0, 0], values)
    for wrong in ((0, 1), (0, 1, 1), 3, "abc"):
        with pytest.raises(OptionError, match="positions of H, W and T"):
            galvo.open(holding(tmp_path, mov=values), dimension_ordering=wrong)
    with pytest.raises(OptionError, match="say the same thing"):
        galvo.open(holding(tmp_path, mov=values), dimension_ordering=(0, 1, 2), axes="YXT")


def test_axes_that_matlab_drops(tmp_path):
    values = noise((5, 3), "u2")
    with galvo.open(holding(tmp_path, mov=values), axes="YXZT") as rec:
        assert rec.shape == (1, 1, 1, 5, 3)
    with pytest.raises(OptionError, match="axes do not fit"):
        galvo.open(holding(tmp_path, mov=values), axes="YTX")


# ---- what is read ---------------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """(offset, nbytes) of every read."""
    done = []
    original = FileSource.read_upto

    def read_upto(self, file, offset, nbytes):
        done.append((offset, nbytes))
        return original(self, file, offset, nbytes)

    monkeypatch.setattr(FileSource, "read_upto", read_upto)
    return done


def test_a_frame_reads_its_own_bytes(tmp_path, reads):
    values = noise((64, 48, 200), "u2")
    path = holding(tmp_path, mov=values)
    with galvo.open(path, axes="YXT") as rec:
        assert sum(nbytes for _, nbytes in reads) < 40_000
        reads.clear()
        assert np.array_equal(rec[77, 0, 0], values[..., 77])
        assert sum(nbytes for _, nbytes in reads) == 64 * 48 * 2
        reads.clear()
        wide = rec[100:104, 0, 0]
        assert np.array_equal(wide, values[..., 100:104].transpose(2, 0, 1))
        assert len(reads) == 1


def test_columns_of_large_frames(tmp_path, reads):
    values = noise((2048, 512, 3), "u2")
    with galvo.open(holding(tmp_path, mov=values), axes="YXT") as rec:
        reads.clear()
        assert np.array_equal(rec[1, 0, 0, :, 30:33], values[:, 30:33, 1])
        assert sum(nbytes for _, nbytes in reads) == 3 * 2048 * 2
        assert np.array_equal(rec[::-1, 0, 0, 5::7, ::-3], values[5::7, ::-3, ::-1].transpose(2, 0, 1))


def test_opening_does_not_inflate(tmp_path, reads):
    builder = MatBuilder()
    values = noise((64, 64, 300), "u2")
    builder.array("mov", values, deflated=True)
    builder.array("rate", np.array([[30.0]]), deflated=True)
    path = written(tmp_path, builder)
    with galvo.open(path, axes="YXT") as rec:
        assert sum(nbytes for _, nbytes in reads) < 40_000 < path.stat().st_size
        reads.clear()
        assert np.array_equal(rec[3, 0, 0], values[..., 3])
        assert sum(nbytes for _, nbytes in reads) < 200_000


def test_going_back_in_what_is_deflated(tmp_path, reads):
    """From the nearest state that was kept, not from the beginning."""
    builder = MatBuilder()
    values = noise((256, 256, 60), "u2")
    builder.array("mov", values, deflated=True)
    path = written(tmp_path, builder)
    with galvo.open(path, axes="YXT") as rec:
        assert np.array_equal(rec[...][:, 0, 0], values.transpose(2, 0, 1))
        reads.clear()
        for t in (59, 40, 3, 58, 21):
            assert np.array_equal(rec[t, 0, 0], values[..., t])
        assert sum(nbytes for _, nbytes in reads) < path.stat().st_size
        times = np.random.default_rng(0).integers(0, 60, 80).tolist()
        with ThreadPoolExecutor(8) as pool:
            for t, frame in zip(times, pool.map(lambda t: rec[t, 0, 0], times), strict=True):
                assert np.array_equal(frame, values[..., t])


@pytest.mark.parametrize("deflated", [False, True])
def test_several_threads(tmp_path, monkeypatch, deflated):
    """Deflated channels each by one thread, one channel by two, arrays at rest by as many as there are."""
    monkeypatch.setattr("galvo.formats.matlab.columns.worker_count", lambda nbytes: 3)
    monkeypatch.setattr("galvo.formats.matlab.columns._READ_BYTES", 20_000)
    values = [noise((70, 66, 9), "<c8", seed) for seed in range(4)]
    builder = MatBuilder()
    for number, array in enumerate(values):
        builder.array(f"ch{number}", array, deflated=deflated)
    path = written(tmp_path, builder)
    expected = np.stack(values).transpose(3, 0, 1, 2)
    with galvo.open(path, axes="YXT") as rec:
        assert np.array_equal(rec[...][:, :, 0], expected)
        assert np.array_equal(rec[:, [3, 0, 0, 2], 0, 10:60], expected[:, [3, 0, 0, 2], 10:60])
        assert np.array_equal(rec[::-1, 2, 0], expected[::-1, 2])
    content = bytearray(path.read_bytes())
    if deflated:
        content[-1] ^= 1
        path.write_bytes(content)
        with galvo.open(path, axes="YXT") as rec, pytest.raises(DamagedData):
            rec[...]


# ---- damage ---------------------------------------------------------------------------------------------------------


def test_a_wrong_checksum_is_found_at_the_end(tmp_path):
    builder = MatBuilder()
    values = noise((16, 16, 20), "u2")
    builder.array("mov", values, deflated=True)
    content = builder.build()
    path = tmp_path / "x.mat"
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with galvo.open(path, axes="YXT") as rec:
        assert np.array_equal(rec[0, 0, 0], values[..., 0])
        for _ in range(2):
            with pytest.raises(DamagedData, match="incorrect data check"):
                rec[19]
        # known to be damaged somewhere
        with pytest.raises(DamagedData):
            rec[0]
        assert not galvo.verify(rec).ok


def deflated(inside):
    packed = zlib.compress(inside)
    return MatBuilder().build() + struct.pack("<II", 15, len(packed)) + packed


def head(nbytes, shape=(1000, 1000, 1000), kind=9, stored=2, size=None):
    inside = struct.pack("<IIII", 6, 8, kind, 0) + struct.pack(f"<II{len(shape)}i", 5, 4 * len(shape), *shape)
    inside += bytes(-len(inside) % 8) + struct.pack("<HH4s", 1, 1, b"a") + struct.pack("<II", stored, nbytes)
    return struct.pack("<II", 14, len(inside) + nbytes if size is None else size) + inside


ATTACKS = {
    "a billion pixels in a few bytes": (deflated(head(10**9)), Malformed),
    "a billion pixels, not deflated": (MatBuilder().build() + head(10**9), Truncated),
    "dimensions beyond any number": (MatBuilder().build() + head(8, (2**31 - 1,) * 5, size=64), Malformed),
    "negative dimensions": (MatBuilder().build() + head(0, (-4, 4), size=48), Malformed),
    "a stored type that does not exist": (MatBuilder().build() + head(8, (2, 4), stored=8) + bytes(8), Malformed),
    "an element larger than its array": (MatBuilder().build() + head(8, (2, 4), size=48) + bytes(8), Malformed),
    "deflated in deflated": (deflated(deflated(b"")[128:]), Malformed),
    "nothing deflated": (MatBuilder().build() + struct.pack("<II", 15, 0), Truncated),
    "garbage deflated": (MatBuilder().build() + struct.pack("<II", 15, 8) + b"garbage!", DamagedData),
    "a header alone": (MatBuilder().build(), FormatError),
    "level 4, more than there is": (struct.pack("<5i", 0, 1 << 30, 1 << 30, 1, 2) + b"a\0", Truncated),
    "level 4, an impossible header": (struct.pack("<5i", 0, 1, 1, 0, 2) + b"a\0" + bytes(8) + b"\xff" * 24, Malformed),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_believed(tmp_path, name):
    content, kind = ATTACKS[name]
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(kind) as caught:
        galvo.open(path)
    assert str(path) in str(caught.value)


def test_limits(tmp_path):
    path = holding(tmp_path, mov=noise((30, 30, 20), "u2"))
    with pytest.raises(LimitExceeded, match="frame bytes"):
        galvo.open(path, axes="YXT", limits=galvo.Limits(frame_bytes=1000))
    with pytest.raises(LimitExceeded, match="page count"):
        galvo.open(path, axes="YXT", limits=galvo.Limits(page_count=19))


def test_many_empty_arrays_do_not_take_long(tmp_path):
    path = tmp_path / "x.mat"
    path.write_bytes(MatBuilder().build() + struct.pack("<II", 14, 0) * 200_000)
    with pytest.raises(LimitExceeded, match="more arrays"):
        galvo.open(path)


def test_what_lies_behind_a_named_array_may_be_cut(tmp_path):
    values = noise((3, 4, 5), "u2")
    path = holding(tmp_path, a=values, b=values)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Truncated, match="naming one with variable="):
        galvo.open(path)
    with galvo.open(path, variable="a", axes="YXT") as rec:
        assert np.array_equal(rec[:, 0, 0], values.transpose(2, 0, 1))


# ---- version 7.3 ----------------------------------------------------------------------------------------------------


def hierarchy(tmp_path, fill, userblock=512):
    path = tmp_path / "h.mat"
    with h5py.File(path, "w", userblock_size=userblock) as file:
        fill(file)
    if userblock:
        with path.open("r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


@pytest.mark.parametrize("chunks", [None, (2, 4, 3), (1, 4, 3)])
@pytest.mark.parametrize("userblock", [0, 512, 2048])
def test_dimensions_are_reversed(tmp_path, userblock, chunks):
    values = noise((3, 4, 5), "<u2")

    def fill(file):
        file.create_dataset("mov", data=values.transpose(2, 1, 0), chunks=chunks, shuffle=chunks is not None)

    path = hierarchy(tmp_path, fill, userblock)
    with galvo.open(path, axes="YXT", format=None if userblock else "matlab") as rec:
        assert rec.metadata.format == "matlab"
        assert rec.shape == (5, 1, 1, 3, 4)
        assert np.array_equal(rec[:, 0, 0], values.transpose(2, 0, 1))
        # by its own path, not through libhdf5
        assert type(rec._reader).__name__ == "_ChunkedReader"


def test_classes_of_version_73(tmp_path):
    truth, pairs = noise((4, 3), "?"), noise((4, 3), "c8")

    def fill(file):
        file["l"] = truth.T.astype("u1") * 7
        file["l"].attrs["MATLAB_class"] = np.bytes_("logical")
        half = np.dtype([("real", "<f4"), ("imag", "<f4")])
        file["z"] = np.ascontiguousarray(pairs.T).view(half)
        file["z"].attrs["MATLAB_class"] = np.bytes_("single")
        file["t"] = np.array([[97], [98]], "u2")
        file["t"].attrs["MATLAB_class"] = np.bytes_("char")
        file["#refs#/a"] = np.zeros((5, 5))
        file["s/data"] = np.zeros((3, 3))
        file["s"].attrs["MATLAB_sparse"] = np.uint64(3)
        file["e"] = np.array([0, 3], "u8")
        file["e"].attrs["MATLAB_class"] = np.bytes_("double")
        file["e"].attrs["MATLAB_empty"] = np.uint8(1)

    path = hierarchy(tmp_path, fill)
    for name, expected in (("l", truth), ("z", pairs)):
        with galvo.open(path, variable=name) as rec:
            assert rec.dtype == expected.dtype
            assert np.array_equal(rec[0, 0, 0], expected)
            assert np.array_equal(rec[0, 0, 0, ::-2, [2, 0]], expected[::-2][:, [2, 0]])
    with pytest.raises(FormatError, match=r"found l 4x3 logical, z 4x3 complex single\. Name") as caught:
        galvo.open(path)
    assert "refs" not in str(caught.value)
    with pytest.raises(OptionError, match="e 0x3 double, l 4x3 logical, t 1x2 char, z"):
        galvo.open(path, variable="mov")


def test_fields_of_structs(tmp_path):
    values = noise((3, 4, 5), "f4")

    def fill(file):
        file["out/mov"] = values.T
        file["out/rate"] = np.array([[30.0]])

    path = hierarchy(tmp_path, fill)
    with galvo.open(path, axes="YXT") as rec, galvo.open(path, variable="out/mov", axes="YXT") as same:
        assert np.array_equal(rec[...], same[...])
        assert np.array_equal(rec[:, 0, 0], values.transpose(2, 0, 1))


def test_hdf5_under_another_name_is_no_matlab_file(tmp_path):
    """Its axes would be turned around."""
    values = noise((5, 1, 1, 3, 4), "u2")
    galvo.save(values, tmp_path / "x.mat", format="hdf5")
    with galvo.open(tmp_path / "x.mat") as rec:
        assert rec.metadata.format == "hdf5"
        assert np.array_equal(rec[...], values)


def test_links_to_other_files(tmp_path):
    values = noise((3, 4, 5), "<u2")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["mov"] = values.T

    def fill(file):
        file["mov"] = h5py.ExternalLink("other.h5", "/mov")

    path = hierarchy(tmp_path, fill)
    for name in (None, "mov"):
        with pytest.raises(UnsafeContent, match="allow_external"):
            galvo.open(path, variable=name, axes="YXT")
    with galvo.open(path, axes="YXT", allow_external=True) as rec:
        assert np.array_equal(rec[:, 0, 0], values.transpose(2, 0, 1))
