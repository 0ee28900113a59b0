"""OME-TIFF: planes where the XML puts them, in one file or many; what is missing is told; hostile XML does no harm."""

from __future__ import annotations

import contextlib
import itertools
import math
import pickle
import warnings
from xml.sax.saxutils import escape, quoteattr

import hypothesis
import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st

import galvo
from galvo.core.index import EvenPages
from galvo.errors import (
    DamagedData,
    GalvoError,
    GalvoWarning,
    LimitExceeded,
    Malformed,
    OptionError,
    UnsafeContent,
    Unsupported,
)
from galvo.testing.tiff import Tag, TiffBuilder

HEIGHT, WIDTH = 6, 5
ORDERS = ["XY" + "".join(letters) for letters in itertools.permutations("ZCT")]
TYPES = {"u1": "uint8", "u2": "uint16", "i2": "int16", "i4": "int32", "f4": "float", "f8": "double"}
UUIDS = [f"urn:uuid:{number:08x}-0000-4000-8000-000000000000" for number in range(40)]


def planes(t, c, z, dtype="<u2", seed=0):
    """(T, C, Z, Y, X), every plane different."""
    pixels = np.random.default_rng(seed).integers(0, 100, (t, c, z, HEIGHT, WIDTH)).astype(dtype)
    pixels[..., 0, 0] = np.arange(t * c * z).reshape(t, c, z) % 120
    return pixels


def in_order(pixels, order):
    """Pages (P, Y, X) in a dimension order, its first letter behind XY fastest."""
    slowest_first = order[:1:-1]
    return pixels.transpose(["TCZ".index(letter) for letter in slowest_first] + [3, 4]).reshape(-1, *pixels.shape[3:])


def tiff_data(ifd=None, count=None, first=None, uuid=None, name=None):
    attributes = {} if ifd is None else {"IFD": ifd}
    attributes |= {} if count is None else {"PlaneCount": count}
    attributes |= {} if first is None else dict(zip(("FirstT", "FirstC", "FirstZ"), first, strict=True))
    inner = "" if name is None else f"<UUID FileName={quoteattr(name)}>{uuid or ''}</UUID>"
    return f"<TiffData{texts(attributes)}>{inner}</TiffData>"


def texts(attributes):
    return "".join(f" {name}={quoteattr(str(value))}" for name, value in attributes.items())


def image(shape, order="XYCZT", inner=None, dtype="u2", channels="", number=0, **more):
    t, c, z = shape[:3]
    sizes = {"SizeT": t, "SizeC": c, "SizeZ": z, "SizeY": HEIGHT, "SizeX": WIDTH}
    attributes = {"ID": f"Pixels:{number}", "DimensionOrder": order, "Type": TYPES.get(dtype, dtype)} | sizes | more
    attributes = {name: value for name, value in attributes.items() if value is not None}
    body = "<TiffData/>" if inner is None else inner
    return f'<Image ID="Image:{number}"><Pixels{texts(attributes)}>{channels}{body}</Pixels></Image>'


def ome(*images, uuid=None, inner=""):
    start = {"xmlns": "http://www.openmicroscopy.org/Schemas/OME/2016-06"} | ({"UUID": uuid} if uuid else {})
    return f'<?xml version="1.0" encoding="UTF-8"?><OME{texts(start)}>{inner}{"".join(images)}</OME>'


def write(path, pages, xml=None, big=False, order="<", **options):
    """Pages (P, Y, X) or (P, Y, X, S), the first one with the XML."""
    builder = TiffBuilder(big=big, byteorder=order)
    kind = {"u": 1, "i": 2, "f": 3}[pages.dtype.kind]
    text = [] if xml is None else [Tag(code=270, type=2, values=xml.encode() + b"\0")]
    for number, page in enumerate(pages.astype(pages.dtype.newbyteorder(order))):
        samples = page.shape[2] if page.ndim == 3 else 1
        replace = [*(text if number == 0 else ()), *options.get("replace", {}).get(number, ())]
        builder.image(
            page.shape[1], page.shape[0], [page.tobytes()], bits=page.itemsize * 8, sample_format=kind,
            samples=samples, replace=replace,
        )  # fmt: skip
    path.write_bytes(builder.build())
    return path


