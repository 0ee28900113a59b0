"""Sutter MDF over a double of its COM server, which keeps COM's rules about threads and instances."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo.errors import LimitExceeded, Malformed, MissingExtra, NotFound, OptionError, ReadError, Unsupported
from galvo.formats import REGISTRY
from galvo.formats.mdf import server
from galvo.testing import mdf
from galvo.testing.conformance import Case, FormatConformance
from galvo.testing.mdf import installed_double, write_mdf

PIXELS = np.random.default_rng(5).integers(0, 60000, (4, 2, 5, 7)).astype(np.uint16)
PYWIN32 = ("pythoncom", "win32com", "win32com.client")


@pytest.fixture(autouse=True)
def double(tmp_path_factory):
    """pywin32's modules, leading to the double, which nothing may be left of."""
    with installed_double(tmp_path_factory.mktemp("double")):
        yield
        gc.collect()
        assert not len(mdf._alive), "an object of the server is left"
        assert not any(mdf._initialized.values()), "CoInitialize without CoUninitialize"


class TestMdf(FormatConformance):
    format_name = "mdf"
    has_signature = False

    def cases(self, tmp_path):
        for number, (shape, dtype, success) in enumerate(
            [((6, 1, 8, 6), "u1", 0), ((3, 3, 7, 9), "<u2", True), ((1, 2, 1, 5), "<u2", 1)]
        ):
            folder = tmp_path / f"case{number}"
            folder.mkdir()
            pixels = np.random.default_rng(number).integers(0, 200, shape).astype(dtype)
            told = {"Frame Duration (s)": "0,03", "Frame Interval (ms)": "3,5", "Microns per Pixel": "0,83 µm"}
            own = write_mdf(folder / "movie.mdf", pixels, told, success=success)
            yield Case(
                paths=[folder / "movie.mdf"],
                pixels=pixels[:, :, None],
                metadata={
                    "channel_names": tuple(f"channel {number}" for number in range(shape[1])),
                    "frame_rate_hz": 1 / 0.0335,
                    "pixel_size_um": (0.83, 0.83),
                },
                frame_bytes=own,
                boundaries=[end for one in own for end in (one.start, one.stop)],
            )


@pytest.mark.parametrize("success", [0, 1, True, -1, None, "OK"])
def test_either_answer_is_success(tmp_path, success):
    """Told apart by what can be read then, not by the number."""
    write_mdf(tmp_path / "a.mdf", PIXELS, success=success)
    with galvo.open(tmp_path / "a.mdf") as recording:
        np.testing.assert_array_equal(recording[:, :, 0], PIXELS)
    (tmp_path / "a.mdf").write_bytes(f'{{"success": {1 if success else 0}, "shape"'.encode())
    with pytest.raises(Malformed, match=r"a\.mdf: MCSX\.Data does not open this file; found the answer"):
        galvo.open(tmp_path / "a.mdf")


def test_parameters(tmp_path):
    told = {
        "Microns per Pixel": "0.5µm",
        "Magnification": "x2,5",
        "Frame Duration (s)": "0.0300 s",
        "Frame Interval (ms)": "2",
        "Created On": "11/20/2010 10:30:12 AM",
        "Scanning Ch 0 Name": "green",
        "Scanning Ch 1 Name": " ",
        "Scanning Ch 2 Name": "red",
    }
    pixels = np.concatenate([PIXELS, PIXELS[:, :1] + np.uint16(1)], 1)
    write_mdf(tmp_path / "a.mdf", pixels, told)
    with galvo.open(tmp_path / "a.mdf") as recording:
        assert recording.shape == (4, 2, 1, 5, 7)
        assert recording.dtype == np.uint16
        metadata = recording.metadata
        assert metadata.channel_names == ("green", "red")
        assert metadata.frame_rate_hz == pytest.approx(1 / 0.032)
        assert metadata.pixel_size_um == (0.5, 0.5)
        assert metadata.attributes == {"channel_numbers": (1, 3), "magnification": 2.5}
        assert metadata.start_time is None
        assert metadata.header["Created On"] == "11/20/2010 10:30:12 AM"
        assert metadata.header["Frame Bit Depth"] == "16-bit"
        assert "Scanning Ch 1 Name" not in metadata.header
        np.testing.assert_array_equal(recording[:, "red", 0], pixels[:, 2])
        np.testing.assert_array_equal(recording[2:0:-1, [1, 0], 0, 3, ::2], pixels[2:0:-1, [2, 0], 3, ::2])
    galvo.convert(tmp_path / "a.mdf", tmp_path / "a.h5", verify=True)
    with galvo.open(tmp_path / "a.h5") as recording:
        assert (recording.channel_names, recording.pixel_size_um) == (("green", "red"), (0.5, 0.5))


