"""The shipped suite on videos."""

from __future__ import annotations

import numpy as np
import pytest

import galvo
from galvo.testing.conformance import Case, FormatConformance

av = pytest.importorskip("av")


def movie(shape, dtype="u1", seed=0):
    return np.random.default_rng(seed).integers(0, 120, shape).astype(dtype)


def write(path, frames, codec, pixel_format, **options):
    """Frames (T, Y, X) or (T, Y, X, 3) by PyAV's own muxer."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=options.pop("rate", 25), options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixel_format
        for pixels in frames:
            given = "rgb24" if pixels.ndim == 3 else "gray16le" if pixels.dtype == np.uint16 else "gray"
            frame = av.VideoFrame.from_ndarray(pixels, format=given)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path):
    """RGB of every frame, (T, C, Z, Y, X), by PyAV alone."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).transpose(0, 3, 1, 2)[:, :, None]


def folder(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    return path


class TestVideo(FormatConformance):
    format_name = "video"
    written_dtype = "<u2"
    written_axes = "TYX"
    write_dtypes = ("u1", "<u2", ">u2")
    mutation_count = 20
    hardened_count = 2000

    def cases(self, tmp_path):
        pixels = movie((12, 1, 1, 20, 24), "<u2")
        path = folder(tmp_path, "own") / "own.mkv"
        galvo.save(pixels, path, block_bytes=3000)
        yield Case(paths=[path], pixels=pixels, boundaries=[64, 128])

        pixels = movie((9, 1, 1, 20, 24))
        path = folder(tmp_path, "foreign") / "foreign.avi"
        write(path, pixels[:, 0, 0], "ffv1", "gray", level="3", slicecrc="1")
        seconds = np.arange(9) / 25
        yield Case(paths=[path], pixels=pixels, metadata={"frame_rate_hz": 25.0, "timestamps": seconds})

        smooth = np.cumsum(movie((24, 36, 48, 3), seed=2) % 3, axis=0).astype("u1") * 3
        path = write(folder(tmp_path, "bframes") / "bframes.mp4", smooth, "libx264", "yuv420p", g="8", bf="3")
        names = ("red", "green", "blue")
        yield Case(paths=[path], pixels=decoded(path), metadata={"frame_rate_hz": 25.0, "channel_names": names})
