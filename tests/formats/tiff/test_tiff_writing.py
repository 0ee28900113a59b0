"""What galvo writes as TIFF, in the eyes of other programs."""

from __future__ import annotations

import itertools
import json
import struct
from hashlib import sha256
from uuid import UUID
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

import galvo
from galvo.core.array import ArrayReader
from galvo.core.index import EvenPages
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import GalvoWarning, Malformed, OptionError, Truncated, Unsupported
from galvo.formats.tiff import description, sink
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import Ifd, Page, Tag, TiffBuilder

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
KNOWN = Metadata(
    format="array",
    channel_names=('green µ & <x>"', "red\x01"),
    frame_rate_hz=25.0,
    pixel_size_um=(0.5, 0.25),
    z_um=(4.5, 0.5, -3.5),
    start_time="2026-01-02T03:04:05.678",
)
DTYPES = {
    "ome": ("u1", "i1", "<u2", ">i2", "<u4", "<i4", "<f4", ">f8"),
    "imagej": ("u1", ">u2", "<f4"),
    "plain": ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "<f8", "<u8", "<i8", "<f2", "<c8", "<c16"),
}
COMPRESSIONS = ("none", "zlib", "lzw", "zstd")


class Times:
    """Times that no rate gives."""

    def read(self, t, c, z):
        return {"timestamp_s": t / 7 + z / 64 + c / 128}


def movie(shape=(4, 2, 3, 20, 31), dtype="<u2", seed=0):
    return np.random.default_rng(seed).integers(0, 120, shape).astype(dtype)


def pages_of(pixels):
    """Frames in the order of the pages: T, Z, C."""
    return pixels.transpose(0, 2, 1, 3, 4).reshape(-1, *pixels.shape[3:])


def known(pixels, metadata=KNOWN):
    return Recording(ArrayReader(pixels), metadata, facts=Times())


# ---- tifffile --------------------------------------------------------------------------------------------------------


def combinations():
    for layout, compression, big in itertools.product(DTYPES, COMPRESSIONS, (None, True)):
        if layout == "imagej" and (big or compression == "zstd"):
            continue
        yield layout, compression, big


@pytest.mark.parametrize(("layout", "compression", "big"), list(combinations()))
def test_tifffile_reads_every_type(tmp_path, monkeypatch, layout, compression, big):
    # several strips a page, the last one shorter
    monkeypatch.setattr(sink, "_STRIP_BYTES", 500)
    path = tmp_path / "out.tif"
    for dtype in DTYPES[layout] if compression in ("none", "zlib") and not big else ("<u2", "<f4"):
        pixels = movie(dtype=dtype)
        galvo.save(
            pixels, path, layout=layout, compression=compression, bigtiff=big, block_bytes=20_000, overwrite=True
        )
        with tifffile.TiffFile(path) as tif:
            (series,) = tif.series
            found = series.asarray()
            assert len(tif.pages) == 24
            assert tif.is_bigtiff is bool(big)
            assert (len(tif.pages[0].dataoffsets) > 1) == (compression != "none")
            assert all(page.offset % 8 == 0 for page in tif.pages)
        expected = pages_of(pixels)
        if layout != "plain":
            assert series.axes == "TZCYX"
            expected = expected.reshape(4, 3, 2, 20, 31)
        assert found.dtype == expected.dtype.newbyteorder("=")
        assert np.array_equal(found, expected)
        assert np.array_equal(galvo.load(path), pixels)


