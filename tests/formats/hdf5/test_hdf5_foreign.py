"""HDF5 files of other programs: which datasets, which axes, and every layout against h5py."""

from __future__ import annotations

import warnings

import h5py
import hypothesis
import imagecodecs
import numpy as np
import pytest
from hypothesis import strategies as st

import galvo
from galvo.core.read import IndexedReader
from galvo.errors import (
    DamagedData,
    FormatError,
    GalvoWarning,
    LimitExceeded,
    Malformed,
    OptionError,
    Truncated,
    Unsupported,
)
from galvo.formats.hdf5.library import LibraryReader
from galvo.limits import Limits


def movie(*shape, dtype="<u2", seed=0):
    return np.random.default_rng(seed).integers(0, 30000, shape).astype(dtype)


def written(path, **datasets):
    """A file of datasets: arrays, or (array, creation options)."""
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            data, options = value if isinstance(value, tuple) else (value, {})
            file.create_dataset(name.replace("__", "/"), data=data, **options)
    return path


def quiet(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GalvoWarning)
        return galvo.open(path, **options)


def names_of(rec):
    reader = rec._reader if isinstance(rec._reader, LibraryReader) else rec._reader._library
    return reader._movie.names


def outer(array, keys):
    for axis, key in enumerate(keys):
        array = array[(slice(None),) * axis + (key if isinstance(key, slice) else np.asarray(key, np.int64),)]
    return array


# ---- which datasets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["ch1", "ch2", "ch3"],
        ["CH2", "CH10", "CH1"],
        ["Channel_1", "Channel_2"],
        ["channel-0", "channel-1"],
        ["chan 1", "chan 02", "chan 3"],
        ["raw_ch1", "raw_ch2"],
        ["session__imaging__ch1", "session__imaging__ch2"],
        ["ch7"],
    ],
)
def test_channels(tmp_path, names):
    movies = {name: movie(4, 6, 5, seed=number) for number, name in enumerate(names)}
    written(tmp_path / "a.h5", **movies, other=np.zeros((9, 9)), mov=movie(4, 6, 5, seed=99))
    ordered = sorted(names, key=lambda name: int("".join(ch for ch in name if ch.isdigit())))
    with pytest.warns(GalvoWarning, match="taken as TYX"):
        rec = galvo.open(tmp_path / "a.h5")
    with rec:
        assert rec.shape == (4, len(names), 1, 6, 5)
        for channel, name in enumerate(ordered):
            np.testing.assert_array_equal(rec[:, channel, 0], movies[name])


def test_the_largest_group_of_channels(tmp_path):
    movies = {f"raw_ch{n}": movie(4, 6, 5, seed=n) for n in (1, 2, 3)}
    written(tmp_path / "a.h5", **movies, fit_ch1=movie(4, 6, 5), fit_ch2=movie(4, 6, 5), raw_ch4=movie(5, 6, 5))
    with quiet(tmp_path / "a.h5") as rec:
        assert names_of(rec) == ("/raw_ch1", "/raw_ch2", "/raw_ch3")


STATED = {
    "texts": ["red", "green"],
    "bytes": np.array([b"red", b"green"]),
    "with a slash": ["/red", "/green"],
}
NOT_STATED = {
    "one is not there": ["red", "blue"],
    "one is no movie": ["red", "flat"],
    "one twice": ["red", "red"],
    "a text": "red",
    "numbers": [1, 2],
    "no name": np.empty(0, "S1"),
    "no UTF-8": np.array([b"red", b"gr\xffen"]),
    "two axes": np.array([[b"red", b"green"]]),
}


@pytest.mark.parametrize("value", STATED.values(), ids=STATED)
def test_stated_names(tmp_path, value):
    """The attribute decides, in its order, before any name does."""
    movies = {name: movie(4, 6, 5, seed=seed) for seed, name in enumerate(("green", "red", "ch1", "mov"))}
    written(tmp_path / "a.h5", **movies)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["dataset_names"] = value
    with quiet(tmp_path / "a.h5") as rec:
        assert names_of(rec) == ("/red", "/green")
        np.testing.assert_array_equal(rec[:, 0, 0], movies["red"])


