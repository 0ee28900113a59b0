"""Many frames, many slices, long headers, many threads and processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker

import numpy as np
import pytest

import galvo
from galvo.errors import FormatError
from galvo.formats.scanimage import header as header_module
from galvo.testing.scanimage import ScanImageRecording


def test_seventy_thousand_frames(tmp_path):
    truth = ScanImageRecording(height=4, width=4, frames=70_000)
    (path,) = truth.write(tmp_path)
    with galvo.open(path) as rec:
        assert rec.shape == (70_000, 1, 1, 4, 4)
        for t in (0, 65_535, 65_536, 65_537, 69_999, -1):
            at = t % 70_000
            np.testing.assert_array_equal(rec[t, 0, 0], truth.expected_pages(at, at + 1)[0])
        np.testing.assert_array_equal(rec[65_000:66_000, 0, 0], truth.expected_pages(65_000, 66_000))
        np.testing.assert_array_equal(rec.isel(t=slice(-3, None)).timestamps, truth.timeline.timestamp_s[-3:])
        table = rec.isel(t=[65_535, 65_536, 69_999]).frame_table()
        np.testing.assert_array_equal(table["frame_number"], [65_536, 65_537, 70_000])
        np.testing.assert_array_equal(table["page"], [65_535, 65_536, 69_999])
        np.testing.assert_array_equal(rec.timestamps, truth.expected_timestamps())
        assert rec.timestamps.shape == (70_000,)


def test_three_hundred_slices(tmp_path):
    truth = ScanImageRecording(height=4, width=4, slices=300, flyback=3, volumes=3, channels=(1, 2))
    (path,) = truth.write(tmp_path)
    with galvo.open(path) as rec:
        assert rec.shape == (3, 2, 300, 4, 4)
        expected = truth.expected()
        for z in (0, 10, 255, 256, 257, 266, 299, -1):
            np.testing.assert_array_equal(rec[:, :, z], expected[:, :, z])
        np.testing.assert_array_equal(rec[...], expected)
        np.testing.assert_array_equal(rec.z_um, truth.expected_z_um())


def test_a_long_header_is_not_read_through(tmp_path, monkeypatch):
    keys = {f"SI.zUser.property{number:06d}": "[0.123456 0.234567 0.345678]" for number in range(100_000)}
    (path,) = ScanImageRecording(frames=3, extra_header=keys).write(tmp_path)
    assert path.stat().st_size > 4_000_000
    parsed = []
    literal = header_module.parse_literal
    monkeypatch.setattr(header_module, "parse_literal", lambda text: parsed.append(text) or literal(text))
    with galvo.open(path) as rec:
        assert len(parsed) < 40
        assert "_lines" not in vars(rec.metadata.header)
        assert rec.metadata.header["SI.zUser.property099999"] == [0.123456, 0.234567, 0.345678]
        assert len(parsed) < 41


# ---- threads and processes -----------------------------------------------------------------------------------------

KEYS = [
    (slice(None),),
    (slice(None, None, -3), 1),
    (7, slice(None), 2, slice(5, 20), slice(None, None, 2)),
    ([3, 0, 19], "Channel 1"),
    (slice(5, 9), 0, slice(None), [1, 30, 2]),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    # it keeps a pipe open for the life of the process
    if os.name != "nt":
        resource_tracker.ensure_running()
    truth = ScanImageRecording(slices=3, flyback=2, volumes=20, channels=(1, 2), frames_per_file=17)
    return truth, truth.write(tmp_path_factory.mktemp("shared"))


def digest(rec: galvo.Recording) -> list[bytes]:
    parts = [rec[key] for key in KEYS] + [rec.timestamps, rec.frame_table()]
    return [np.ascontiguousarray(part).tobytes() for part in parts]


def _send(rec, queue) -> None:
    queue.put(digest(rec))
    rec.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_another_process_reads_the_same(written, method, used):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    context = multiprocessing.get_context(method)
    with galvo.open(written[1][0]) as rec, galvo.open(written[1][0]) as other:
        expected = digest(rec if used else other)
        queue = context.Queue()
        process = context.Process(target=_send, args=(rec, queue))
        process.start()
        found = queue.get(timeout=60)
        process.join(60)
        assert process.exitcode == 0
        queue.close()
        queue.join_thread()
        assert found == expected
        assert digest(rec) == expected


def test_a_pickled_part_is_that_part(written):
    truth, paths = written
    with galvo.open(paths[1]) as rec:
        part = rec.isel(t=slice(2, None, 3), c="Channel 2", y=slice(4, 9))
        with pickle.loads(pickle.dumps(part)) as again:
            assert again.shape == part.shape
            np.testing.assert_array_equal(again[...], truth.expected()[2::3, 1:, :, 4:9])
            np.testing.assert_array_equal(again.timestamps, truth.expected_timestamps()[2::3])
            assert again.channel_names == ("Channel 2",)


def test_options_are_pickled(tmp_path):
    truth = ScanImageRecording(slices=2, repeats=3, flyback=1, volumes=4)
    (path,) = truth.write(tmp_path)
    with galvo.open(path, slice_repeats="mean") as rec, pickle.loads(pickle.dumps(rec)) as again:
        np.testing.assert_array_equal(again[...], truth.expected(slice_repeats="mean"))


def test_eight_threads_share_one_recording(written):
    truth, paths = written
    expected = truth.expected()
    with galvo.open(paths[0]) as rec:

        def read(number: int) -> bool:
            t = number % 20
            assert np.array_equal(rec[t], expected[t])
            assert np.array_equal(rec[::-1, number % 2], expected[::-1, number % 2])
            return rec.timestamps.shape == (20,)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, range(200)))


def test_eight_threads_find_a_contradiction_at_once(tmp_path):
    """All of them meet the page that is not where it should be, and all read it right."""
    truth = ScanImageRecording(frames=100)
    (path,) = truth.write(tmp_path)
    blob = bytearray(path.read_bytes())
    with galvo.open(path) as rec:
        run = rec._reader.index.runs[0]
        at = run.check.offset
        stride = run.check.stride
    # StripOffsets of page 50 is that of page 49
    value = next(at + 20 * k for k in range(1, 19) if blob[at + 20 * k - 12 : at + 20 * k - 10] == b"\x11\x01")
    moved = value + 50 * stride
    blob[moved : moved + 8] = blob[moved - stride : moved - stride + 8]
    path.write_bytes(blob)
    expected = truth.expected()
    expected[50] = expected[49]
    for _ in range(5):
        with galvo.open(path) as rec, ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda _, rec=rec: rec[40:60], range(8)):
                np.testing.assert_array_equal(found, expected[40:60])


def test_verify_checks_the_pages_that_no_frame_shows(tmp_path):
    recording = ScanImageRecording(height=8, width=8, slices=3, flyback=2, volumes=40)
    (path,) = recording.write(tmp_path, "vol")
    with galvo.open(path) as opened:
        index = opened._reader.index
        stride, first = index.runs[0].stride, index.runs[0].check.offset
        assert opened.shape == (40, 1, 3, 8, 8)
    assert galvo.verify(path).ok
    # the second flyback frame of volume 10: its ImageWidth
    page = 10 * 5 + 4
    with open(path, "r+b") as stream:
        stream.seek(first + page * stride + 8 + 12)
        assert stream.read(2) == b"\x08\x00"
        stream.seek(-2, 1)
        stream.write(b"\x07\x00")
    with galvo.open(path) as opened:
        assert np.array_equal(opened[...], recording.expected())
    with pytest.raises(FormatError):
        galvo.verify(path)