def same(source, pixels, **options):
    with galvo.open(source, **options) as rec:
        assert rec.shape == pixels.shape
        assert rec.dtype == pixels.dtype.newbyteorder("=")
        np.testing.assert_array_equal(rec[...], pixels)
        last = tuple(length - 1 for length in pixels.shape[:3])
        np.testing.assert_array_equal(rec[last], pixels[last])
        np.testing.assert_array_equal(rec[::-1, 0, :, ::2, 1], pixels[::-1, 0, :, ::2, 1])


# ---- one file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("inner", [None, "", tiff_data(0, 24), tiff_data(first=(0, 0, 0), ifd=0, count=24)])
def test_every_order_in_one_file(tmp_path, order, inner):
    pixels = planes(4, 2, 3)
    path = write(tmp_path / "a.tif", in_order(pixels, order), ome(image(pixels.shape, order, inner)))
    same(path, pixels)
    same(path, pixels, walk=True)


@pytest.mark.parametrize("axes", ["".join(one) for one in itertools.permutations("TCZ")])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i2", "f4", ">f8", "c8"])
def test_what_tifffile_writes(tmp_path, axes, dtype):
    pixels = planes(3, 2, 4, dtype)
    stored = pixels.transpose(["TCZ".index(letter) for letter in axes] + [3, 4])
    path = tmp_path / "a.ome.tif"
    byteorder = ">" if dtype[0] == ">" else "<"
    names = {"Name": ["green", "red"]}
    tifffile.imwrite(
        path, stored, ome=True, byteorder=byteorder, photometric="minisblack",
        metadata={"axes": axes + "YX", "Channel": names, "PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm",
                  "PhysicalSizeY": 0.25, "PhysicalSizeZ": 0.003, "PhysicalSizeZUnit": "mm", "TimeIncrement": 50,
                  "TimeIncrementUnit": "ms"},
    )  # fmt: skip
    same(path, pixels)
    with galvo.open(path) as rec:
        assert rec.channel_names == ("green", "red")
        assert rec.pixel_size_um == pytest.approx((0.25, 0.5))
        assert rec.z_um.tolist() == pytest.approx([0, 3, 6, 9])
        assert rec.frame_rate_hz == pytest.approx(20)
        np.testing.assert_array_equal(rec[:, "red"], pixels[:, 1])


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("axes", ["TYXS", "TCYXS", "ZTYXS"])
def test_rgb_samples_are_channels(tmp_path, axes, compression):
    shape = {"T": 3, "C": 2, "Z": 4, "Y": 16, "X": 16, "S": 3}
    pixels = np.random.default_rng(1).integers(0, 250, [shape[letter] for letter in axes]).astype("u1")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, photometric="rgb", compression=compression, metadata={"axes": axes})
    whole = pixels[tuple(slice(None) if letter in axes else None for letter in "TCZYXS")] if axes != "ZTYXS" else None
    whole = pixels.swapaxes(0, 1)[:, None] if whole is None else whole
    t, c, z, y, x, s = whole.shape
    same(path, whole.transpose(0, 1, 5, 2, 3, 4).reshape(t, c * s, z, y, x))


def test_planar_samples_are_channels(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 250, (4, 3, 16, 16)).astype("u2")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, pixels, ome=True, photometric="rgb", planarconfig="separate", metadata={"axes": "ZSYX"}
    )
    same(path, pixels.swapaxes(0, 1)[None])


def test_jpeg_pages_take_their_axes(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 250, (4, 3, 32, 32)).astype("u1")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, compression="jpeg", metadata={"axes": "TZYX"})
    expected = tifffile.imread(path)
    with galvo.open(path) as rec:
        assert rec.shape == (4, 1, 3, 32, 32)
        np.testing.assert_array_equal(rec[:, 0], expected)
        np.testing.assert_array_equal(rec[2, 0, 1:, 5], expected[2, 1:, 5])
        assert rec.frame_table()["page"].tolist() == list(range(12))


