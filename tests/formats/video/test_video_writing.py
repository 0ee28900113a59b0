"""H.264 for players and FFV1 without loss, as PyAV and ffmpeg see what galvo wrote."""

from __future__ import annotations

import errno
import os
import subprocess
from itertools import islice

import numpy as np
import pytest

import galvo
from galvo.core.array import ArrayReader
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import GalvoError, OptionError
from galvo.formats.video import avi
from galvo.formats.video.containers import examine
from galvo.testing.power import snapshot
from galvo.testing.trials import Trial

from .conftest import av, decoded, numbered, numbers

RNG = np.random.default_rng(0)


def scene(count, height, width):
    """Smooth structure, drifting, with the noise of a microscope; uint8."""
    y, x = np.mgrid[:height, :width]
    moving = np.arange(count)[:, None, None]
    clean = 90 + 60 * np.sin((x + 2 * moving) / 9) * np.cos(y / 7)
    return np.clip(clean + RNG.normal(0, 6, clean.shape), 0, 255).astype(np.uint8)


def boxes(path):
    """Letters of the outermost boxes of an MP4."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        found.append(content[at + 4 : at + 8].decode())
        at += int.from_bytes(content[at : at + 4], "big")
    assert at == len(content)
    return found


# ---- H.264 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 80), (33, 47), (1, 1)])
def test_h264_is_what_players_take(tmp_path, size):
    """4:2:0 High profile, no B-frames, index first, padded and never resized; PyAV shows what galvo says it holds."""
    pixels = scene(70, *size)
    path = tmp_path / "out.mp4"
    result = galvo.save(pixels, path, frame_rate=25, verify=True, block_bytes=size[0] * size[1] * 32)
    assert result.verification.ok
    assert result.verification.lossy
    assert boxes(path)[:2] == ["ftyp", "moov"]
    height, width = (length + length % 2 for length in size)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.profile) == ("h264", "yuv420p", "High")
        assert (context.height, context.width) == (height, width)
        assert context.has_b_frames in (False, 0)
        assert (stream.frames, float(stream.average_rate)) == (70, 25.0)
        assert container.duration / av.time_base == pytest.approx(70 / 25, abs=1e-3)
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    assert {0, 32, 64} <= set(keys), "every block begins anew"
    shown, times = decoded(path)
    np.testing.assert_allclose(times, np.arange(70) / 25, atol=1e-6)
    with galvo.open(path) as recording:
        assert recording.shape == (70, 1, 1, *size)
        own = recording[:, 0, 0]
        assert recording.frame_rate_hz is None
        np.testing.assert_array_equal(recording[45, 0, 0], own[45])
    # the luminance of ffmpeg's RGB is the same gray, up to its rounding
    assert np.abs(shown[:, : size[0], : size[1], 1].astype(int) - own).max() <= 2
    padded = np.pad(own, ((0, 0), (0, height - size[0]), (0, width - size[1])), mode="edge")
    assert np.abs(padded.astype(int) - shown[..., 1]).mean() < 4


def test_h264_keeps_within_what_it_states(tmp_path):
    """The error that the file states is the measured one, and small for a recording."""
    pixels = scene(60, 96, 128)
    result = galvo.save(pixels, tmp_path / "out.mp4", block_bytes=1 << 17)
    with galvo.open(tmp_path / "out.mp4") as recording:
        error = np.abs(recording[:, 0, 0].astype(int) - pixels)
        stated = recording.metadata.attributes["stored"]
    assert f"largest error {error.max()}, mean {error.mean():.3g} of 255" in stated
    assert any(f"largest error {error.max()}," in note for note in result.notes)
    assert error.mean() < 4
    assert error.max() < 40
    galvo.save(pixels, tmp_path / "best.mp4", crf=1)
    assert np.abs(galvo.load(tmp_path / "best.mp4").astype(int) - pixels).max() <= 3


def test_h264_tells_frames_apart(tmp_path):
    galvo.save(numbered(100), tmp_path / "out.mp4", block_bytes=32 * 80 * 17)
    with galvo.open(tmp_path / "out.mp4") as recording:
        assert numbers(recording[:, 0, 0]) == list(range(100))
        assert [numbers(recording[frame, 0])[0] for frame in (99, 3, 50, 17, 16)] == [99, 3, 50, 17, 16]


def test_h264_in_color(tmp_path):
    smooth = np.stack([scene(20, 40, 50)] * 3, axis=1)
    smooth[:, 1] //= 2
    smooth[:, 2] = 40
    pixels = smooth[:, :, None]
    with pytest.raises(OptionError, match="color=True"):
        galvo.save(pixels, tmp_path / "out.mp4")
    result = galvo.save(pixels, tmp_path / "out.mp4", color=True, verify=True)
    assert result.verification.ok
    with galvo.open(tmp_path / "out.mp4") as recording:
        assert recording.shape == pixels.shape
        assert np.abs(recording[...].astype(int) - pixels).mean() < 4
        own = recording[:, :, 0]
    assert np.abs(decoded(tmp_path / "out.mp4")[0].transpose(0, 3, 1, 2).astype(int) - own).mean() < 2


def test_h264_damage_is_found(tmp_path):
    path = tmp_path / "out.mp4"
    galvo.save(scene(30, 48, 64), path)
    assert galvo.verify(path).method == "checksums"
    assert galvo.verify(path).ok
    content, truth = path.read_bytes(), galvo.load(path)
    start = content.index(b"mdat")
    found = 0
    for at in np.linspace(start + 40, len(content) - 3000, 25).astype(int).tolist():
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        try:
            same = bool((galvo.load(path) == truth).all())
            noticed = not galvo.verify(path).ok
        except GalvoError:
            same, noticed = False, True
        assert same or noticed, at
        found += noticed
    assert found > 10


def trial_of(folder, name, **options):
    """48 frames in four blocks, and a function that writes them."""
    pixels = scene(48, 64, 64)

    def write(path, resume, progress):
        galvo.save(pixels, path, overwrite=True, resume=resume, progress=progress, block_bytes=64 * 64 * 12, **options)

    sink = galvo.formats.REGISTRY.for_writing(name).sink(**options)
    return Trial(folder, sink.target(str(folder / name), Recording.from_array(pixels)), write), write


LIKE_OTHERS = [("out.mov", {}), ("out.avi", {}), ("out.avi", {"codec": "ffv1"}), ("out.avi", {"codec": "h264"})]
EACH_ITS_OWN = [("out.mp4", {}), ("out.mkv", {}), ("gray.gif", {})]


@pytest.mark.parametrize(
    ("name", "options"), EACH_ITS_OWN + [pytest.param(*case, marks=pytest.mark.harden) for case in LIKE_OTHERS]
)
def test_resumed_is_the_same_bit_for_bit(scratch, name, options):
    """Stopped after each block: no block is coded twice, and the file is what an unbroken run gives."""
    trial, write = trial_of(scratch / "trial", name, **options)
    assert snapshot(str(scratch / "trial")) == {}
    if hasattr(os, "fork"):
        for number in range(0, len(trial.operations) + 1, 3):
            trial.kill_at(number)
    again = scratch / name
    write(again, False, False)
    assert again.read_bytes() == trial.expected[name]


@pytest.mark.harden
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("name", "options"), LIKE_OTHERS)
def test_every_fault(scratch, name, options):
    """What the suite does to Matroska, to the other containers: kills, errors, a full disk, power cuts."""
    trial, _ = trial_of(scratch / "trial", name, **options)
    for number in range(len(trial.operations)):
        trial.kill_at(number, torn=bool(number % 2), anew=number % 5 == 0)
        trial.fail_at(number, errno.ENOSPC if number % 2 else errno.EIO, lasting=bool(number % 2))
    trial.cut_power(300)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_other_threads_do_not_change_the_bytes(tmp_path):
    """x264's and FFV1's output depends neither on cores nor on what ran before."""
    pixels = scene(40, 128, 160)
    for name in ("out.mp4", "out.mkv"):
        galvo.save(pixels, tmp_path / f"first.{name}")
        affinity = os.sched_getaffinity(0)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.sched_setaffinity(0, {min(affinity)})
                galvo.save(pixels, tmp_path / f"second.{name}")
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (tmp_path / f"first.{name}").read_bytes() == (tmp_path / f"second.{name}").read_bytes(), name


# ---- FFV1 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("color", [False, True])
def test_ffv1_is_exact_for_others_too(tmp_path, dtype, color):
    channels = 3 if color else 1
    pixels = RNG.integers(0, np.iinfo(dtype).max, (9, channels, 1, 30, 41), endpoint=True).astype(dtype)
    path = tmp_path / "out.mkv"
    verification = galvo.save(pixels, path, color=color, verify=True, block_bytes=5000).verification
    assert (verification.ok, verification.lossy) == (True, False)
    formats = {("uint8", False): "gray", ("uint16", False): "gray16le", ("uint8", True): "rgb24"}
    expected = formats.get((dtype, color), "rgb48le")
    shown, times = decoded(path, expected)
    np.testing.assert_array_equal(shown.reshape(9, 30, 41, channels).transpose(0, 3, 1, 2), pixels[:, :, 0])
    np.testing.assert_allclose(times, np.arange(9) / 30, atol=1e-3)
    with galvo.open(path) as recording:
        assert recording.shape == pixels.shape
        np.testing.assert_array_equal(recording[...], pixels)


@pytest.mark.parametrize("rate", [0.02, 7.77, 29.97, 240.0, 5000.0])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "out.avi"])
def test_rates(tmp_path, name, rate):
    """Players show the frames at the recording's rate, galvo knows it exactly."""
    recording = Recording(ArrayReader(scene(40, 16, 16)[:, None, None]), Metadata(format="array", frame_rate_hz=rate))
    galvo.save(recording, tmp_path / name)
    with galvo.open(tmp_path / name) as copy:
        assert copy.frame_rate_hz == rate
    times = decoded(tmp_path / name)[1]
    np.testing.assert_allclose(np.diff(times).mean(), 1 / rate, rtol=0.01)
    assert (np.diff(times) > 0).all()