@pytest.mark.parametrize("value", NOT_STATED.values(), ids=NOT_STATED)
def test_an_attribute_that_names_no_movies(tmp_path, value):
    written(tmp_path / "a.h5", green=movie(4, 6, 5), red=movie(4, 6, 5), mov=movie(4, 6, 5, seed=3), flat=movie(3, 3))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["dataset_names"] = value
    with quiet(tmp_path / "a.h5") as rec:
        assert names_of(rec) == ("/mov",)


def test_displacements(tmp_path):
    field = {name: movie(4, 6, 5, dtype="<f4", seed=seed) for seed, name in enumerate("vu")}
    written(tmp_path / "w.h5", **field, flat=movie(3, 3))
    with quiet(tmp_path / "w.h5") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], field["u"])
        np.testing.assert_array_equal(rec[:, 1, 0], field["v"])
    written(tmp_path / "a.h5", **field, w=movie(4, 6, 5))
    with pytest.raises(FormatError, match="several datasets"):
        galvo.open(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["mov", "MOV", "data", "dataset", "a__b__Data"])
def test_usual_names(tmp_path, name):
    pixels = movie(4, 6, 5)
    written(tmp_path / "a.h5", **{name: pixels}, other=movie(9, 9, 9), flat=movie(3, 3))
    with quiet(tmp_path / "a.h5") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pixels)


def test_the_only_one(tmp_path):
    pixels = movie(4, 6, 5)
    written(tmp_path / "a.h5", stack=pixels, flat=movie(3, 3), names=np.array([b"x", b"y"]), line=movie(7))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["null"] = h5py.Empty("f4")
        file["scalar"] = 3
        file["text"] = np.full((2, 2, 2), "x", h5py.string_dtype())
        file["type"] = np.dtype("f8")
        file["alias"] = h5py.SoftLink("/stack")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["twin"] = file["stack"]
        file.create_group("group/inner")["back"] = h5py.SoftLink("/")
        # a type that NumPy does not have
        h5py.h5d.create(file.id, b"time", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((3, 4, 5)))
    with quiet(tmp_path / "a.h5") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pixels)


@pytest.mark.parametrize(
    "datasets",
    [
        {"a": movie(4, 6, 5), "b": movie(2, 3, 4)},
        {"raw_ch1": movie(4, 6, 5), "new_ch1": movie(4, 6, 5)},
        {"ch1": movie(4, 6, 5), "ch2": movie(3, 6, 5)},
        {"ch1": movie(4, 6, 5), "chan1": movie(4, 6, 5)},
        {"x__mov": movie(4, 6, 5), "y__mov": movie(4, 6, 5), "data": movie(4, 6, 5)},
        {f"movie_{n:02}x": movie(4, 6, 5) for n in range(12)},
    ],
)
def test_ambiguity_lists_the_candidates(tmp_path, datasets):
    written(tmp_path / "a.h5", **datasets)
    with pytest.raises(FormatError, match="several datasets could be the recording") as caught:
        galvo.open(tmp_path / "a.h5")
    text = str(caught.value)
    for name, array in sorted(datasets.items())[:8]:
        assert f"/{name.replace('__', '/')} {array.shape} {array.dtype}" in text
    assert "dataset=" in text
    if len(datasets) > 8:
        assert "and 4 more" in text
    name = next(iter(datasets))
    with quiet(tmp_path / "a.h5", dataset=name.replace("__", "/")) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], datasets[name])