def test_pyramids_are_not_seen(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 250, (4, 64, 64)).astype("u1")
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(pixels, subifds=1, tile=(16, 16), metadata={"axes": "ZYX"})
        file.write(pixels[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    same(path, pixels[None, None])


def test_a_companion_of_even_files_opens_without_a_walk(tmp_path, monkeypatch):
    pixels = planes(300, 1, 1)
    write(tmp_path / "pixels.tif", pixels[:, 0, 0])
    (tmp_path / "a.companion.ome").write_text(ome(image(pixels.shape, inner=tiff_data(0, 300, name="pixels.tif"))))
    monkeypatch.setattr(galvo.native, "tiff_walk", lambda *_: pytest.fail("the chain was walked"))
    with galvo.open(tmp_path / "a.companion.ome") as rec:
        assert isinstance(rec._reader.index.runs[0], EvenPages)
        assert rec._reader.index.order.table is None
    same(tmp_path / "a.companion.ome", pixels)


# ---- several files --------------------------------------------------------------------------------------------------


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=80, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_distribution_over_files(tmp_path_factory, data):
    """Planes in any order, in runs of any length, over files that each have pages of their own order."""
    draw = data.draw
    t, c, z = (draw(st.integers(1, 3), label=letter) for letter in "tcz")
    order, dtype = draw(st.sampled_from(ORDERS)), draw(st.sampled_from(sorted(TYPES)))
    pixels = planes(t, c, z, dtype)
    pages = in_order(pixels, order)
    lengths = dict(zip("TCZ", (t, c, z), strict=True))
    first_of = list(np.ndindex(*(lengths[letter] for letter in order[:1:-1])))
    # runs of planes, each put somewhere
    cuts = sorted(draw(st.sets(st.integers(1, len(pages) - 1)))) if len(pages) > 1 else []
    runs = draw(st.permutations([range(lo, hi) for lo, hi in itertools.pairwise([0, *cuts, len(pages)])]))
    file_count = draw(st.integers(1, 3))
    content: list[list[np.ndarray]] = [[] for _ in range(file_count)]
    entries = []
    for run in runs:
        file = draw(st.integers(0, file_count - 1))
        where = dict(zip(order[:1:-1], first_of[run.start], strict=True))
        first = tuple(where[letter] for letter in "TCZ")
        is_one = len(run) == 1 and draw(st.booleans())
        name = None if file == 0 and draw(st.booleans()) else f"part{file}.tif"
        entries.append(
            tiff_data(len(content[file]), None if is_one else len(run), first, uuid=UUIDS[file], name=name)
        )
        content[file] += [pages[number] for number in run]
    folder = tmp_path_factory.mktemp("ome")
    content[0] = content[0] or [pages[0]]
    big, byteorder = draw(st.booleans()), draw(st.sampled_from("<>"))
    xml = ome(image(pixels.shape, order, "".join(draw(st.permutations(entries))), dtype), uuid=UUIDS[0])
    for file, own in enumerate(content):
        if own:
            write(folder / f"part{file}.tif", np.stack(own), xml if file == 0 else None, big, byteorder)
    same(folder / "part0.tif", pixels)


@pytest.fixture
def three(tmp_path):
    """Three files of one channel each: the master, and two that name it."""
    pixels = planes(4, 3, 2)
    entries = [tiff_data(0, 8, (0, c, 0), UUIDS[c], f"ch{c}.ome.tif") for c in range(3)]
    xml = ome(image(pixels.shape, "XYZTC", "".join(entries)), uuid=UUIDS[0])
    write(tmp_path / "ch0.ome.tif", in_order(pixels[:, :1], "XYZTC"), xml)
    for c in (1, 2):
        pointer = ome(uuid=UUIDS[c], inner=f'<BinaryOnly MetadataFile="ch0.ome.tif" UUID="{UUIDS[0]}"/>')
        write(tmp_path / f"ch{c}.ome.tif", in_order(pixels[:, c : c + 1], "XYZTC"), pointer)
    return tmp_path, pixels


def test_master_and_others(three):
    folder, pixels = three
    for c in range(3):
        same(folder / f"ch{c}.ome.tif", pixels)
    same(folder, pixels)
    same(sorted(folder.iterdir()), pixels)
    same(sorted(folder.iterdir(), reverse=True), pixels)
    same(str(folder / "*.tif"), pixels)
    with galvo.open(folder / "ch1.ome.tif") as rec:
        assert [path.name for path in rec.files] == ["ch0.ome.tif", "ch1.ome.tif", "ch2.ome.tif"]
        table = rec.frame_table()
        assert table["file"].tolist() == [0, 0, 1, 1, 2, 2] * 4
        assert table["page"].tolist() == [2 * t + z for t in range(4) for _ in range(3) for z in range(2)]
        copied = pickle.loads(pickle.dumps(rec))
    with copied:
        np.testing.assert_array_equal(copied[:, 2], pixels[:, 2])


def test_one_of_several_alone(three):
    folder, pixels = three
    same(folder / "ch1.ome.tif", in_order(pixels[:, 1:2], "XYZTC")[:, None, None], series=False)
    (folder / "ch0.ome.tif").unlink()
    with pytest.warns(GalvoWarning, match="does not say which planes"), galvo.open(folder / "ch1.ome.tif") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], in_order(pixels[:, 1:2], "XYZTC"))


