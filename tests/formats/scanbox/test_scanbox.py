"""Scanbox: files of the generator, whose pixels have a closed form; SciPy writes the .mat as a second opinion."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io

import galvo
from galvo.errors import (
    GalvoError,
    GalvoWarning,
    LimitExceeded,
    Malformed,
    NotFound,
    OptionError,
    Truncated,
    Unsupported,
)
from galvo.formats.matlab.structure import read_structure
from galvo.limits import DEFAULT_LIMITS
from galvo.testing.conformance import Case, FormatConformance
from galvo.testing.scanbox import ScanboxRecording


class TestScanbox(FormatConformance):
    format_name = "scanbox"
    has_signature = False

    def cases(self, tmp_path):
        for name, truth in {
            "both": ScanboxRecording(channels=1, bidirectional=True, more={"max_idx": 6}),
            "red": ScanboxRecording(channels=3, version=3, more={"max_idx": 6, "channels": 3}),
            "volumes": ScanboxRecording(channels=2, planes=3, frames=9, more={"max_idx": 8}),
        }.items():
            (tmp_path / name).mkdir()
            path = truth.write(tmp_path / name)
            nbytes = 2 * truth.rows * truth.columns * truth.channel_count
            frames = [range(k * nbytes, (k + 1) * nbytes) for k in range(truth.frames)]
            yield Case(
                paths=[path],
                beside=[path.with_suffix(".mat")],
                pixels=truth.signal(),
                metadata={
                    "frame_rate_hz": truth.frame_rate_hz,
                    "channel_names": {1: ("green", "red"), 2: ("green",), 3: ("red",)}[truth.channels],
                    "version": str(truth.version),
                },
                frame_bytes=frames if truth.channel_count == 1 else (),
                boundaries=[end for one in frames for end in (one.start, one.stop)],
            )


def test_signal_is_what_was_measured(tmp_path):
    """Dark is 0, and stored as 65535; channels lie together, rows follow each other."""
    truth = ScanboxRecording(rows=2, columns=3, frames=1, channels=1)
    path = truth.write(tmp_path)
    stored = [65535, 65534, 65533, 65532, 65531, 65530, 65529, 65528, 65527, 65526, 65525, 0]
    path.write_bytes(np.array(stored, "<u2").tobytes())
    found = galvo.load(path)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, [[[0, 2, 4], [6, 8, 10]], [[1, 3, 5], [7, 9, 65535]]])


def test_what_the_mat_says(tmp_path):
    truth = ScanboxRecording(planes=3, frames=7, bidirectional=True, more={"otwave_um": [0.0, 20.0, 45.5]})
    path = truth.write(tmp_path)
    with pytest.warns(GalvoWarning, match="left out: 1 of 3 frames"):
        whole = galvo.open(path)
    with whole as found:
        assert found.shape == (2, 2, 3, 12, 10)
        assert found.frame_rate_hz == pytest.approx(7930 * 2 / 12 / 3)
        assert found.metadata.z_um == (0.0, 20.0, 45.5)
        assert [(one.what, one.page_count) for one in found.left_out] == [("incomplete volume", 1)]
        assert found.files == (path, path.with_suffix(".mat"))
        header = found.metadata.header
        assert (header["sz"], header["messages"], header["scanmode"]) == ([[12, 10]], "µ", 0)
        assert header["config"]["knobby"]["pos"] == [[1, -2.5, 40]]
        galvo.save(found, tmp_path / "copy.h5", verify=True)
    with galvo.open(tmp_path / "copy.h5") as copy:
        assert copy.metadata.header["config"]["wavelength"] == 920
    with galvo.open(path, planes=1) as found:
        assert (found.shape, found.metadata.z_um) == ((7, 2, 1, 12, 10), None)
        assert found.frame_rate_hz == pytest.approx(7930 * 2 / 12)
    with galvo.open(ScanboxRecording(planes=3, more={"volscan": 0}).write(tmp_path, "still")) as found:
        assert found.shape == (7, 2, 1, 12, 10)
    for planes in (0, -1, 2.0, True):
        with pytest.raises(OptionError, match="planes"):
            galvo.open(path, planes=planes)


@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize("writer", ["scipy", "7.3"])
def test_mats_of_others(tmp_path, writer, deflated):
    truth = ScanboxRecording()
    path = truth.write(tmp_path)
    info, about = truth.info(), path.with_suffix(".mat")
    if writer == "scipy":
        info |= {"cells": np.array([1, "a"], object), "empty": np.zeros((0, 0))}
        info |= {"flag": True, "many": np.arange(3000.0)}
        scipy.io.savemat(about, {"other": np.eye(3), "info": info}, do_compression=deflated)
    else:
        _write_73(about, info, "gzip" if deflated else None)
    with galvo.open(path) as found:
        np.testing.assert_array_equal(found[...], truth.signal())
        assert found.metadata.header["config"]["magnification_list"] == "1.0"
        assert found.metadata.header["frame"] == [[3], [5]]
    if writer == "scipy":
        read = read_structure(str(about), "info", DEFAULT_LIMITS)
        assert "cells" not in read
        assert read["empty"].shape == (0, 0)
        assert read["flag"].dtype == bool
        np.testing.assert_array_equal(read["many"], np.arange(3000.0)[None])


def _write_73(path, info, compression):
    def put(group, fields):
        for name, value in fields.items():
            if isinstance(value, dict):
                inner = group.create_group(name)
                inner.attrs["MATLAB_class"] = np.bytes_("struct")
                put(inner, value)
                continue
            units = np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None] if isinstance(value, str) else value.T
            data = group.create_dataset(name, data=units, compression=compression)
            data.attrs["MATLAB_class"] = np.bytes_("char" if isinstance(value, str) else "double")

    with h5py.File(path, "w", userblock_size=512) as file:
        put(file, {"info": info})
        file["info/config/elsewhere"] = h5py.ExternalLink("secret.h5", "/x")
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def test_structs_without_an_end(tmp_path):
    path = ScanboxRecording().write(tmp_path)
    _write_73(path.with_suffix(".mat"), ScanboxRecording().info(), None)
    with h5py.File(path.with_suffix(".mat"), "a") as file:
        file["info/again"] = file["info"]
    with pytest.raises(LimitExceeded, match=r"\.mat: structs lie in each other too deep"):
        galvo.open(path)
    with h5py.File(path.with_suffix(".mat"), "a") as file:
        file["info"].create_dataset("a", (1 << 40,), "f8", chunks=(1024,))
    with pytest.raises(LimitExceeded, match="more than lies beside"):
        galvo.open(path)


def test_any_of_its_names_opens_it(tmp_path):
    """The .mat is no recording of its own, and one of another name is."""
    truth = ScanboxRecording()
    path = truth.write(tmp_path)
    for name in (path, path.with_suffix(".mat"), tmp_path, [path], [path, path.with_suffix(".mat")]):
        for series in (True, False):
            with galvo.open(name, series=series) as found:
                assert (found.metadata.format, found.shape) == ("scanbox", (7, 2, 1, 12, 10))
    second = truth.write(tmp_path, "ms1_000_002")
    with galvo.open([path, second]) as found:
        np.testing.assert_array_equal(found[...], np.concatenate([truth.signal()] * 2))
    assert [len(files) for _, files in galvo.formats.opening.recordings_in(str(tmp_path))[0]] == [2, 2]
    galvo.save(truth.signal(), tmp_path / "other.mat")
    with galvo.open(tmp_path / "other.mat") as found:
        assert found.metadata.format == "matlab"
    with pytest.raises(GalvoError):
        galvo.save(galvo.open(path), path.with_suffix(".mat"), overwrite=True)


def test_a_missing_mat(tmp_path):
    path = ScanboxRecording().write(tmp_path)
    path.with_suffix(".mat").unlink()
    with pytest.raises(NotFound, match=r"\.mat: a \.sbx file holds pixels and nothing else.*Put it beside"):
        galvo.open(path)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"sz": None}, "rows and columns; found nothing"),
        ({"sz": [12]}, "rows and columns"),
        ({"sz": [0, 10]}, "sz is no count"),
        ({"sz": [12.5, 10]}, "sz is no count"),
        ({"sz": [float("nan"), 10]}, "sz is no count"),
        ({"channels": None}, "which channels"),
        ({"channels": 4}, "which channels"),
        ({"chan": {"nchan": 0}}, "nchan is no count"),
    ],
    ids=str,
)
def test_a_mat_that_does_not_say_enough(tmp_path, more, words):
    with pytest.raises(Malformed, match=rf"\.mat: .*{words}"):
        galvo.open(ScanboxRecording(more=more).write(tmp_path))


def test_a_mat_of_something_else(tmp_path):
    path = ScanboxRecording().write(tmp_path)
    about = path.with_suffix(".mat")
    scipy.io.savemat(about, {"frames": np.eye(3)})
    with pytest.raises(Malformed, match="no struct 'info'; found frames 3x3 double"):
        galvo.open(path)
    scipy.io.savemat(about, {"info": np.eye(3)}, format="4")
    with pytest.raises(Unsupported, match="version 4"):
        galvo.open(path)
    about.write_text("frames")
    with pytest.raises(Unsupported, match="something else"):
        galvo.open(path)


def test_sizes_that_do_not_fit(tmp_path):
    truth = ScanboxRecording(frames=4)
    path = truth.write(tmp_path)
    path.write_bytes(truth.stored()[:-7])
    with pytest.raises(Truncated, match=r"found 3 frames and 473 bytes; expected multiples of 480 bytes: 12 rows"):
        galvo.open(path)
    with galvo.open(path, damaged="report") as found:
        assert "473 bytes" in found.damage[0].message
        np.testing.assert_array_equal(found[...], truth.signal()[:3])
    path.write_bytes(b"")
    with pytest.raises(Truncated, match="no frame"):
        galvo.open(path, format="scanbox", damaged="report")
    with pytest.raises(Truncated, match="max_idx announces"):
        galvo.open(ScanboxRecording(frames=4, more={"max_idx": 4}).write(tmp_path, "fewer"))
    with pytest.warns(GalvoWarning, match="announces 2"):
        galvo.open(ScanboxRecording(frames=4, more={"max_idx": 1}).write(tmp_path, "more")).close()
    with pytest.warns(GalvoWarning, match="12 rows, recordsPerBuffer and scanmode 24"):
        galvo.open(ScanboxRecording(more={"recordsPerBuffer": 24}).write(tmp_path, "rows")).close()
    with pytest.raises(Truncated, match="not one volume"):
        galvo.open(ScanboxRecording(frames=4, planes=5).write(tmp_path, "volumes"))
    with pytest.warns(GalvoWarning, match="several fields"):
        galvo.open(ScanboxRecording(more={"mesoscope": {"enabled": 1}}).write(tmp_path, "fields")).close()


@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
def test_mats_with_changed_bytes(tmp_path):
    """Errors of galvo's own or a recording; the pixels are those that the .sbx has for that shape."""
    path = ScanboxRecording(frames=4).write(tmp_path, deflated=False)
    about, rng = path.with_suffix(".mat"), np.random.default_rng(0)
    content = about.read_bytes()
    opened = 0
    for _ in range(250):
        changed = bytearray(content)
        changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
        about.write_bytes(changed[: int(rng.integers(len(changed)))] if rng.integers(4) == 0 else changed)
        try:
            with galvo.open(path) as found:
                assert found[0, 0, 0].shape == found.shape[3:]
                opened += 1
        except GalvoError:
            pass
    assert 20 < opened < 245