def test_nothing_to_open(tmp_path):
    written(tmp_path / "a.h5", flat=movie(3, 3))
    with pytest.raises(FormatError, match=r"no dataset of 3 to 5 axes.*/flat \(3, 3\)"):
        galvo.open(tmp_path / "a.h5")
    written(tmp_path / "b.h5")
    with pytest.raises(FormatError, match="an empty file"):
        galvo.open(tmp_path / "b.h5")
    written(tmp_path / "c.h5", ch1=movie(3, 3, 3), ch2=movie(3, 3, 3, dtype="i4"))
    with pytest.raises(Unsupported, match="different shapes or types"):
        galvo.open(tmp_path / "c.h5")


def test_named_datasets(tmp_path):
    a, b = movie(4, 6, 5, seed=1), movie(4, 6, 5, seed=2)
    path = written(tmp_path / "a.h5", x__a=a, b=b, flat=movie(7, 8), line=movie(9), text=np.array([b"x"]))
    with quiet(path, dataset=["b", "/x/a"]) as rec:
        np.testing.assert_array_equal(rec[:, :, 0], np.stack([b, a], 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with galvo.open(path, dataset="flat") as rec:
            assert rec.shape == (1, 1, 1, 7, 8)
    for dataset, kind in (("c", OptionError), ("x", OptionError), ("line", Unsupported), ("text", Unsupported)):
        with pytest.raises(kind):
            galvo.open(path, dataset=dataset)
    with pytest.raises(Unsupported, match="different shapes"):
        galvo.open(path, dataset=["flat", "b"])


def test_other_names_of_a_dataset(tmp_path):
    path = written(tmp_path / "a.h5", data__raw__mov=SMOOTH, other=NOISE)
    with h5py.File(path, "a") as file:
        file["twin"] = file["data/raw/mov"]
        file["soft"] = h5py.SoftLink("/data/raw/mov")
        file["data/near"] = h5py.SoftLink("raw/./mov")
        file["folder"] = h5py.SoftLink("data/raw")
        file["chain"] = h5py.SoftLink("folder/mov")
        file["loop"], file["pool"] = h5py.SoftLink("/pool"), h5py.SoftLink("/loop/x")
        file["nowhere"] = h5py.SoftLink("/data/raw/none")
    for name in ("twin", "/soft", "data/near", "folder/mov", "chain", "/data//raw/mov"):
        with galvo.open(path, dataset=name, axes="TYX") as rec:
            np.testing.assert_array_equal(rec[:, 0, 0], SMOOTH)
    for name in ("loop", "pool", "nowhere", "data", "folder", "", "/", "."):
        with pytest.raises(OptionError, match="no dataset"):
            galvo.open(path, dataset=name)


# ---- which axes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "letters"),
    [
        ((4, 6, 5), "TYX"),
        ((4, 6, 5, 3), "TYXC"),
        ((4, 6, 5, 4), "TYXC"),
        ((4, 3, 6, 5), "TZYX"),
        ((4, 2, 3, 6, 5), "TCZYX"),
    ],
)
def test_a_guess_is_said(tmp_path, shape, letters):
    pixels = movie(*shape)
    path = written(tmp_path / "a.h5", mov=pixels)
    with pytest.warns(GalvoWarning, match=f"taken as {letters}"):
        rec = galvo.open(path)
    with rec, warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = galvo.open(pixels, axes=letters)
        np.testing.assert_array_equal(rec[...], expected[...])
        with galvo.open(path, axes=letters) as again:
            assert again.shape == rec.shape


@pytest.mark.parametrize("axes", ["TYX", "YXT", "XYT", "ZYX", "CYX", "yxc", "TXY"])
@pytest.mark.parametrize("chunks", [None, (2, 3, 4), True])
def test_named_axes(tmp_path, axes, chunks):
    pixels = movie(7, 6, 5)
    path = written(tmp_path / "a.h5", mov=(pixels, {"chunks": chunks}))
    with galvo.open(path, axes=axes) as rec:
        np.testing.assert_array_equal(rec[...], galvo.open(pixels, axes=axes)[...])
        np.testing.assert_array_equal(
            rec[::2, :, :, [1, 0], ::-1], galvo.open(pixels, axes=axes)[::2, :, :, [1, 0], ::-1]
        )


@pytest.mark.parametrize("axes", ["TY", "TYXC", "TTX", "ABC", "", "TCX"])
def test_axes_that_do_not_fit(tmp_path, axes):
    path = written(tmp_path / "a.h5", mov=movie(7, 6, 5))
    with pytest.raises(OptionError):
        galvo.open(path, axes=axes)
    path = written(tmp_path / "b.h5", ch1=movie(7, 6, 5), ch2=movie(7, 6, 5))
    with pytest.raises(OptionError, match="no axis C"):
        galvo.open(path, axes="CYX")


@pytest.mark.parametrize(("ordering", "axes"), [((1, 2, 0), "TYX"), ((0, 1, 2), "YXT"), ((2, 1, 0), "TXY")])
@pytest.mark.parametrize("on_file", [False, True])
def test_dimension_ordering(tmp_path, ordering, axes, on_file):
    pixels = movie(7, 6, 5)
    path = written(tmp_path / "a.h5", ch1=(pixels, {"chunks": (1, 6, 5)}), ch2=(pixels + 1, {"chunks": (1, 6, 5)}))
    with h5py.File(path, "a") as file:
        for owner in (file,) if on_file else (file["ch1"], file["ch2"]):
            owner.attrs["dimension_ordering"] = ordering
    with galvo.open(path) as rec:
        expected = galvo.open(pixels, axes=axes)[...]
        np.testing.assert_array_equal(rec[...], np.concatenate([expected, expected + 1], 1))


@pytest.mark.parametrize("value", [(0, 1), (0, 0, 1), "abc", 3, (1.5, 2, 0), ("a", "b", "c"), (1, 2, 3)])
def test_a_dimension_ordering_that_is_none(tmp_path, value):
    path = written(tmp_path / "a.h5", ch1=movie(7, 6, 5))
    with h5py.File(path, "a") as file:
        file["ch1"].attrs["dimension_ordering"] = value
    try:
        with quiet(path) as rec:
            assert rec.shape[3:] in ((6, 5), (7, 6))
    except FormatError:
        pass


def test_own_datasets_by_name(tmp_path):
    pixels = movie(5, 2, 3, 6, 4)
    galvo.save(pixels, tmp_path / "a.h5")
    with galvo.open(tmp_path / "a.h5", dataset="ch2") as rec:
        # the attribute decides: a last axis of 4 would be guessed as channels
        np.testing.assert_array_equal(rec[...], pixels[:, 1:])
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["galvo"]
    with galvo.open(tmp_path / "a.h5") as rec:
        np.testing.assert_array_equal(rec[...], pixels)


# ---- layouts --------------------------------------------------------------------------------------------------------

INDEXED, LIBRARY = "chunk table", "library"


def path_used(rec):
    reader = rec._reader
    if isinstance(reader, LibraryReader):
        return LIBRARY
    return INDEXED if isinstance(reader._current, IndexedReader) else LIBRARY


NOISE = np.random.default_rng(5).integers(0, 2**16, (7, 6, 5)).astype("u2")
SMOOTH = np.arange(7 * 6 * 5, dtype="<u2").reshape(7, 6, 5)
LAYOUTS = {
    "contiguous": (SMOOTH, {}, INDEXED),
    "contiguous, big endian": (SMOOTH.astype(">u2"), {}, INDEXED),
    "big-endian float": (SMOOTH.astype(">f8"), {"chunks": (2, 6, 5)}, INDEXED),
    "complex": (SMOOTH.astype("c16") * (1 + 2j), {"chunks": (2, 6, 5)}, INDEXED),
    "bool": (SMOOTH % 3 == 0, {"chunks": (2, 6, 5)}, INDEXED),
    "half": (SMOOTH.astype("f2"), {}, INDEXED),
    "frames": (SMOOTH, {"chunks": (1, 6, 5)}, INDEXED),
    "all in one": (SMOOTH, {"chunks": (7, 6, 5)}, INDEXED),
    "resizable": (SMOOTH, {"maxshape": (None, None, None), "chunks": (3, 4, 2)}, INDEXED),
    "gzip": (SMOOTH, {"chunks": (3, 4, 5), "compression": "gzip"}, INDEXED),
    "gzip, shuffle, fletcher32": (
        SMOOTH,
        {"chunks": (3, 4, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
        INDEXED,
    ),
    "gzip of noise": (NOISE, {"chunks": (1, 1, 5), "compression": "gzip", "compression_opts": 9}, INDEXED),
    "shuffle": (NOISE, {"chunks": (3, 4, 2), "shuffle": True}, INDEXED),
    "shuffle, big endian": (NOISE.astype(">u4"), {"chunks": (3, 4, 2), "shuffle": True}, INDEXED),
    "fletcher32": (NOISE, {"chunks": (3, 4, 3), "fletcher32": True}, INDEXED),
    "lzf": (np.zeros_like(SMOOTH) + 7, {"chunks": (7, 6, 5), "compression": "lzf", "shuffle": True}, INDEXED),
    "lzf of noise": (NOISE, {"chunks": (2, 6, 5), "compression": "lzf"}, LIBRARY),
    "scale-offset": (SMOOTH, {"chunks": (2, 6, 5), "scaleoffset": 0}, LIBRARY),
    "szip": (SMOOTH, {"chunks": (2, 6, 5), "compression": "szip"}, LIBRARY),
}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path, name, libver):
    pixels, options, expected = LAYOUTS[name]
    if options.get("compression") == "szip" and not h5py.h5z.filter_avail(h5py.h5z.FILTER_SZIP):
        pytest.skip("this HDF5 has no szip")
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file.create_dataset("mov", data=pixels, **options)
    with galvo.open(tmp_path / "a.h5", axes="TYX") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pixels)
        assert rec.dtype == pixels.dtype.newbyteorder("=")
        assert path_used(rec) == expected
        for keys in ((slice(None, None, -2), [3, 0], [4, 4, 1]), ([6, 0, 6], slice(1, 5, 2), slice(None))):
            got = rec.isel(t=keys[0], y=keys[1], x=keys[2])[:, 0, 0]
            np.testing.assert_array_equal(got, outer(pixels, keys))


def test_odd_number_types(tmp_path):
    # 12 bits that begin at bit 4, and a float that NumPy does not have: stored bytes are not the numbers
    values = np.arange(24, dtype="u2").reshape(2, 3, 4)
    shifted = h5py.h5t.STD_U16LE.copy()
    shifted.set_precision(12)
    shifted.set_offset(4)
    brain = h5py.h5t.IEEE_F32LE.copy()
    brain.set_fields(15, 7, 8, 0, 7)
    brain.set_precision(16)
    brain.set_size(2)
    for number, (kind, data) in enumerate(((shifted, values), (brain, values.astype("f4")))):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            dataset = h5py.h5d.create(file.id, b"mov", kind, h5py.h5s.create_simple((2, 3, 4)))
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
        with galvo.open(path, axes="TYX") as rec:
            assert path_used(rec) == LIBRARY
            np.testing.assert_array_equal(rec[:, 0, 0], values)


@pytest.mark.parametrize("block", [512, 1024, 8192, 32768])
def test_userblock(tmp_path, block):
    for name, options in (("a.h5", {}), ("b.h5", {"chunks": (2, 6, 5)})):
        with h5py.File(tmp_path / name, "w", userblock_size=block) as file:
            file.create_dataset("mov", data=SMOOTH, **options)
        content = bytearray((tmp_path / name).read_bytes())
        content[:6] = b"MATLAB"
        (tmp_path / name).write_bytes(content)
        with galvo.open(tmp_path / name, axes="TYX") as rec:
            np.testing.assert_array_equal(rec[:, 0, 0], SMOOTH)


def test_compact(tmp_path):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple(SMOOTH.shape)
        dataset = h5py.h5d.create(file.id, b"mov", h5py.h5t.NATIVE_UINT16, space, plist)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, SMOOTH)
    with galvo.open(tmp_path / "a.h5", axes="TYX") as rec:
        assert path_used(rec) == LIBRARY
        np.testing.assert_array_equal(rec[:, 0, 0], SMOOTH)