def samples_of(pixels):
    """Pages with channels as samples: T, Z."""
    return pixels.transpose(0, 2, 3, 4, 1).reshape(-1, *pixels.shape[3:], pixels.shape[1])


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(("layout", "big"), [("ome", None), ("ome", True), ("plain", None)])
def test_channels_as_samples(tmp_path, monkeypatch, layout, big, compression):
    """Counts of channels whose bits fit into an entry, and do not; several strips a page."""
    monkeypatch.setattr(sink, "_STRIP_BYTES", 1800)
    path = tmp_path / "out.tif"
    options = {"zlib": {"predictor": True}, "zstd": {"compression_level": 3}}.get(compression, {})
    for channels, dtype in ((2, "<u2"), (3, "u1"), (5, "<f4"), (4, ">i2")):
        pixels = movie((4, channels, 3, 20, 31), dtype)
        rows = 1800 // (31 * channels * pixels.itemsize)
        galvo.save(
            pixels, path, layout=layout, compression=compression, bigtiff=big, samples="c", block_bytes=20_000,
            overwrite=True, **options,
        )  # fmt: skip
        with tifffile.TiffFile(path) as tif:
            assert tif.is_bigtiff == bool(big)
            assert len(tif.pages) == 12
            for page in tif.pages:
                assert (page.samplesperpixel, page.planarconfig, page.photometric) == (channels, 1, 1)
                assert tuple(page.extrasamples) == (0,) * (channels - 1)
                assert page.rowsperstrip == (20 if compression == "none" else rows)
            assert np.array_equal(np.stack([page.asarray() for page in tif.pages]), samples_of(pixels))
            if layout == "ome":
                assert tif.is_ome
                assert tif.series[0].axes == "TZYXS"
            assert tif.asarray().dtype.str[1:] == np.dtype(dtype).str[1:]
            assert np.array_equal(tif.asarray().reshape(samples_of(pixels).shape), samples_of(pixels))
        assert np.array_equal(galvo.load(path), pixels)
        assert np.array_equal(galvo.load(path, walk=True), pixels)
        # by what other programs are told, without what galvo kept
        path.write_bytes(path.read_bytes().replace(struct.pack("<HH", 65271, 2), struct.pack("<HH", 65270, 2), 1))
        with galvo.open(path, **({} if layout == "ome" else {"planes": 3})) as recording:
            assert np.array_equal(recording[...], pixels)


def test_samples_and_names(tmp_path):
    """OME has one name for all of them; galvo keeps each."""
    pixels = movie()
    galvo.save(known(pixels), tmp_path / "out.tif", samples="c")
    galvo.save(known(pixels[:, :1]), tmp_path / "one.tif", samples="c")
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        root = ElementTree.fromstring(tif.ome_metadata)
    (channel,) = root.iter(OME + "Channel")
    assert channel.attrib == {"ID": "Channel:0:0", "SamplesPerPixel": "2"}
    (stated,) = root.iter(OME + "Pixels")
    assert (stated.get("SizeC"), stated.get("Interleaved")) == ("2", "true")
    (data,) = root.iter(OME + "TiffData")
    assert data.attrib == {"IFD": "0", "PlaneCount": "12"}
    planes = [(plane.get("TheT"), plane.get("TheZ"), plane.get("TheC")) for plane in root.iter(OME + "Plane")]
    assert planes == [(str(t), str(z), "0") for t in range(4) for z in range(3)]
    with galvo.open(tmp_path / "out.tif") as recording:
        assert recording.channel_names == KNOWN.channel_names
        assert np.array_equal(recording.frame_table()["timestamp_s"], known(pixels).frame_table()["timestamp_s"])
    with tifffile.TiffFile(tmp_path / "one.tif") as tif:
        assert (tif.pages[0].samplesperpixel, tif.series[0].axes) == (1, "TZYX")
    assert "suite2p" in galvo.save(pixels, tmp_path / "dry.tif", samples="c", dry_run=True).notes[0]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 1, 1, 4, 5), (1, 3, 1, 4, 5), (1, 1, 4, 4, 3), (2, 4, 1, 4, 3)])
@pytest.mark.parametrize("layout", DTYPES)
def test_shapes_that_could_be_colours(tmp_path, layout, shape):
    """Three or four channels, planes or columns are no samples of a colour."""
    pixels = movie(shape, "u1")
    galvo.save(pixels, tmp_path / "out.tif", layout=layout)
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        assert len(tif.pages) == shape[0] * shape[1] * shape[2]
        assert {(page.photometric, page.samplesperpixel) for page in tif.pages} == {(1, 1)}
        assert np.array_equal(tif.asarray().reshape(pages_of(pixels).shape), pages_of(pixels))


@pytest.mark.parametrize("layout", DTYPES)
def test_uncompressed_pixels_are_one_piece(tmp_path, layout):
    """Other programs can map them into memory, and ImageJ takes it for granted."""
    pixels = movie()
    path = tmp_path / "out.tif"
    galvo.save(pixels, path, layout=layout)
    mapped = tifffile.memmap(path, mode="r")
    assert np.array_equal(mapped.reshape(pages_of(pixels).shape), pages_of(pixels))
    del mapped
    with tifffile.TiffFile(path) as tif:
        offsets = [page.dataoffsets[0] for page in tif.pages]
        assert np.diff(offsets).tolist() == [20 * 31 * 2] * 23
        assert offsets[-1] + 20 * 31 * 2 == path.stat().st_size


