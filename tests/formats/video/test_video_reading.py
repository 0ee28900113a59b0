"""Frame-exact reading of videos that others wrote: what PyAV decodes from beginning to end is the truth."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import closing, suppress
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import galvo
from galvo.core.source import FileSource
from galvo.errors import (
    DamagedData,
    GalvoError,
    GalvoWarning,
    LimitExceeded,
    MissingExtra,
    OptionError,
    Truncated,
    UnknownFormat,
)
from galvo.formats.video.containers import OWN_UUID
from galvo.formats.video.index import take_index
from galvo.formats.video.library import open_container
from galvo.formats.video.table import _from_clusters
from galvo.limits import DEFAULT_LIMITS
from galvo.testing.sandbox import run_cases

from .conftest import av, decoded, mux, numbered, numbers

COUNT = 60
RNG = np.random.default_rng(0)

X264 = {"codec": "libx264", "pixel_format": "yuv420p"}
STREAMS = {
    "b-frames.mp4": {**X264, "g": "12", "bf": "3"},
    "one-key-frame.mp4": {**X264, "g": "250", "bf": "2"},
    "open-gop.mkv": {**X264, "x264-params": "keyint=10:min-keyint=10:bframes=3:b-adapt=0:open-gop=1:scenecut=0"},
    "open-without-b.mkv": {**X264, "x264-params": "keyint=10:min-keyint=10:bframes=0:open-gop=1:scenecut=0"},
    "b-frames.avi": {**X264, "g": "12", "bf": "3"},
    "refresh.mkv": {**X264, "x264-params": "intra-refresh=1:keyint=10:bframes=0"},
    "fragments.mp4": {**X264, "g": "10", "bf": "2", "container": {"movflags": "frag_keyframe+empty_moov"}},
    "live.mkv": {**X264, "g": "10", "container": {"live": "1"}},
    "mpeg4.avi": {"codec": "mpeg4", "pixel_format": "yuv420p", "g": "10", "bf": "2"},
    "mpeg2.mkv": {"codec": "mpeg2video", "pixel_format": "yuv420p", "g": "10", "bf": "2"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1", "pixel_format": "gray", "level": "3", "g": "5"},
    "sound.mov": {**X264, "g": "10", "bf": "2", "audio": "pcm_s16le"},
    "late.mkv": {**X264, "g": "10", "pts": range(50, 50 + COUNT)},
    "late.mp4": {**X264, "g": "10", "bf": "2", "pts": range(50, 50 + COUNT)},
}


@pytest.fixture(scope="module", params=STREAMS)
def stream(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("streams") / request.param
    return mux(path, numbered(COUNT), **STREAMS[request.param])


def shown(recording):
    return recording[:, 0, 0]


def test_every_frame_is_its_own(stream):
    """In order, one by one at random, backwards: the frame with that number, and what PyAV decodes."""
    expected, times = decoded(stream)
    assert numbers(expected[..., 0]) == list(range(COUNT)), "the oracle itself"
    with galvo.open(stream) as recording:
        assert recording.shape[:3] == (COUNT, 1 if stream.name == "ffv1.mkv" else 3, 1)
        np.testing.assert_allclose(recording.timestamps, times, atol=1e-9)
        assert recording.frame_rate_hz == pytest.approx(25, rel=1e-3)
        np.testing.assert_array_equal(shown(recording), expected[..., 0])
    with galvo.open(stream) as recording:
        for frame in RNG.integers(0, COUNT, 25).tolist():
            np.testing.assert_array_equal(recording[frame, 0, 0], expected[frame, ..., 0], err_msg=str(frame))
        np.testing.assert_array_equal(recording[::-7, 0, 0], expected[::-7, ..., 0])
        np.testing.assert_array_equal(recording[[5, 59, 5, 0], 0, 0], expected[[5, 59, 5, 0], ..., 0])


def test_the_containers_table_is_what_its_packets_are(stream):
    """Wherever the table of MP4 or AVI is taken, all that is known of the packets is what reading them tells."""
    demuxer = {".mp4": "mov", ".mov": "mov", ".avi": "avi"}.get(stream.suffix, "matroska")
    with closing(FileSource([str(stream)])) as source:
        quick, slow = (
            take_index(open_container(source, demuxer, DEFAULT_LIMITS), 0, source, demuxer, whole, DEFAULT_LIMITS)
            for whole in (True, False)
        )
        places = range(len(slow.keys))
        assert [quick.is_open(place, source) for place in places] == [slow.is_open(place, source) for place in places]
    for name in ("pts", "position", "nbytes", "usable", "keys", "frame_pts", "packet_by_pts", "needed", "failure"):
        np.testing.assert_array_equal(getattr(quick, name), getattr(slow, name), err_msg=name)
    h264 = stream.name in ("b-frames.mp4", "one-key-frame.mp4", "late.mp4", "sound.mov")
    assert (quick.unread, slow.unread) == (h264, False), "which way it was taken"


def test_opening_reads_no_pixels_but_the_first_and_the_last(tmp_path, read_sizes):
    path = tmp_path / "long.avi"
    galvo.save(np.tile(numbered(250), (48, 1, 1)), path)
    with galvo.open(path) as recording:
        assert sum(read_sizes) < path.stat().st_size / 2
        assert len(recording) == 12_000
        assert numbers(recording[[11_999, 6001], 0, 0]) == [11_999 % 250, 6001 % 250]


def test_opening_matroska_reads_what_stands_before_each_frame(tmp_path, monkeypatch):
    """What libav looks at to begin with aside, which is the same for every length."""
    noise, read = np.random.default_rng(0).integers(0, 1 << 16, (250, 1, 1, 128, 128)).astype(np.uint16), []
    original = FileSource.read_upto

    def counted(source, file, offset, nbytes):
        data = original(source, file, offset, nbytes)
        read[-1] += len(data)
        return data

    sizes = []
    monkeypatch.setattr(FileSource, "read_upto", counted)
    for count in (250, 500):
        path = tmp_path / f"{count}.mkv"
        galvo.save(np.tile(noise, (count // 250, 1, 1, 1, 1)), path)
        sizes.append(path.stat().st_size)
        read.append(0)
        with galvo.open(path) as recording:
            found = read[-1]
            np.testing.assert_array_equal(recording[count - 100], noise[150])
        read[-1] = found
    assert sizes[1] > 1.9 * sizes[0] > 15e6
    assert read[1] - read[0] < (sizes[1] - sizes[0]) / 20


@pytest.mark.parametrize("change", ["two tracks", "laced", "cut before its end", "an element that nobody knows"])
def test_matroska_that_says_less_is_read_packet_by_packet(tmp_path, change):
    path = tmp_path / "changed.mkv"
    galvo.save(numbered(20), path)
    content = bytearray(path.read_bytes())
    # a key frame of track 1
    at = content.index(b"\x81\x00\x00\x80", content.index(bytes.fromhex("1f43b675")))
    with closing(FileSource([str(path)])) as source:
        assert len(_from_clusters(source, DEFAULT_LIMITS)) == 20
    if change == "two tracks":
        content[at] = 0x82
    elif change == "laced":
        content[at + 3] |= 0x04
    elif change == "cut before its end":
        del content[-3:]
    else:
        # the time of the cluster
        content[content.index(b"\xe7", content.index(bytes.fromhex("1f43b675")))] = 0xE8
    path.write_bytes(content)
    with closing(FileSource([str(path)])) as source:
        assert _from_clusters(source, DEFAULT_LIMITS) is None


def test_colors_of_a_palette_at_random(tmp_path):
    """FFmpeg tells an AVI's palette once; frames that are sought have it too."""
    grays = np.arange(255, -1, -1, dtype=np.uint8)
    galvo.save(numbered(COUNT), tmp_path / "inverted.avi")
    content = (tmp_path / "inverted.avi").read_bytes()
    straight = np.repeat(grays[::-1], 4).reshape(256, 4) * np.array([1, 1, 1, 0], np.uint8)
    assert content.count(straight.tobytes()) == 1
    table = np.repeat(grays, 4).reshape(256, 4) * np.array([1, 1, 1, 0], np.uint8)
    # not as galvo's own any more
    content = content.replace(straight.tobytes(), table.tobytes()).replace(OWN_UUID, bytes(16))
    (tmp_path / "inverted.avi").write_bytes(content)
    with galvo.open(tmp_path / "inverted.avi") as recording:
        assert recording.shape[1] == 1
        for frame in (50, 3, 59, 20):
            np.testing.assert_array_equal(recording[frame, 0, 0], 255 - numbered(COUNT)[frame])


