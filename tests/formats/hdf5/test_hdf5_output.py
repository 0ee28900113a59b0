"""What galvo writes, with h5py as the judge; and that galvo reads it back as it was."""

from __future__ import annotations

import json
import struct

import h5py
import imagecodecs
import numpy as np
import pytest

import galvo
from galvo.core.metadata import LeftOut, Metadata
from galvo.core.recording import Recording
from galvo.errors import OptionError, Unsupported
from galvo.testing.scanimage import ScanImageRecording

DTYPES = [
    "u1",
    "i1",
    "<u2",
    ">u2",
    "<i2",
    ">i2",
    "<u4",
    ">i4",
    "<i8",
    ">u8",
    "<f2",
    "<f4",
    ">f4",
    "<f8",
    "c8",
    ">c16",
    "?",
]
SHAPES = [
    (1, 1, 1, 1, 1),
    (7, 1, 1, 5, 3),
    (11, 2, 1, 20, 31),
    (5, 4, 1, 13, 6),
    (3, 3, 4, 9, 7),
    (100, 1, 1, 33, 61),
    (5, 2, 3, 210, 190),
]
OPTIONS = [
    {},
    {"fletcher32": False},
    {"compression": "gzip", "compression_level": 1},
    {"compression": "gzip", "compression_level": 9, "fletcher32": False},
    {"compression": None},
]


def movie(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return rng.integers(bounds.min, bounds.max, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)
    pixels = rng.normal(size=shape) * 100
    if dtype.kind == "c":
        pixels = pixels + 1j * rng.normal(size=shape)
    pixels.flat[0] = np.nan
    return pixels.astype(dtype)


def same(one, other):
    """Equal bytes, whatever the byte order."""
    assert one.shape == other.shape
    assert one.dtype.newbyteorder("=") == other.dtype.newbyteorder("=")
    native = [np.ascontiguousarray(array, array.dtype.newbyteorder("=")) for array in (one, other)]
    assert native[0].tobytes() == native[1].tobytes()


def check_channels(path, pixels):
    _t, c, z, _y, _x = pixels.shape
    with h5py.File(path) as file:
        assert sorted(file) == sorted([*(f"ch{n + 1}" for n in range(c)), "galvo"])
        for channel in range(c):
            got = file[f"ch{channel + 1}"][...]
            same(got, pixels[:, channel] if z > 1 else pixels[:, channel, 0])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type(tmp_path, dtype, options):
    path = tmp_path / "a.h5"
    for shape in SHAPES[1:5]:
        pixels = movie(shape, dtype)
        galvo.save(pixels, path, overwrite=True, **options)
        check_channels(path, pixels)
        with galvo.open(path) as rec:
            assert rec.shape == shape
            same(rec[...], pixels)
        assert galvo.verify(path).ok


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_of_any_size(tmp_path, shape, options):
    path = tmp_path / "a.h5"
    pixels = movie(shape, "<u2")
    frame = shape[3] * shape[4] * 2
    for block_bytes in (1, frame, frame * max(2, shape[2] - 1), frame * shape[1] * shape[2] * 3, 1 << 26):
        galvo.save(pixels, path, overwrite=True, block_bytes=block_bytes, **options)
        check_channels(path, pixels)
        result = galvo.verify(path)
        assert result.ok
        assert result.method == "checksums"


def test_attributes_of_planar_files(tmp_path):
    # pyflowreg spec 2.3
    path = tmp_path / "a.h5"
    galvo.save(movie((11, 2, 1, 20, 30), "u2"), path)
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        assert list(attributes.pop("dataset_names")) == ["ch1", "ch2"]
        assert attributes.pop("dimension_ordering").tolist() == [1, 2, 0]
        plain = {"format": "pyflowreg_hdf5_v1", "frame_count": 11, "height": 20, "width": 30, "n_channels": 2}
        assert attributes == {**plain, "axes": "TYX"}
        for name in ("ch1", "ch2"):
            attributes = dict(file[name].attrs)
            assert attributes.pop("dimension_ordering").tolist() == [1, 2, 0]
            assert attributes.pop("original_shape_THWC").tolist() == [11, 20, 30, 2]
            assert attributes == {"axes": "TYX"}


def test_attributes_of_volumes(tmp_path):
    path = tmp_path / "a.h5"
    galvo.save(movie((5, 1, 3, 8, 9), "u2"), path)
    with h5py.File(path) as file:
        assert file.attrs["axes"] == file["ch1"].attrs["axes"] == "TZYX"
        # H, W and T alone cannot say where Z is
        assert "dimension_ordering" not in file.attrs
        assert file.attrs["frame_count"] == 5


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks"),
    [
        ((9, 1, 1, 512, 512), "u2", (1, 512, 512)),
        ((9, 1, 1, 128, 128), "u2", (2, 128, 128)),
        ((9, 1, 1, 8, 8), "u2", (9, 8, 8)),
        ((900, 1, 1, 8, 8), "f8", (128, 8, 8)),
        ((5, 2, 3, 128, 128), "u2", (2, 1, 128, 128)),
        ((2, 1, 1, 300, 300), "u1", (1, 300, 300)),
    ],
)
def test_chunks_are_whole_frames(tmp_path, shape, dtype, chunks):
    path = tmp_path / "a.h5"
    galvo.save(np.zeros(shape, dtype), path)
    with h5py.File(path) as file:
        assert file["ch1"].chunks == chunks
        assert file["ch1"].fletcher32
        assert file["ch1"].compression is None


