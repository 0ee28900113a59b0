import json
import warnings

import numpy as np
import pytest

import galvo
from galvo.testing.scanimage import ScanImageRecording


def facts_of(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_table_says_what_the_recording_is(run, raw):
    result = run("info", raw)
    assert result.exit_code == 0, result.output
    for text in (
        "rec_00001_00001.tif",
        "scanimage 2021",
        "T 12 frames, C 2 channels, Z 1 plane, Y 16, X 24 pixels",
        "int16, 18.4 kB",
        "1 GCaMP, 2 tdTomato",
        "30 frames per second",
        "evenly spaced by 33.3 ms",
        "2025-04-24 16:43:57.206",
        "2 files",
        "rec_00001_00001.tif to rec_00001_00002.tif",
    ):
        assert text in result.stdout
    assert "left out" not in result.stdout
    assert "\x1b" not in result.output


def test_table_of_volumes_counts_what_is_left_out(run, volumes):
    text = run("info", volumes).stdout
    assert "T 5 volumes, C 1 channel, Z 3 planes" in text
    assert "volumes per second" in text
    assert "0 to 8 µm, steps of 4 µm" in text
    assert "flyback: 5 pages" in text


def test_json_has_the_facts_of_the_recording(run, raw):
    facts = facts_of(run("info", "--json", raw))
    with galvo.open(raw) as recording:
        assert facts["shape"] == list(recording.shape)
        assert facts["dims"] == "TCZYX"
        assert facts["dtype"] == "int16"
        assert facts["pixel_bytes"] == recording.nbytes
        assert facts["channel_names"] == ["GCaMP", "tdTomato"]
        assert facts["frame_rate_hz"] == recording.frame_rate_hz
        assert facts["pixel_size_um"] == list(recording.pixel_size_um)
        assert facts["field_size_um"] == pytest.approx(np.array(recording.pixel_size_um) * (16, 24))
        assert facts["files"] == [str(path) for path in recording.files]
        assert facts["timestamps"]["last_s"] == recording.timestamps[-1]
    assert facts["source"] == str(raw)
    assert facts["timestamps"]["evenly_spaced"] is True
    assert facts["duration_from"] == "timestamps"
    assert facts["duration_s"] == pytest.approx(12 / 30, rel=1e-3)
    assert facts["left_out"] == facts["damage"] == facts["warnings"] == facts["fields"] == []


def test_json_has_null_where_a_number_is_unknown(run, volumes):
    facts = facts_of(run("info", "--json", "--flyback", "keep", volumes))
    assert facts["z_um"] == [0, 4, 8, None]
    assert facts["left_out"] == []


def test_warnings_are_shown_once_and_listed(run, tmp_path):
    path = ScanImageRecording(height=16, width=24, frames=8, drop_pages=3).write(tmp_path)[0]
    result = run("info", path)
    assert result.stdout.count("5 frames are in the files, the header announces 8") == 1
    assert result.stderr == ""
    facts = facts_of(run("info", path, "--json"))
    assert len(facts["warnings"]) == 1


def test_other_warnings_are_left_alone(run, raw):
    before = warnings.showwarning
    run("info", raw)
    assert warnings.showwarning is before


def test_the_files_of_a_series_are_one_recording(run, raw):
    result = run("info", *sorted(raw.parent.iterdir()))
    assert result.stdout.count("scanimage") == 1


def test_json_of_several_sources_is_one_object_per_line(run, raw, volumes):
    lines = run("info", "--json", volumes, raw).stdout.splitlines()
    assert [json.loads(line)["source"] for line in lines] == [str(volumes), str(raw)]


def test_one_bad_source_does_not_hide_the_others(run, raw, tmp_path):
    result = run("info", tmp_path / "absent.tif", raw)
    assert result.exit_code == 1
    assert "GCaMP" in result.stdout
    assert result.stderr.startswith("galvo: error: ")
    assert "absent.tif" in result.stderr


def test_a_single_file_of_a_series(run, raw):
    facts = facts_of(run("info", "--json", "--no-series", raw))
    assert facts["shape"][0] == 6
    assert len(facts["files"]) == 1


def test_folders_and_patterns_are_sources(run, raw):
    for source in (raw.parent, raw.parent / "rec_*.tif"):
        assert facts_of(run("info", "--json", source))["shape"][0] == 12


def test_long_recordings_are_checked_at_their_ends(run, tmp_path):
    path = ScanImageRecording(height=4, width=8, frames=2100).write(tmp_path)[0]
    assert "(first and last 1,000 of 2,100 checked)" in run("info", path).stdout
    times = facts_of(run("info", "--json", path))["timestamps"]
    assert times["checked_count"] == 2000
    assert times["evenly_spaced"] is True


def test_uneven_times_are_said(run, tmp_path):
    path = ScanImageRecording(height=4, width=8, frames=4, acquisitions=2).write(tmp_path)[0]
    assert "uneven" in run("info", path).stdout
    assert facts_of(run("info", "--json", path))["timestamps"]["evenly_spaced"] is False


def test_frame_table_is_text_for_other_programs(run, raw):
    result = run("info", "--frame-table", raw)
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(lines) == 1 + 24
    assert {"t", "c", "z", "file", "page", "timestamp_s"} <= set(lines[0])
    assert {len(line) for line in lines} == {len(lines[0])}


def test_control_characters_never_reach_the_terminal(run, tmp_path):
    recording = ScanImageRecording(height=16, width=24, frames=2, channel_names=("\x1b[31mred",))
    assert "\x1b" not in run("info", recording.write(tmp_path)[0]).output


def test_an_option_of_another_format_is_an_error_that_names_it(run, raw):
    result = run("info", "--allow-external", raw)
    assert result.exit_code == 1
    assert "allow_external" in result.stderr
    assert result.stderr.count("\n") == 1


def test_any_option_of_the_format_can_be_given(run, raw):
    assert run("info", "--open-option", "walk=true", raw).exit_code == 0
    assert run("info", "--open-option", "walk", raw).exit_code == 2
    assert "wlak" in run("info", "--open-option", "wlak=1", raw).stderr


def test_an_interrupted_stack_opens_as_its_error_says(run, tmp_path):
    truth = ScanImageRecording(slices=5, volumes=1, stack_mode="slow", channels=(1, 2), drop_pages=4)
    (path,) = truth.write(tmp_path)
    for verb in (("info",), ("convert", "-o", tmp_path / "out.h5")):
        refused = run(*verb, path)
        assert refused.exit_code == 1
        assert "--open-option interrupted=slices" in refused.stderr
        assert run(*verb, path, "--open-option", "interrupted=slices").exit_code == 0
    with galvo.open(tmp_path / "out.h5") as copy:
        np.testing.assert_array_equal(copy[0].swapaxes(0, 1).reshape(6, 32, 24), truth.expected_pages(0, 6))