def test_threads_share_a_video(stream):
    expected, _ = decoded(stream)
    wrong = []
    with galvo.open(stream) as recording:

        def work(seed):
            for frame in np.random.default_rng(seed).integers(0, COUNT, 8).tolist():
                if (recording[frame, 0, 0] != expected[frame, ..., 0]).any():
                    wrong.append(frame)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_uneven_times(tmp_path):
    pts = np.cumsum(RNG.integers(1, 90, COUNT)).tolist()
    path = mux(tmp_path / "uneven.mkv", numbered(COUNT), **X264, pts=pts, time_base=Fraction(1, 1000), g="10")
    with galvo.open(path) as recording:
        assert recording.frame_rate_hz is None
        np.testing.assert_allclose(recording.timestamps, np.array(pts) / 1000, atol=1e-9)
        assert numbers(shown(recording)) == list(range(COUNT))


def test_an_edit_list_hides_frames(tmp_path):
    """Frames before the edit are coded, since others need them, and not shown."""
    path = mux(tmp_path / "edited.mp4", numbered(COUNT), **X264, g="20", bf="0", time_base=Fraction(1, 12800),
               pts=[512 * number for number in range(COUNT)])  # fmt: skip
    content = bytearray(path.read_bytes())
    at = content.index(b"elst")
    # version and flags, number of entries, duration; then where in the media it begins
    start = int.from_bytes(content[at + 16 : at + 20], "big")
    content[at + 16 : at + 20] = (start + 7 * 512).to_bytes(4, "big")
    path.write_bytes(content)
    expected, _ = decoded(path)
    assert numbers(expected[..., 0])[0] == 7
    with galvo.open(path) as recording:
        assert len(recording) == len(expected)
        assert numbers(shown(recording)) == numbers(expected[..., 0])
        np.testing.assert_array_equal(recording[30, 0, 0], expected[30, ..., 0])