def test_what_is_not_told_is_unknown(tmp_path):
    told = {
        "Frame Duration (s)": "0",
        "Frame Interval (ms)": "2",
        "Microns per Pixel": "?",
        "Created On": "2020-11-20 10:30:12",
    }
    write_mdf(tmp_path / "a.mdf", PIXELS, told)
    with galvo.open(tmp_path / "a.mdf") as recording:
        assert (recording.frame_rate_hz, recording.pixel_size_um) == (None, None)
        assert recording.metadata.start_time == "2020-11-20T10:30:12"
        assert "magnification" not in recording.metadata.attributes


@pytest.mark.parametrize(
    ("depth", "dtype"), [("8-bit", "u1"), ("12-bit", "u2"), ("16-bit", "u2"), ("16", "u2"), ("32-bit", "f8")]
)
def test_depths(tmp_path, depth, dtype):
    write_mdf(tmp_path / "a.mdf", PIXELS % 200, {"Frame Bit Depth": depth})
    with galvo.open(tmp_path / "a.mdf") as recording:
        assert recording.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(recording[:, :, 0], PIXELS % 200)


@pytest.mark.parametrize(
    "told",
    [
        *({"Frame Height": None}, {"Frame Width": "wide"}, {"Frame Height": "0"}, {"Frame Width": "-7"}),
        *(
            {"Frame Height": "5,5"},
            {"Frame Bit Depth": None},
            {"Frame Bit Depth": "deep"},
            {"Frame Bit Depth": "0-bit"},
        ),
        *({"Scanning Ch 0 Name": "", "Scanning Ch 1 Name": ""}, {"Frame Count": ""}, {"Frame Count": "many"}),
    ],
    ids=repr,
)
def test_parameters_that_do_not_describe(tmp_path, told):
    write_mdf(tmp_path / "a.mdf", PIXELS, told)
    with pytest.raises(Malformed, match=r"a\.mdf"):
        galvo.open(tmp_path / "a.mdf")


def test_sizes(tmp_path):
    for name in ("Frame Count", "Frame Height"):
        write_mdf(tmp_path / "a.mdf", PIXELS, {name: "1" + "0" * 15})
        with pytest.raises(LimitExceeded):
            galvo.open(tmp_path / "a.mdf")
    write_mdf(tmp_path / "a.mdf", PIXELS, {"Frame Count": "5", "Frame Height": "7", "Frame Width": "5"})
    with galvo.open(tmp_path / "a.mdf") as recording:
        with pytest.raises(Malformed, match="frame 1 of channel 1 is no image"):
            recording[0]
        with pytest.raises(ReadError, match="frame 5 of channel 1 is not there"):
            recording[4]


@pytest.mark.parametrize("value", [-1, 65536])
def test_values_that_do_not_fit(tmp_path, value):
    """An error with the way out, where the original clips."""
    pixels = PIXELS.astype(np.int32)
    pixels[2, 1, 3, 3] = value
    write_mdf(tmp_path / "a.mdf", pixels, {"Frame Bit Depth": "16-bit"})
    with galvo.open(tmp_path / "a.mdf") as recording:
        np.testing.assert_array_equal(recording[:2, :, 0], pixels[:2])
        with pytest.raises(Malformed, match=rf'frame 3 of channel 2 do not fit uint16.*{value}.*dtype="int32"'):
            recording[2]
    with galvo.open(tmp_path / "a.mdf", dtype="int32") as recording:
        np.testing.assert_array_equal(recording[:, :, 0], pixels)
    with pytest.raises(OptionError):
        galvo.open(tmp_path / "a.mdf", dtype="complex64")


@pytest.mark.parametrize("frame", [((1, 2), (3,)), ((1, None),) * 7, "text", 5, ((1.5,) * 5,) * 7, (("a",) * 5,) * 7])
def test_frames_that_are_none(tmp_path, monkeypatch, frame):
    write_mdf(tmp_path / "a.mdf", PIXELS)
    monkeypatch.setattr(mdf._Data, "ReadFrame", lambda *arguments: frame)
    with galvo.open(tmp_path / "a.mdf") as recording, pytest.raises(Malformed, match="frame 1 of channel 1"):
        recording[0]


def test_several_files_and_threads_share_the_server(tmp_path):
    """One object, one thread: it turns from file to file."""
    movies = [PIXELS + np.uint16(number) for number in range(3)]
    for number, movie in enumerate(movies):
        write_mdf(tmp_path / f"{number}.mdf", movie)
    recordings = [galvo.open(tmp_path / f"{number}.mdf") for number in range(3)]
    (own,) = [thread for thread in threading.enumerate() if thread.name.startswith("galvo-mdf")]
    wanted = np.random.default_rng(0).integers(0, [3, 4, 2], (120, 3)).tolist()
    with ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda place: recordings[place[0]][place[1], place[2], 0], wanted)
        for (number, t, c), frame in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(frame, movies[number][t, c])
    recordings[0].close()
    recordings[0].close()
    with pytest.raises(ReadError, match="closed"):
        recordings[0][0]
    recordings[1] = None
    gc.collect()
    np.testing.assert_array_equal(recordings[2][:, :, 0], movies[2])
    recordings[2].close()
    assert not own.is_alive()
    with galvo.open(tmp_path / "1.mdf") as recording:
        np.testing.assert_array_equal(recording[:, :, 0], movies[1])
    joined = galvo.load([tmp_path / "0.mdf", tmp_path / "2.mdf"])
    np.testing.assert_array_equal(joined, np.concatenate([movies[0], movies[2]]))