def test_what_galvo_keeps_is_no_trouble_for_others(tmp_path):
    """No title, comment or tag: an attachment of Matroska, and a box of MP4 that readers pass over."""
    for name in ("out.mkv", "out.mp4", "out.mov", "out.avi"):
        galvo.save(scene(5, 20, 20), tmp_path / name)
        with av.open(str(tmp_path / name)) as container:
            assert not set(map(str.lower, container.metadata)) & {"comment", "title", "description"}
            assert len(container.streams.video) == 1
    with galvo.open(tmp_path / "out.mkv") as recording:
        layer = examine(recording._reader._source, "matroska")
        assert layer.kept is not None
        assert layer.announced_bytes == (tmp_path / "out.mkv").stat().st_size


# ---- QuickTime, AVI -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), [("out.mov", {}), ("out.avi", {"codec": "h264"})])
def test_h264_elsewhere_is_that_of_mp4(tmp_path, name, options):
    """The same frames, and for FFmpeg the same kind of stream, whose key frames it knows."""
    pixels = scene(70, 33, 47)
    galvo.save(pixels, tmp_path / "out.mp4", block_bytes=33 * 47 * 32)
    result = galvo.save(pixels, tmp_path / name, block_bytes=33 * 47 * 32, verify=True, **options)
    assert result.verification.ok
    assert any(note.startswith("coded with loss: largest error") for note in result.notes)
    np.testing.assert_array_equal(galvo.load(tmp_path / name), galvo.load(tmp_path / "out.mp4"))
    np.testing.assert_array_equal(decoded(tmp_path / name)[0], decoded(tmp_path / "out.mp4")[0])
    with av.open(str(tmp_path / name)) as container:
        assert container.format.name.split(",")[0] == {"out.mov": "mov", "out.avi": "avi"}[name]
        (stream,) = container.streams
        assert (stream.profile, stream.codec_context.pix_fmt, stream.frames) == ("High", "yuv420p", 70)
        keys = [number for number, packet in enumerate(container.demux(stream)) if packet.size and packet.is_keyframe]
        assert {0, 32, 64} <= set(keys)
        assert len(keys) < 10


