"""The shipped suite on galvo's own formats."""

from __future__ import annotations

import zlib

import h5py
import numpy as np

import galvo
from galvo.testing.conformance import Case, FormatConformance
from galvo.testing.scanimage import ScanImageRecording
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

    def cases(self, tmp_path):
        yield self.stack(tmp_path, "strips", movie((7, 1, 1, 12, 9), ">u2"), big=False, rows=5)
        yield self.stack(tmp_path, "single", movie((1, 1, 1, 5, 3), "<f4"), big=True, rows=5)
        yield self.stack(tmp_path, "even", movie((20, 1, 1, 8, 8), "<i2"), big=True, rows=8)
        yield self.tiles(tmp_path)
        yield self.samples(tmp_path)
        yield self.ome(tmp_path)
        yield self.companion(tmp_path)
        yield self.imagej(tmp_path)

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

    def samples(self, tmp_path):
        pixels = movie((4, 3, 1, 6, 5), "u1")
        builder = TiffBuilder(big=True, byteorder=">")
        for frame in pixels[:, :, 0]:
            builder.image(5, 6, [frame.transpose(1, 2, 0).tobytes()], samples=3)
        path = folder(tmp_path, "samples") / "samples.tif"
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

    format_name = "hdf5"
    write_options = ({"split_channels": True},)
    power_cut_count = 400

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