def test_channels_of_different_layouts(tmp_path):
    for number, others in enumerate(
        ({"chunks": (1, 6, 5)}, {"chunks": (2, 3, 5)}, {"chunks": (2, 6, 5), "shuffle": True})
    ):
        path = written(tmp_path / f"{number}.h5", ch1=(SMOOTH, {"chunks": (2, 6, 5)}), ch2=(NOISE, others), x=SMOOTH)
        with galvo.open(path, axes="TYX") as rec:
            assert path_used(rec) == LIBRARY
            np.testing.assert_array_equal(rec[:, :, 0], np.stack([SMOOTH, NOISE], 1))
            np.testing.assert_array_equal(rec[::3, [1, 0, 1], 0, 2], np.stack([NOISE, SMOOTH, NOISE], 1)[::3, :, 2])


CASES = st.integers(2, 5).flatmap(
    lambda ndim: st.tuples(
        st.permutations("TCZ").map(lambda letters: "".join(letters)[: ndim - 2] + "YX"),
        st.lists(st.integers(1, 9), min_size=ndim, max_size=ndim),
        st.lists(st.integers(1, 10), min_size=ndim, max_size=ndim),
        st.sampled_from(["none", "contiguous", "gzip", "shuffle", "scaleoffset", "lzf"]),
        st.sampled_from(["<u2", ">i2", "u1", ">f4"]),
        st.randoms(use_true_random=False),
    )
)