def test_long_stacks_open_by_arithmetic(tmp_path, monkeypatch):
    pixels = movie((20_000, 1, 1, 3, 4), "u1")
    path = tmp_path / "out.tif"
    galvo.save(pixels, path, block_bytes=100_000)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 20_000
        assert np.array_equal(tif.pages[19_999].asarray(), pixels[-1, 0, 0])
    with monkeypatch.context() as patch:
        patch.setattr("galvo.formats.tiff.own.find_pages", None)
        with galvo.open(path) as recording:
            assert isinstance(recording._reader.index.runs[0], EvenPages)
            assert np.array_equal(recording[...], pixels)
    with galvo.open(path, walk=True) as recording:
        assert np.array_equal(recording[...], pixels)


def test_directories_that_lie_together_are_no_pages_in_a_row(tmp_path):
    """As a TIFF of anyone's: the distance of the IFDs says nothing of the pixels."""
    pixels, path = movie((4, 2, 1, 256, 256)), tmp_path / "out.tif"
    galvo.save(pixels, path, layout="plain")
    found = galvo.load(path, channels=2, limits=galvo.Limits(page_count=1000))
    assert np.array_equal(found, pixels[:, :, 0])


# ---- what other programs are told ------------------------------------------------------------------------------------


def test_imagej_description(tmp_path):
    path = tmp_path / "out.tif"
    galvo.save(known(movie()), path, layout="imagej")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej
        assert tif.pages[0].description == (
            "ImageJ=1.54f\nimages=24\nchannels=2\nslices=3\nframes=4\nhyperstack=true\nmode=grayscale\n"
            "unit=micron\nspacing=4.0\nfinterval=0.04\nloop=false"
        )
        tags = tif.pages[0].tags
        assert (tags[282].value, tags[283].value, tags[296].value) == ((4, 1), (2, 1), 1)
    galvo.save(movie((5, 1, 1, 4, 4)), path, layout="imagej", overwrite=True)
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].description == "ImageJ=1.54f\nimages=5\nframes=5\nmode=grayscale\nloop=false"
        assert tif.pages[0].tags[282].value == (1, 1)


def test_imagej_undoes_what_is_written(tmp_path):
    """ImageJ knows the predictor with LZW only, and none for floats."""
    smooth = np.add.outer(np.arange(64), np.arange(64))[None]
    for compression, dtype, predictor in (("zlib", "u2", 1), ("lzw", "u2", 2), ("lzw", "f4", 1)):
        galvo.save(
            smooth.astype(dtype), tmp_path / "out.tif", layout="imagej", compression=compression, overwrite=True
        )
        with tifffile.TiffFile(tmp_path / "out.tif") as tif:
            assert tif.pages[0].predictor == predictor


def test_ome_xml(tmp_path):
    path = tmp_path / "out.ome.tif"
    galvo.save(known(movie(dtype="<i2")), path)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        text = tif.pages[0].description
        assert not tif.pages[1].tags.get(270)
        assert tif.pages[0].tags[282].value == (40_000, 1)
        assert tif.pages[0].tags[283].value == (20_000, 1)
        assert tif.pages[0].tags[296].value == 3
    assert text.isascii()
    root = ElementTree.fromstring(text.encode())
    (image,) = root
    date, pixels = image
    assert date.text == KNOWN.start_time
    attributes = pixels.attrib
    assert attributes.pop("ID") == "Pixels:0"
    assert attributes == {
        "DimensionOrder": "XYCZT",
        "Type": "int16",
        "SizeX": "31",
        "SizeY": "20",
        "SizeC": "2",
        "SizeZ": "3",
        "SizeT": "4",
        "BigEndian": "false",
        "Interleaved": "false",
        "PhysicalSizeX": "0.25",
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": "0.5",
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": "4.0",
        "PhysicalSizeZUnit": "µm",
        "TimeIncrement": "0.04",
        "TimeIncrementUnit": "s",
    }
    # a character that XML has no way to write
    assert [channel.get("Name") for channel in pixels.findall(f"{OME}Channel")] == ['green µ & <x>"', "red\ufffd"]
    (data,) = pixels.findall(f"{OME}TiffData")
    assert data.attrib == {"IFD": "0", "PlaneCount": "24"}
    planes = pixels.findall(f"{OME}Plane")
    assert len(planes) == 24
    for plane in planes:
        t, c, z = (int(plane.get(f"The{axis}")) for axis in "TCZ")
        assert float(plane.get("DeltaT")) == t / 7 + z / 64 + c / 128
    assert [(plane.get("TheT"), plane.get("TheZ"), plane.get("TheC")) for plane in planes[:3]] == [
        ("0", "0", "0"),
        ("0", "0", "1"),
        ("0", "1", "0"),
    ]