def riff(content, start, stop):
    """Letters and content of the chunks of an AVI, by the letter of the format."""
    while start < stop:
        nbytes = int.from_bytes(content[start + 4 : start + 8], "little")
        assert start + 8 + nbytes <= stop
        yield content[start : start + 4], content[start + 8 : start + 8 + nbytes]
        start += 8 + nbytes + nbytes % 2
    assert start == stop


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("codec", ["raw", "ffv1"])
def test_avi_is_exact(tmp_path, codec, color):
    """For galvo and for ffmpeg; plain pixels lie there bottom up, in rows of whole words, as the index says."""
    pixels = RNG.integers(0, 256, (9, 3 if color else 1, 1, 31, 45), np.uint8)
    path = tmp_path / "out.avi"
    assert galvo.save(pixels, path, color=color, codec=codec, verify=True, block_bytes=6000).verification.ok
    np.testing.assert_array_equal(galvo.load(path, squeeze=False), pixels)
    shown, times = decoded(path)
    error = np.abs(shown.transpose(0, 3, 1, 2).astype(int) - pixels[:, :, 0])
    assert error.max() == 0
    np.testing.assert_allclose(times, np.arange(9) / 30, atol=1e-6)
    content = path.read_bytes()
    ((name, whole),) = riff(content, 0, len(content))
    assert (name, whole[:4]) == (b"RIFF", b"AVI ")
    parts = [(name, part[:4] if name == b"LIST" else None, part) for name, part in riff(whole, 4, len(whole))]
    assert [part[:2] for part in parts] == [
        (b"LIST", b"hdrl"), (b"LIST", b"movi"), (b"idx1", None), (b"JUNK", None)]  # fmt: skip
    movi, index = parts[1][2], parts[2][2]
    frames = [data for name, data in riff(movi, 4, len(movi)) if name in (b"00db", b"00dc")]
    entries = np.frombuffer(index, "<u4").reshape(-1, 4)
    assert [movi[at + 8 : at + 8 + nbytes] for _, _, at, nbytes in entries.tolist()] == frames
    assert (entries[:, 1] == 16).all()
    if codec == "raw":
        rows = np.stack([np.frombuffer(data, np.uint8) for data in frames]).reshape(9, 31, -1)
        assert rows.shape[2] % 4 == 0
        stored = rows[:, ::-1, : 45 * (3 if color else 1)].reshape(9, 31, 45, -1)[..., ::-1]
        np.testing.assert_array_equal(stored.transpose(0, 3, 1, 2), pixels[:, :, 0])