def test_filters(tmp_path):
    path = tmp_path / "a.h5"
    pixels = np.arange(5 * 40 * 40, dtype="u2").reshape(5, 1, 1, 40, 40)
    sizes = []
    for level in (1, 9):
        galvo.save(pixels, path, overwrite=True, compression="gzip", compression_level=level, fletcher32=False)
        with h5py.File(path) as file:
            dataset = file["ch1"]
            assert (dataset.compression, dataset.compression_opts) == ("gzip", level)
            assert dataset.shuffle
            assert not dataset.fletcher32
            sizes.append(dataset.id.get_storage_size())
    assert sizes[1] <= sizes[0] < pixels.nbytes // 4
    galvo.save(pixels.astype("u1"), path, overwrite=True, compression="gzip")
    with h5py.File(path) as file:
        assert np.array_equal(file["ch1"][...], pixels.astype("u1")[:, 0, 0])


def test_read_by_hdf5_1_8(tmp_path):
    # HDF5 file format specification II.A, IV.A.2: superblock 2, layout message 3 and version 1 B-trees are of 1.8
    path = tmp_path / "a.h5"
    galvo.save(movie((30, 2, 2, 16, 16), "u2"), path, compression="gzip")
    content = path.read_bytes()
    assert content[8] == 2
    # version 1 B-tree, node type 1: chunks; fixed and extensible arrays and version 2 trees of chunks came later
    assert b"TREE\x01" in content
    assert not any(mark in content for mark in (b"FAHD", b"EAHD", b"BTHD\0\x0a", b"BTHD\0\x0b"))
    with h5py.File(path, libver=("earliest", "v108")) as file:
        assert file["ch1"].shape == (30, 2, 16, 16)


def test_golden_bytes(tmp_path):
    """Signature, version of the superblock, and a chunk: pixels, little endian, and their Fletcher-32."""
    path = tmp_path / "a.h5"
    galvo.save(np.arange(24, dtype=">u2").reshape(2, 1, 1, 3, 4), path)
    content = path.read_bytes()
    assert content.startswith(bytes.fromhex("89 48 44 46 0d 0a 1a 0a 02"))
    chunk = bytes.fromhex(
        "0000 0100 0200 0300 0400 0500 0600 0700 0800 0900 0a00 0b00"
        "0c00 0d00 0e00 0f00 1000 1100 1200 1300 1400 1500 1600 1700"
        "011408fc"
    )
    assert content.count(chunk) == 1


def test_fletcher32_is_hdf5s(tmp_path):
    # of odd lengths, too, and of chunks that gzip made odd
    for pixels in (movie((3, 1, 1, 5, 5), "u1"), movie((1, 1, 1, 300, 301), "u1"), movie((40, 1, 1, 64, 64), "<i2")):
        for options in ({}, {"compression": "gzip"}):
            path = tmp_path / "a.h5"
            galvo.save(pixels, path, overwrite=True, **options)
            check_channels(path, pixels)
            with h5py.File(path) as file:
                offset = file["ch1"].id.get_chunk_info(0).byte_offset
            content = bytearray(path.read_bytes())
            content[offset] ^= 1
            path.write_bytes(content)
            with h5py.File(path) as file, pytest.raises(OSError, match="read"):
                file["ch1"][...]


# ---- metadata -------------------------------------------------------------------------------------------------------

TEXT = "SI.hRoiManager.scanFrameRate = 30.03\n" + "SI.hMotors.note = 'µm – 深さ 😀'\n" + "x = [1 2 3]\n" * 8000


