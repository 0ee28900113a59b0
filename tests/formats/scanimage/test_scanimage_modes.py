"""Every mode that the generator writes, against its closed form: pixels, times, depths, rates, what is left out."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import galvo
from galvo.errors import Malformed, OptionError, Unsupported
from galvo.testing.scanimage import ScanImageRecording

MODES = {
    "planar": {"frames": 7},
    "one frame": {"frames": 1},
    "two channels": {"frames": 5, "channels": (1, 2)},
    "four channels": {"frames": 5, "channels": (1, 2, 3, 4)},
    "channels 1 and 4, column": {"frames": 5, "channels": (1, 4), "channel_save_form": "column"},
    "channel 3, scalar": {"channels": (3,), "channel_save_form": "scalar"},
    "named channels": {"channels": (1, 2), "channel_names": ("it's green", "red; or [not]")},
    "averaged": {"frames": 6, "log_average_factor": 4},
    "averaged, two channels, in files": {
        "frames": 7, "log_average_factor": 3, "channels": (1, 2), "frames_per_file": 2,
    },
    "fast": {"slices": 3, "volumes": 4},
    "fast with flyback": {"slices": 9, "flyback": 7, "volumes": 3, "channels": (1, 2)},
    "fast, averaged": {"slices": 3, "repeats": 2, "flyback": 4, "log_average_factor": 2, "volumes": 3},
    "fast, repeats": {"slices": 3, "repeats": 4, "flyback": 2, "volumes": 3, "channels": (1, 2)},
    "fast, repeats, averaged": {"slices": 3, "repeats": 4, "flyback": 2, "log_average_factor": 2, "volumes": 3},
    "fast, repeats, in files": {"slices": 3, "repeats": 2, "flyback": 1, "volumes": 5, "frames_per_file": 4},
    "arbitrary": {"zs": (30.0, 10.5, 50.0), "volumes": 2},
    "arbitrary, stale": {"zs": (30.0, 10.5, 50.0), "volumes": 2, "stale_header": True, "flyback": 1},
    "stale planar": {"frames": 6, "stale_header": True},
    "slow": {"slices": 4, "volumes": 1, "stack_mode": "slow"},
    "slow, volumes": {"slices": 3, "volumes": 4, "stack_mode": "slow", "channels": (1, 2)},
    "slow, repeats": {"slices": 2, "repeats": 2, "volumes": 3, "channels": (1, 4), "stack_mode": "slow"},
    "slow, in files": {"slices": 3, "volumes": 4, "stack_mode": "slow", "frames_per_file": 5, "channels": (1, 2)},
    "slow, loop": {"slices": 2, "volumes": 2, "stack_mode": "slow", "acquisitions": 3},
    "files split volumes": {"slices": 3, "flyback": 1, "volumes": 4, "frames_per_file": 5, "channels": (1, 2)},
    "a file per frame": {"frames": 5, "frames_per_file": 1, "channels": (1, 2)},
    "loop": {"frames": 4, "acquisitions": 3},
    "loop in files": {"frames": 5, "acquisitions": 2, "frames_per_file": 2, "channels": (1, 2)},
    "loop of volumes": {"slices": 3, "flyback": 2, "volumes": 2, "acquisitions": 3},
    "loop of volumes in files": {"slices": 3, "flyback": 2, "volumes": 2, "acquisitions": 3, "frames_per_file": 4},
    "file per channel": {"frames": 5, "channels": (1, 2), "file_per_channel": True},
    "file per channel, in files": {"frames": 5, "channels": (1, 4), "file_per_channel": True, "frames_per_file": 3},
    "file per channel, volumes": {
        "slices": 3, "flyback": 1, "volumes": 4, "channels": (1, 2, 3), "file_per_channel": True, "frames_per_file": 5,
    },
    "file per channel, loop": {"frames": 3, "acquisitions": 2, "channels": (2, 3), "file_per_channel": True},
    "JSON": {"frames": 3, "json_header": True, "channels": (1, 2), "i2c": {1: [(0.25, b"\x01\xff")]}},
    "JSON in files": {"frames": 7, "json_header": True, "frames_per_file": 3},
    "JSON volumes": {"slices": 3, "flyback": 2, "volumes": 3, "json_header": True, "frames_per_file": 4},
    "one slice, repeats": {"slices": 1, "repeats": 4, "volumes": 3, "channels": (1, 2)},
    "one slice, averaged": {"slices": 1, "repeats": 3, "volumes": 4, "log_average_factor": 2},
    "one slice, slow": {"repeats": 4, "volumes": 3, "stack_mode": "slow"},
    "one slice, flyback": {"slices": 1, "flyback": 2, "volumes": 3, "channels": (1, 2)},
    "one slice, version 3": {"version": "2018b", "slices": 1, "repeats": 4, "volumes": 3},
    "epoch with commas": {"frames": 4, "block_style": "commas", "acquisitions": 2},
    "empty values": {"frames": 4, "block_style": "empty", "channels": (1, 2)},
    "names with underscores": {"frames": 4, "block_style": "underscores", "aux_triggers": {1: {2: [0.5]}}},
    "next file": {"frames": 6, "frames_per_file": 2, "next_file_markers": {2: 0.0625, 4: 0.125}},
    "triggers in flyback": {
        "slices": 2, "flyback": 2, "volumes": 3, "channels": (1, 2), "frames_per_file": 3,
        "aux_triggers": {0: {0: [0.0]}, 3: {1: [0.1]}, 5: {0: [0.2], 3: [0.25]}, 10: {2: [0.3]}},
        "i2c": {7: [(0.21, b"\x00")], 8: [(0.22, b"")]},
    },
    "triggers in repeats": {
        "slices": 2, "repeats": 2, "flyback": 1, "volumes": 3,
        "aux_triggers": {0: {0: [0.1]}, 1: {0: [0.2]}, 3: {1: [0.3]}, 4: {0: [0.4]}, 7: {0: [0.5]}, 14: {2: [0.6]}},
    },
    "version 5, planar": {"version": "5.1", "frames": 5, "channels": (1, 3)},
    "version 5, fast": {"version": "5.2", "slices": 3, "flyback": 2, "volumes": 3, "channels": (1, 2), "strips": 4},
    "version 5, slow": {"version": "2015", "slices": 3, "volumes": 1, "stack_mode": "slow", "big_tiff": True},
    "version 5, repeats": {"version": "5.1", "slices": 3, "repeats": 2, "volumes": 1, "stack_mode": "slow"},
    "version 5, averaged": {"version": "5.1", "frames": 6, "log_average_factor": 4, "channels": (1, 2)},
    "version 5, in files": {
        "version": "5.1", "slices": 3, "flyback": 1, "volumes": 4, "frames_per_file": 5, "channels": (1, 2),
    },
    "version 5, loop": {"version": "2016a", "frames": 3, "acquisitions": 2, "frames_per_file": 2},
    "version 5, SI5": {"version": "5.0", "header_prefix": "SI5.", "channels": (1, 2), "slices": 2, "volumes": 2},
    "version 5, SI": {"version": "5.0", "header_prefix": "SI.", "channels": (1, 2)},
    "version 5, triggers": {
        "version": "5.2", "frames": 4, "aux_triggers": {2: {0: [0.1, 0.2]}}, "i2c": {3: [(1.5, b"\xff\x00")]},
    },
    "version 4, planar": {"version": "4.2", "frames": 5, "channels": (1, 2), "channel_save_form": "column"},
    "version 4, averaged": {"version": "4.2", "frames": 5, "log_average_factor": 2},
    "version 4, fast": {"version": "4.2", "slices": 3, "flyback": 2, "volumes": 3, "channels": (1, 4)},
    "version 4, slow": {"version": "4.2", "slices": 3, "repeats": 4, "log_average_factor": 2, "volumes": 1,
        "stack_mode": "slow", "channels": (1, 2)},
    "version 4, in files": {"version": "4.2", "slices": 3, "volumes": 4, "frames_per_file": 5},
    "version 4, SI4": {"version": "4.2", "header_prefix": "SI4.", "channels": (2,), "block_style": "underscores"},
    "version 4, SI5": {"version": "4.2", "header_prefix": "scanimage.SI5.", "slices": 2, "volumes": 2},
    "version 3.8, planar": {"version": "3.8", "frames": 5, "channels": (1, 3)},
    "version 3.8, trailing": {"version": "3.8", "frames": 5, "trailing_bytes": 1000},
    "version 3.8, averaged": {"version": "3.8", "frames": 5, "log_average_factor": 3, "channels": (1, 2)},
    "version 3.8, in files": {"version": "3.8", "frames": 5, "frames_per_file": 2, "channels": (1, 2)},
    "version 3.8, stack": {"version": "3.8", "slices": 4, "volumes": 1, "stack_mode": "slow", "channels": (1, 2)},
    "version 3.8, frames": {"version": "3.8", "slices": 3, "repeats": 2, "volumes": 1, "stack_mode": "slow",
        "channels": (1, 2, 4), "frames_per_file": 4},
    "version 3.8, averaged stack": {"version": "3.8", "slices": 3, "repeats": 6, "log_average_factor": 3, "volumes": 1,
        "stack_mode": "slow"},
    "saved again": {"saved_again": True, "frames": 5, "channels": (1, 2), "strips": 4, "trailing_bytes": 333},
    "saved again, volumes": {"saved_again": True, "slices": 3, "flyback": 2, "volumes": 3, "frames_per_file": 4},
    "saved again, JSON": {"saved_again": True, "json_header": True, "frames": 4, "trailing_bytes": 5},
    "saved again, version 5": {"saved_again": True, "version": "5.1", "slices": 2, "volumes": 2},
    "triggers": {"frames": 5, "aux_triggers": {2: {0: [0.1, 0.2], 3: [0.3]}}, "i2c": {1: [(0.25, b"\x01\xff")]}},
    "strips": {"frames": 3, "strips": 5, "height": 33},
    "strips, volumes": {"slices": 2, "volumes": 3, "strips": 4, "channels": (1, 2)},
    "version 3, planar": {"version": "2016b", "frames": 6, "channels": (1, 2)},
    "version 3, fast": {"version": "2018b", "slices": 3, "flyback": 2, "volumes": 2},
    "version 3, slow": {"version": "2016b", "slices": 3, "volumes": 2, "stack_mode": "slow"},
    "version 3, slow, repeats": {"version": "2016b", "slices": 3, "repeats": 2, "volumes": 2, "stack_mode": "slow"},
    "version 3, repeats": {"version": "2019a", "slices": 3, "repeats": 2, "flyback": 2, "volumes": 2},
    "version 3, stale": {"version": "2017b", "slices": 3, "flyback": 2, "volumes": 2, "stale_header": True},
    "2019b": {"version": "2019b"},
    "2020": {"version": "2020", "channels": (1, 2), "channel_save_form": "column"},
    "2023": {"version": "2023", "frame_rate_hz": 29.97002997},
    "galvo": {"scanner_type": "galvo", "slices": 2, "flyback": 1, "volumes": 3, "frame_rate_hz": 3.1},
    "one direction": {"bidirectional": False, "zoom": 2.5, "fov_deg": (18.0, 9.0)},
    "odd sizes": {"height": 37, "width": 53, "frames": 3},
    **{kind: {"dtype": kind, "frames": 4} for kind in ("int8", "uint8", "uint16", "int32", "uint32")},
}  # fmt: skip


@pytest.mark.parametrize("walk", [False, True], ids=["predicted", "walked"])
@pytest.mark.parametrize("mode", MODES)
def test_a_mode(tmp_path, mode, walk, open_warned, check_recording):
    truth = ScanImageRecording(**MODES[mode])
    paths = truth.write(tmp_path)
    if truth.logged_repeats == 1:
        # any file of a series opens all of it, without a warning
        with galvo.open(paths[len(paths) // 2], walk=walk) as rec:
            assert [str(path) for path in rec.files] == sorted(map(str, paths)) or truth.file_per_channel
            assert len(rec.files) == len(paths)
            check_recording(rec, truth)
        return
    with pytest.raises(OptionError, match="slice_repeats"):
        galvo.open(paths[0], walk=walk)
    for repeat in (*range(truth.logged_repeats), "mean"):
        with galvo.open(paths[-1], walk=walk, slice_repeats=repeat) as rec:
            check_recording(rec, truth, repeat)
    with open_warned(paths[-1], "uneven", walk=walk, slice_repeats="interleave") as rec:
        check_recording(rec, truth, "interleave")


@pytest.mark.parametrize("mode", [mode for mode in MODES if MODES[mode].get("frames_per_file")])
def test_parts_of_a_series_in_files(tmp_path, mode):
    truth = ScanImageRecording(**MODES[mode])
    paths = truth.write(tmp_path)
    options = {"slice_repeats": 1} if truth.logged_repeats > 1 else {}
    expected = truth.expected(slice_repeats=options.get("slice_repeats"))
    with galvo.open(paths[0], **options) as rec:
        for key in (
            (slice(None, None, -1), slice(None), slice(None), slice(3, 9), slice(2, 5)),
            (slice(1, None, 2), slice(None, None, -1), slice(None, None, -1), slice(20, None, -3)),
            ([-1, 0, -1],),
            (0, 0, 0),
        ):
            np.testing.assert_array_equal(rec[key], expected[key])
        lazy = rec.isel(t=slice(1, None))
        times = truth.expected_timestamps(slice_repeats=options.get("slice_repeats"))
        np.testing.assert_array_equal(lazy.timestamps, None if times is None else times[1:])


@pytest.mark.parametrize(
    "mode",
    [
        "fast with flyback",
        "arbitrary, stale",
        "files split volumes",
        "galvo",
        "version 3, fast",
        "loop of volumes",
        "file per channel, volumes",
        "fast, averaged",
    ],
)
def test_flyback_is_kept_on_demand(tmp_path, mode):
    truth = ScanImageRecording(**MODES[mode])
    paths = truth.write(tmp_path)
    with galvo.open(paths[0], flyback="keep") as rec:
        expected = truth.expected(flyback="keep")
        assert rec.shape == expected.shape
        np.testing.assert_array_equal(rec[...], expected)
        np.testing.assert_array_equal(rec.z_um, truth.expected_z_um(flyback="keep"))
        assert np.isnan(rec.z_um).sum() == truth.flyback // truth.log_average_factor
        assert rec.left_out == ()
        numbers = truth.expected_frame_numbers(flyback="keep")
        found = rec.frame_table()["frame_number"].reshape(rec.shape[:3])
        np.testing.assert_array_equal(found, np.broadcast_to(numbers[:, None], rec.shape[:3]))
    with galvo.open(paths[0]) as rec:
        (left,) = rec.left_out
        assert left.what == "flyback"
        assert left.page_count == math.prod(rec.shape[:2]) * truth.flyback // truth.log_average_factor


def test_flyback_cannot_be_kept_beside_repeats(tmp_path):
    paths = ScanImageRecording(**MODES["fast, repeats"]).write(tmp_path)
    with pytest.raises(OptionError, match="repeats"):
        galvo.open(paths[0], flyback="keep", slice_repeats=0)
    with pytest.raises(OptionError, match="flyback"):
        galvo.open(paths[0], flyback="yes", slice_repeats=0)


@pytest.mark.parametrize("wrong", [4, -1, True, "first", 1.5])
def test_a_repeat_that_is_not_there_is_refused(tmp_path, wrong):
    paths = ScanImageRecording(**MODES["fast, repeats"]).write(tmp_path)
    with pytest.raises(OptionError, match='0 to 3, "interleave" or "mean"'):
        galvo.open(paths[0], slice_repeats=wrong)


@pytest.mark.parametrize(
    ("mode", "drop", "left"),
    [
        ({"frames": 5, "channels": (1, 2)}, 1, 1),
        ({"slices": 3, "volumes": 3, "channels": (1, 2)}, 1, 5),
        ({"slices": 3, "volumes": 3, "channels": (1, 2)}, 3, 3),
        ({"slices": 3, "flyback": 2, "volumes": 3}, 1, 4),
        ({"slices": 3, "volumes": 3, "stack_mode": "slow"}, 2, 1),
        ({"slices": 3, "flyback": 1, "volumes": 4, "frames_per_file": 5}, 2, 2),
        ({"frames": 4, "channels": (1, 2, 3), "file_per_channel": True}, 1, 2),
        ({"frames": 4, "channels": (1, 2, 3), "file_per_channel": True}, 2, 1),
        ({"slices": 3, "volumes": 2, "channels": (1, 2, 3), "file_per_channel": True}, 1, 8),
    ],
)
def test_an_incomplete_end_is_left_out_and_counted(tmp_path, mode, drop, left, open_warned, check_recording):
    truth = ScanImageRecording(**mode, drop_pages=drop)
    paths = truth.write(tmp_path)
    whole = (truth.volumes if truth.is_stack else truth.frames) - 1
    announced = rf": {whole} (volumes|frames) are .* announces {whole + 1}"
    # without a stack the header announces frames by framesPerSlice
    with open_warned(paths[0], f": {left} pages make no whole", announced) as rec:
        check_recording(rec, truth)
        counted = {entry.what: entry.page_count for entry in rec.left_out}
        assert counted["incomplete volume" if truth.is_stack else "incomplete frame"] == left


def test_more_than_announced_is_shown(tmp_path, check_recording):
    truth = ScanImageRecording(slices=3, volumes=3, extra_pages=3)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_recording(rec, truth)
        assert len(rec) == 4


def test_not_one_whole_volume_is_an_error(tmp_path):
    (path,) = ScanImageRecording(slices=5, volumes=1, drop_pages=2).write(tmp_path)
    with pytest.raises(Malformed, match="not one whole volume") as caught:
        galvo.open(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("repeats", "drop_pages", "slices", "frames"),
    [(1, 4, 3, 1), (1, 7, 1, 1), (4, 9, 3, 4), (4, 22, 2, 4), (4, 30, 1, 4), (4, 35, 1, 2), (4, 38, 1, 1)],
)
def test_slow_stacks_that_were_interrupted(open_warned, tmp_path, repeats, drop_pages, slices, frames):
    truth = ScanImageRecording(
        slices=5, volumes=1, repeats=repeats, stack_mode="slow", channels=(1, 2), drop_pages=drop_pages
    )
    (path,) = truth.write(tmp_path)
    with pytest.raises(Malformed, match=r"not one whole volume.*interrupted=\"slices\""):
        galvo.open(path, slice_repeats="interleave")
    patterns = [f"{slices} of 5 slices are shown" + (f" with {frames} of 4" if frames < repeats else "")]
    patterns += ["are interleaved"] * (frames > 1)
    shown = slices * frames * 2
    leftover = 10 * repeats - drop_pages - shown
    patterns += [f"{leftover} pages make no whole"] * (leftover > 0)
    with open_warned(path, *patterns, slice_repeats="interleave", interrupted="slices") as rec:
        expected = truth.expected_pages(0, shown).reshape(slices, frames, 2, 32, 24).transpose(1, 2, 0, 3, 4)
        np.testing.assert_array_equal(rec, expected)
        np.testing.assert_array_equal(rec.z_um, truth.expected_z_um()[:slices])
        assert sum(entry.page_count for entry in rec.left_out) == leftover
        if slices == 1:
            assert rec.frame_rate_hz == pytest.approx(truth.frame_rate_hz)


def test_interrupted_slow_stacks_only(tmp_path):
    fast = ScanImageRecording(slices=5, volumes=1, drop_pages=2).write(tmp_path, "fast")
    slow = ScanImageRecording(slices=5, volumes=1, stack_mode="slow", frames_per_file=2).write(tmp_path, "slow")
    for path in (*fast, slow[1]):
        with pytest.raises(Malformed, match="not one whole volume"):
            galvo.open(path, series=False, interrupted="slices")
    with pytest.raises(OptionError, match="interrupted"):
        galvo.open(slow, interrupted="drop")
    with galvo.open(slow, interrupted="slices") as rec:
        assert rec.shape[:3] == (1, 1, 5)


@pytest.mark.parametrize(
    "mode",
    [
        {"slices": 3, "repeats": 3, "log_average_factor": 2, "volumes": 4},
        {"slices": 2, "repeats": 2, "flyback": 1, "log_average_factor": 2, "volumes": 4},
        {"slices": 4, "log_average_factor": 2, "volumes": 4},
    ],
)
def test_averages_across_slices_are_refused(tmp_path, mode):
    paths = ScanImageRecording(**mode).write(tmp_path)
    with pytest.raises(Unsupported, match="averaged across slices"):
        galvo.open(paths[0])


def test_fields_that_contradict_each_other_are_a_warning(tmp_path, open_warned):
    truth = ScanImageRecording(slices=3, volumes=4, extra_header={"SI.hStackManager.actualNumSlices": "4"})
    (path,) = truth.write(tmp_path)
    with open_warned(path, "contradicts itself.*3 slices") as rec:
        np.testing.assert_array_equal(rec[...], truth.expected())


def test_a_rate_that_the_times_contradict_is_a_warning(tmp_path, open_warned):
    truth = ScanImageRecording(frames=20, extra_header={"SI.hRoiManager.scanFrameRate": "45"})
    (path,) = truth.write(tmp_path)
    with open_warned(path, "says 45 Hz, the first 20 timestamps say 30 Hz") as rec:
        assert rec.frame_rate_hz == 45


@pytest.mark.parametrize("form", ["Inf", "zeros(1,0)", "[]", "{}", "'x'", "[0 1]", "-1", "1.5", "1e300", "[1 2 65]"])
def test_saved_channels_that_make_no_sense_are_an_error(tmp_path, form):
    extra = {"SI.hChannels.channelSave": form, "SI.hChannels.channelsActive": "[]"}
    (path,) = ScanImageRecording(extra_header=extra).write(tmp_path)
    with pytest.raises(Malformed, match="no saved channels") as caught:
        galvo.open(path)
    assert caught.value.path == str(path)
    with galvo.open(path, format="tiff") as rec:
        assert len(rec) == 10


def test_facts_that_are_absent_are_none(tmp_path):
    omitted = ("SI.hRoiManager.scanFrameRate", "SI.hRoiManager.imagingFovUm", "SI.hStackManager.zs")
    truth = ScanImageRecording(omit_header=omitted)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert rec.frame_rate_hz is None
        assert rec.pixel_size_um is None
        assert rec.z_um is None
        np.testing.assert_array_equal(rec[...], truth.expected())


def test_the_vendors_texts_are_kept(tmp_path):
    truth = ScanImageRecording(channels=(1, 2), aux_triggers={0: {1: [0.5]}})
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert rec.metadata.texts["header"] == truth.header_text()
        assert rec.metadata.texts["roi"] == truth.roi_text()
        assert rec.metadata.texts["description"].rstrip() == truth.descriptions()[0].rstrip()
        assert rec.metadata.header["SI.hChannels.channelSave"] == [1, 2]
        assert rec.metadata.start_time == "2025-04-24T16:43:57.206"
        assert rec.metadata.attributes["tiff_format_version"] == 4


def test_json_says_the_same_as_lines(tmp_path):
    found = []
    for json_header in (False, True):
        truth = ScanImageRecording(slices=3, flyback=2, volumes=3, channels=(1, 2), json_header=json_header)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rec = galvo.open(truth.write(tmp_path / str(json_header))[0])
        with rec:
            found.append((rec.shape, rec.metadata.start_time, rec.channel_names, rec.frame_table().tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("extra", "warned"),
    [
        ({"SI.hScan2D.logAverageFactor": "2"}, ["page 1 counts as frame 2, .* make it frame 3$"]),
        (
            {"SI.hChannels.channelSave": "[1 2]"},
            ["page 2 counts as frame 3, but 2 channels .* make it frame 2$", "announces 8"],
        ),
        ({"SI.hRoiManager.linesPerFrame": "100"}, ["pages have 32 x 24 pixels, the header says 100 lines of 24$"]),
        ({"SI.hRoiManager.pixelsPerLine": "25"}, ["pages have 32 x 24 pixels, the header says 32 lines of 25$"]),
        # line averaging
        ({"SI.hRoiManager.linesPerFrame": "128"}, []),
        ({"SI.hRoiManager.linesPerFrame": "100", "SI.hRoiManager.mroiEnable": "true"}, []),
        ({"SI.hRoiManager.linesPerFrame": "[]", "SI.hRoiManager.pixelsPerLine": "25"}, []),
    ],
)
def test_identities_that_do_not_hold_are_warnings_with_both_numbers(tmp_path, open_warned, extra, warned):
    # the rate is left out: the times would contradict it too
    truth = ScanImageRecording(frames=8, extra_header=extra, omit_header=("SI.hRoiManager.scanFrameRate",))
    (path,) = truth.write(tmp_path)
    with open_warned(path, *warned) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], truth.expected_pages()[:: rec.shape[1]])


def test_a_volume_rate_that_is_not_the_frame_rates_share_is_a_warning(tmp_path, open_warned):
    extra = {"SI.hRoiManager.scanVolumeRate": "6.2"}
    (path,) = ScanImageRecording(slices=3, flyback=2, volumes=1, extra_header=extra).write(tmp_path)
    with open_warned(path, "says 6.2 volumes a second, but its frame rate makes 6 of 5 frames$") as rec:
        assert rec.frame_rate_hz == 6.2


@pytest.mark.parametrize("channels", [(1,), (1, 2)])
def test_a_slow_stack_whose_frames_count_on_is_a_warning(tmp_path, open_warned, channels):
    """2019a has no stackMode: what was a fast stack with flyback is a slow one where hFastZ.enable is not readable."""
    truth = ScanImageRecording(
        slices=3, flyback=1, volumes=3, channels=channels, version="2019a", omit_header=("SI.hFastZ.enable",)
    )
    (path,) = truth.write(tmp_path)
    with open_warned(path, f"slow stack, .* but page {len(channels)} counts on as frame 2"):
        pass


@pytest.mark.parametrize("slice_repeats", [0, 1, "interleave", "mean"])
@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
def test_events_follow_a_selection(tmp_path, slice_repeats):
    triggers = {frame: {frame % 4: [frame / 32]} for frame in range(30)}
    truth = ScanImageRecording(slices=2, repeats=2, flyback=1, volumes=6, channels=(1, 2), aux_triggers=triggers)
    every = truth.expected_events(slice_repeats=slice_repeats)
    assert len(every) == 30
    with galvo.open(truth.write(tmp_path)[0], slice_repeats=slice_repeats) as rec:
        part = rec.isel(t=[4, 1, 4], c=1, z=[1])
        wanted = [
            (position, 0 if z == 1 else -1, kind, time)
            for position, own in enumerate([4, 1, 4])
            for t, z, kind, time, _ in every
            if t == own
        ]
        assert part.events()[["t", "z", "kind", "time_s"]].tolist() == wanted
        assert rec.isel(t=slice(0, 0)).events().size == 0


def test_a_recording_without_events_has_an_empty_table():
    table = galvo.open(np.zeros((3, 4, 5), np.int16)).events()
    assert table.shape == (0,)
    assert table.dtype.names == ("t", "z", "kind", "time_s", "data_nbytes", "data")