def test_avi_of_16_bits(tmp_path):
    pixels = RNG.integers(0, 65536, (9, 31, 45), np.uint16)
    galvo.save(pixels, tmp_path / "out.avi", codec="ffv1")
    np.testing.assert_array_equal(galvo.load(tmp_path / "out.avi"), pixels)
    np.testing.assert_array_equal(decoded(tmp_path / "out.avi", "gray16le")[0], pixels)


@pytest.mark.parametrize("codec", ["raw", "h264"])
def test_avi_of_many_gigabytes(tmp_path, monkeypatch, codec):
    """One RIFF list after another, here of some frames; FFmpeg finds them through the index of indexes."""
    monkeypatch.setattr(avi.AviWriter.__init__, "__defaults__", (20_000 if codec == "raw" else 4_000,))
    pixels = numbered(100)
    path = tmp_path / "out.avi"
    assert galvo.save(pixels, path, codec=codec, crf=1, block_bytes=32 * 80 * 17, verify=True).verification.ok
    content = path.read_bytes()
    lists = [whole[:4] for _, whole in riff(content, 0, len(content))]
    assert lists[0] == b"AVI "
    assert set(lists[1:]) == {b"AVIX"}
    assert len(lists) >= 4
    assert numbers(decoded(path)[0][..., 0]) == list(range(100))
    with galvo.open(path) as recording:
        assert numbers(recording[:, 0, 0]) == list(range(100))
        assert [numbers(recording[frame, 0])[0] for frame in (99, 3, 50, 17)] == [99, 3, 50, 17]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.frames == 100
        assert len(stream.index_entries) == 100
        container.seek(int(90 / stream.time_base / stream.average_rate), stream=stream)
        assert next(container.demux(stream)).pts >= (64 if codec == "h264" else 90)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_refusals_name_what_helps(tmp_path):
    """Nothing is scaled, cut or wrapped unless it is said how."""
    deep = (scene(6, 20, 20).astype(np.uint16) * 100)[:, None, None]
    cases = [
        (deep, "out.mp4", {}, 'dtype="uint8"'),
        (deep.astype(np.int16), "out.mkv", {}, 'dtype="uint16"'),
        (deep.astype(np.float32), "out.mkv", {}, "scale="),
        (np.concatenate([deep, deep], axis=1), "out.mkv", {}, 'axes="TYX"'),
        (np.concatenate([deep, deep], axis=2), "out.mkv", {}, 'axes="TYX"'),
        (deep, "out.avi", {}, "codec=ffv1"),
        (deep, "out.avi", {"codec": "h264"}, "codec=ffv1"),
        (deep, "out.mov", {}, ".mkv"),
        (deep, "out.mov", {"codec": "ffv1"}, ".mkv and .avi"),
        (deep, "out.mkv", {"codec": "h264"}, "codec='ffv1'"),
        (deep, "out.mkv", {"codec": "theora"}, "h264, ffv1 or raw"),
        (deep, "out.mkv", {"crf": 60}, "0 to 51"),
        (deep, "out.mkv", {"preset": "quick"}, "medium"),
        (deep, "out.mkv", {"frame_rate": 0}, "frame_rate"),
        (deep, "out.mkv", {"frame_rate": "fast"}, "frame_rate"),
        (deep, "out.mkv", {"color": "yes"}, "True or False"),
        (np.zeros((1, 1, 1, 2, 17000), np.uint8), "out.mp4", {}, "16384"),
    ]
    for pixels, name, options, told in cases:
        with pytest.raises(OptionError) as refused:
            galvo.save(pixels, tmp_path / name, **options)
        assert told in str(refused.value), refused.value
    assert os.listdir(tmp_path) == []
    galvo.save(deep, tmp_path / "clip.mp4", dtype="uint8", scale="clip")
    galvo.save(deep, tmp_path / "range.mp4", dtype="uint8", scale=(0, 25500), crf=1)
    error = galvo.load(tmp_path / "range.mp4").astype(int) - deep[:, 0, 0] / 100
    assert np.abs(error).max() < 4


