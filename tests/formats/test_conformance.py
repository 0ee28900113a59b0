"""The shipped suite on galvo's own formats."""

from __future__ import annotations

import json
import struct
import zlib

import h5py
import numpy as np

import galvo
from galvo.testing.conformance import Case, FormatConformance
from galvo.testing.matlab import MatBuilder
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording
from galvo.testing.tiff import Tag, TiffBuilder


def movie(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 120, shape).astype(dtype)


def folder(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    return path


def places(content, pieces):
    """Where each of `pieces` lies."""
    found, at = [], 0
    for piece in pieces:
        at = content.index(piece, at)
        found.append(range(at, at + len(piece)))
        at += len(piece)
    return found


def ome_xml(shape, kind, inner, uuid=0):
    t, c, z, y, x = shape
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{kind}" SizeT="{t}" SizeC="{c}" '
        f'SizeZ="{z}" SizeY="{y}" SizeX="{x}" PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.5" '
        f'PhysicalSizeZ="3" TimeIncrement="0.5"><Channel Name="green"/><Channel Name="red"/>{inner}</Pixels></Image>'
        "</OME>"
    )


def ome_pointer(name, uuid):
    return f'<OME UUID="urn:uuid:{uuid}"><BinaryOnly MetadataFile="{name}" UUID="urn:uuid:0"/></OME>'


class TestTiff(FormatConformance):
    format_name = "tiff"
    write_options = (
        {},
        {"compression": "zlib"},
        {"layout": "plain", "compression": "zstd", "predictor": True, "bigtiff": True},
    )

    def cases(self, tmp_path):
        yield self.stack(tmp_path, "strips", movie((7, 1, 1, 12, 9), ">u2"), big=False, rows=5)
        yield self.stack(tmp_path, "single", movie((1, 1, 1, 5, 3), "<f4"), big=True, rows=5)
        yield self.stack(tmp_path, "even", movie((20, 1, 1, 8, 8), "<i2"), big=True, rows=8)
        yield self.tiles(tmp_path)
        yield self.ome(tmp_path)
        yield self.companion(tmp_path)
        yield self.imagej(tmp_path)
        yield self.own(tmp_path, "own")
        yield self.own(tmp_path, "own-imagej", layout="imagej", compression="zlib")

    def ome(self, tmp_path):
        """One file, Z fastest; times, sizes and names."""
        pixels = movie((3, 2, 2, 6, 5), "<u2")
        inner = "".join(f'<Plane TheT="{t}" TheC="{c}" TheZ="{z}" DeltaT="{t + 0.25 * c + 0.5 * z}"/>'
                        for t, c, z in np.ndindex(3, 2, 2))  # fmt: skip
        xml = ome_xml(pixels.shape, "uint16", '<TiffData IFD="0" PlaneCount="12"/>' + inner)
        pages = pixels.reshape(12, 6, 5)
        return self.described(tmp_path, "ome", pages, xml, pixels, {
            "channel_names": ("green", "red"),
            "pixel_size_um": (0.5, 0.25),
            "z_um": np.array([0.0, 3.0]),
            "frame_rate_hz": 2.0,
            "timestamps": np.array([0.0, 1.0, 2.0]),
        })  # fmt: skip

    def imagej(self, tmp_path):
        pixels = movie((3, 2, 4, 6, 5), ">u2")
        text = "ImageJ=1.53t\nimages=24\nchannels=2\nslices=4\nframes=3\nunit=micron\nspacing=2\nfinterval=0.5\n"
        pages = pixels.transpose(0, 2, 1, 3, 4).reshape(24, 6, 5)
        metadata = {"z_um": np.array([0.0, 2.0, 4.0, 6.0]), "frame_rate_hz": 2.0}
        return self.described(tmp_path, "imagej", pages, text, pixels, metadata)

    def described(self, tmp_path, name, pages, text, pixels, metadata):
        builder = TiffBuilder(byteorder=">" if pages.dtype.str[0] == ">" else "<")
        for number, page in enumerate(pages):
            tags = [Tag(code=270, type=2, values=text.encode() + b"\0")] if number == 0 else []
            builder.image(5, 6, [page.tobytes()], bits=16, replace=tags)
        path = folder(tmp_path, name) / f"{name}.tif"
        path.write_bytes(builder.build())
        return Case(paths=[path], pixels=pixels, metadata=metadata, boundaries=[8])

    def companion(self, tmp_path):
        """A master and another file, one for each T."""
        pixels = movie((2, 2, 2, 6, 5), "<u2")
        names = ["first.ome.tif", "second.ome.tif"]
        inner = "".join(
            f'<TiffData FirstT="{t}" IFD="0" PlaneCount="4"><UUID FileName="{name}">urn:uuid:{t}</UUID></TiffData>'
            for t, name in enumerate(names)
        )
        texts = [ome_xml(pixels.shape, "uint16", inner, 0), ome_pointer(names[0], 1)]
        where = folder(tmp_path, "several")
        for t, (name, text) in enumerate(zip(names, texts, strict=True)):
            builder = TiffBuilder(big=True)
            for number, page in enumerate(pixels[t].reshape(4, 6, 5)):
                tags = [Tag(code=270, type=2, values=text.encode() + b"\0")] if number == 0 else []
                builder.image(5, 6, [page.tobytes()], bits=16, replace=tags)
            (where / name).write_bytes(builder.build())
        return Case(paths=[where / name for name in names], pixels=pixels)

    def own(self, tmp_path, name, **options):
        pixels = movie((5, 2, 3, 8, 6), "<u2")
        path = folder(tmp_path, name) / f"{name}.tif"
        galvo.save(pixels, path, block_bytes=1 << 10, **options)
        frames = pixels.transpose(0, 2, 1, 3, 4).reshape(-1, 8, 6)
        found = [] if options else places(path.read_bytes(), [frame.tobytes() for frame in frames])
        in_order = [found[(t * 3 + z) * 2 + c] for t in range(5) for c in range(2) for z in range(3) if found]
        return Case(paths=[path], pixels=pixels, boundaries=[4, 8, *(own.start for own in found)], frame_bytes=in_order)

    def stack(self, tmp_path, name, pixels, *, big, rows):
        order = ">" if pixels.dtype.str[0] == ">" else "<"
        builder = TiffBuilder(big=big, byteorder=order)
        kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
        height, width = pixels.shape[3:]
        frames = pixels[:, 0, 0]
        for frame in frames:
            strips = [frame[first : first + rows].tobytes() for first in range(0, height, rows)]
            bits = pixels.dtype.itemsize * 8
            builder.image(width, height, strips, bits=bits, sample_format=kind, rows_per_strip=rows)
        path = folder(tmp_path, name) / f"{name}.tif"
        path.write_bytes(builder.build())
        own = places(path.read_bytes(), [frame.tobytes() for frame in frames])
        ends = [end for one in own for end in (one.start, one.stop)]
        return Case(paths=[path], pixels=pixels, boundaries=[*ends, 8, 16], frame_bytes=own)

    def tiles(self, tmp_path):
        pixels = movie((3, 1, 1, 20, 30), "<u2")
        builder = TiffBuilder()
        for frame in pixels[:, 0, 0]:
            padded = np.zeros((32, 32), "<u2")
            padded[:20, :30] = frame
            tiles = [zlib.compress(padded[y : y + 16, x : x + 16].tobytes()) for y in (0, 16) for x in (0, 16)]
            builder.image(30, 20, tiles, bits=16, tile=(16, 16), compression=8)
        path = folder(tmp_path, "tiles") / "tiles.tif"
        path.write_bytes(builder.build())
        return Case(paths=[path], pixels=pixels)


