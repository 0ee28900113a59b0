"""`galvo correct`, and what `info`, `verify` and `convert` make of the file of a motion."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import galvo
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

RIGID = ("--estimator", "rigid", "--no-report")

STRIKE = """
import signal
from galvo.motion import records
signal.signal(signal.SIGINT, signal.default_int_handler)
def strike(*given, **named):
    signal.raise_signal(signal.SIGINT)
records.frame_quality = strike
"""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"


@pytest.fixture
def two_photon(tmp_path, moving_movie):
    """A TIFF of 30 frames with two channels."""
    path = tmp_path / "raw.tif"
    galvo.save(moving_movie, path)
    return path


@pytest.fixture(scope="module")
def moving_movie():
    from galvo.testing.movie import TwoPhotonMovie

    return TwoPhotonMovie(frames=30, height=48, width=64, seed=3).read(0, 30)[:, :, np.newaxis]


def test_a_corrected_recording_and_its_motion(run, raw, out):
    result = run("correct", raw, "-o", out, "--estimator", "rigid", "--verify")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    labels = [line.split()[0] for line in result.stdout.splitlines()]
    assert labels == ["source", "motion", "quality", "wrote", "report"]
    assert out.with_name("out_report.html").is_file()
    assert "verified" in result.stdout
    with (
        galvo.open(raw) as source,
        galvo.open(out) as written,
        galvo.open_correction(out.with_name("out_motion.h5"), raw) as correction,
    ):
        assert written.shape == source.shape
        assert written.channel_names == source.channel_names
        assert np.array_equal(written.timestamps, source.timestamps)
        assert np.array_equal(written[...], correction.apply()[...])
        assert correction.params.estimator == "rigid"


def test_what_is_said_on_the_command_line(run, two_photon, tmp_path, out):
    params = tmp_path / "params.json"
    params.write_text('{"preset": "quality", "variational": {"alpha": [10, 10]}, "estimator": "variational"}')
    reference = tmp_path / "reference.tif"
    with galvo.open(two_photon) as source:
        galvo.save(source[:5].mean(axis=0, dtype=np.float32)[np.newaxis, 1:], reference)
    given = ("--params", params, "--preset", "fast", "--channel", "2", "--reference", reference, "--frames", "4:20")
    given += ("--update-reference", "8", "--no-report")
    result = run("correct", two_photon, "-o", out, *given, "--workers", 1, "--write-option", "compression=gzip")
    assert result.exit_code == 0, result.output
    correction = galvo.open_correction(out.with_name("out_motion.h5"))
    told = correction.params
    assert (told.preset, told.estimator, told.variational.alpha) == ("fast", "variational", (10, 10))
    assert correction.motion.shape == (16, 1, 48, 64)
    with galvo.open(reference) as image:
        assert correction.references.shape == (2, 1, 48, 64, 1)
        told = correction.motion.facts.provenance
        assert told["reference"]["crc32c"] == [galvo.native.crc32c(np.moveaxis(image[0], 0, -1).tobytes())]
    with galvo.open(out) as movie:
        assert movie.shape == (16, 2, 1, 48, 64)


def test_reference_by_frames_and_another_recording(run, two_photon, tmp_path):
    denoised = tmp_path / "denoised.h5"
    with galvo.open(two_photon) as source:
        galvo.save(source[...].astype(np.float32), denoised)
    out, kept = tmp_path / "out.tif", tmp_path / "kept.h5"
    given = ("--apply-to", two_photon, "--reference", "0:9", "--motion", kept, *RIGID)
    result = run("correct", denoised, "-o", out, *given)
    assert result.exit_code == 0, result.output
    with galvo.open(out) as movie, galvo.open(two_photon) as source, galvo.open_correction(kept, source) as correction:
        assert movie.dtype == source.dtype
        assert np.array_equal(movie[...], correction.apply()[...])
        assert correction.motion.facts.provenance["reference"] == {"frames": [0, 9, None], "slice": True}
    # the same motion again, and no movie
    alone = run("correct", denoised, "--reference", "0:9", "--motion", tmp_path / "again.h5", *RIGID)
    assert alone.exit_code == 0, alone.output
    assert "wrote" not in alone.stdout
    assert (tmp_path / "again.h5").read_bytes() == kept.read_bytes()


def test_volumes(run, volumes, out):
    result = run("correct", volumes, "-o", out, *RIGID)
    assert result.exit_code == 0, result.output
    assert "5 volumes of 3 planes" in result.stdout
    assert galvo.open_correction(out.with_name("out_motion.h5")).motion.shape[:2] == (5, 3)


def test_fields(run, tmp_path, out):
    rois = [
        RoiRequest(name=name, scanfields=(ScanfieldRequest(center_deg=(at, 1), size_deg=(4, 4), pixels=(24, 16)),))
        for name, at in (("left", -3), ("right", 5))
    ]
    path = ScanImageRecording.multi_roi(tuple(rois), zs=(0.0,), volumes=4).write(tmp_path / "raw")[0]
    refused = run("correct", path, "-o", out, *RIGID)
    assert refused.exit_code == 1
    assert "--fields split" in refused.stderr
    result = run("correct", path, "-o", out, "--fields", "split", *RIGID)
    assert result.exit_code == 0, result.output
    names = {name for name in os.listdir(tmp_path) if name.startswith("out")}
    assert names == {"out_field1.h5", "out_field1_motion.h5", "out_field2.h5", "out_field2_motion.h5"}
    assert run("correct", path, "-o", out, "--fields", "split", "--motion", "x.h5").exit_code == 2


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ((), 2, "nothing to write"),
        (("-o", "out.h5", "--channel", "7"), 1, "no such channel"),
        (("-o", "out.h5", "--reference", "50:60"), 1, "needs frames of the recording"),
        (("-o", "out.h5", "--reference", "absent.tif"), 1, "absent.tif"),
        (("-o", "out.h5", "--preset", "best"), 2, "best"),
        (("-o", "out.h5", "--params", "bad.json"), 1, "bad.json: parameters of motion: presett: extra inputs"),
        (("-o", "out.h5", "--params", "broken.json"), 1, "broken.json: parameters of motion: invalid JSON"),
        (
            (
                "-o",
                "out.xyz",
            ),
            1,
            "xyz",
        ),
        (
            (
                "-o",
                "absent/out.h5",
            ),
            1,
            "does not exist",
        ),
        (("-o", "out.h5", "--write-option", "sharpness=3"), 1, "sharpness"),
        (("-o", "out.h5", "--workers", "0"), 2, "workers"),
    ],
)
def test_wrong_use_is_told_in_a_line(run, raw, tmp_path, monkeypatch, given, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text('{"presett": "fast"}')
    (tmp_path / "broken.json").write_text("{")
    before = sorted(os.listdir(tmp_path))
    result = run("correct", raw, *given, *RIGID)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    if code == 1:
        assert len(result.stderr.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_stopped_and_resumed(spawn, run, raw, out):
    """Ctrl-C leaves nothing under the final names; afterwards --resume finishes both."""
    stopped = spawn("correct", raw, "-o", out, *RIGID, before=STRIKE)
    assert stopped.returncode == 130
    assert "interrupted" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not out.exists()
    assert not out.with_name("out_motion.h5").exists()
    result = run("correct", raw, "-o", out, "--resume", *RIGID)
    assert result.exit_code == 0, result.output
    again = run("correct", raw, "-o", out, *RIGID)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert run("correct", raw, "-o", out, "--overwrite", *RIGID).exit_code == 0


def test_info_and_verify_know_a_motion(run, raw, out):
    assert run("correct", raw, "-o", out, *RIGID, "--channel", "GCaMP").exit_code == 0
    kept = out.with_name("out_motion.h5")
    shown = run("info", kept)
    assert shown.exit_code == 0, shown.output
    for words in ("motion of a recording", "12, 16 x 24 pixels", "rigid", "GCaMP", raw.name, "correlation"):
        assert words in shown.stdout
    facts = json.loads(run("info", "--json", kept).stdout)
    assert facts["format"] == "motion"
    assert facts["frame_count"] == 12
    assert facts["params"]["estimator"] == "rigid"
    assert -1 <= facts["quality"]["correlation"]["min"] <= facts["quality"]["correlation"]["median"] <= 1
    intact = run("verify", kept)
    assert intact.exit_code == 0
    assert "all checksums match" in intact.stdout
    content = bytearray(kept.read_bytes())
    at = content.index(b'"schema_version"')
    content[at + 1] ^= 1
    kept.write_bytes(content)
    assert run("verify", kept).exit_code == 3
    assert run("convert", kept, "-o", out.with_name("x.tif")).exit_code == 1


def test_a_movie_for_each_channel(run, two_photon, out):
    result = run("correct", two_photon, "-o", out, *RIGID, "--split-channels", "--write-option", "layout=mov")
    assert result.exit_code == 0, result.output
    names = sorted(entry.name for entry in out.parent.iterdir())
    assert names == ["out_ch1.h5", "out_ch2.h5", "out_motion.h5", "raw.tif"]
    with galvo.open_correction(out.with_name("out_motion.h5"), two_photon) as correction:
        assert np.array_equal(galvo.load(out.with_name("out_ch1.h5"), squeeze=False), correction.apply()[...])