def test_a_file_that_is_not_there(three):
    folder, pixels = three
    (folder / "ch2.ome.tif").unlink()
    with pytest.warns(GalvoWarning, match=r"not there: ch2\.ome\.tif; 8 planes") as said:
        rec = galvo.open(folder / "ch0.ome.tif")
    assert len(said) == 1
    with rec:
        assert rec.shape == pixels.shape
        np.testing.assert_array_equal(rec[:, :2], pixels[:, :2])
        for key in ((0, 2, 1), (slice(None), [1, 2]), (1, 2, 0, slice(2, 4)), ...):
            with pytest.raises(DamagedData, match="no file holds the plane"):
                rec[key]
        table = rec.frame_table()
        assert (table["file"][table["c"] == 2] == -1).all()
        assert (table["page"][table["c"] == 2] == -1).all()
    with galvo.open(folder / "ch0.ome.tif", damaged="report") as rec:
        assert len(rec.damage) == 2
        assert "ch2.ome.tif" in rec.damage[0].message


def test_missing_planes_among_compressed_ones(tmp_path):
    pixels = planes(3, 1, 2)
    xml = ome(image((3, 1, 2), "XYZTC", tiff_data(0, 1, (0, 0, 0)) + tiff_data(1, 4, (1, 0, 0))))
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for number, page in enumerate(np.delete(in_order(pixels, "XYZTC"), 1, axis=0)):
            file.write(page, compression="zlib", description=xml if number == 0 else None, metadata=None)
    with pytest.warns(GalvoWarning, match="1 planes are in no file, the first one at t=0, c=0, z=1"):
        rec = galvo.open(path)
    with rec:
        np.testing.assert_array_equal(rec[1:], pixels[1:])
        with pytest.raises(DamagedData, match="t=0, c=0, z=1"):
            rec[0]


def test_a_recording_that_was_stopped(tmp_path):
    """T at the end without all their planes are left out, and told."""
    pixels = planes(10, 2, 2)
    pages = in_order(pixels, "XYCZT")[:26]
    path = write(tmp_path / "a.tif", pages, ome(image(pixels.shape, "XYCZT", tiff_data(0, 40))))
    with pytest.warns(GalvoWarning, match="announces 10 T, 6 whole ones"):
        rec = galvo.open(path)
    with rec:
        np.testing.assert_array_equal(rec[...], pixels[:6])
        assert [(entry.what, entry.page_count) for entry in rec.left_out] == [("incomplete volume", 2)]
    with galvo.open(path, damaged="report") as rec:
        assert rec.shape[0] == 6
        assert "10 T" in rec.damage[0].message


def test_pages_that_no_plane_names(tmp_path):
    pixels = planes(5, 1, 1)
    path = write(tmp_path / "a.tif", in_order(pixels, "XYCZT"), ome(image((3, 1, 1), inner=tiff_data(1, 3))))
    with pytest.warns(GalvoWarning, match="2 pages are no planes"):
        rec = galvo.open(path)
    with rec:
        np.testing.assert_array_equal(rec[...], pixels[1:4])
        assert [(entry.what, entry.page_count) for entry in rec.left_out] == [("pages", 2)]


