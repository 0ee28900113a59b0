"""Which files are one recording, and what becomes of gaps, strangers and damage among them."""

from __future__ import annotations

import os
import shutil
import warnings

import numpy as np
import pytest

import galvo
from galvo.errors import FormatError, GalvoError, GalvoWarning, Malformed, Truncated
from galvo.testing.scanimage import ScanImageRecording

LATER = (2025, 4, 24, 17, 1, 2.5)


def names(rec: galvo.Recording) -> list[str]:
    return [path.name for path in rec.files]


@pytest.mark.parametrize("gone", [[1], [2], [1, 2], [0], [0, 1]])
def test_a_gap_is_named_and_volumes_are_not_mixed(tmp_path, gone, open_warned):
    """Files of 5 frames in volumes of 4 frames: after a gap the phase is another one."""
    truth = ScanImageRecording(slices=3, flyback=1, volumes=10, frames_per_file=5, channels=(1, 2))
    paths = truth.write(tmp_path)
    for number in gone:
        paths[number].unlink()
    whole = truth.expected()
    frames = [frame for frame in range(40) if frame // 5 not in gone]
    kept = [volume for volume in range(10) if all(volume * 4 + frame in frames for frame in range(4))]
    missing = "missing: " + ", ".join(paths[number].name for number in gone) + "$"
    with open_warned(paths[-1], missing, "make no whole volume", f": {len(kept)} volumes .* announces 10") as rec:
        np.testing.assert_array_equal(rec[...], whole[kept])
        np.testing.assert_array_equal(rec.timestamps, truth.expected_timestamps()[kept])
        leftover = sum(entry.page_count for entry in rec.left_out if entry.what == "incomplete volume")
        assert leftover == (len(frames) - 4 * len(kept)) * 2


def test_a_gap_between_planar_files(tmp_path, open_warned):
    truth = ScanImageRecording(frames=20, frames_per_file=4, channels=(1, 2))
    paths = truth.write(tmp_path)
    paths[2].unlink()
    with open_warned(paths[0], "missing: rec_00001_00003.tif$", "16 frames .* announces 20") as rec:
        np.testing.assert_array_equal(rec[...], np.delete(truth.expected(), range(8, 12), axis=0))


def test_a_gap_of_a_whole_acquisition(tmp_path, open_warned):
    truth = ScanImageRecording(frames=4, acquisitions=4)
    paths = truth.write(tmp_path)
    paths[1].unlink()
    with open_warned(paths[0], "missing: rec_00002.tif$", "12 frames .* announces 16") as rec:
        np.testing.assert_array_equal(rec[...], np.delete(truth.expected(), range(4, 8), axis=0))


def test_a_gap_of_a_whole_acquisition_in_parts(tmp_path, open_warned):
    truth = ScanImageRecording(frames=4, acquisitions=4, frames_per_file=3, channels=(1, 2))
    paths = truth.write(tmp_path)
    for path in (paths[2], paths[3], paths[6]):
        path.unlink()
    missing = "missing: rec_00002_00001.tif, rec_00004_00001.tif$"
    with open_warned(paths[0], missing, "9 frames .* announces 16") as rec:
        np.testing.assert_array_equal(rec[...], np.delete(truth.expected(), [4, 5, 6, 7, 12, 13, 14], axis=0))


def test_an_acquisition_of_a_slow_loop_that_was_cut_short(tmp_path):
    """The next acquisition begins a volume, whatever the frame numbers say."""
    settings = {"slices": 3, "volumes": 2, "stack_mode": "slow", "acquisitions": 2}
    truth = ScanImageRecording(**settings)
    short = ScanImageRecording(**settings | {"acquisitions": 1, "drop_pages": 2}).write(tmp_path / "short")
    paths = truth.write(tmp_path)
    shutil.copy(short[0], paths[0])
    # the counter goes on where the short one stopped
    blob = paths[1].read_bytes()
    assert blob.count(b"frameNumbers = 7\n") == 1
    paths[1].write_bytes(blob.replace(b"frameNumbers = 7\n", b"frameNumbers = 5\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GalvoWarning)
        rec = galvo.open(paths[0], series=False)
        assert rec.shape[0] == 1
        rec.close()
        rec = galvo.open(paths)
    with rec:
        np.testing.assert_array_equal(rec[...], truth.expected()[[0, 2, 3]])


def test_two_grabs_are_never_merged(tmp_path):
    first, second = ScanImageRecording(frames=5), ScanImageRecording(frames=7, epoch=LATER)
    (one,) = first.write(tmp_path)
    (path,) = second.write(tmp_path / "other")
    two = shutil.copy(path, tmp_path / "rec_00002.tif")
    for path, truth in ((one, first), (two, second)):
        with galvo.open(path) as rec:
            assert len(rec.files) == 1
            np.testing.assert_array_equal(rec[...], truth.expected())
    with pytest.raises(GalvoError, match="2 recordings"):
        galvo.open(tmp_path)


@pytest.mark.parametrize("stack", [{"frames": 6}, {"slices": 3, "volumes": 2, "stack_mode": "slow"}])
@pytest.mark.parametrize("json_header", [False, True])
def test_two_loops_of_one_name_are_never_merged(tmp_path, stack, json_header):
    first = ScanImageRecording(**stack, acquisitions=2, json_header=json_header)
    second = ScanImageRecording(**stack, acquisitions=4, json_header=json_header, epoch=LATER)
    ours, theirs = first.write(tmp_path), second.write(tmp_path / "other")
    for path in theirs[2:]:
        shutil.copy(path, tmp_path)
    with galvo.open(ours[1]) as rec:
        assert names(rec) == ["rec_00001.tif", "rec_00002.tif"]
        np.testing.assert_array_equal(rec[...], first.expected())
    with pytest.warns(GalvoWarning), galvo.open(tmp_path / "rec_00004.tif") as rec:
        assert names(rec) == ["rec_00003.tif", "rec_00004.tif"]


def test_leftover_parts_of_an_older_grab_are_strangers(tmp_path):
    old = ScanImageRecording(frames=12, frames_per_file=3, epoch=LATER).write(tmp_path / "old")
    truth = ScanImageRecording(frames=6, frames_per_file=3)
    paths = truth.write(tmp_path)
    for path in old[2:]:
        shutil.copy(path, tmp_path)
    with galvo.open(paths[0]) as rec:
        assert names(rec) == ["rec_00001_00001.tif", "rec_00001_00002.tif"]
        np.testing.assert_array_equal(rec[...], truth.expected())


def test_names_that_look_alike_are_strangers(tmp_path):
    truth = ScanImageRecording(frames=6, frames_per_file=3)
    paths = truth.write(tmp_path)
    shutil.copy(paths[0], tmp_path / "rec_00001_00001_copy.tif")
    shutil.copy(paths[0], tmp_path / "record_00001_00001.tif")
    shutil.copy(paths[0], tmp_path / "rec_00001.tif")
    (tmp_path / "rec_00001_00003.txt").write_text("notes")
    with galvo.open(paths[1]) as rec:
        assert names(rec) == ["rec_00001_00001.tif", "rec_00001_00002.tif"]


def test_numbers_sort_as_numbers(tmp_path, open_warned):
    truth = ScanImageRecording(frames=12, frames_per_file=1)
    for number, path in enumerate(truth.write(tmp_path), 1):
        path.rename(tmp_path / f"r_098_{number + 995:03d}.tif")
    with open_warned(tmp_path / "r_098_1000.tif", "missing") as rec:
        np.testing.assert_array_equal(rec[...], truth.expected())


def test_a_damaged_member_is_an_error_and_not_left_out(tmp_path):
    truth = ScanImageRecording(frames=9, frames_per_file=3)
    paths = truth.write(tmp_path)
    blob = paths[1].read_bytes()
    paths[1].write_bytes(blob[: len(blob) - 100])
    with pytest.raises(Truncated) as caught:
        galvo.open(paths[0])
    assert caught.value.path == str(paths[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GalvoWarning)
        rec = galvo.open(paths[0], damaged="report")
    with rec:
        assert [os.path.basename(entry.path) for entry in rec.damage] == [paths[1].name]
        np.testing.assert_array_equal(rec[...], np.delete(truth.expected(), 5, axis=0))
    paths[1].write_bytes(blob[:20])
    with pytest.raises(FormatError) as caught:
        galvo.open(paths[0])
    assert caught.value.path == str(paths[1])


def test_damage_inside_a_volume_does_not_shift_the_next_file(tmp_path):
    truth = ScanImageRecording(slices=3, volumes=8, frames_per_file=8, channels=(1, 2))
    paths = truth.write(tmp_path)
    blob = paths[1].read_bytes()
    paths[1].write_bytes(blob[: len(blob) - 100])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GalvoWarning)
        rec = galvo.open(paths[0], damaged="report")
    with rec:
        # frames 8 to 15 without the last page: volume 5 (frames 15 to 17) is not whole
        np.testing.assert_array_equal(rec[...], np.delete(truth.expected(), 5, axis=0))


def test_files_that_differ_are_refused(tmp_path):
    one = ScanImageRecording(frames=6, frames_per_file=3).write(tmp_path)
    two = ScanImageRecording(frames=6, frames_per_file=3, width=30).write(tmp_path / "other")
    shutil.copy(two[1], one[1])
    with pytest.raises(Malformed, match="differ") as caught:
        galvo.open(one[0])
    assert caught.value.path == str(one[1])


def test_one_channel_of_a_series_with_a_file_per_channel(tmp_path, open_warned):
    truth = ScanImageRecording(frames=5, channels=(1, 4), file_per_channel=True, frames_per_file=2)
    paths = truth.write(tmp_path)
    fours = [path for path in paths if path.stem.endswith("chn4")]
    with open_warned(fours, "Channel 1 are missing") as rec:
        assert rec.channel_names == ("Channel 4",)
        np.testing.assert_array_equal(rec[...], truth.expected()[:, 1:])
    (path,) = ScanImageRecording(frames=5, channels=(1, 4), file_per_channel=True).write(tmp_path / "b")[1:]
    with galvo.open(path, series=False) as rec:
        assert rec.channel_names == ("Channel 4",)
        np.testing.assert_array_equal(rec[...], truth.expected()[:, 1:])


def test_channels_with_other_files_are_refused(tmp_path):
    truth = ScanImageRecording(frames=8, channels=(1, 2), file_per_channel=True, frames_per_file=2)
    truth.write(tmp_path)
    (tmp_path / "rec_00001_00002_chn1.tif").unlink()
    with pytest.raises(Malformed, match="files of a channel are missing"):
        galvo.open(tmp_path / "rec_00001_00001_chn1.tif")
    (tmp_path / "rec_00001_00003_chn2.tif").unlink()
    with pytest.raises(Malformed, match="files of a channel are missing"):
        galvo.open(tmp_path / "rec_00001_00001_chn1.tif")


def test_a_list_is_taken_in_its_order(tmp_path):
    truth = ScanImageRecording(frames=6, frames_per_file=3)
    paths = truth.write(tmp_path)
    with galvo.open(paths[::-1]) as rec:
        np.testing.assert_array_equal(rec[...], truth.expected()[[3, 4, 5, 0, 1, 2]])


@pytest.mark.parametrize(
    ("numbers", "warned"),
    [
        ([1, 2, 9], "missing: rec_00001_00003.tif, .*_00007.tif and 1 more$"),
        # dates, not counters: named in no time and no memory
        ([20250423, 20250424], "missing: rec_00001_00001.tif, .*, rec_00001_00005.tif and 20250417 more$"),
    ],
)
def test_long_gaps_are_named_by_their_beginning(tmp_path, open_warned, numbers, warned):
    truth = ScanImageRecording(frames=3, frames_per_file=1)
    for number, path in zip(numbers, truth.write(tmp_path / "made"), strict=False):
        path.rename(tmp_path / f"rec_00001_{number:05d}.tif")
    patterns = [warned] if len(numbers) == 3 else [warned, "announces 3"]
    with open_warned(tmp_path / f"rec_00001_{numbers[0]:05d}.tif", *patterns) as rec:
        np.testing.assert_array_equal(rec[...], truth.expected()[: len(numbers)])


def test_one_file_alone_misses_none_of_those_beside_it(tmp_path, open_warned):
    truth = ScanImageRecording(frames=6, frames_per_file=2)
    paths = truth.write(tmp_path)
    with open_warned(paths[2], "2 frames .* announces 6", series=False) as rec:
        np.testing.assert_array_equal(rec[...], truth.expected()[4:])
    paths[0].unlink()
    with open_warned(paths[2], "missing: rec_00001_00001.tif", "announces 6") as rec:
        assert names(rec) == ["rec_00001_00002.tif", "rec_00001_00003.tif"]


def test_suffixes_in_any_case_are_one_series(tmp_path):
    truth = ScanImageRecording(frames=6, frames_per_file=2)
    paths = truth.write(tmp_path)
    others = [paths[0], paths[1].rename(paths[1].with_suffix(".TIF")), paths[2].rename(paths[2].with_suffix(".Tif"))]
    for path in (*others, tmp_path):
        with galvo.open(path) as rec:
            assert len(rec.files) == 3
            np.testing.assert_array_equal(rec[...], truth.expected())


@pytest.mark.parametrize("version", ["3.8", "4.2", "5.1"])
def test_strangers_among_files_of_old_versions(tmp_path, version):
    """3.x and 5.x state when they started; 4.x parts share the acquisition number of their names."""
    settings = {"version": version, "frames_per_file": 2}
    truth = ScanImageRecording(frames=6, **settings)
    paths = truth.write(tmp_path)
    other = ScanImageRecording(frames=8, epoch=LATER, **settings).write(tmp_path / "other")
    if version == "4.2":
        shutil.copy(other[3], tmp_path / "rec_00002_00001.tif")
    else:
        shutil.copy(other[3], tmp_path)
    for path in paths:
        with galvo.open(path) as rec:
            assert [str(one) for one in rec.files] == [str(one) for one in paths]
            np.testing.assert_array_equal(rec[...], truth.expected())


def test_five_hundred_files_cost_five_hundred_beginnings(tmp_path, read_sizes):
    """Opening reads headers and samples of pages, a constant number a file."""
    truth = ScanImageRecording(height=64, width=64, frames=5000, frames_per_file=10)
    paths = truth.write(tmp_path)
    assert len(paths) == 500
    with galvo.open(paths[250]) as rec:
        assert len(rec.files) == 500
        assert len(read_sizes) < 40 * 500
        assert sum(read_sizes) < 16_384 * 500
        np.testing.assert_array_equal(rec[4321], truth.expected_pages(4321, 4322)[:, None])
        np.testing.assert_array_equal(rec.timestamps, truth.expected_timestamps())


@pytest.mark.parametrize("suffix", [".tif", ".TIF"])
def test_a_copy_under_another_spelling_is_no_further_file(tmp_path, suffix):
    truth = ScanImageRecording(frames=6, frames_per_file=4)
    for path in truth.write(tmp_path):
        copy = path.with_suffix(".TIF")
        if copy.exists():
            pytest.skip("names that differ in their case only are one file here")
        copy.write_bytes(path.read_bytes())
    with galvo.open(tmp_path / f"rec_00001_00001{suffix}") as rec:
        assert [path.name for path in rec.files] == [f"rec_00001_0000{part}{suffix}" for part in (1, 2)]
        np.testing.assert_array_equal(rec[...], truth.expected())