def test_numbers_in_headers_are_not_believed(tmp_path):
    path = mux(tmp_path / "liar.avi", numbered(COUNT), "ffv1", "gray", level="3")
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = content.index(mark) + offset
        assert int.from_bytes(content[at : at + 4], "little") == COUNT
        content[at : at + 4] = (3 * COUNT).to_bytes(4, "little")
    path.write_bytes(content)
    with galvo.open(path) as recording:
        assert numbers(shown(recording)) == list(range(COUNT))


# ---- pixels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pixel_format", "bits"), [("gray", 8), ("gray10le", 10), ("gray12le", 12), ("gray16le", 16)])
def test_gray_keeps_its_depth(tmp_path, pixel_format, bits):
    pixels = RNG.integers(0, 1 << bits, (5, 30, 40)).astype(np.uint8 if bits == 8 else np.uint16)
    path = tmp_path / "gray.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=10, options={"level": "3"})
        stream.height, stream.width, stream.pix_fmt = 30, 40, pixel_format
        for number, values in enumerate(pixels):
            frame = av.VideoFrame(40, 30, pixel_format)
            rows = np.frombuffer(frame.planes[0], values.dtype).reshape(30, -1)
            rows[:, :40] = values
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with galvo.open(path) as recording:
        assert recording.channel_names == ()
        assert recording.metadata.attributes["bits"] == bits
        np.testing.assert_array_equal(recording[:, 0, 0], pixels)
        assert recording.dtype == pixels.dtype


def test_color_is_never_left_out_unasked(tmp_path):
    pixels = RNG.integers(0, 256, (3, 20, 30, 3)).astype(np.uint8)
    path = mux(tmp_path / "colors.mkv", pixels, "ffv1", "bgr0", level="3")
    with galvo.open(path) as recording:
        assert recording.channel_names == ("red", "green", "blue")
        np.testing.assert_array_equal(recording[:, :, 0], pixels.transpose(0, 3, 1, 2))
    with galvo.open(path, color=False) as recording:
        luma = pixels @ np.array([0.299, 0.587, 0.114])
        assert recording.shape == (3, 1, 1, 20, 30)
        assert np.abs(recording[:, 0, 0] - luma).max() < 2
    gray = mux(tmp_path / "neutral.mp4", numbered(5), **X264)
    with galvo.open(gray) as recording:
        assert recording.shape[1] == 3, "who knows whether a later frame has color"
    with galvo.open(gray, color=False) as recording:
        assert np.abs(recording[:, 0, 0].astype(int) - numbered(5)).max() <= 6
    with pytest.raises(OptionError, match="color"):
        galvo.open(gray, color="yes")


def palette_avi(path, colors):
    """Uncompressed, 8 bits, as ImageJ writes it: rows from the bottom up."""
    pixels = RNG.integers(0, 256, (4, 20, 28)).astype(np.uint8)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("rawvideo", rate=10)
        stream.height, stream.width, stream.pix_fmt = 20, 28, "pal8"
        table = np.zeros((256, 4), np.uint8)
        table[:, 0], table[:, 1:] = 255, colors
        for number, values in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray((values, table), format="pal8")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return pixels