def test_a_plane_with_two_pages(tmp_path):
    pixels = planes(3, 1, 1)
    entries = tiff_data(0, 2) + tiff_data(2, 1, (1, 0, 0))
    path = write(tmp_path / "a.tif", in_order(pixels, "XYCZT"), ome(image((2, 1, 1), inner=entries)))
    with pytest.warns(GalvoWarning, match="3 pages for 2 planes; the first one of each"), galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[...], pixels[:2])


@pytest.mark.parametrize("uuid", [None, UUIDS[0]])
def test_a_renamed_file(tmp_path, uuid):
    pixels = planes(3, 2, 1)
    xml = ome(image(pixels.shape, inner=tiff_data(0, 6, uuid=UUIDS[0], name="before.ome.tif")), uuid=uuid)
    same(write(tmp_path / "after.ome.tif", in_order(pixels, "XYCZT"), xml), pixels)


def test_a_companion_file(tmp_path):
    pixels = planes(3, 2, 2)
    entries = [tiff_data(0, 4, (t, 0, 0), UUIDS[t], f"t{t}.ome.tif") for t in range(3)]
    (tmp_path / "all.companion.ome").write_text(ome(image(pixels.shape, "XYZCT", "".join(entries))))
    for t in range(3):
        pointer = ome(uuid=UUIDS[t], inner='<BinaryOnly MetadataFile="all.companion.ome" UUID="urn:uuid:1"/>')
        write(tmp_path / f"t{t}.ome.tif", in_order(pixels[t : t + 1], "XYZCT"), pointer)
    same(tmp_path / "all.companion.ome", pixels)
    same(tmp_path / "t2.ome.tif", pixels)
    same(tmp_path, pixels)
    for t in range(3):
        (tmp_path / f"t{t}.ome.tif").unlink()
    with pytest.raises(Unsupported, match="no pixels that are there"):
        galvo.open(tmp_path / "all.companion.ome")


def test_files_of_equal_size_are_not_all_opened(tmp_path, monkeypatch):
    from galvo.core.source import FileSource

    count = 60
    pixels = planes(count, 1, 1)
    entries = [tiff_data(0, None, (t, 0, 0), UUIDS[0], f"t{t}.tif") for t in range(count)]
    for t in range(1, count):
        write(tmp_path / f"t{t}.tif", pixels[t, 0])
    write(tmp_path / "t0.tif", pixels[0, 0], ome(image(pixels.shape, inner="".join(entries))))
    opened = set()
    take = FileSource.take

    def counting(self, file):
        opened.add(self.paths[file])
        return take(self, file)

    monkeypatch.setattr(FileSource, "take", counting)
    with galvo.open(tmp_path / "t0.tif") as rec:
        assert len(opened) < 15
        np.testing.assert_array_equal(rec[...], pixels)
        assert len(opened) == count
    # one of them is another file of that size
    path = tmp_path / "t33.tif"
    content = bytearray(path.read_bytes())
    content[content.index(HEIGHT.to_bytes(4, "little"))] = HEIGHT - 1
    path.write_bytes(content)
    with galvo.open(tmp_path / "t0.tif") as rec:
        np.testing.assert_array_equal(rec[:33], pixels[:33])
        with pytest.raises(GalvoError, match=r"t33\.tif"):
            rec[33]


def test_files_of_other_shapes_are_refused(tmp_path):
    entries = tiff_data(0, 1, (0, 0, 0), UUIDS[0], "a.tif") + tiff_data(0, 1, (1, 0, 0), UUIDS[1], "b.tif")
    write(tmp_path / "a.tif", planes(1, 1, 1)[0, 0], ome(image((2, 1, 1), inner=entries), uuid=UUIDS[0]))
    write(tmp_path / "b.tif", planes(1, 1, 1)[0, 0, :, :3])
    with pytest.raises(Unsupported, match="differ in layout"):
        galvo.open(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["../b.tif", "/etc/b.tif", "..\\b.tif", "C:\\data\\b.tif", "sub/b.tif", "..", "/"])