def test_ome_xml_of_little_knowledge(tmp_path, monkeypatch):
    """Nothing is invented, and times of too many planes are left to galvo."""
    path = tmp_path / "out.tif"
    odd = Metadata(
        format="array", frame_rate_hz=0.0, pixel_size_um=(0.0, 1.0), z_um=(0.0, 1.0, 5.0), start_time="yesterday"
    )
    galvo.save(Recording(ArrayReader(movie()), odd), path)
    (image,) = ElementTree.fromstring(tifffile.tiffcomment(path).encode())
    (pixels,) = image
    assert [child.tag for child in pixels] == [f"{OME}Channel", f"{OME}Channel", f"{OME}TiffData"]
    assert not {"PhysicalSizeX", "PhysicalSizeZ", "TimeIncrement"} & set(pixels.keys())
    assert pixels[0].attrib == {"ID": "Channel:0:0", "SamplesPerPixel": "1"}
    monkeypatch.setattr(description, "_MOST_PLANES", 23)
    galvo.save(known(movie()), path, overwrite=True)
    assert "<Plane" not in tifffile.tiffcomment(path)
    with galvo.open(path) as recording:
        assert recording.frame_table()["timestamp_s"][7] == 1 / 7 + 1 / 64


@pytest.mark.parametrize("length", [0.1, 0.50123456789, 1e-12, 1e-3, 1.0, 3.3, 12345.678, 1e9, 1e15])
@pytest.mark.parametrize("layout", ["imagej", "plain"])
def test_resolution(tmp_path, layout, length):
    """Pixels per centimetre, or per unit in ImageJ, as well as two numbers of 32 bits can say it."""
    metadata = Metadata(format="array", pixel_size_um=(length, length))
    galvo.save(Recording(ArrayReader(movie((1, 1, 1, 4, 4))), metadata), tmp_path / "out.tif", layout=layout)
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        pixels, units = tif.pages[0].tags[282].value
    expected = (1 if layout == "imagej" else 1e4) / length
    assert min(pixels, units) > 0
    if 1e-9 < expected < 1e9:
        assert pixels / units == pytest.approx(expected, rel=1e-6)


def test_everything_is_kept(tmp_path):
    """The vendor's texts, the frame table, events: whatever the layout says to others."""
    truth = ScanImageRecording(frames=6, channels=(1, 2), height=12, width=10)
    (source,) = truth.write(tmp_path, "rec")
    for layout in ("ome", "plain"):
        path = tmp_path / f"{layout}.tif"
        galvo.convert(source, path, layout=layout, verify=True)
        with galvo.open(source) as one, galvo.open(path) as other:
            assert other.metadata.format == "tiff"
            assert dict(other.metadata.texts) == dict(one.metadata.texts)
            assert dict(other.metadata.header) == dict(one.metadata.header)
            assert np.array_equal(other.timestamps, one.timestamps)
            assert other.channel_names == one.channel_names
            assert other.metadata.attributes["provenance"]["source_format"] == "scanimage"


# ---- bytes -----------------------------------------------------------------------------------------------------------