class Facts:
    """Columns of several types."""

    def read(self, t, c, z):
        row = (t * 100 + c * 10 + z).astype(np.float64)
        return {
            "frame_number": (t + 1).astype(np.int64),
            "timestamp_s": np.where(t == 1, np.nan, row / 7),
            "state": (t % 3).astype(np.uint8),
            "gain": row.astype(np.float32),
        }


def rich(pixels):
    _t, c, z, *_ = pixels.shape
    metadata = Metadata(
        format="array",
        version="7 µ",
        channel_names=tuple(f"Kanal {n} – grün" for n in range(c)),
        frame_rate_hz=29.97,
        pixel_size_um=(0.75, 1.5),
        z_um=(*(10.5 * n for n in range(z - 1)), float("nan")) if z > 1 else None,
        start_time="2021-03-04T05:06:07.089",
        texts={"header": TEXT, "roi": "", "größe.txt": "\0\r\n\t"},
        attributes={"a": 1, "list": [1, 2.5, None, "ü"], "array": np.arange(3), "number": np.float64(0.5), "t": (1, 2)},
    )
    return Recording(
        Recording.from_array(pixels)._reader,
        metadata,
        facts=Facts(),
        left_out=[LeftOut("flyback", 12, "the mirror returns – «rien»")],
    )


def check_rich(rec, source):
    for name in ("channel_names", "frame_rate_hz", "pixel_size_um", "start_time"):
        assert getattr(rec.metadata, name) == getattr(source.metadata, name)
    for name in ("z_um", "timestamps"):
        mine, theirs = getattr(rec, name), getattr(source, name)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_array_equal(mine, theirs)
    assert dict(rec.metadata.texts) == dict(source.metadata.texts)
    assert rec.left_out == source.left_out
    table, before = rec.frame_table(), source.frame_table()
    for name in before.dtype.names:
        assert table.dtype[name] == before.dtype[name]
        np.testing.assert_array_equal(table[name], before[name])


@pytest.mark.parametrize("shape", [(6, 2, 1, 7, 5), (4, 2, 3, 7, 5)])
@pytest.mark.parametrize("block_bytes", [1, 150, 1 << 26])
def test_metadata_comes_back(tmp_path, shape, block_bytes):
    source = rich(movie(shape, "<i2"))
    first, second, third = (tmp_path / f"{n}.h5" for n in "abc")
    galvo.save(source, first, block_bytes=block_bytes, compression="gzip")
    galvo.convert(first, second, verify=True)
    galvo.convert(second, third, verify=True, block_bytes=block_bytes)
    for path in (first, second, third):
        with galvo.open(path) as rec:
            assert rec.metadata.format == "hdf5"
            check_rich(rec, source)
            same(rec[...], source[...])
            kept = rec.metadata.attributes
            assert kept["source_format"] == "array"
            assert kept["source_version"] == "7 µ"
            assert {name: kept[name] for name in ("a", "list", "array", "number", "t")} == {
                "a": 1,
                "list": [1, 2.5, None, "ü"],
                "array": [0, 1, 2],
                "number": 0.5,
                "t": [1, 2],
            }
        assert galvo.verify(path).ok
        assert galvo.verify(path, source).ok
    with galvo.open(third) as rec:
        history = rec.metadata.attributes["provenance"]
        assert history["source_files"] == ["b.h5"]
        assert history["before"]["source_files"] == ["a.h5"]
        assert history["before"]["before"]["source_format"] == "array"


def test_unknown_stays_unknown(tmp_path):
    path = tmp_path / "a.h5"
    galvo.save(movie((3, 1, 1, 4, 5), "u1"), path)
    with galvo.open(path) as rec:
        meta = rec.metadata
        assert meta.channel_names == ()
        assert (meta.frame_rate_hz, meta.pixel_size_um, meta.z_um, meta.start_time) == (None, None, None, None)
        assert rec.timestamps is None
        assert dict(meta.texts) == {}
        assert dict(meta.header) == {}
        assert rec.left_out == ()


def test_the_group(tmp_path):
    path = tmp_path / "a.h5"
    pixels = movie((4, 2, 3, 7, 5), "<i2")
    galvo.save(rich(pixels), path, block_bytes=200)
    with h5py.File(path) as file:
        group, found = file["galvo"], {}
        group.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        assert all(item.ndim == 1 for item in found.values())
        assert set(found) == {
            *("schema_version", "axes", "datasets", "shape", "channel_names", "frame_rate_hz", "pixel_size_um", "z_um"),
            *("start_time", "source_format", "source_version", "texts/header", "texts/roi", "texts/größe.txt"),
            *("frames/frame_number", "frames/timestamp_s", "frames/state", "frames/gain"),
            *("attributes", "provenance", "block_bounds", "block_crc32c", "metadata_crc32c"),
        }
        assert group["schema_version"][...].tolist() == [1]
        assert group["shape"][...].tolist() == [4, 2, 3, 7, 5]
        assert bytes(group["axes"][...]) == b"TZYX"
        assert bytes(group["texts/header"][...]).decode() == TEXT
        assert json.loads(bytes(group["channel_names"][...])) == ["Kanal 0 – grün", "Kanal 1 – grün"]
        assert group["pixel_size_um"][...].tolist() == [0.75, 1.5]
        assert np.isnan(group["z_um"][-1])
        assert not file.attrs.get("texts")