def test_no_file_of_another_folder_is_opened(tmp_path, name):
    folder = tmp_path / "inner"
    folder.mkdir()
    write(tmp_path / "b.tif", planes(1, 1, 1)[0, 0])
    entries = tiff_data(0, 1, (0, 0, 0), UUIDS[0]) + tiff_data(0, 1, (1, 0, 0), UUIDS[1], name)
    path = write(folder / "a.tif", planes(1, 1, 1)[0, 0], ome(image((2, 1, 1), inner=entries), uuid=UUIDS[0]))
    with pytest.warns(GalvoWarning, match="not there"), galvo.open(path) as rec:
        assert [file.name for file in rec.files] == ["a.tif"]
    # the same name in the folder itself is meant
    if name not in ("..", "/"):
        write(folder / "b.tif", planes(1, 1, 1, seed=2)[0, 0])
        with galvo.open(path) as rec:
            assert rec.shape[0] == 2


def test_a_set_with_names_of_channels_is_opened_once(tmp_path):
    pixels = planes(3, 2, 1)
    entries = [tiff_data(0, 3, (0, c, 0), UUIDS[c], f"a_ch{c + 1}.tif") for c in range(2)]
    for c in range(2):
        xml = ome(image(pixels.shape, "XYZTC", "".join(entries)), uuid=UUIDS[c])
        write(tmp_path / f"a_ch{c + 1}.tif", in_order(pixels[:, c : c + 1], "XYZTC"), xml)
    for source in (tmp_path / "a_ch1.tif", tmp_path / "a_ch2.tif", tmp_path):
        same(source, pixels)


# ---- several images -------------------------------------------------------------------------------------------------


def test_several_images(tmp_path):
    first, second = planes(3, 1, 1), planes(2, 1, 2, seed=4)
    small = np.random.default_rng(0).integers(0, 9, (2, 3, 4)).astype("u1")
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(first[:, 0, 0], metadata={"axes": "TYX", "Name": "movie"})
        file.write(small, photometric="minisblack", metadata={"axes": "ZYX", "Name": "small"})
        file.write(second[:, 0], metadata={"axes": "TZYX", "Name": "volume"})
    same(path, first)
    same(path, small[None, None], image=1)
    same(path, second, image="volume")
    same(path, second, image=-1)
    with galvo.open(path) as rec:
        assert rec.metadata.attributes["image_name"] == "movie"
        assert [(entry.what, entry.page_count) for entry in rec.left_out] == [("image", 2), ("image", 4)]
        assert "image=2" in rec.left_out[1].reason
    for wrong in (3, -4, "none", 1.0, True):
        with pytest.raises(OptionError, match="no such image"):
            galvo.open(path, image=wrong)
    with pytest.raises(OptionError, match="image="):
        galvo.open(write(tmp_path / "b.tif", first[:, 0, 0]), image=0)
    with pytest.raises(OptionError, match="image="):
        galvo.open(path, image=0, axes="T")


# ---- facts ----------------------------------------------------------------------------------------------------------


def test_times_of_planes(tmp_path):
    pixels = planes(4, 2, 1)
    inner = "<TiffData/>" + "".join(
        f'<Plane TheT="{t}" TheC="{c}" TheZ="0" DeltaT="{1000 * t + c}" DeltaTUnit="ms" ExposureTime="0.5"/>'
        for t in range(4)
        for c in range(2)
        if (t, c) != (2, 0)
    )
    path = write(tmp_path / "a.tif", in_order(pixels, "XYCZT"), ome(image(pixels.shape, inner=inner)))
    with galvo.open(path) as rec:
        np.testing.assert_allclose(rec.timestamps, [0, 1, np.nan, 3])
        np.testing.assert_allclose(rec.isel(c=1, t=slice(1, 3)).timestamps, [1.001, 2.001])
        np.testing.assert_allclose(rec.frame_table()["exposure_s"], [0.5] * 4 + [np.nan] + [0.5] * 3)
        assert rec.frame_rate_hz is None