class TestTiffSamples(TestTiff):
    """Channels as the samples of a page."""

    every = 4
    hardened_count = 1000
    write_options = (
        {"samples": "c"},
        {"samples": "c", "compression": "zlib"},
        {"samples": "c", "layout": "plain", "compression": "lzw", "predictor": True, "bigtiff": True},
    )

    def cases(self, tmp_path):
        yield self.samples(tmp_path, "contiguous", planar=False)
        yield self.samples(tmp_path, "planar", planar=True)
        yield self.own(tmp_path, "own", samples="c")
        yield self.own(tmp_path, "own-deflated", samples="c", layout="plain", compression="zlib")

    def samples(self, tmp_path, name, *, planar):
        pixels = movie((4, 3, 1, 6, 5), "u1")
        builder = TiffBuilder(big=True, byteorder=">")
        for frame in pixels[:, :, 0]:
            strips = [one.tobytes() for one in frame] if planar else [frame.transpose(1, 2, 0).tobytes()]
            builder.image(5, 6, strips, samples=3, planar=1 + planar)
        path = folder(tmp_path, name) / f"{name}.tif"
        path.write_bytes(builder.build())
        return Case(paths=[path], pixels=pixels)


class TestScanImage(FormatConformance):
    format_name = "scanimage"

    def cases(self, tmp_path):
        yield self.recording(tmp_path, "planar", ScanImageRecording(frames=6, channels=(1, 2), height=12, width=10))
        volumes = ScanImageRecording(height=8, width=6, slices=3, flyback=1, volumes=4, version="2019a")
        yield self.recording(tmp_path, "volumes", volumes)
        series = ScanImageRecording(frames=9, frames_per_file=4, height=6, width=7, dtype="uint16")
        yield self.recording(tmp_path, "series", series)
        rois = (RoiRequest(), RoiRequest(scanfields=(ScanfieldRequest(center_deg=(8, 2), pixels=(18, 10)),)))
        fields = ScanImageRecording.multi_roi(rois, frames=4, flyto_periods=0.5, bidirectional=False)
        yield self.recording(tmp_path, "fields", fields)

    def recording(self, tmp_path, name, truth):
        paths = truth.write(folder(tmp_path, name))
        pixels = truth.expected()
        metadata = {
            "channel_names": truth.expected_channel_names,
            "frame_rate_hz": truth.expected_frame_rate_hz,
            "timestamps": truth.expected_timestamps(),
        }
        if truth.is_stack:
            metadata["z_um"] = truth.expected_z_um()
        content = paths[0].read_bytes()
        found = places(content, [page.tobytes() for page in truth.expected_pages(0, 4)])
        boundaries = [16, 32, *(end for one in found for end in (one.start, one.stop))]
        return Case(paths=paths, pixels=pixels, metadata=metadata, boundaries=boundaries)