def random_key(random, length):
    kind = random.randrange(4)
    if kind == 0:
        return [random.randrange(-length, length) for _ in range(random.randrange(1, 5))]
    if kind == 1:
        first = random.randrange(length)
        return slice(first, random.randrange(first, length) + 1, random.randrange(1, 4))
    return slice(None) if kind == 2 else slice(None, None, -random.randrange(1, 3))


@hypothesis.given(case=CASES)
@hypothesis.settings(max_examples=150)
def test_selections_of_any_layout(tmp_path_factory, case):
    letters, shape, chunks, storage, dtype, random = case
    letters = "".join(random.sample(letters, len(letters)))
    chunks = tuple(map(min, chunks, shape))
    options = {} if storage == "contiguous" else {"chunks": chunks}
    if storage in ("gzip", "lzf"):
        options["compression"] = storage
    elif storage == "shuffle":
        options |= {"shuffle": True, "fletcher32": True}
    elif storage == "scaleoffset" and dtype[1] != "f":
        options["scaleoffset"] = 0
    pixels = np.random.default_rng(random.randrange(1000)).integers(0, 120, shape).astype(dtype)
    path = tmp_path_factory.mktemp("any") / "a.h5"
    written(path, mov=(pixels, options))
    with galvo.open(path, dataset="mov", axes=letters) as rec:
        expected = galvo.open(pixels, axes=letters)[...]
        assert rec.shape == expected.shape
        for _ in range(3):
            keys = [random_key(random, length) for length in rec.shape]
            np.testing.assert_array_equal(rec[tuple(keys)], outer(expected, keys))
            part = rec.isel(t=keys[0], x=keys[4])
            np.testing.assert_array_equal(part[...], outer(expected, [keys[0], *[slice(None)] * 3, keys[4]]))