def test_unknown_units_are_told_and_left_out(tmp_path):
    more = {"PhysicalSizeX": 2, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 2, "PhysicalSizeYUnit": "pixel"}
    path = write(tmp_path / "a.tif", planes(1, 1, 1)[0, 0], ome(image((1, 1, 1), **more)))
    with pytest.warns(GalvoWarning, match="'pixel', which is not known"), galvo.open(path) as rec:
        assert rec.pixel_size_um is None


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("µm", 1), ("\u03bcm", 1), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("m", 1e6), ("Å", 1e-4), ("in", 25400)],
)
def test_units(tmp_path, unit, factor):
    more = {f"PhysicalSize{letter}{what}": value for letter in "XY" for what, value in (("", 2.5), ("Unit", unit))}
    path = write(tmp_path / "a.tif", planes(1, 1, 1)[0, 0], ome(image((1, 1, 1), **more)))
    with galvo.open(path) as rec:
        assert rec.pixel_size_um == pytest.approx((2.5 * factor, 2.5 * factor))


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "x", "", "1e999"])
def test_sizes_that_are_none(tmp_path, value):
    more = {"PhysicalSizeX": value, "PhysicalSizeY": 1, "PhysicalSizeZ": value, "TimeIncrement": value}
    path = write(tmp_path / "a.tif", planes(1, 1, 2)[0, 0], ome(image((1, 1, 2), **more)))
    with galvo.open(path) as rec:
        assert rec.pixel_size_um is None
        assert rec.z_um is None
        assert rec.frame_rate_hz is None


def test_another_pixel_type_is_told(tmp_path):
    path = write(tmp_path / "a.tif", planes(2, 1, 1)[:, 0, 0], ome(image((2, 1, 1), dtype="i2")))
    with pytest.warns(GalvoWarning, match="announces pixels of int16, the pages hold uint16"), galvo.open(path) as rec:
        assert rec.dtype == np.uint16


def test_old_schemas(tmp_path):
    xml = ome(image((2, 1, 1), inner=tiff_data(0).replace("PlaneCount", "NumPlanes")))
    xml = xml.replace('<TiffData IFD="0">', '<TiffData IFD="0" NumPlanes="2">').replace("<OME ", "<OME:OME ")
    xml = xml.replace("</OME>", "</OME:OME>").replace("xmlns=", "xmlns:OME=")
    xml = xml.replace("</Image>", "<CreationDate>2011-02-03T04:05:06Z</CreationDate></Image>")
    path = write(tmp_path / "a.tif", planes(2, 1, 1)[:, 0, 0], xml)
    same(path, planes(2, 1, 1))
    with galvo.open(path) as rec:
        assert rec.metadata.start_time == "2011-02-03T04:05:06"


# ---- XML made to harm -----------------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
HOSTILE = {
    "billion laughs": (
        f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a0 "ha">{LAUGHS}]><OME>&a11;</OME>',
        UnsafeContent,
    ),
    "external entity": (
        '<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/passwd">]><OME><Image Name="&x;"/></OME>',
        UnsafeContent,
    ),
    "external DTD": ('<!DOCTYPE OME SYSTEM "http://localhost/x.dtd"><OME/>', UnsafeContent),
    "nested 100,000 times": (ome(image((2, 1, 1)), inner="<a>" * 100_000 + "</a>" * 100_000), Malformed),
    "unknown entity": ("<OME>&x;</OME>", Malformed),
    "broken off": (ome(image((2, 1, 1)))[:-20], Malformed),
    "two roots": ("<OME/><OME/>", Malformed),
    "control characters": ("<OME>\x01</OME>", Malformed),
    "no size": (ome(image((2, 1, 1)).replace('SizeT="2"', "")), Malformed),
    "size 0": (ome(image((0, 1, 1))), Malformed),
    "size -1": (ome(image((-1, 1, 1))), Malformed),
    "size 1e3": (ome(image(("1e3", 1, 1))), Malformed),
    "size of 5,000 digits": (ome(image(("9" * 5000, 1, 1))), Malformed),
    "size 2^39": (ome(image((1 << 39, 1, 1))), LimitExceeded),
    "sizes of 2^39": (ome(image((1 << 39, 1 << 39, 1 << 39))), LimitExceeded),
    "40 million planes in two pages": (
        ome(image((40_000_000, 1, 1), inner=tiff_data(0, 1) + tiff_data(1, 1, (39_999_999, 0, 0)))),
        Malformed,
    ),
    "wrong width": (ome(image((2, 1, 1)).replace('SizeX="5"', 'SizeX="7"')), Malformed),
    "impossible order": (ome(image((2, 1, 1), "XYCZZ")), Malformed),
    "order of 2 letters": (ome(image((2, 1, 1), "XY")), Malformed),
    "begins outside": (ome(image((2, 1, 1), inner=tiff_data(0, 1, (5, 0, 0)))), Malformed),
    "no page of it is there": (ome(image((2, 1, 1), inner=tiff_data(7, 1))), Malformed),
    "IFD 2^39": (ome(image((2, 1, 1), inner=tiff_data(1 << 39, 1 << 39))), Malformed),
    "negative IFD": (ome(image((2, 1, 1), inner=tiff_data(-1, 1))), Malformed),
    "three samples that are not there": (
        ome(image((2, 3, 1), channels='<Channel SamplesPerPixel="3"/>')),
        Malformed,
    ),
    "samples that do not fit": (ome(image((2, 2, 1), channels='<Channel SamplesPerPixel="3"/>')), Malformed),
    "0 samples": (ome(image((2, 1, 1), channels='<Channel SamplesPerPixel="0"/>')), Malformed),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml(tmp_path, name):
    xml, kind = HOSTILE[name]
    path = write(tmp_path / "a.tif", planes(2, 1, 1)[:, 0, 0], xml)
    with pytest.raises(kind) as caught:
        galvo.open(path)
    assert str(path) in str(caught.value)
    # its pages are still there for who asks for them
    same(path, planes(2, 1, 1), axes="T")