def expected_bytes(content, big, layout, pixels):
    """The file that holds `pixels` (2, 1, 1, 3, 2) uint16, its IFDs by another builder.

    What is kept is `content`'s own. The order is: header, in classic TIFF XResolution, YResolution and "galvo",
    description, what is kept, two IFDs, the pixels.
    """
    width, at = (8, 16) if big else (4, 8)
    parts = {}

    def place(value):
        nonlocal at
        position = at + -at % 8
        parts[position] = value
        at = position + len(value)
        return position

    unit = {"ome": 3, "imagej": 1, "plain": 3}[layout]
    ratios = [(40_000, 1), (20_000, 1)] if unit == 3 else [(4, 1), (2, 1)]
    texts = {"imagej": "ImageJ=1.54f\nimages=2\nframes=2\nmode=grayscale\nunit=micron\nfinterval=0.5\nloop=false\n"}
    kept_at = content.index(b'{"schema_version"')
    kept_end = content.index(b"\0", kept_at)
    kept = content[kept_at:kept_end].rstrip(b" ")
    digest = bytearray(sha256(kept).digest()[:16])
    digest[6], digest[8] = digest[6] & 15 | 128, digest[8] & 63 | 128
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    texts["ome"] = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{schema}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{schema} {schema}/ome.xsd" UUID="urn:uuid:{UUID(bytes=bytes(digest))}" Creator="galvo">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="2" SizeY="3" '
        'SizeC="1" SizeZ="1" SizeT="2" BigEndian="false" Interleaved="false" PhysicalSizeX="0.25" '
        'PhysicalSizeXUnit="&#181;m" PhysicalSizeY="0.5" PhysicalSizeYUnit="&#181;m" TimeIncrement="0.5" '
        'TimeIncrementUnit="s"><Channel ID="Channel:0:0" Name="green" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" PlaneCount="2"/></Pixels></Image></OME>'
    )
    if big:
        ratio_tags = [Tag(code=282 + k, type=5, raw=struct.pack("<II", *ratios[k]), count=1) for k in (0, 1)]
        software = Tag(code=305, type=2, values=b"galvo\0", count=6)
    else:
        ratio_tags = [Tag(code=282 + k, type=5, offset=place(struct.pack("<II", *ratios[k])), count=1) for k in (0, 1)]
        software = Tag(code=305, type=2, offset=place(b"galvo\0"), count=6)
    own = [software]
    if layout in texts:
        text = texts[layout].encode() + b"\0"
        own.append(Tag(code=270, type=2, offset=place(text), count=len(text)))
    own.append(Tag(code=65271, type=2, offset=place(content[kept_at : kept_end + 1]), count=kept_end + 1 - kept_at))
    counts = [16 + (layout != "plain"), 14]
    sizes = [(16 + 20 * count) if big else (6 + 12 * count) for count in counts]
    starts = [at + -at % 8]
    starts.append(starts[0] + sizes[0] + -sizes[0] % 8)
    first_pixel = starts[1] + sizes[1] + -sizes[1] % 8
    wide = 16 if big else 4
    builder = TiffBuilder(big=big)
    for page in (0, 1):
        tags = [
            Tag(code=254, type=4, values=[0]),
            Tag(code=256, type=4, values=[2]),
            Tag(code=257, type=4, values=[3]),
            Tag(code=258, type=3, values=[16]),
            Tag(code=259, type=3, values=[1]),
            Tag(code=262, type=3, values=[1]),
            Tag(code=273, type=wide, values=[first_pixel + 12 * page]),
            Tag(code=277, type=3, values=[1]),
            Tag(code=278, type=4, values=[3]),
            Tag(code=279, type=wide, values=[12]),
            *ratio_tags,
            Tag(code=296, type=3, values=[unit]),
            Tag(code=339, type=3, values=[1]),
            *(own if page == 0 else []),
        ]
        builder.add(Page(tags=sorted(tags, key=lambda tag: tag.code), at=starts[page], next_ifd=None))
    builder.first_ifd = Ifd(0)
    built = bytearray(builder.build())
    assert len(built) == starts[1] + sizes[1]
    for position, value in parts.items():
        built[position : position + len(value)] = value
    built += bytes(first_pixel - len(built))
    assert width == (8 if big else 4)
    return bytes(built) + pixels.astype("<u2").tobytes(), json.loads(kept), first_pixel


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("layout", DTYPES)
def test_golden_bytes(tmp_path, layout, big):
    if layout == "imagej" and big:
        pytest.skip("ImageJ reads no BigTIFF")
    pixels = np.arange(12, dtype="<u2").reshape(2, 1, 1, 3, 2) + 0x4142
    metadata = Metadata(format="array", channel_names=("green",), frame_rate_hz=2.0, pixel_size_um=(0.5, 0.25))
    path = tmp_path / "out.tif"
    galvo.save(Recording(ArrayReader(pixels), metadata), path, layout=layout, bigtiff=big or None)
    content = path.read_bytes()
    expected, kept, first_pixel = expected_bytes(content, big, layout, pixels)
    assert content == expected
    assert kept["shape"] == [2, 1, 1, 3, 2]
    assert (kept["dtype"], kept["pixels_offset_bytes"]) == ("<u2", first_pixel)
    assert kept["channel_names"] == ["green"]