def test_the_library_reads_what_is_asked_for(tmp_path, monkeypatch):
    pixels = movie(400, 8, 8)
    path = written(tmp_path / "a.h5", mov=(pixels, {"chunks": (4, 8, 8), "scaleoffset": 0}))
    asked = []
    real = h5py.Dataset.__getitem__

    def counting(self, key, *more):
        got = real(self, key, *more)
        asked.append(np.size(got))
        return got

    with galvo.open(path, axes="TYX") as rec:
        monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
        np.testing.assert_array_equal(rec[::100, 0, 0], pixels[::100])
        assert sum(asked) < 17 * 64
        monkeypatch.setattr("galvo.formats.hdf5.library._SCRATCH_BYTES", 4096)
        asked.clear()
        np.testing.assert_array_equal(rec[::-1, 0, 0], pixels[::-1])
        assert max(asked) * 2 <= 4096


# ---- holes and emptiness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"scaleoffset": 0}], ids=str)
def test_chunks_that_were_never_written(tmp_path, options):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("mov", (10, 6, 5), "u2", chunks=(2, 6, 5), fillvalue=7, **options)
        dataset[2:4] = SMOOTH[2:4]
        dataset[8:] = SMOOTH[5:]
    with galvo.open(tmp_path / "a.h5", axes="TYX") as rec:
        np.testing.assert_array_equal(rec[2:4, 0, 0], SMOOTH[2:4])
        np.testing.assert_array_equal(rec[[9, 2, 8], 0, 0], SMOOTH[[6, 2, 5]])
        for key in (0, 5, slice(None), [2, 9, 6], slice(3, 5)):
            with pytest.raises(DamagedData, match="never written"):
                rec[key]


