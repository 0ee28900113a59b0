"""How small, how fast and how exact: PZF beside other compressors, on recordings and on shot noise.

Frame by frame, one thread, processor time. The error of lossy pixels is in units of the noise that galvo measures in
the same recording. Recordings come from the folder of sample data (GALVO_SAMPLE_DATA) and are left out where it is not.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import galvo
from bench.pzf import OTHERS
from bench.report import Report, parser
from bench.timing import interleave
from galvo import native
from galvo.noise import NoiseModel, estimate_noise

Array = np.ndarray[Any, np.dtype[Any]]
Codec = tuple[Callable[[Array], bytes], Callable[[bytes], Any]]

SAMPLES = Path(os.environ.get("GALVO_SAMPLE_DATA", "../shared/data"))
RECORDINGS = {"two-photon, Bruker": "derived/calscipy_bruker_1plane_crop256_100f_zlib.tif"}
FRAMES = 24


def synthetic() -> Iterator[tuple[str, Array]]:
    """Counts of a camera, one per photon, and of a photomultiplier, a hundred per photon."""
    rng = np.random.default_rng(0)
    scene = rng.gamma(2.0, 0.5, (256, 256))
    yield "shot noise, 100 photons", rng.poisson(100 * scene, (FRAMES, 256, 256)).astype(np.uint16)
    photons = rng.poisson(2 * scene, (FRAMES, 256, 256))
    dense = 100 * photons + rng.normal(400, 12, photons.shape)
    yield "2 photons of 100 counts", np.clip(np.rint(dense), 0, 8191).astype(np.uint16)


def genuine() -> Iterator[tuple[str, Array]]:
    for name, pattern in RECORDINGS.items():
        for path in sorted(SAMPLES.glob(pattern))[:1]:
            with galvo.open(path) as recording:
                pixels = recording[:, 0, 0]
            yield name, pixels


def stored(pixels: Array) -> tuple[Array, int]:
    """As PZF has them, and what was added."""
    if pixels.dtype != np.int16:
        return pixels, 0
    shift = max(0, -int(pixels.min()))
    return (pixels.astype(np.int32) + shift).astype(np.uint16), shift


def measured(pixels: Array, shift: int) -> NoiseModel | None:
    try:
        model = estimate_noise(pixels)
    except galvo.errors.Unsupported:
        return None
    return replace(model, variance_at_zero=model.variance_at_zero - model.gain * shift) if model.fits else None


def codecs(frames: Array, model: NoiseModel | None) -> dict[str, Codec]:
    """Encoder and decoder of a frame by name."""
    frame: Array = frames[0].reshape(-1)
    made: dict[str, Codec] = {}

    def decoded(stream: bytes) -> Array:
        out: Array = np.empty_like(frame)
        native.huffman_decode(stream, out.view(np.uint8))
        return out

    made["PZF lossless"] = (lambda one: native.huffman_encode(one.view(np.uint8)), decoded)
    if model is not None:
        levels = model.sqrt_levels(value_range=(int(frames.min()), int(frames.max())))

        def dequantized(stream: bytes) -> Array:
            out: Array = np.empty_like(frame)
            native.sqrt_decode(stream, levels.offset, levels.scale, out)
            return out

        made["PZF sqrt"] = (lambda one: native.sqrt_encode(one, levels.offset, levels.scale), dequantized)
    return {**made, **OTHERS}


def exactness(frames: list[Array], shown: list[Array], model: NoiseModel | None) -> str:
    """The error of what a codec shows, in units of the noise of each pixel."""
    errors = [np.abs(one.astype(float) - other) for one, other in zip(frames, shown, strict=True)]
    if not any(error.any() for error in errors) or model is None:
        return "exact"
    parts = [error / model.sigma(one) for error, one in zip(errors, frames, strict=True)]
    rms = float(np.sqrt(np.mean([np.mean(part**2) for part in parts])))
    return f"error {max(float(part.max()) for part in parts):.2f} sigma at most, {rms:.2f} rms"


def measure(report: Report, name: str, pixels: Array, rounds: int) -> None:
    plain, shift = stored(pixels)
    model = measured(pixels, shift)
    frames: list[Array] = [np.ascontiguousarray(one).reshape(-1) for one in plain[:FRAMES]]
    nbytes = sum(one.nbytes for one in frames)
    encoders: dict[str, Callable[[], object]] = {}
    decoders: dict[str, Callable[[], object]] = {}
    notes = {}
    for codec, (encode, decode) in codecs(plain, model).items():
        streams = [encode(one) for one in frames]
        shown = [np.frombuffer(np.ascontiguousarray(decode(one)).tobytes(), np.uint16) for one in streams]
        notes[codec] = f"ratio {nbytes / sum(map(len, streams)):.2f}, {exactness(frames, shown, model)}"
        encoders[codec] = partial(_each, encode, frames)
        decoders[codec] = partial(_each, decode, streams)
    for operation, contenders in (("encode", encoders), ("decode", decoders)):
        timings = interleave(contenders, rounds=rounds)
        said = {one: f"{nbytes / timings[one].minimum_cpu_s / 1e6:,.0f} MB/s, {notes[one]}" for one in contenders}
        report.add(f"{name}: {operation}", dict(timings), ours="PZF lossless", notes=said)


def _each(work: Callable[[Any], object], items: list[Any]) -> list[object]:
    return [work(one) for one in items]


def main() -> None:
    options = parser(__doc__, rounds=7).parse_args()
    report = Report("compression", {"rounds": options.rounds, "frames": FRAMES})
    for name, pixels in (*synthetic(), *genuine()):
        measure(report, name, pixels, options.rounds)
    report.publish(options.results)


if __name__ == "__main__":
    main()