def test_equal_content_is_equal_bytes(tmp_path):
    for number, options in enumerate(({}, {"compression": "zlib"}, {"layout": "imagej"})):
        one, other = tmp_path / f"one{number}.tif", tmp_path / f"other{number}.tif"
        for path in (one, other):
            galvo.save(known(movie()), path, **options)
        assert one.read_bytes() == other.read_bytes()
        galvo.save(known(movie(seed=1)), other, overwrite=True, **options)
        uuids = [tifffile.tiffcomment(path).partition("urn:uuid:")[2][:36] for path in (one, other)]
        assert ("layout" in options) == (uuids[0] == uuids[1])


# ---- classic and BigTIFF ---------------------------------------------------------------------------------------------


def test_bigtiff_where_classic_could_overflow(tmp_path, monkeypatch):
    pixels = movie((9, 1, 1, 20, 31))
    path = tmp_path / "out.tif"
    for compression in ("none", "zlib"):
        for limit, big in ((1 << 20, False), (10_000, True)):
            monkeypatch.setattr(sink, "_CLASSIC_BYTES", limit)
            galvo.save(pixels, path, compression=compression, overwrite=True)
            with tifffile.TiffFile(path) as tif:
                assert tif.is_bigtiff is big
                assert np.array_equal(tif.asarray(), pixels[:, 0, 0])
        with pytest.raises(OptionError, match="Leave out bigtiff=False"):
            galvo.save(pixels, path, compression=compression, bigtiff=False, overwrite=True)


def test_sizes_are_known_before_the_first_byte(tmp_path):
    """5 GB that are not there: planned only."""
    huge = np.broadcast_to(np.zeros((1, 1, 1, 512, 512), "<u2"), (10_000, 1, 1, 512, 512))
    planned = galvo.save(huge, tmp_path / "out.tif", dry_run=True)
    assert planned.estimated_bytes > 5.24e9
    with pytest.raises(OptionError, match="classic TIFF ends at 4 GB"):
        galvo.save(huge, tmp_path / "out.tif", dry_run=True, bigtiff=False)
    planned = galvo.save(huge, tmp_path / "out.tif", dry_run=True, layout="imagej")
    assert "one directory for all images" in planned.notes[0]
    assert planned.estimated_bytes - huge.nbytes < 10_000
    with pytest.raises(Unsupported, match="ImageJ reads no compressed TIFF of 4 GB"):
        galvo.save(huge, tmp_path / "out.tif", dry_run=True, layout="imagej", compression="zlib")


class Stopped(Exception):
    pass


def stopping(part):
    def progress(done, total):
        if done >= part * total:
            raise Stopped

    return progress


def test_one_directory_for_all_images(tmp_path, monkeypatch):
    """ImageJ's form for more than 4 GB, resumed at every block; tifffile and galvo read it."""
    monkeypatch.setattr(sink, "_CLASSIC_BYTES", 10_000)
    pixels, path = movie((9, 2, 1, 20, 31)), tmp_path / "out.tif"
    galvo.save(pixels, path, layout="imagej", block_bytes=4_000)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 1
        assert tif.series[0].axes == "TCYX"
        assert np.array_equal(tif.asarray(), pixels[:, :, 0])
    assert np.array_equal(galvo.load(path, squeeze=False), pixels)
    assert np.array_equal(galvo.load(path, squeeze=False, walk=True), pixels)
    for block in range(1, 6):
        path.unlink()
        with pytest.raises(Stopped):
            galvo.save(pixels, path, layout="imagej", block_bytes=4_000, progress=stopping(block / 6))
        galvo.save(pixels, path, layout="imagej", block_bytes=4_000, resume=True)
        assert path.read_bytes() == whole