class TestHdf5PerChannel(FormatConformance):
    """One file for each channel: what holds for one file holds for all of them together."""

    every = 4
    hardened_count = 1000
    format_name = "hdf5"
    write_options = ({"split_channels": True},)

    def cases(self, tmp_path):
        pixels = movie((5, 3, 2, 7, 6), "<u2")
        path = folder(tmp_path, "channels") / "movie.h5"
        galvo.save(pixels, path, split_channels=True)
        paths = [path.with_name(f"movie_ch{number}.h5") for number in (1, 2, 3)]
        yield Case(paths=paths, pixels=pixels, options={"axis": "c"})


class TestHdf5(FormatConformance):
    format_name = "hdf5"
    write_options = (
        {},
        {"compression": "gzip"},
        {"compression": "lzf"},
        {"compression": "zstd"},
        {"fletcher32": False},
    )

    def cases(self, tmp_path):
        pixels = movie((9, 2, 1, 7, 6), "<u2")
        path = folder(tmp_path, "channels") / "channels.h5"
        with h5py.File(path, "w") as file:
            for channel in range(2):
                file.create_dataset(f"ch{channel + 1}", data=pixels[:, channel, 0], chunks=(4, 7, 6))
        yield Case(paths=[path], pixels=pixels, boundaries=[8, 96], options={"axes": "TYX"})

        pixels = movie((6, 1, 1, 10, 12), ">i2")
        path = folder(tmp_path, "plain") / "plain.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("mov", data=pixels[:, 0, 0])
        found = places(path.read_bytes(), [frame.tobytes() for frame in pixels[:, 0, 0]])
        yield Case(paths=[path], pixels=pixels, frame_bytes=found, boundaries=[8, 96], options={"axes": "TYX"})

        pixels = movie((6, 1, 1, 10, 12), "<f4")
        path = folder(tmp_path, "packed") / "packed.h5"
        with h5py.File(path, "w", libver="latest") as file:
            file.create_dataset(
                "mov", data=pixels[:, 0, 0], chunks=(2, 10, 12), compression="gzip", shuffle=True, fletcher32=True
            )
        yield Case(paths=[path], pixels=pixels, boundaries=[8, 48], options={"axes": "TYX"})

        pixels = movie((5, 2, 3, 8, 6), "<i2")
        for name, options in (("own", {}), ("small", {"compression": "gzip"})):
            path = folder(tmp_path, name) / f"{name}.h5"
            galvo.save(pixels, path, **options)
            yield Case(paths=[path], pixels=pixels, boundaries=[8, 48])


class TestRaw(FormatConformance):
    format_name = "bin"
    has_signature = False

    def cases(self, tmp_path):
        pixels = movie((7, 1, 1, 6, 5), "<u2")
        path = folder(tmp_path, "plain") / "movie.bin"
        path.write_bytes(pixels.tobytes())
        path.with_suffix(".json").write_text('{"frames": 7, "y": 6, "x": 5, "dtype": "uint16"}')
        own = [range(60 * number, 60 * number + 60) for number in range(7)]
        ends = [end for one in own for end in (one.start, one.stop)]
        beside = [path.with_suffix(".json")]
        yield Case(paths=[path], pixels=pixels, beside=beside, boundaries=ends, frame_bytes=own)

        pixels = movie((3, 2, 2, 6, 5), "<f4")
        path = folder(tmp_path, "own") / "movie.bin"
        galvo.save(pixels, path)
        yield Case(paths=[path], pixels=pixels, beside=[path.with_suffix(".json"), path.with_suffix(".galvo.json")])