# ---- genuine --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [120, pytest.param(771, marks=pytest.mark.harden)])
def test_a_genuine_video(sample_data, count):
    """Frames as PyAV decodes them, in order and at random, and as a program ffmpeg does where there is one."""
    path = sample_data / "video" / "ciatah_thy1-gfp_day1-479.mp4"
    with galvo.open(path) as recording, av.open(str(path)) as container:
        assert recording.frame_rate_hz == 70.0
        assert recording.shape == (771, 3, 1, 658, 550)
        frames = islice(container.decode(video=0), count)
        drawn = RNG.integers(0, count, 6).tolist()
        # not all of them: 800 MB would stay with the process, and make each of its forks slow
        kept = {}
        for first in range(0, count, 60):
            for number, pixels in enumerate(recording[first : min(count, first + 60), :, 0], first):
                expected = next(frames).to_ndarray(format="rgb24").transpose(2, 0, 1)
                np.testing.assert_array_equal(pixels, expected)
                if number in drawn:
                    kept[number] = expected
        for number in drawn:
            np.testing.assert_array_equal(recording[number, :, 0], kept[number])
    program = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg program to compare with")
    command = [program.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-frames:v", "30", "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(30, 658, 550, 3).transpose(0, 3, 1, 2)
    with galvo.open(path) as recording:
        np.testing.assert_array_equal(recording[:30, :, 0], shown)