# ---- unfinished and damaged ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"layout": "imagej"}, {"bigtiff": True}])
def test_every_commit_leaves_a_whole_chain(tmp_path, options):
    pixels, path = movie((5, 2, 1, 20, 31)), tmp_path / "out.tif"
    seen = []

    def progress(done, total):
        if not 0 < done < total:
            return
        with tifffile.TiffFile(f"{path}.partial") as tif:
            expected = pages_of(pixels)[: len(tif.pages)]
            assert expected.nbytes == done
            assert np.array_equal(np.stack([page.asarray() for page in tif.pages]), expected)
            seen.append(done)

    galvo.save(pixels, path, progress=progress, block_bytes=2_000, **options)
    assert len(seen) == 9


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"layout": "imagej", "compression": "lzw"}])
def test_recovered(tmp_path, options):
    pixels, path = movie((6, 2, 3, 20, 31)), tmp_path / "out.tif"
    # blocks are one T and part of its planes
    with pytest.raises(Stopped):
        galvo.save(known(pixels), path, progress=stopping(0.6), block_bytes=3_000, **options)
    with pytest.raises(Truncated, match="never finished"):
        galvo.open(f"{path}.partial")
    with galvo.open(f"{path}.partial", damaged="report") as part:
        assert part.shape == (3, 2, 3, 20, 31)
        assert len(part.damage) == 1
        assert part.checksums is None
    result = galvo.recover(path)
    assert (result.recovered, result.announced) == (3, 6)
    with galvo.open(result.path) as saved:
        assert np.array_equal(saved[...], pixels[:3])
        assert saved.frame_table()["timestamp_s"].tolist() == known(pixels).frame_table()["timestamp_s"][:18].tolist()
        assert saved.channel_names == KNOWN.channel_names
    assert galvo.verify(result.path).ok


def test_cut_off(tmp_path):
    """What is whole of a file that was cut is there with its metadata."""
    pixels, path = movie((6, 2, 1, 20, 31)), tmp_path / "out.tif"
    galvo.save(known(pixels, Metadata(format="array", frame_rate_hz=25.0)), path)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 3 * 20 * 31 * 2 + 5)
    with pytest.raises(Truncated, match="frames are missing"):
        galvo.open(path)
    with galvo.open(path, damaged="report") as recording:
        assert np.array_equal(recording[...], pixels[:4])
        assert recording.frame_rate_hz == 25.0
        assert "9 of 12 pages" in recording.damage[0].message


def changed(path, old, new):
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def test_contradictions(tmp_path):
    pixels, path = movie((6, 1, 1, 20, 31)), tmp_path / "out.tif"
    entry = struct.pack("<HHII", 273, 4, 1, 0)[:8]
    for old, new, message in (
        (b'"shape":[6,', b'"shape":[5,', "not where galvo put them"),
        (b'"shape":[6,1,1,20,31]', b'"shape":[6,1,1,31,20]', "not as galvo wrote it"),
        (b'"dtype":"<u2","pixels', b'"dtype":"<i2","pixels', "not as galvo wrote it"),
        (b'"pixels_offset_bytes":', b'"pixels_offset_bytez":', "not where galvo put them"),
        (b'{"schema_version":1', b'{"schema_version":2', "written by another galvo"),
    ):
        galvo.save(pixels, path, layout="plain", overwrite=True)
        changed(path, old, new)
        with pytest.raises((Malformed, Unsupported), match=message):
            galvo.open(path).close()
        if "another galvo" not in message:
            assert galvo.load(path, pages=slice(None)).shape == (6, 20, 31)
    galvo.save(pixels, path, layout="plain", overwrite=True)
    content = bytearray(path.read_bytes())
    content[content.index(entry) + 8] ^= 4
    path.write_bytes(content)
    with pytest.raises(Malformed, match="not where galvo put them"):
        galvo.open(path)