def pzf_frame(pixels, number):
    """A plain blob as PYME writes it."""
    code = {"u1": 0, "u2": 1, "f4": 2}[pixels.dtype.str[1:]]
    shape = (*pixels.shape, 1)[:3]
    header = struct.pack("<2sBBBBcxqIIIIQffI12x", b"BD", 3, code, 0, 0, b"C", 7, number, *shape, 1700000000, 0, 0, 64)
    return header + pixels.tobytes()


class PzfConformance(FormatConformance):
    format_name = "pzf"
    write_dtypes = ("u1", "<u2", ">i2", "<f4")

    def writes(self, dtype, options):
        return "quantize" not in options or dtype[1:] in ("i2", "u2")


class TestPzfFolder(PzfConformance):
    output_name = "out"
    write_options = (
        {},
        {"compression": "raw", "shift": 200, "quantize": "sqrt", "quantize_offset": -128, "quantize_scale": 0.5},
    )

    def cases(self, tmp_path):
        pixels = movie((5, 1, 1, 9, 7), "<u2")
        home = folder(tmp_path, "foreign")
        for number, frame in enumerate(pixels[:, 0, 0]):
            (home / f"frame{number + 98:05d}.PZF").write_bytes(pzf_frame(frame, number))
        (home / "metadata.json").write_text(
            json.dumps({"voxelsize.x": 0.1, "voxelsize": {"y": 0.2}, "Camera": {"CycleTime": 0.05}})
        )
        paths = sorted(home.glob("*.PZF"))
        metadata = {"pixel_size_um": (0.1, 0.2), "frame_rate_hz": 20.0}
        known = {"frame_bytes": [range(64, paths[0].stat().st_size)], "boundaries": [0, 20, 48, 64]}
        yield Case(paths=paths, pixels=pixels, metadata=metadata, beside=[home / "metadata.json"], **known)

        pixels = movie((1, 1, 3, 6, 5), "<f4")
        path = folder(tmp_path, "single") / "deep.pzf"
        path.write_bytes(pzf_frame(np.ascontiguousarray(pixels[0, 0].transpose(1, 2, 0)), 0))
        yield Case(paths=[path], pixels=pixels, boundaries=[20, 64])

        pixels = movie((4, 2, 3, 8, 6), "<i2") - 60
        home = folder(tmp_path, "own")
        galvo.save(pixels, home / "out", format="pzf")
        paths, beside = sorted((home / "out").glob("*.pzf")), [home / "out" / "metadata.json"]
        known = {"frame_bytes": [range(64, paths[0].stat().st_size)], "boundaries": [0, 20, 48, 64]}
        yield Case(paths=paths, pixels=pixels, beside=beside, **known)


class TestPzfTable(PzfConformance):
    every = 4
    output_name = "out.h5"
    write_options = (
        {},
        {"compression": "chunks", "quantize": "sqrt", "quantize_offset": -128, "quantize_scale": 0.5},
    )

    def cases(self, tmp_path):
        pixels = movie((6, 1, 1, 10, 12), "<u2")
        path = folder(tmp_path, "foreign") / "foreign.h5"
        order = [3, 1, 0, 2, 5, 4]
        with h5py.File(path, "w") as file:
            data = file.create_dataset("PZFImageData", (6,), h5py.vlen_dtype(np.uint8), maxshape=(None,), chunks=(4,))
            table = np.array([(n, row) for row, n in enumerate(order)], [("FrameNum", "<i4"), ("Position", "<i8")])
            file["PZFImageIndex"] = table
            for row, number in enumerate(order):
                data[row] = np.frombuffer(pzf_frame(pixels[number, 0, 0], number), np.uint8)
        yield self.case(path, pixels)

        pixels = movie((5, 2, 3, 8, 6), "<i2") - 60
        for name, options in (("own", {}), ("chunks", {"compression": "chunks"})):
            path = folder(tmp_path, name) / f"{name}.h5"
            galvo.save(pixels, path, format="pzf", **options)
            yield self.case(path, pixels)

    def case(self, path, pixels):
        content = path.read_bytes()
        with h5py.File(path) as file:
            position = np.argsort(file["PZFImageIndex"]["FrameNum"])
            blobs = [file["PZFImageData"][row].tobytes() for row in position]
        own = [range(content.index(blob) + 64, content.index(blob) + len(blob)) for blob in blobs]
        heaps = [at for at in range(0, len(content), 8) if content[at : at + 4] == b"GCOL"]
        return Case(paths=[path], pixels=pixels, frame_bytes=own, boundaries=[8, 48, *heaps])