def test_nothing_was_ever_written(tmp_path):
    for name, options in (
        ("a.h5", {}),
        ("b.h5", {"chunks": (1, 6, 5)}),
        ("c.h5", {"chunks": (1, 6, 5), "scaleoffset": 0}),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("mov", (10, 6, 5), "u2", **options)
        with galvo.open(tmp_path / name, axes="TYX") as rec:
            assert rec.shape == (10, 1, 1, 6, 5)
            with pytest.raises(DamagedData, match="never written"):
                rec[3]
        result = galvo.verify(tmp_path / name, axes="TYX")
        assert not result.ok


def test_written_at_creation(tmp_path):
    # "early" allocation: the fill values are in the file
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5d.create(file.id, b"mov", h5py.h5t.STD_U16BE, h5py.h5s.create_simple((4, 6, 5)), plist)
    with galvo.open(tmp_path / "a.h5", axes="TYX") as rec:
        assert not rec[...].any()


@pytest.mark.parametrize("shape", [(0, 6, 5), (4, 0, 5), (4, 6, 0), (0, 0, 0)])
@pytest.mark.parametrize("options", [{}, {"chunks": (1, 2, 3), "maxshape": (None, None, None)}], ids=str)
def test_axes_of_length_0(tmp_path, shape, options):
    path = written(tmp_path / "a.h5", mov=(np.zeros(shape, "u2"), options))
    with galvo.open(path, axes="TYX") as rec:
        assert rec.shape == (shape[0], 1, 1, *shape[1:])
        assert rec[...].shape == rec.shape
        assert rec.frame_table().size == shape[0]
        assert list(rec.blocks()) == []
        assert rec.chunks
        repr(rec)


def test_shrunk_and_grown(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("mov", data=SMOOTH, chunks=(2, 4, 4), maxshape=(None, None, None))
        dataset.resize((4, 5, 3))
    with galvo.open(tmp_path / "a.h5", axes="TYX") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], SMOOTH[:4, :5, :3])
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["mov"].resize((6, 5, 3))
    with galvo.open(tmp_path / "a.h5", axes="TYX") as rec:
        np.testing.assert_array_equal(rec[:4, 0, 0], SMOOTH[:4, :5, :3])
        with pytest.raises(DamagedData):
            rec[4]