def test_palettes(tmp_path):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[::-1, None], 3, axis=1)
    pixels = palette_avi(tmp_path / "gray.avi", ramp)
    with galvo.open(tmp_path / "gray.avi") as recording:
        np.testing.assert_array_equal(recording[:, 0, 0], 255 - pixels)
        assert recording.shape[1] == 1
    colors = RNG.integers(0, 256, (256, 3)).astype(np.uint8)
    pixels = palette_avi(tmp_path / "colors.avi", colors)
    with galvo.open(tmp_path / "colors.avi") as recording:
        np.testing.assert_array_equal(recording[:, :, 0], colors[pixels].transpose(0, 3, 1, 2))


def test_rows_from_the_bottom_up(tmp_path):
    pixels = RNG.integers(0, 256, (3, 6, 10, 3)).astype(np.uint8)
    path = mux(tmp_path / "up.avi", pixels, "rawvideo", "bgr24")
    content = bytearray(path.read_bytes())
    at = content.index(b"strf") + 16
    height = int.from_bytes(content[at : at + 4], "little", signed=True)
    content[at : at + 4] = (-height).to_bytes(4, "little", signed=True)
    path.write_bytes(content)
    with galvo.open(path) as recording:
        np.testing.assert_array_equal(recording[:, :, 0], pixels[:, ::-1].transpose(0, 3, 1, 2))


def test_a_turned_video_is_told_and_not_turned(tmp_path):
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 80, "yuv420p"
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(90)
        for number, pixels in enumerate(numbered(3)):
            frame = av.VideoFrame.from_ndarray(pixels, format="gray")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with galvo.open(path) as recording:
        assert recording.shape[3:] == (32, 80)
        with pytest.warns(GalvoWarning, match="90 degrees"):
            assert numbers(shown(recording)) == [0, 1, 2]


# ---- what must not be believed --------------------------------------------------------------------------------------


def test_only_the_file_itself_is_opened(tmp_path):
    """Playlists, scripts and addresses are no videos, whatever they are called."""
    secret = mux(tmp_path / "secret.mkv", numbered(3), "ffv1", "gray", level="3")
    texts = {
        "concat.mkv": f"ffconcat version 1.0\nfile {secret}\n",
        "hls.mp4": f"#EXTM3U\n#EXTINF:1,\n{secret}\n",
        "dash.mp4": "<?xml version='1.0'?><MPD></MPD>",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UnknownFormat):
            galvo.open(tmp_path / name)
        with pytest.raises(GalvoError):
            galvo.open(tmp_path / name, format="video")
    with pytest.raises(GalvoError):
        galvo.open(f"file:{secret}")


def test_one_damaged_frame_costs_one_frame(tmp_path):
    pixels = RNG.integers(0, 256, (8, 40, 50)).astype(np.uint8)
    path = mux(tmp_path / "damaged.mkv", pixels, "ffv1", "gray", level="3", slicecrc="1", g="1")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        third = [packet for packet in container.demux(video=0) if packet.size][3]
        at = content.index(bytes(third)) + third.size // 2
    content[at] ^= 0x55
    path.write_bytes(content)
    with galvo.open(path) as recording:
        for frame in (0, 2, 4, 7, 3, 6):
            if frame == 3:
                with pytest.raises(DamagedData):
                    recording[3]
            else:
                np.testing.assert_array_equal(recording[frame, 0, 0], pixels[frame])
        with pytest.raises(DamagedData):
            recording[...]


def test_damage_spoils_what_depends_on_it(tmp_path):
    """Frames after a lost one are never made up from it, and the next key frame is whole."""
    path = mux(tmp_path / "lost.mp4", numbered(COUNT), **X264, g="20", bf="0", sc_threshold="0")
    expected, _ = decoded(path)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][25]
        at, size = packet.pos, packet.size
    content[at : at + size] = bytes(size)
    path.write_bytes(content)
    with galvo.open(path, damaged="report") as recording:
        for frame in (24, 40, 59):
            np.testing.assert_array_equal(recording[frame, 0, 0], expected[frame, ..., 0])
        for frame in (25, 26, 39):
            with pytest.raises(DamagedData):
                recording[frame]


