"""Recovering the whole frames of an output whose writer was killed."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import galvo
from galvo.core.atomic import journal_path, partial_path
from galvo.errors import DamagedData, NotFound, WriteError
from galvo.testing.scanimage import ScanImageRecording

BLOCK_BYTES = 10 * 2 * 128 * 128 * 2
SOURCE = ScanImageRecording(height=128, width=128, frames=60, channels=(1, 2))


@pytest.fixture
def source(tmp_path):
    (path,) = SOURCE.write(tmp_path, "rec")
    return path


def interrupted(source, final, after, **options):
    """Kill a writer once it has done `after` blocks."""
    calls = []

    def progress(done, total):
        calls.append(done)
        if len(calls) > after + 1:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            galvo.convert(source, final, progress=progress, block_bytes=BLOCK_BYTES, **options)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_frames_that_were_journaled(tmp_path, source, compression):
    final = tmp_path / "out.h5"
    interrupted(source, final, 3, compression=compression, fletcher32=compression == "gzip")
    assert not final.exists()
    result = galvo.recover(final)
    assert result.path == str(tmp_path / "out.recovered.h5")
    assert result.announced == 60
    assert 0 < result.recovered < 60
    assert result.recovered % 10 == 0
    with galvo.open(source) as whole, galvo.open(result.path) as saved:
        assert np.array_equal(saved[...], whole[: result.recovered])
        assert np.array_equal(saved.timestamps, whole.timestamps[: result.recovered])
        assert saved.channel_names == whole.channel_names
    assert galvo.verify(result.path).ok
    # what is left can still be resumed
    assert galvo.recover(partial_path(str(final)), tmp_path / "again.h5").recovered == result.recovered
    galvo.convert(
        source,
        final,
        resume=True,
        block_bytes=BLOCK_BYTES,
        compression=compression,
        fletcher32=compression == "gzip",
    )
    assert galvo.verify(source, final).ok
    assert not os.path.exists(partial_path(str(final)))
    assert not os.path.exists(journal_path(str(final)))


def test_nothing_to_recover(tmp_path):
    with pytest.raises(NotFound, match="nothing to recover"):
        galvo.recover(tmp_path / "none.h5")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_partial_file_that_was_cut(tmp_path, source):
    final = tmp_path / "out.h5"
    interrupted(source, final, 3)
    os.truncate(partial_path(str(final)), 1000)
    with pytest.raises(DamagedData, match="shorter than its journal"):
        galvo.recover(final)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_existing_destination_is_kept(tmp_path, source):
    final = tmp_path / "out.h5"
    interrupted(source, final, 3)
    (tmp_path / "out.recovered.h5").write_bytes(b"mine")
    with pytest.raises(WriteError, match="exists"):
        galvo.recover(final)
    assert (tmp_path / "out.recovered.h5").read_bytes() == b"mine"
    galvo.recover(final, overwrite=True)


def test_an_output_that_is_being_written(tmp_path, source):
    final = tmp_path / "out.h5"
    refused = []

    def progress(done, total):
        if done == total:
            with pytest.raises(WriteError, match="another process"):
                galvo.recover(final)
            refused.append(done)

    galvo.convert(source, final, progress=progress, block_bytes=BLOCK_BYTES)
    assert refused


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("name", "saved"), [("out", "out.recovered"), ("out.h5", "out.recovered.h5")], ids=["folder", "table"]
)
@pytest.mark.parametrize("options", [{}, {"quantize": "sqrt", "quantize_offset": -32768, "quantize_scale": 1.01}])
def test_frames_that_are_blobs(tmp_path, source, name, saved, options):
    final = tmp_path / name
    interrupted(source, final, 3, format="pzf", **options)
    assert not final.exists()
    if name == "out":
        # a frame that was not committed, cut off
        (tmp_path / "out.partial" / "frame00119.pzf").write_bytes(b"BD")
    result = galvo.recover(f"{final}{os.sep}" if name == "out" else final)
    assert result.path == str(tmp_path / saved)
    assert (result.announced, result.recovered % 10) == (60, 0)
    assert 0 < result.recovered < 60
    with galvo.open(source) as whole, galvo.open(result.path) as recording:
        pixels, original = recording[...], whole[: result.recovered]
        assert recording.dtype == np.int16
        if options:
            assert np.abs(pixels.astype(int) - original).max() <= 1.01 * 256 + 2
        else:
            assert np.array_equal(pixels, original)
        assert np.array_equal(recording.timestamps, whole.timestamps[: result.recovered])
        assert recording.channel_names == whole.channel_names
    assert galvo.verify(result.path).ok
    # going on is still possible
    galvo.convert(source, final, format="pzf", block_bytes=BLOCK_BYTES, resume=True, verify=True, **options)