def matlab(pixels):
    """The arrays of the channels as MATLAB has them: (H, W, T), or (H, W, Z, T)."""
    arrays = [pixels[:, channel].transpose(2, 3, 1, 0) for channel in range(pixels.shape[1])]
    return [array[:, :, 0] if pixels.shape[2] == 1 else array for array in arrays]


def columns(frame):
    return frame.T.tobytes()


class MatlabConformance(FormatConformance):
    format_name = "matlab"
    write_dtypes = ("u1", "i1", "<u2", ">i2", "<i4", "<f4", ">f8", "<u8", "bool")

    def built(self, tmp_path, name, pixels, builder, **how):
        names = [f"ch{number + 1}" for number in range(pixels.shape[1])]
        for array, variable in zip(matlab(pixels), names, strict=True):
            builder.array(variable, array, **how)
        path = folder(tmp_path, name) / f"{name}.mat"
        path.write_bytes(builder.build())
        axes = "YXT" if pixels.shape[2] == 1 else "YXZT"
        found = []
        if not how.get("deflated") and pixels.shape[1] == 1:
            stored = pixels[:, 0].astype(how.get("stored", pixels.dtype)).reshape(-1, *pixels.shape[3:])
            found = places(path.read_bytes(), [columns(frame) for frame in stored])
        options = {"axes": axes, "variable": names if len(names) > 1 else names[0]}
        boundaries = [124, 128, 136, *(end for one in found for end in (one.start, one.stop))]
        return Case(paths=[path], pixels=pixels, options=options, boundaries=boundaries, frame_bytes=found)

    def own(self, tmp_path, name, **options):
        pixels = movie((5, 2, 3, 8, 6), "<i2")
        path = folder(tmp_path, name) / f"{name}.mat"
        galvo.save(pixels, path, **options)
        return Case(paths=[path], pixels=pixels, boundaries=[124, 128, 512, 520])


class TestMatlab5(MatlabConformance):
    write_options = ({"version": "5"},)

    def cases(self, tmp_path):
        yield self.built(tmp_path, "little", movie((9, 1, 1, 7, 6), "<u2"), MatBuilder())
        yield self.built(tmp_path, "big", movie((4, 2, 3, 6, 5), ">i4"), MatBuilder(byteorder=">"))
        yield self.built(tmp_path, "narrow", movie((5, 1, 1, 8, 9), "<f8"), MatBuilder(), stored="u1")
        yield self.level4(tmp_path)
        yield self.own(tmp_path, "own", version="5")

    def level4(self, tmp_path):
        pixels = movie((1, 2, 1, 6, 5), ">f4")
        builder = MatBuilder(level=4, byteorder=">")
        for number, array in enumerate(matlab(pixels), 1):
            builder.array(f"ch{number}", array[:, :, 0])
        path = folder(tmp_path, "level4") / "level4.mat"
        path.write_bytes(builder.build())
        return Case(paths=[path], pixels=pixels, options={"variable": ["ch1", "ch2"]}, boundaries=[20, 24])


class TestMatlab7(MatlabConformance):
    every = 4
    write_options = ({"version": "7"},)

    def cases(self, tmp_path):
        yield self.built(tmp_path, "little", movie((9, 2, 1, 7, 6), "<u2"), MatBuilder(), deflated=True)
        big = MatBuilder(byteorder=">")
        yield self.built(tmp_path, "narrow", movie((5, 1, 2, 8, 9), ">f8"), big, stored="i2", deflated=True)
        yield self.own(tmp_path, "own", version="7")


class TestMatlab73(MatlabConformance):
    every = 4
    write_options = ({"version": "7.3"}, {"version": "7.3", "compression": "gzip"})

    def cases(self, tmp_path):
        pixels = movie((6, 1, 1, 10, 12), "<u2")
        path = folder(tmp_path, "plain") / "plain.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            data = file.create_dataset("mov", data=pixels[:, 0, 0].transpose(0, 2, 1))
            data.attrs["MATLAB_class"] = np.bytes_("uint16")
        with path.open("r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
        found = places(path.read_bytes(), [columns(frame) for frame in pixels[:, 0, 0]])
        yield Case(paths=[path], pixels=pixels, frame_bytes=found, boundaries=[124, 520], options={"axes": "YXT"})
        yield self.own(tmp_path, "own", version="7.3")
        yield self.own(tmp_path, "small", version="7.3", compression="gzip")