def test_a_plane_count_without_end_takes_what_is_there(tmp_path):
    xml = ome(image((2, 1, 1), inner=tiff_data(0, 1 << 39)))
    same(write(tmp_path / "a.tif", planes(3, 1, 1)[:2, 0, 0], xml), planes(3, 1, 1)[:2])


@hypothesis.given(data=st.data())
@hypothesis.settings(
    max_examples=150, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None
)
def test_changed_xml_is_opened_or_refused(tmp_path, data):
    entries = tiff_data(0, 2, (0, 0, 0), UUIDS[0], "a.tif") + tiff_data(2, 2, (1, 0, 0))
    good = ome(image((2, 2, 1), "XYCZT", entries, channels="<Channel/><Channel/>"), uuid=UUIDS[0])
    at = data.draw(st.integers(40, len(good) - 1))
    change = data.draw(st.sampled_from(["", "0", "9", "99999999", "-", "<", ">", '"', "&", "Z", "\x00", "é"]))
    xml = good[:at] + change + good[at + data.draw(st.integers(0, 2)) :]
    path = write(tmp_path / "a.tif", in_order(planes(2, 2, 1), "XYCZT"), xml)
    with warnings.catch_warnings(), contextlib.suppress(GalvoError):
        warnings.simplefilter("ignore", GalvoWarning)
        with galvo.open(path) as rec:
            assert math.prod(rec.shape) < 10_000
            rec[0]


def test_escapes_are_only_the_five_of_xml(tmp_path):
    xml = ome(image((1, 1, 1)).replace("<Image ", f"<Image Name={quoteattr(escape('a<b'))} "))
    with galvo.open(write(tmp_path / "a.tif", planes(1, 1, 1)[0, 0], xml)) as rec:
        assert rec.metadata.attributes["image_name"] == "a&lt;b"


def test_a_page_of_another_kind_is_no_plane(tmp_path):
    builder = TiffBuilder()
    text = Tag(code=270, type=2, values=ome(image((2, 1, 1))).encode() + b"\0")
    builder.image(WIDTH, HEIGHT, [bytes(60)], bits=16, replace=[text])
    builder.image(WIDTH, HEIGHT, [bytes(30)], bits=8)
    path = tmp_path / "a.tif"
    path.write_bytes(builder.build())
    with pytest.warns(GalvoWarning) as said, galvo.open(path) as rec:
        assert rec.shape == (1, 1, 1, HEIGHT, WIDTH)
    assert any("pages from page 1 on are left out" in str(one.message) for one in said)