def test_many_open_and_close_at_once(tmp_path):
    write_mdf(tmp_path / "a.mdf", PIXELS)

    def turn(number):
        with galvo.open(tmp_path / "a.mdf") as recording:
            return recording[number % 4, :, 0]

    with ThreadPoolExecutor(8) as pool:
        for number, frames in enumerate(pool.map(turn, range(60))):
            np.testing.assert_array_equal(frames, PIXELS[number % 4])


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    write_mdf(tmp_path / "a.mdf", PIXELS)
    with monkeypatch.context() as patch:
        patch.setattr(server, "_PROGRAM", "MCSX.Gone")
        with pytest.raises(ReadError, match=r"a\.mdf: MCSX\.Gone.*Invalid class string.*MView"):
            galvo.open(tmp_path / "a.mdf")
    with monkeypatch.context() as patch:
        patch.delattr(mdf._Data, "OpenMCSFile")
        with pytest.raises(ReadError, match="OpenMCSFile"):
            galvo.open(tmp_path / "a.mdf")

    def fail(*arguments):
        raise mdf.com_error(-2147023174, "The RPC server is unavailable.")

    with galvo.open(tmp_path / "a.mdf") as recording:
        monkeypatch.setattr(mdf._Data, "ReadFrame", fail)
        with pytest.raises(ReadError, match="RPC server is unavailable"):
            recording[0]


def test_the_double_keeps_the_rules(tmp_path):
    """Else the tests above would prove nothing."""
    with pytest.raises(mdf.com_error, match="CoInitialize"):
        mdf.Dispatch("MCSX.Data")
    mdf.CoInitialize()
    data = mdf.Dispatch("MCSX.Data")
    with pytest.raises(mdf.com_error, match="one instance"):
        mdf.Dispatch("MCSX.Data")
    with pytest.raises(mdf.com_error, match="still there"):
        mdf.CoUninitialize()
    write_mdf(tmp_path / "a.mdf", PIXELS, success=True)
    assert data.OpenMCSFile(str(tmp_path / "a.mdf")) is True
    with ThreadPoolExecutor(1) as pool, pytest.raises(mdf.com_error, match="another thread"):
        pool.submit(data.ReadFrame, 1, 1).result()
    np.testing.assert_array_equal(np.array(data.ReadFrame(2, 4)).T, PIXELS[3, 1])
    assert data.ReadFrame(1, 5) is data.ReadFrame(3, 1) is data.ReadFrame(0, 1) is None
    del data
    mdf.CoUninitialize()
    with pytest.raises(mdf.com_error):
        mdf.CoUninitialize()


def test_missing_files(tmp_path):
    with pytest.raises(NotFound):
        galvo.open(tmp_path / "nothing.mdf")


@pytest.mark.parametrize("head", [b"MDF     4.10", b"UnFinMF 4.10", b"\x01\x0f\x00\x00\x08"])
def test_other_files_of_that_suffix(tmp_path, head):
    (tmp_path / "a.mdf").write_bytes(head + bytes(100))
    with pytest.raises(galvo.errors.UnknownFormat):
        galvo.open(tmp_path / "a.mdf")
    (tmp_path / "a.mdf").write_bytes(b"anything else")
    assert REGISTRY.detect(str(tmp_path / "a.mdf")).name == "mdf"


def test_without_the_server(tmp_path, monkeypatch):
    """Off Windows the way to convert, on Windows the install line."""
    for name in PYWIN32:
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.mdf").write_bytes(b"whatever")
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(Unsupported, match=r"a\.mdf.*Windows only.*TIFF.*MView"):
        galvo.open(tmp_path / "a.mdf")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(MissingExtra, match=r"a\.mdf.*pip install galvo\[mdf\]"):
        galvo.open(tmp_path / "a.mdf")


@pytest.mark.skipif(sys.platform == "win32", reason="what other systems say")
def test_on_the_command_line(tmp_path):
    (tmp_path / "a.mdf").write_bytes(b"whatever")
    environment = {**os.environ, "PYTHONPATH": str(Path(galvo.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "galvo.cli", "info", str(tmp_path / "a.mdf")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Windows only" in done.stderr
    assert "Traceback" not in done.stderr
