"""Videos made by PyAV's own muxers, of frames that tell their number."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av", reason="videos need PyAV: pip install galvo[video]")

HEIGHT, WIDTH, BITS = 32, 80, 8


def numbered(count):
    """Frames (T, Y, X) that show their number in binary, as bars of black and white."""
    bars = (np.arange(count)[:, None] >> np.arange(BITS) & 1).astype(np.uint8) * 200 + 20
    return np.repeat(np.repeat(bars[:, None], HEIGHT, axis=1), WIDTH // BITS, axis=2)


def numbers(pixels):
    """The numbers that frames (T, Y, X) show."""
    bars = pixels.reshape(len(pixels), HEIGHT, BITS, -1).mean(axis=(1, 3)) > 120
    return (bars << np.arange(BITS)).sum(axis=1).tolist()


def mux(
    path, frames, codec, pixel_format, *, pts=None, time_base=Fraction(1, 25), container=None, audio=None, **options
):
    """A video of frames (T, Y, X) or (T, Y, X, 3)."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=25, options={"threads": "1", **options})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixel_format
        stream.time_base = stream.codec_context.time_base = time_base
        sound = output.add_stream(audio, rate=8000) if audio else None
        for number, pixels in enumerate(frames):
            given = "rgb24" if pixels.ndim == 3 else "gray16le" if pixels.dtype == np.uint16 else "gray"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=given)
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base
            output.mux(stream.encode(frame))
            if sound is not None:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.int16), format="s16", layout="mono")
                silence.sample_rate, silence.pts = 8000, 320 * number
                output.mux(sound.encode(silence))
        output.mux(stream.encode(None))
    return path


def decoded(path, format="rgb24"):
    """Every frame as PyAV shows it, and its time."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return np.stack([frame.to_ndarray(format=format) for frame in frames]), [float(frame.time) for frame in frames]