def test_other_uses_of_the_tag(tmp_path):
    """Where another program uses the tag, or wrote the pixels anew, the file is any TIFF."""
    pixels, path = movie((6, 1, 1, 20, 31)), tmp_path / "out.tif"
    galvo.save(pixels, path, layout="plain")
    changed(path, b'{"schema_version":1', b'["schema_version":1')
    with pytest.warns(GalvoWarning, match="tag 65271"):
        assert np.array_equal(galvo.load(path), pixels[:, 0, 0])
    tifffile.imwrite(path, pixels[:, 0, 0], photometric="minisblack", extratags=[(65271, 2, 6, "mine", True)])
    with pytest.warns(GalvoWarning, match="tag 65271"):
        assert np.array_equal(galvo.load(path), pixels[:, 0, 0])


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "layout", "hint"),
    [
        ("?", "ome", "convert"),
        ("?", "plain", "Convert"),
        ("<i8", "ome", 'layout="plain"'),
        ("<f2", "ome", 'layout="plain"'),
        ("<c8", "ome", 'layout="plain"'),
        ("<i2", "imagej", 'layout="ome"'),
        ("<f8", "imagej", 'layout="ome"'),
        ("<c8", "imagej", 'layout="plain"'),
    ],
)
def test_types_that_a_layout_lacks(tmp_path, dtype, layout, hint):
    with pytest.raises(Unsupported, match="no such pixels") as caught:
        galvo.save(np.zeros((2, 4, 4), dtype), tmp_path / "out.tif", layout=layout)
    assert hint in (caught.value.hint or "") or dtype == "?"
    assert "dtype=" in (caught.value.hint or "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "fiji"},
        {"compression": "gzip"},
        {"compression": "zlib", "compression_level": 0},
        {"compression": "zlib", "compression_level": 2.0},
        {"compression": "lzw", "compression_level": 1},
        {"compression": "zstd", "compression_level": 23},
        {"predictor": True},
        {"predictor": 2, "compression": "zlib"},
        {"bigtiff": "yes"},
        {"layout": "imagej", "bigtiff": True},
        {"layout": "imagej", "samples": "c"},
        {"samples": "t"},
        {"layout": "imagej", "compression": "zstd"},
        {"layout": "imagej", "compression": "zlib", "predictor": True},
        {"append": True},
    ],
    ids=str,
)
def test_options_that_do_not_fit(tmp_path, options):
    with pytest.raises(OptionError):
        galvo.save(movie(), tmp_path / "out.tif", **options)
    assert not list(tmp_path.iterdir())


def test_names(tmp_path):
    """A name in .ome.tif is an OME-TIFF and nothing else."""
    for layout in ("imagej", "plain"):
        with pytest.raises(OptionError, match="OME-TIFF"):
            galvo.save(movie(), tmp_path / "out.OME.tif", layout=layout)
    with pytest.raises(OptionError, match="no predictor for such pixels"):
        galvo.save(movie(dtype="<c8"), tmp_path / "out.tif", layout="plain", compression="zlib", predictor=True)


def test_predictor_where_it_helps(tmp_path):
    smooth = np.add.outer(np.arange(5), np.add.outer(np.arange(64), np.arange(64)))
    noise = np.random.default_rng(0).integers(0, 4, (5, 64, 64)) * 1000
    walk = 1e6 + np.cumsum(np.random.default_rng(0).normal(size=(5, 64, 64)), axis=-1)
    path = tmp_path / "out.tif"
    for pixels, dtype, layout, asked, expected in (
        (smooth, "<i2", "ome", None, 2),
        (smooth, "<i2", "ome", False, 1),
        (walk, "<f4", "plain", None, 3),
        # Bio-Formats would not undo it
        (walk, "<f4", "ome", None, 1),
        (noise, "<i2", "ome", None, 1),
        (noise, "<i2", "ome", True, 2),
        (noise, "<f8", "ome", True, 3),
        (noise, "<c8", "plain", None, 1),
    ):
        options = {"layout": layout, "compression": "zlib", "predictor": asked}
        galvo.save(pixels.astype(dtype), path, overwrite=True, verify=True, **options)
        with tifffile.TiffFile(path) as tif:
            assert tif.pages[0].predictor == expected
            assert np.array_equal(tif.asarray(), pixels.astype(dtype))


def test_levels(tmp_path):
    pixels = np.cumsum(np.random.default_rng(0).integers(-3, 4, (4, 200, 200)), axis=-1).astype("<i2")
    for compression, levels in (("zlib", (1, 9)), ("zstd", (1, 19))):
        options = {"compression": compression, "overwrite": True}
        fast, small = (galvo.save(pixels, tmp_path / "out.tif", compression_level=n, **options) for n in levels)
        assert small.file_bytes < fast.file_bytes
