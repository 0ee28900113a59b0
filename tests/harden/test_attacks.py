"""Files made to harm: loops, bombs, tables without end, what is no file. A galvo error, soon, in bounded memory."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

import galvo
from galvo.errors import GalvoError, GalvoWarning
from galvo.limits import Limits
from galvo.testing.sandbox import PeakMemory, run_case
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import Ifd, Page, Tag, TiffBuilder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

MIB = 1 << 20


def attempt(path, **options):
    """Open, ask and read a little, within the bounds; what happened."""

    def work():
        memory = PeakMemory()
        said, text = "read", ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GalvoWarning)
            try:
                with galvo.open(path, **options) as rec:
                    repr(rec)
                    rec.isel(t=slice(0, 3)).frame_table()
                    rec[: max(1, min(rec.shape[0], (8 * MIB) // max(1, rec.nbytes // rec.shape[0])))]
            except GalvoError as error:
                said, text = type(error).__name__, str(error)
        assert len(text) < 4000
        assert text.isprintable()
        return said, memory.peak_bytes()

    verdict = run_case(work, seconds=5)
    assert verdict.kind == "value", f"{verdict.kind}: {verdict.detail}"
    return verdict.value


def refused(path, *kinds, **options):
    said, peak = attempt(path, **options)
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    assert said in kinds, said
    assert peak <= 64 * MIB + size // 2, f"{peak >> 20} MiB"


def write(folder: Path, content: bytes, name="a.tif") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# ---- TIFF -----------------------------------------------------------------------------------------------------------

IMAGE = bytes(range(64))


def image(builder=None, **options):
    return (builder or TiffBuilder()).image(8, 8, [IMAGE], **options)


def tag(code, *values, type=4, **options):
    return Tag(code=code, type=type, values=values, **options)


def looped(pages, back):
    builder = TiffBuilder()
    for page in range(pages):
        image(builder, next_ifd=Ifd(back) if page == pages - 1 else None)
    return builder.build()


def ome(inner="<TiffData/>", prolog="", **sizes):
    """Four pages with an OME-XML."""
    lengths = {"SizeX": 8, "SizeY": 8, "SizeZ": 1, "SizeC": 1, "SizeT": 4} | sizes
    attributes = " ".join(f'{name}="{value}"' for name, value in lengths.items())
    pixels = f'<Pixels DimensionOrder="XYZCT" Type="uint8" {attributes}>{inner}</Pixels>'
    text = f"{prolog}<OME><Image>{pixels}</Image></OME>"
    builder = TiffBuilder()
    for page in range(4):
        image(builder, replace=[Tag(code=270, type=2, values=text.encode() + b"\0")] if page == 0 else ())
    return builder.build()


def data(ifd, count, t):
    return f'<TiffData IFD="{ifd}" PlaneCount="{count}" FirstT="{t}"/>'


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
TIFFS = {
    "billion laughs": lambda: ome("&l11;", f'<!DOCTYPE OME [<!ENTITY l0 "ha">{LAUGHS}]>'),
    "an entity of another file": lambda: ome("&x;", '<!DOCTYPE OME [<!ENTITY x SYSTEM "/dev/zero">]>'),
    "10^12 planes": lambda: ome(SizeT=10**12),
    "10^36 planes": lambda: ome(SizeT=10**12, SizeC=10**12, SizeZ=10**12),
    "two planes 4 * 10^7 apart": lambda: ome(data(0, 1, 0) + data(1, 1, 4 * 10**7 - 1), SizeT=4 * 10**7),
    "300,000 times the same pages": lambda: ome(data(0, 4, 0) * 300_000),
    "300,000 planes of pages that are not there": lambda: ome(data(10**9, 10**9, 0) * 300_000),
    "a million elements inside each other": lambda: ome("<a>" * 10**6 + "</a>" * 10**6),
    "names of 100,000 files": lambda: ome(
        "".join(f'<TiffData FirstT="1"><UUID FileName="{n}.tif">u{n}</UUID></TiffData>' for n in range(100_000))
    ),
    "14 bytes in a circle": lambda: b"II*\0\x08\0\0\0" + bytes(2) + struct.pack("<I", 8),
    "16 bytes in a circle, BigTIFF": lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQQ", 16, 0, 16),
    "a page after itself": lambda: looped(1, 0),
    "two pages in a circle": lambda: looped(2, 0),
    "a loop far behind": lambda: looped(500, 250),
    "the first IFD in the header": lambda: image(TiffBuilder(first_ifd=0)).build(),
    "the first IFD behind the end": lambda: image(TiffBuilder(first_ifd=0xFFFFFFF0)).build(),
    "the first IFD at 2^63": lambda: image(TiffBuilder(big=True, first_ifd=1 << 63)).build(),
    "65535 tags": lambda: image(entry_count=65535).build(),
    "2^60 tags": lambda: image(TiffBuilder(big=True), entry_count=1 << 60).build(),
    "10^12 pixels": lambda: TiffBuilder().image(10**6, 10**6, [IMAGE]).build(),
    "10^12 deflated pixels": lambda: TiffBuilder().image(10**6, 10**6, [zlib.compress(IMAGE)], compression=8).build(),
    "2^64 pixels": lambda: TiffBuilder().image(0xFFFFFFFF, 0xFFFFFFFF, [IMAGE]).build(),
    "no pixels": lambda: TiffBuilder().image(0, 8, [IMAGE]).build(),
    "65535 samples of 10^9": lambda: image(replace=[tag(277, 65535, type=3), tag(256, 10**9)]).build(),
    "2^32 strip offsets": lambda: image(replace=[Tag(code=273, type=4, count=0xFFFFFFFF, offset=8)]).build(),
    "2^62 strip offsets": lambda: image(
        TiffBuilder(big=True), replace=[Tag(code=273, type=16, count=1 << 62, offset=16)]
    ).build(),
    "strips at 2^63": lambda: image(TiffBuilder(big=True), replace=[tag(273, 1 << 63, type=16)]).build(),
    "strips behind the end": lambda: image(replace=[tag(273, 10**9)]).build(),
    "4 GiB description": lambda: image(replace=[Tag(code=270, type=2, count=0xFFFFFFFF, offset=8)]).build(),
    "tiles of 2^31": lambda: image(tile=(1 << 31, 1 << 31)).build(),
    "tiles without height": lambda: image(tile=(0, 16)).build(),
}
BROKEN = ("Malformed", "Truncated", "LimitExceeded", "Unsupported", "DamagedData", "UnknownFormat", "UnsafeContent")


@pytest.mark.parametrize("name", TIFFS)
@pytest.mark.parametrize("damaged", ["raise", "report"])
def test_tiff(tmp_path, name, damaged):
    path = write(tmp_path, TIFFS[name]())
    opens = ("tiles without", "the first IFD in", "names of 100,000")
    keeps = ("read",) if damaged == "report" or name.startswith(opens) else ()
    refused(path, *BROKEN, *keeps, damaged=damaged)


def test_a_deflate_bomb_gives_no_more_than_the_page(tmp_path):
    bomb = zlib.compress(bytes(256 * MIB), 9)
    refused(write(tmp_path, TiffBuilder().image(8, 8, [bomb], compression=8).build()), "read", *BROKEN)


def test_overlapping_strips_do_not_add_up(tmp_path):
    strip = zlib.compress(bytes(MIB), 9)
    builder = TiffBuilder()
    for _ in range(64):
        builder.image(1024, 1024, [strip], compression=8, next_ifd=None)
    first = 8
    pages = [
        Page(tags=[t if t.code != 273 else tag(273, first) for t in page.tags], segments=page.segments)
        for page in builder.pages
    ]
    said, peak = attempt(write(tmp_path, TiffBuilder(pages=pages).build()))
    assert said in ("read", *BROKEN)
    assert peak <= 64 * MIB + 3 * 8 * MIB


def test_a_huge_json_header(tmp_path):
    (path,) = ScanImageRecording(height=8, width=8, frames=4, json_header=True).write(tmp_path)
    content = bytearray(path.read_bytes())
    nested = b"[" * 4000
    at = content.index(b"{", 32) + 1
    content[at : at + len(nested)] = nested
    refused(write(tmp_path, bytes(content), "nested.tif"), "read", *BROKEN)


# ---- HDF5 -----------------------------------------------------------------------------------------------------------


def hdf5(folder, **datasets):
    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        for name, options in datasets.items():
            file.create_dataset(name, **options)
    return path


def test_hdf5_of_10_to_12_pixels(tmp_path):
    path = hdf5(tmp_path, mov={"shape": (1, 10**6, 10**6), "dtype": "u1", "chunks": (1, 100, 100)})
    refused(path, "LimitExceeded", "Malformed", "DamagedData", axes="TYX")


def test_hdf5_of_10_to_12_frames(tmp_path):
    path = hdf5(tmp_path, mov={"shape": (10**12, 8, 8), "dtype": "u1", "chunks": (1, 8, 8)})
    refused(path, "LimitExceeded", "Malformed", axes="TYX")


def bomb(folder, nbytes):
    path = hdf5(folder, mov={"shape": (1, 8, 8), "maxshape": (None,) * 3, "chunks": (nbytes >> 20, 1024, 1024),
                             "dtype": "u1", "compression": "gzip"})  # fmt: skip
    squeezed = zlib.compressobj(9)
    parts = [squeezed.compress(bytes(MIB)) for _ in range(nbytes >> 20)]
    with h5py.File(path, "r+") as file:
        file["mov"].id.write_direct_chunk((0, 0, 0), b"".join([*parts, squeezed.flush()]))
    return path


def test_a_chunk_of_4_gib_in_a_small_file(tmp_path):
    path = hdf5(tmp_path, mov={"shape": (1, 8, 8), "maxshape": (None,) * 3, "chunks": (4095, 1024, 1024),
                               "dtype": "u1", "compression": "gzip"})  # fmt: skip
    refused(path, "LimitExceeded", axes="TYX")


def test_the_bound_on_chunks_holds_and_its_absence_shows(tmp_path, monkeypatch):
    path = bomb(tmp_path, 256 * MIB)
    options = {"axes": "TYX", "limits": Limits(chunk_bytes=64 * MIB)}
    refused(path, "LimitExceeded", **options)
    # without the check of sizes the same test is red
    monkeypatch.setattr(Limits, "check", lambda *args, **named: None)
    with pytest.raises(AssertionError, match="MiB"):
        refused(path, "read", *BROKEN, **options)


def test_hdf5_links_in_a_circle(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"] = h5py.SoftLink("/b")
        file["b"] = h5py.SoftLink("/a")
        group = file.create_group("g")
        group["up"] = file["/"]
        group["self"] = group
    refused(path, "UnknownFormat", "FormatError", *BROKEN)


def test_hdf5_nested_without_end(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(2000):
            group = group.create_group("g")
        group["mov"] = np.zeros((3, 8, 8), "u2")
    refused(path, "LimitExceeded", *BROKEN)


@pytest.mark.parametrize("kind", ["link", "storage", "virtual"])
def test_hdf5_that_reaches_outside(tmp_path, kind):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(192)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["mov"] = np.zeros((3, 8, 8), "u1")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if kind == "link":
            file["mov"] = h5py.ExternalLink("other.h5", "/mov")
        elif kind == "storage":
            file.create_dataset("mov", (3, 8, 8), "u1", external=[(str(secret), 0, 192)])
        else:
            layout = h5py.VirtualLayout((3, 8, 8), "u1")
            layout[:] = h5py.VirtualSource("other.h5", "mov", (3, 8, 8))
            file.create_virtual_dataset("mov", layout)
    refused(path, "UnsafeContent")


# ---- what is no file, and names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tif", ".h5", ".tiff"])
def test_no_bytes(tmp_path, suffix):
    refused(write(tmp_path, b"", f"a{suffix}"), *BROKEN)


@pytest.mark.parametrize("suffix", [".tif", ".h5"])
def test_a_folder_with_the_name_of_a_file(tmp_path, suffix):
    (tmp_path / f"a{suffix}").mkdir()
    refused(tmp_path / f"a{suffix}", "UnknownFormat")


@pytest.mark.parametrize("format", [None, "tiff", "scanimage", "hdf5"])
def test_a_pipe(tmp_path, format):
    os.mkfifo(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "ReadError", "UnknownFormat", format=format)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full"])
def test_a_device(tmp_path, device):
    if not os.path.exists(device):
        pytest.skip("no such device")
    refused(device, "ReadError", "UnknownFormat")
    (tmp_path / "a.tif").symlink_to(device)
    refused(tmp_path / "a.tif", "ReadError", "UnknownFormat")


@pytest.mark.parametrize("name", ["a\nb.tif", "a\x1b[31m.tif", "a\u202e.tif", "\udcff.tif", "a\0b.tif"])
def test_names(tmp_path, name):
    if "\0" not in name:
        write(tmp_path, looped(1, 0), name)
    refused(tmp_path / name, "Malformed", "OptionError")