@pytest.mark.parametrize("name", ["b-frames.mp4", "ffv1.mkv", "mjpeg.avi"])
def test_cut_off(tmp_path, name):
    whole = mux(tmp_path / name, numbered(COUNT), **STREAMS[name], **(
        {"container": {"movflags": "faststart"}} if name.endswith("mp4") else {}))  # fmt: skip
    expected, _ = decoded(whole)
    content = whole.read_bytes()
    for part in (0.5, 0.9, 0.99):
        whole.write_bytes(content[: int(part * len(content))])
        with pytest.raises((Truncated, DamagedData)):
            galvo.open(whole)
        with galvo.open(whole, damaged="report") as recording:
            assert recording.damage
            assert 0 < len(recording) <= COUNT
            for frame in range(0, len(recording), 5):
                try:
                    found = recording[frame, 0, 0]
                except GalvoError:
                    continue
                np.testing.assert_array_equal(found, expected[frame, ..., 0])


def test_absurd_sizes_are_refused(tmp_path):
    path = mux(tmp_path / "large.mkv", numbered(3), "ffv1", "gray", level="3")
    with pytest.raises((LimitExceeded, DamagedData)):
        galvo.open(path, limits=galvo.Limits(frame_bytes=1000))[...]
    with pytest.raises(LimitExceeded):
        galvo.open(path, limits=galvo.Limits(page_count=2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("count", [4, pytest.param(400, marks=pytest.mark.harden)])
@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.mkv", "mpeg4.avi"])
def test_changed_bytes_end_well(tmp_path, name, count):
    """In a process of its own: a value or a galvo error, in time and memory that a small file may cost."""
    path = mux(tmp_path / name, numbered(20), **STREAMS[name])
    content = path.read_bytes()
    rng = np.random.default_rng(7)

    def changed(number):
        data = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            # the headers, or anywhere
            end = min(len(data), 2000) if number % 2 else len(data)
            data[int(rng.integers(0, end))] = int(rng.integers(0, 256))
        return bytes(data)

    def read(data):
        own = path.with_stem(f"{path.stem} {os.getpid()}")
        own.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GalvoWarning)
            with galvo.open(own, limits=galvo.Limits(frame_bytes=16 << 20), damaged="report") as recording:
                for frame in range(min(len(recording), 30)):
                    with suppress(DamagedData):
                        recording[frame]
        return 0

    cases = [partial(read, changed(number)) for number in range(count)]
    verdicts = run_cases(cases, seconds=20, memory_bytes=600 << 20, together=8)
    bad = [(number, found.kind, found.detail[-400:]) for number, found in verdicts if not found.is_allowed]
    assert not bad, bad[:3]


def threads_of_the_system():
    return len(os.listdir("/proc/self/task"))


def damaged_movie(path):
    """A movie whose frames from the eleventh on do not decode."""
    mux(path, numbered(20), **X264, g="20", bf="0", sc_threshold="0")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][10]
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    return path


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_failed_decoders_leave_no_threads(tmp_path):
    """Nothing but the error may hold on to libav's threads."""
    path = damaged_movie(tmp_path / "lost.mp4")
    gc.collect()
    gc.disable()
    try:
        before = threads_of_the_system()
        with galvo.open(path, damaged="report") as recording:
            for frame in (12, 13, 14, 3, 12):
                with suppress(DamagedData):
                    recording[frame]
        assert threads_of_the_system() == before
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_lets_go_of_its_parents_decoders(tmp_path):
    """libav waits for its threads when it frees them, and a forked child has none."""
    path = damaged_movie(tmp_path / "lost.mp4")
    expected = list(range(10))
    held = []
    with galvo.open(path, damaged="report") as recording:
        recording[2]
        try:
            recording[12]
        except DamagedData as error:
            held.append(error)

        def let_go():
            held.clear()
            gc.collect()
            found = numbers(recording[:10, 0, 0])
            recording.close()
            gc.collect()
            return found == expected

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(20)
                code = 0 if let_go() else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert numbers(recording[:10, 0, 0]) == expected


# ---- the extra ------------------------------------------------------------------------------------------------------


def test_without_pyav(tmp_path, monkeypatch):
    path = mux(tmp_path / "some.mkv", numbered(3), "ffv1", "gray", level="3")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"pip install galvo\[video\]"):
        galvo.open(path)
    with pytest.raises(MissingExtra, match=r"pip install galvo\[video\]"):
        galvo.save(numbered(3), tmp_path / "other.mkv")
    assert not (tmp_path / "other.mkv").exists()


def test_pyav_is_loaded_for_videos_only(tmp_path):
    galvo.save(numbered(3), tmp_path / "some.h5")
    code = "import galvo, json, sys; galvo.open(sys.argv[1])[0]; print(json.dumps('av' in sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, str(tmp_path / "some.h5")]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert json.loads(done.stdout) is False