def test_scanimage_through_hdf5_twice(tmp_path):
    truth = ScanImageRecording(
        height=8, width=6, slices=3, flyback=1, volumes=5, version="2019a", channels=(1, 3), frames_per_file=10
    )
    paths = truth.write(tmp_path)
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    galvo.convert(paths[0], first, verify=True, block_bytes=300)
    galvo.convert(first, second, verify=True)
    with galvo.open(paths[0]) as source, galvo.open(first) as one, galvo.open(second) as two:
        assert len(source.files) > 1
        table = source.frame_table()
        for rec in (one, two):
            same(rec[...], truth.expected())
            check = rec.frame_table()
            np.testing.assert_array_equal(check["source_file"], table["file"])
            np.testing.assert_array_equal(check["source_page"], table["page"])
            for name in table.dtype.names:
                if name not in ("file", "page"):
                    assert check.dtype[name] == table.dtype[name]
                    np.testing.assert_array_equal(check[name], table[name])
            assert (check["file"] == 0).all()
            assert rec.channel_names == source.channel_names
            assert rec.left_out == source.left_out
            assert rec.left_out
            assert dict(rec.metadata.texts) == dict(source.metadata.texts)
            assert dict(rec.metadata.header) == dict(source.metadata.header)
            assert "SI.hChannels.channelSave" in rec.metadata.header
            assert rec.metadata.attributes["source_format"] == "scanimage"
            np.testing.assert_array_equal(rec.timestamps, source.timestamps)
            np.testing.assert_array_equal(rec.z_um, source.z_um)
    assert galvo.verify(second, first).ok
    assert galvo.verify(second, paths[0]).ok


def test_parts(tmp_path):
    truth = ScanImageRecording(frames=12, channels=(1, 2), height=12, width=10)
    path, again = tmp_path / "a.h5", tmp_path / "b.h5"
    with galvo.open(truth.write(tmp_path)[0]) as whole:
        for number, part in enumerate(
            [
                whole.isel(c=1),
                whole.isel(t=slice(None, None, 3)),
                whole.isel(t=[7, 2, 2, 5], c=[1, 0]),
                whole.isel(t=slice(None, None, -1), y=slice(2, 9), x=slice(None, None, 3)),
            ]
        ):
            galvo.save(part, path, overwrite=True, verify=True, block_bytes=100)
            with galvo.open(path) as rec:
                same(rec[...], part[...])
                assert rec.channel_names == part.channel_names
                assert rec.frame_rate_hz == part.frame_rate_hz
                np.testing.assert_array_equal(rec.frame_table()["source_page"], part.frame_table()["page"])
                np.testing.assert_array_equal(rec.timestamps, part.timestamps)
                # a part of a part
                inner = rec.isel(t=slice(1, None, 2))
                galvo.save(inner, again, overwrite=True, verify=True)
                with galvo.open(again) as last:
                    same(last[...], inner[...])
                    pages = part.frame_table()
                    kept = pages[np.isin(pages["t"], np.arange(1, len(part), 2))]["page"]
                    np.testing.assert_array_equal(last.frame_table()["source_page"], kept)
            assert number < 4