def test_absurd_sizes(tmp_path):
    path = tmp_path / "a.h5"
    for shape, chunks, kinds in (
        ((10**12, 6, 5), (1, 6, 5), LimitExceeded),
        ((10, 10**6, 10**6), (1, 100, 100), LimitExceeded),
        ((10**6, 1000, 1000), (1, 10, 10), LimitExceeded),
        ((40_000_000, 6, 5), (1, 6, 5), FormatError),
        ((40_000_000, 6, 5), None, DamagedData),
        ((10**15, 6, 5), None, LimitExceeded),
    ):
        with h5py.File(path, "w") as file:
            file.create_dataset("mov", shape, "u2", chunks=chunks)
        with pytest.raises(kinds), galvo.open(path, axes="TYX") as rec:
            rec[:3]
    path = written(
        tmp_path / "b.h5", mov=(np.zeros((64, 512, 512), "u2"), {"chunks": (64, 512, 512), "compression": "gzip"})
    )
    with pytest.raises(LimitExceeded, match="chunk bytes"):
        galvo.open(path, axes="TYX", limits=Limits(chunk_bytes=1 << 20))


def test_a_contiguous_file_that_was_cut(tmp_path):
    path = written(tmp_path / "a.h5", mov=movie(200, 30, 30))
    content = path.read_bytes()
    # libhdf5 finds this by the end of file in the superblock; a superblock that agrees must not help
    end = len(content) - 5000
    assert content[40:48] == len(content).to_bytes(8, "little")
    path.write_bytes(content[:40] + end.to_bytes(8, "little") + content[48:end])
    with pytest.raises((Malformed, Truncated)):
        galvo.open(path, axes="TYX")[...]


def test_a_channel_that_does_not_open(tmp_path):
    path = written(tmp_path / "a.h5", ch1=SMOOTH, ch2=SMOOTH)
    with h5py.File(path) as file:
        at = h5py.h5o.get_info(file["ch2"].id).addr
    content = bytearray(path.read_bytes())
    content[at : at + 16] = b"\xff" * 16
    path.write_bytes(content)
    with pytest.raises(Malformed):
        galvo.open(path, axes="TYX")


def by_filter(path, code, encode, mask=0):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((1, 6, 5))
    plist.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
    with h5py.File(path, "w") as file:
        dataset = h5py.h5d.create(file.id, b"mov", h5py.h5t.NATIVE_UINT16, h5py.h5s.create_simple((7, 6, 5)), plist)
        for t in range(7):
            dataset.write_direct_chunk((t, 0, 0), encode(SMOOTH[t].tobytes()), mask)
    return path


def test_zstd_needs_no_plugin(tmp_path):
    path = by_filter(tmp_path / "a.h5", 32015, imagecodecs.zstd_encode)
    with galvo.open(path, axes="TYX") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], SMOOTH)
        assert path_used(rec) == INDEXED


def test_filters_that_are_not_there(tmp_path):
    path = by_filter(tmp_path / "a.h5", 32099, bytes)
    with galvo.open(path, axes="TYX") as rec, pytest.raises(Unsupported, match=r"filter.*32099"):
        rec[0]


def test_damage_on_the_library_path(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("mov", data=NOISE, chunks=(1, 6, 5), fletcher32=True)
    content = bytearray(path.read_bytes())
    content[content.index(NOISE[4].tobytes()) + 30] ^= 1
    path.write_bytes(content)
    with galvo.open(path, axes="TYX", allow_external=True) as rec:
        assert path_used(rec) == LIBRARY
        np.testing.assert_array_equal(rec[:4, 0, 0], NOISE[:4])
        with pytest.raises(DamagedData, match="/mov does not decode"):
            rec[4]
    (difference,) = galvo.verify(path, axes="TYX", allow_external=True, block_bytes=60).differences
    assert "frames 4 to 4" in difference