def test_what_hdf5_does_not_take(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(Unsupported, match=r"longdouble|float\d+"):
        galvo.save(np.zeros((2, 3, 4), np.longdouble), path)
    metadata = Metadata(format="array", texts={"a/b": "text"})
    with pytest.raises(Unsupported, match="no such name"):
        galvo.save(Recording.from_array(np.zeros((2, 3, 4)), metadata=metadata), path)
    big = np.broadcast_to(np.zeros(1, np.uint8), (1, 70_000, 70_000))
    with pytest.raises(Unsupported, match="4 GiB"):
        galvo.save(big, path)
    for options in (
        {"compression": "bzip2"},
        {"compression_level": 4},
        {"compression": "gzip", "compression_level": 0},
        {"compression": "gzip", "compression_level": 10},
        {"compression": "zstd", "compression_level": 23},
        {"compression": "lzf", "compression_level": 1},
        {"shuffle": True},
    ):
        with pytest.raises(OptionError):
            galvo.save(np.zeros((2, 3, 4), np.uint8), path, **options)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_text(tmp_path):
    # a file name of bytes that are no UTF-8, and a vendor's text with a lone surrogate
    path, odd = tmp_path / "a.h5", tmp_path / "\udcff.h5"
    try:
        galvo.save(np.zeros((2, 3, 4), np.uint8), odd)
    except OSError:
        pytest.skip("the file system takes no such name")
    galvo.convert(odd, path, verify=True)
    with galvo.open(path) as rec:
        assert rec.metadata.attributes["provenance"]["source_files"] == ["\udcff.h5"]
    metadata = Metadata(format="array", texts={"header": "a\ud800b"}, channel_names=("\ud800",))
    galvo.save(Recording.from_array(np.zeros((2, 3, 4), np.uint8), metadata=metadata), path, overwrite=True)
    with galvo.open(path) as rec:
        assert rec.metadata.texts["header"] == "a\\ud800b"
        assert rec.channel_names == ("\ud800",)


def test_attribute_limit_is_no_limit(tmp_path):
    # attributes hold 64 KiB at most: names of 1,000 channels go beside them
    path = tmp_path / "a.h5"
    names = tuple(f"channel {n} {'x' * 200}" for n in range(400))
    pixels = np.arange(400, dtype="u2").reshape(1, 400, 1, 1, 1)
    metadata = Metadata(format="array", channel_names=names)
    galvo.save(Recording.from_array(pixels, metadata=metadata), path)
    with galvo.open(path) as rec:
        assert rec.channel_names == names
        same(rec[...], pixels)
    assert struct.unpack_from("<8s", path.read_bytes())[0] == b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize("compression", ["lzf", "zstd"])
@pytest.mark.parametrize("dtype", ["u1", "<i2", "<f4", "<c8"])
@pytest.mark.parametrize("noise", [False, True])
def test_lzf_and_zstd(tmp_path, compression, dtype, noise):
    path = tmp_path / "a.h5"
    random = np.random.default_rng(1)
    values = random.integers(0, 255, (7, 2, 1, 33, 41)) if noise else random.poisson(2, (7, 2, 1, 33, 41))
    pixels = (values.astype("f4") ** 1.5 if noise else values).astype(dtype)
    galvo.save(pixels, path, compression=compression, verify=True)
    assert galvo.verify(path).ok
    with h5py.File(path) as file:
        plist = file["ch1"].id.get_create_plist()
        filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
        assert filters == [2, {"lzf": 32000, "zstd": 32015}[compression], 3]
        if compression == "lzf":
            assert np.array_equal(file["ch2"][...], pixels[:, 1, 0])
        else:
            # as HDF5 stored it: shuffled, a zstd frame, Fletcher-32
            _, stored = file["ch1"].id.read_direct_chunk((0, 0, 0))
            size = file["ch1"].chunks[0] * 33 * 41 * pixels.itemsize
            plain = np.frombuffer(imagecodecs.zstd_decode(stored[:-4], out=size), "u1")
            chunk = plain.reshape(pixels.itemsize, -1).T.copy().view(dtype).reshape(-1, 33, 41)
            assert np.array_equal(chunk, pixels[: chunk.shape[0], 0, 0])


def test_events_are_kept(tmp_path):
    made = ScanImageRecording(
        height=8,
        width=8,
        frames=12,
        aux_triggers={2: {0: [0.05, 0.06], 3: [0.061]}, 9: {1: [0.3]}},
        i2c={4: [(0.12, b"\x00\x7f"), (0.13, b"abc")]},
    )
    (source,) = made.write(tmp_path, "rec")
    path, again = tmp_path / "a.h5", tmp_path / "b.h5"
    galvo.convert(source, path, verify=True)
    galvo.convert(path, again, verify=True)
    with galvo.open(source) as raw, galvo.open(again) as kept:
        events = raw.events()
        assert events.size == 6
        assert kept.events().dtype == events.dtype
        assert kept.events().tobytes() == events.tobytes()
        part = kept.isel(t=[9, 4, 4])
        assert part.events().tobytes() == raw.isel(t=[9, 4, 4]).events().tobytes()
    with h5py.File(path) as file:
        assert all(item.ndim == 1 for item in file["galvo/events"].values())
    galvo.convert(source, path, frames=slice(0, 2), overwrite=True)
    with h5py.File(path) as file:
        assert "events" not in file["galvo"]
